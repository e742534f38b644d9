//! A process under test: started from this binary, asked over pipes, measured through `/proc`.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use subrosa_tests::watch;

/// Ends its process when dropped.
pub(crate) struct Child {
    process: std::process::Child,
    answers: BufReader<std::process::ChildStdout>,
    address: SocketAddr,
}

impl Child {
    /// Starts this binary in a role; its first line is its address.
    pub(crate) fn spawn(role: &str) -> Self {
        let binary = std::env::current_exe().expect("this binary has a path");
        let mut process = Command::new(binary)
            .arg(format!("--role={role}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary starts again");
        watch::pin(process.id(), 0);
        let mut answers = BufReader::new(process.stdout.take().expect("a pipe"));
        let mut line = String::new();
        answers.read_line(&mut line).expect("the child says its address");
        let address = line.trim().parse().expect("an address");
        Self {
            process,
            answers,
            address,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a line and reads one.
    pub(crate) fn ask(&mut self, line: &str) -> String {
        let stdin = self.process.stdin.as_mut().expect("a pipe");
        stdin
            .write_all(format!("{line}\n").as_bytes())
            .expect("the child listens");
        self.read_line()
    }

    /// The next line that the child prints.
    pub(crate) fn read_line(&mut self) -> String {
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("the child answers");
        answer
    }

    /// The relay's counters. A relay that serves other than `sessions` has lost some, or its event loop has ended: then
    /// its counters are zero, and nothing that follows means anything.
    pub(crate) fn report(&mut self, sessions: usize) -> serde_json::Value {
        let report: serde_json::Value = serde_json::from_str(&self.ask("report")).expect("JSON");
        assert_eq!(report["sessions"], sessions, "the relay lost sessions: {report}");
        report
    }

    /// CPU time, see [`watch::cpu`].
    pub(crate) fn cpu(&self) -> Duration {
        watch::cpu(self.process.id())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        watch::resident_bytes(self.process.id())
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
