//! What a meeting costs on this machine: handshakes, the wait for the first sound, mouth to ear, and the work per frame.
//!
//! `./dev bench session [handshake] [first] [mouth] [frame] [keys]` Prints a table and one JSON line for each figure; fails if a
//! floor is missed. A whole run takes about a minute and a half.

mod cpu;
mod delay_proxy;
mod first_audio;
mod frame;
mod handshake;
mod keys;
mod meeting;
mod mouth_to_ear;
mod report;
mod trace;

use std::process::ExitCode;

use report::Report;

/// Measures one thing.
type Part = fn(&mut Report);

const PARTS: [(&str, Part); 5] = [
    ("frame", frame::measure),
    ("keys", keys::measure),
    ("handshake", handshake::measure),
    ("first", first_audio::measure),
    ("mouth", mouth_to_ear::measure),
];

fn main() -> ExitCode {
    // cargo itself passes `--bench`.
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    if let Some(unknown) = wanted
        .iter()
        .find(|name| PARTS.iter().all(|(part, _)| part != name))
    {
        eprintln!("error: there is no part '{unknown}'\nhint: one of: frame keys handshake first mouth");
        return ExitCode::FAILURE;
    }
    trace::install();
    let mut report = Report::begin();
    for (name, part) in PARTS {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            part(&mut report);
        }
    }
    report.end()
}
