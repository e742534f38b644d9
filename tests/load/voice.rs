//! A hundred people of whom three speak: the relay, and mumble-server beside it in the same run.

use std::{path::Path, process::Command, time::Duration};

use serde_json::{Value, json};

use crate::{Options, holds, relay::Relay, rooms};

const PEOPLE: usize = 100;
const SPEAKERS: usize = 3;
/// Share of the frames that the load may send late: the comparison says nothing on a machine that has no time for it.
const LATE_SHARE_MAX: f64 = 0.02;

/// Runs both; whether everything was heard, and the relay needs no more than mumble-server.
pub(crate) fn run(options: &Options) -> bool {
    let during = Duration::from_secs_f64(options.minutes * 60.0);
    let relay = Relay::start();
    let ours = rooms::one_room(&relay, PEOPLE, SPEAKERS, during);
    drop(relay);
    println!(
        "{}",
        json!({
            "figure": "voice", "server": "subrosa relay", "people": PEOPLE, "speakers": SPEAKERS,
            "cpu_percent": ours.cpu_percent(), "frames_per_cpu_second": ours.per_cpu_second().round(),
            "missing_share": ours.missing_share(PEOPLE), "delay_ms_p50": ours.delay_ms(0.5), "delay_ms_p99": ours.delay_ms(0.99),
            "late_share": ours.late_share(),
        })
    );
    let heard = holds(
        "the relay forwards everything",
        ours.missing_share(PEOPLE) <= 0.001,
    );
    // Frames that leave the load together travel together, which would flatter the relay: Mumble sends each alone.
    let in_time = holds(
        &format!(
            "{:.1} % of the frames left the load late",
            ours.late_share() * 100.0
        ),
        ours.late_share() <= LATE_SHARE_MAX,
    );
    let Some(theirs) = mumble(during) else {
        return holds("mumble-server was measured", false);
    };
    println!("{theirs}");
    let ratio = ours.per_cpu_second() / theirs["frames_per_cpu_second"].as_f64().unwrap_or(f64::INFINITY);
    let no_worse = holds(
        &format!("frames per CPU-second: {ratio:.2} of mumble-server's"),
        ratio >= 1.0,
    );
    heard && in_time && no_worse
}

/// What the script beside this file measures; none if it cannot.
fn mumble(during: Duration) -> Option<Value> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("load/mumble.py");
    let output = Command::new("python3")
        .arg(script)
        .args([
            "--people",
            &PEOPLE.to_string(),
            "--speakers",
            &SPEAKERS.to_string(),
        ])
        .args(["--seconds", &during.as_secs_f64().to_string()])
        .output()
        .ok()?;
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).ok()
}
