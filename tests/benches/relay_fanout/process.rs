//! A process under test: started from this binary, asked over pipes, measured through `/proc`.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

/// Milliseconds of a clock tick in `/proc`: `USER_HZ` is 100 on every architecture that this runs on.
const TICK_MS: u64 = 10;

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
        pin(process.id(), 0);
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

    /// CPU time of the whole process, user and system, threads that ended included, to a clock tick of 10 ms.
    pub(crate) fn cpu(&self) -> Duration {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", self.process.id())).expect("Linux");
        // The second field is the program's name in parentheses, which may hold spaces: utime and stime are the 12th
        // and 13th behind it (proc_pid_stat(5)).
        let fields = text.rsplit_once(')').expect("a name in parentheses").1;
        let ticks: u64 = fields
            .split_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("clock ticks"))
            .sum();
        Duration::from_millis(ticks * TICK_MS)
    }

    /// Resident memory in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id())).expect("Linux");
        let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
        line.split_whitespace()
            .nth(1)
            .and_then(|kb| kb.parse::<u64>().ok())
            .expect("kilobytes")
            * 1_024
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Pins a process to a core where `taskset` exists and there are two cores; else the figures are a little worse.
pub(crate) fn pin(pid: u32, core: usize) {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > core) {
        let _ = Command::new("taskset")
            .args(["-a", "-cp", &core.to_string(), &pid.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
