//! A running `subrosa` that speaks line by line.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

/// Longest wait for a single line or for the end: far above what anything takes, even on a busy machine.
const DEADLINE: Duration = Duration::from_secs(30);

/// A process whose stdout is read line by line. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Live {
    child: Child,
    lines: Receiver<String>,
    /// Everything that was read so far.
    pub(crate) heard: Vec<String>,
}

impl Live {
    /// Starts `command` with piped stdin and stdout; stderr goes where the test's goes.
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        let stdout = child.stdout.take().expect("piped");
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self {
            child,
            lines,
            heard: Vec::new(),
        }
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.child.stdin.as_mut().expect("stdin was not closed");
        writeln!(stdin, "{line}").expect("it reads its stdin");
        stdin.flush().expect("it reads its stdin");
    }

    /// Closes its stdin.
    pub(crate) fn close_stdin(&mut self) {
        self.child.stdin = None;
    }

    /// Reads until a line that `wanted` accepts, and returns it.
    pub(crate) fn line(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> String {
        let by = Instant::now() + DEADLINE;
        loop {
            let left = by.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => {
                    self.heard.push(line.clone());
                    if wanted(&line) {
                        return line;
                    }
                }
                Err(_) => panic!("no {what} came; heard: {:#?}", self.heard),
            }
        }
    }

    /// Reads until the event `name`, and returns it.
    pub(crate) fn event(&mut self, name: &str) -> Value {
        let is = |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|event| event["event"] == name);
        let line = self.line(name, is);
        serde_json::from_str(&line).expect("it was parsed before")
    }

    /// Sends a signal by name, e.g. `INT`.
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([&format!("-{name}"), &self.child.id().to_string()])
            .status()
            .expect("kill runs");
        assert!(status.success());
    }

    /// Waits for its end; its exit status.
    pub(crate) fn ended(&mut self) -> i32 {
        let by = Instant::now() + DEADLINE;
        while Instant::now() < by {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                self.heard.extend(self.lines.iter());
                return status.code().unwrap_or(-1);
            }
            thread::sleep(Duration::from_millis(20));
        }
        panic!("it does not end; heard: {:#?}", self.heard);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
