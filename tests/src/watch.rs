//! What the kernel accounts to a process, from `/proc`.

use std::{
    process::{Command, Stdio},
    time::Duration,
};

/// Milliseconds of a clock tick in `/proc`: `USER_HZ` is 100 on every architecture that this runs on.
const TICK_MS: u64 = 10;

/// CPU time of the whole process, user and system, threads that ended included, to a clock tick of 10 ms.
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn cpu(pid: u32) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("Linux");
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
///
/// # Panics
/// If there is no such process.
#[must_use]
pub fn resident_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("Linux");
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace()
        .nth(1)
        .and_then(|kb| kb.parse::<u64>().ok())
        .expect("kilobytes")
        * 1_024
}

/// Pins a process to a core where `taskset` exists and there are two cores; else the figures are a little worse.
pub fn pin(pid: u32, core: usize) {
    if std::thread::available_parallelism().is_ok_and(|n| n.get() > core) {
        let _ = Command::new("taskset")
            .args(["-a", "-cp", &core.to_string(), &pid.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}
