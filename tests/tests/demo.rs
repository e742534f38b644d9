//! The demo as the one command that a newcomer runs.

use serde_json::Value;

use crate::support::{Scratch, run};

#[test]
fn the_demo_passes_every_check_and_keeps_what_was_heard() {
    let home = Scratch::new();
    let keep = home.path().join("kept");
    let demo = run(&home, &["demo", "--json", "--keep", keep.to_str().unwrap()]);
    let result: Value =
        serde_json::from_str(demo.stdout.lines().next().unwrap_or_default()).unwrap_or_default();
    assert_eq!(demo.status, 0, "{:#}\n{}", result["checks"], demo.stderr);
    assert_eq!(result["ok"], true);
    assert_eq!(result["heard"].as_array().unwrap().len(), 4);
    assert_eq!(result["relays"][1]["stats"]["udp_bytes_received"], 0);
    for file in result["files"].as_array().unwrap() {
        assert!(std::fs::metadata(file.as_str().unwrap()).unwrap().len() > 48_000);
    }
}

#[test]
fn a_speech_that_cannot_be_read_is_named_before_anything_starts() {
    let home = Scratch::new();
    let demo = run(&home, &["demo", "--speech", "none.wav"]);
    assert_eq!(demo.status, 40, "{demo:?}");
    assert!(
        demo.stderr.contains("none.wav") && demo.stderr.contains("hint:"),
        "{demo:?}"
    );
}
