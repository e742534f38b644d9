//! A hundred people of whom three speak: the relay, and mumble-server beside it in the same run.

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{holds, relay::Relay, rooms};

const PEOPLE: usize = 100;
const SPEAKERS: usize = 3;
const DURING: Duration = Duration::from_secs(60);

/// Runs both; whether everything was heard, and the relay needs no more than mumble-server.
pub(crate) fn run() -> bool {
    let relay = Relay::start();
    let ours = rooms::one_room(&relay, PEOPLE, SPEAKERS, DURING);
    drop(relay);
    println!(
        "{}",
        json!({
            "figure": "voice", "server": "subrosa relay", "people": PEOPLE, "speakers": SPEAKERS,
            "cpu_percent": ours.cpu_percent(), "frames_per_cpu_second": ours.per_cpu_second().round(),
            "missing_share": ours.missing_share(PEOPLE),
        })
    );
    let heard = holds(
        "the relay forwards everything",
        ours.missing_share(PEOPLE) <= 0.001,
    );
    let Some(theirs) = mumble() else {
        return holds("mumble-server was measured", false);
    };
    println!("{theirs}");
    let ratio = ours.per_cpu_second() / theirs["frames_per_cpu_second"].as_f64().unwrap_or(f64::INFINITY);
    heard
        && holds(
            &format!("frames per CPU-second: {ratio:.2} of mumble-server's"),
            ratio >= 1.0,
        )
}

/// What the script beside this file measures; none if it cannot.
fn mumble() -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("load/mumble.py");
    let output = Command::new("python3")
        .arg(script)
        .args([
            "--people",
            &PEOPLE.to_string(),
            "--speakers",
            &SPEAKERS.to_string(),
        ])
        .args(["--seconds", &DURING.as_secs().to_string()])
        .output()
        .ok()?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).ok()
}
