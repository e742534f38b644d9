//! A relay as its operator runs it, under load for a long time: the program itself, its settings file, its metrics.
//!
//! `./dev load rooms` and so on, or `cargo run --release -p subrosa-tests --example load -- rooms --minutes 30`. Prints a
//! table and one line of JSON per figure; exit status 1 if something does not hold. `SUBROSA_BIN` names the binary.
//!
//! - `rooms`: 100 rooms of 10 members for 30 minutes, then three times what the relay manages, then as before.
//! - `idle`: what 1,000 and 10,000 sessions cost that do nothing.
//! - `flood`: what strangers and bad members can do to a call that is under way, in network namespaces (as root).
//! - `voice`: 100 people of whom 3 speak, and the same on mumble-server (Debian's package, and python3-cryptography).
//! - `stalled`: a listener that stops reading, and one that is slow, beside others in the same room.
//!
//! The relay has a core and the load has another. Whatever is not delivered is explained: by the relay's counters, or it
//! was lost on the way.

mod call;
mod flood;
mod idle;
mod relay;
mod rooms;
mod stalled;
mod voice;

use std::process::ExitCode;

use subrosa_tests::watch;

/// What is asked for on the command line.
pub(crate) struct Options {
    run: String,
    pub(crate) minutes: f64,
    pub(crate) rooms: usize,
    pub(crate) members: usize,
    /// Members of a room whose microphone is open: these send all the time, whether they speak or not.
    pub(crate) unmuted: usize,
}

const USAGE: &str = "one of: rooms, idle, stalled, flood, voice; with rooms: --minutes N, --rooms N, --members N, --unmuted N; with voice: --minutes N";

fn options() -> Result<Options, String> {
    let mut options = Options {
        run: String::new(),
        minutes: 30.0,
        rooms: 100,
        members: 10,
        unmuted: 2,
    };
    let mut arguments = std::env::args().skip(1);
    options.run = arguments.next().ok_or("what to run is missing")?;
    if options.run == "voice" {
        options.minutes = 1.0;
    }
    while let Some(argument) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{argument} needs a value"))?;
        let bad = || format!("{argument} {value}: not a number that can be used");
        match argument.as_str() {
            "--minutes" => options.minutes = value.parse().map_err(|_| bad())?,
            "--rooms" => options.rooms = value.parse().map_err(|_| bad())?,
            "--members" => options.members = value.parse().map_err(|_| bad())?,
            "--unmuted" => options.unmuted = value.parse().map_err(|_| bad())?,
            _ => return Err(format!("{argument} is unknown")),
        }
    }
    let sensible = options.minutes > 0.0
        && (1..=1_000).contains(&options.rooms)
        && (2..=100).contains(&options.members)
        && (1..=options.members).contains(&options.unmuted);
    sensible
        .then_some(options)
        .ok_or_else(|| "a room has members, of whom some send, for some time".to_owned())
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(role) = arguments.first().and_then(|first| first.strip_prefix("--role=")) {
        flood::play(role, &arguments[1..]);
        return ExitCode::SUCCESS;
    }
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("error: {message}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    watch::pin(std::process::id(), 1);
    let held = match options.run.as_str() {
        "rooms" => rooms::run(&options),
        "idle" => idle::run(),
        "stalled" => stalled::run(),
        "flood" => flood::run(),
        "voice" => voice::run(&options),
        other => {
            eprintln!("error: there is no run '{other}'\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    if held {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Says whether something holds that has to.
pub(crate) fn holds(what: &str, is: bool) -> bool {
    println!("{} {what}", if is { "ok  " } else { "FAIL" });
    is
}
