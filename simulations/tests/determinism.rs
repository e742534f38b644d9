//! A run depends on its scenario and its seed alone: not on the process, nor on what runs beside it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let entries = std::fs::read_dir(folder).expect("the folder of scenarios");
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a readable folder").path())
        .filter(|path| path.is_file())
        .collect();
    files.sort();
    files
}

/// Name and trace hash of each file's run, from a process of its own with so many threads.
fn hashes(files: &[PathBuf], transport: &str, threads: &str) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_subrosa-sim"))
        .args(["run", "--json", "--seed", "7", "--threads", threads])
        .args(["--transport", transport])
        .args(files)
        .output()
        .expect("the simulator starts");
    let text = String::from_utf8_lossy(&output.stdout);
    let word = |report: &Value, key: &str| report[key].as_str().expect("a word").to_owned();
    let hashes: Vec<_> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a report"))
        .map(|report| (word(&report, "scenario"), word(&report, "trace_hash")))
        .collect();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(hashes.len(), files.len(), "{said}");
    hashes
}

/// In another process with other threads.
fn repeats(files: &[PathBuf], transport: &str) {
    assert_eq!(hashes(files, transport, "1"), hashes(files, transport, "2"));
}

#[test]
fn every_scenario_gives_the_same_trace_in_another_process_with_other_threads() {
    repeats(&files(), "modelled");
}

/// Some that together have relays, hostile ones, NATs, partitions, restarts and drifting clocks.
#[test]
fn so_do_some_over_quic() {
    let some = [
        "behind_nats",
        "cascade",
        "crash_restart",
        "hostile_relay",
        "partition",
        "sleeping_device",
        "two_direct",
    ];
    let is_one = |path: &PathBuf| some.iter().any(|name| path.ends_with(format!("{name}.toml")));
    let files: Vec<_> = files().into_iter().filter(is_one).collect();
    assert_eq!(files.len(), some.len());
    repeats(&files, "quic");
}

#[test]
#[ignore = "takes minutes without optimisation: cargo test --release -p subrosa-sim --test determinism -- --ignored"]
fn so_does_every_scenario_over_quic() {
    repeats(&files(), "quic");
}
