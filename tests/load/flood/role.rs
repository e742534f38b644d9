//! This program once more, inside a namespace.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Stdio},
    sync::mpsc::{Receiver, channel},
    time::Duration,
};

use serde_json::Value;
use subrosa_tests::watch;

use crate::relay::within;

/// It ends with this value.
pub(super) struct Role {
    process: Child,
    lines: Receiver<String>,
}

impl Role {
    pub(super) fn start(namespace: &str, arguments: &[&str]) -> Self {
        let this = std::env::current_exe().expect("this program has a path");
        let mut process = within(Some(namespace), &this)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program starts again");
        watch::pin(process.id(), 1);
        let out = BufReader::new(process.stdout.take().expect("a pipe"));
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Self { process, lines }
    }

    pub(super) fn tell(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().expect("a pipe");
        writeln!(stdin, "{line}").expect("it listens");
    }

    /// Its next line, if it comes in time.
    ///
    /// # Panics
    /// If the process ended.
    pub(super) fn line(&mut self, within: Duration) -> Option<Value> {
        match self.lines.recv_timeout(within) {
            Ok(line) => Some(serde_json::from_str(&line).expect("JSON")),
            Err(std::sync::mpsc::RecvTimeoutError::Timeout) => None,
            Err(_) => panic!("a process of this run ended: {:?}", self.process.wait()),
        }
    }

    /// Closes its standard input, and returns its last word.
    pub(super) fn end(&mut self) -> Option<Value> {
        drop(self.process.stdin.take());
        let line = self.lines.recv_timeout(Duration::from_secs(30)).ok()?;
        serde_json::from_str(&line).ok()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
