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
fn hashes(files: &[PathBuf], threads: &str) -> Vec<(String, String)> {
    let output = Command::new(env!("CARGO_BIN_EXE_subrosa-sim"))
        .args(["run", "--json", "--seed", "7", "--threads", threads])
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

#[test]
fn every_scenario_gives_the_same_trace_in_another_process_with_other_threads() {
    let files = files();
    assert_eq!(hashes(&files, "1"), hashes(&files, "3"));
}
