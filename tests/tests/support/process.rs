//! A `subrosa` process that speaks JSON lines. It ends with the value that owns it, also when a test panics.

use std::{
    fmt::Write as _,
    fs::File,
    io::{BufRead, BufReader, Write},
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use super::{Scratch, binary, isolated};

/// How long anything may take that is not a promise: the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// One line that a process said.
#[derive(Clone, Debug)]
pub(crate) struct Said {
    /// When it was read, in seconds since 1970.
    pub(crate) unix: f64,
    /// What.
    pub(crate) event: Value,
}

#[derive(Default)]
struct Transcript {
    said: Vec<Said>,
    ended: bool,
}

/// See the module.
pub(crate) struct Process {
    child: Child,
    stdin: Option<ChildStdin>,
    transcript: Arc<(Mutex<Transcript>, Condvar)>,
    log: PathBuf,
    title: String,
}

/// Seconds since 1970.
pub(crate) fn unix_now() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs_f64()
}

impl Process {
    /// Starts `subrosa ARGUMENTS`; its stderr goes to a file in `home`.
    pub(crate) fn start(home: &Scratch, title: &str, arguments: &[String]) -> Self {
        Self::start_with(isolated(Command::new(binary()), home), home, title, arguments)
    }

    /// Starts any program that ends up being `subrosa`.
    pub(crate) fn start_with(
        mut command: Command,
        home: &Scratch,
        title: &str,
        arguments: &[String],
    ) -> Self {
        let log = home.unused(&format!("{title}.log"));
        let mut child = command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(File::create(&log).expect("the scratch directory is writable"))
            .spawn()
            .expect("the binary runs");
        let stdin = child.stdin.take();
        let stdout = child.stdout.take().expect("stdout is a pipe");
        let transcript = Arc::new((Mutex::new(Transcript::default()), Condvar::new()));
        let shared = Arc::clone(&transcript);
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                let event = serde_json::from_str(&line).unwrap_or(Value::String(line));
                let said = Said {
                    unix: unix_now(),
                    event,
                };
                lock(&shared.0).said.push(said);
                shared.1.notify_all();
            }
            lock(&shared.0).ended = true;
            shared.1.notify_all();
        });
        Self {
            child,
            stdin,
            transcript,
            log,
            title: title.to_owned(),
        }
    }

    /// Writes a line to its stdin.
    pub(crate) fn say(&mut self, line: &str) {
        let stdin = self.stdin.as_mut().expect("stdin is a pipe");
        writeln!(stdin, "{line}")
            .and_then(|()| stdin.flush())
            .unwrap_or_else(|e| panic!("{} takes no more: {e}\n{}", self.title, self.story()));
    }

    /// Everything said so far.
    pub(crate) fn said(&self) -> Vec<Said> {
        lock(&self.transcript.0).said.clone()
    }

    /// How much was said so far: a mark for [`Process::wait_since`].
    pub(crate) fn mark(&self) -> usize {
        lock(&self.transcript.0).said.len()
    }

    /// The first event, past or future, that `wanted` accepts.
    pub(crate) fn wait(&self, what: &str, wanted: impl FnMut(&Value) -> bool) -> Said {
        self.wait_since(0, what, wanted)
    }

    /// As [`Process::wait`], without what was said before `mark`.
    pub(crate) fn wait_since(&self, mark: usize, what: &str, wanted: impl FnMut(&Value) -> bool) -> Said {
        self.look_for(mark, PATIENCE, wanted)
            .unwrap_or_else(|| panic!("{}: no {what}\n{}", self.title, self.story()))
    }

    /// The first event that `wanted` accepts, if it comes in time.
    pub(crate) fn look_for(
        &self,
        mark: usize,
        patience: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Option<Said> {
        let until = Instant::now() + patience;
        let mut next = mark;
        let mut transcript = lock(&self.transcript.0);
        loop {
            while let Some(said) = transcript.said.get(next) {
                if wanted(&said.event) {
                    return Some(said.clone());
                }
                next += 1;
            }
            let left = until.checked_duration_since(Instant::now())?;
            if transcript.ended {
                return None;
            }
            transcript = self
                .transcript
                .1
                .wait_timeout(transcript, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    /// Waits for its end; the exit status.
    pub(crate) fn wait_end(&mut self) -> i32 {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                // The reader may lag behind the exit.
                self.look_for(0, Duration::from_secs(2), |_| false);
                return status.code().unwrap_or(-1);
            }
            assert!(
                Instant::now() < until,
                "{} does not end\n{}",
                self.title,
                self.story()
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// SIGKILL, at once.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// The process's id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Log and transcript, for the message of a test that fails.
    pub(crate) fn story(&self) -> String {
        let mut story = String::new();
        for said in &self.said() {
            let _ = writeln!(story, "  {:.3} {}", said.unix % 1_000.0, said.event);
        }
        format!("{} said:\n{story}  log: {}", self.title, self.log())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
