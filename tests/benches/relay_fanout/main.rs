//! How many media frames a relay forwards per CPU-second, beside what bare UDP allows, and what an idle session costs.
//!
//! `cargo bench -p subrosa-tests --bench relay_fanout` prints a table and one JSON line per figure; it takes about two
//! minutes. The relay under test is a process of its own with the real driver, handshake and encryption, on one core;
//! the load (publishers and 100 listeners) is another process on another core. CPU time is that of the relay's process,
//! user and system, as the kernel accounts it (`/proc/PID/stat`). Receiving costs of the loopback interface fall partly
//! on the sender, so the ratio to the bare UDP figure of the same run says more than the number.
//!
//! Run "one by one" sends a frame when everybody heard the last one: no two frames share a datagram, and the delay that
//! the relay adds for the last of the listeners is seen without the load's own queue. In the other runs the delay includes
//! what the load needs to look after its hundred sockets' worth of connections.
//!
//! It fails if a floor (`floors.rs`) is missed.

mod figures;
mod floors;
mod load;
mod process;
mod raw;
mod relay_process;

use std::{process::ExitCode, time::Duration};

use figures::Fanout;
use floors::Floors;
use load::Load;
use process::Child;
use serde_json::json;
use subrosa_tests::{idle::IdleSessions, relay_client::RelayAddress, watch};

/// A voice frame, and about the most that fits the smallest packet that every path carries (RFC 9000 §14). What is larger
/// is dropped whenever QUIC takes a burst of losses for a path that no longer carries larger packets, which on a busy
/// machine it does.
const FRAME_BYTES: [usize; 2] = [160, 1_100];
const LISTENERS: usize = 100;
const PUBLISHERS: usize = 4;
const RUN: Duration = Duration::from_secs(4);
const PROBE: Duration = Duration::from_secs(2);
/// What a changed load is given before it is measured.
const WARM_UP: Duration = Duration::from_secs(1);
/// Frames per second to the relay in the run in which frames leave one by one.
const LIGHT_RATE: f64 = 1_500.0;
/// More than any relay forwards to 100 listeners on one core.
const PROBE_RATE: f64 = 100_000.0;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("--role=relay") => relay_process::run(),
        Some("--role=raw") => raw::serve(),
        _ => return measure(),
    }
    ExitCode::SUCCESS
}

fn measure() -> ExitCode {
    watch::pin(std::process::id(), 1);
    println!(
        "| run | payload | offered in/s | forwarded/s | per CPU-second | of bare UDP | CPU | frames per packet | per send | delivered | p50 / p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    let mut floors = Floors::default();
    for bytes in FRAME_BYTES {
        let raw = raw::measure(bytes, LISTENERS, RUN);
        fanout(bytes, raw, &mut floors);
    }
    memory();
    match floors.verdict() {
        Ok(()) => ExitCode::SUCCESS,
        Err(missed) => {
            eprintln!("{missed}");
            ExitCode::FAILURE
        }
    }
}

/// The runs of one frame size.
fn fanout(bytes: usize, raw: f64, floors: &mut Floors) {
    println!(
        "| bare UDP, one send each | {bytes} | | | {} | 1.00 | | 1.0 | 1.0 | | |",
        thousands(raw)
    );
    println!(
        "{}",
        json!({"figure": "raw_udp_frames_per_cpu_second", "bytes": bytes, "value": raw.round()})
    );
    let mut child = Child::spawn("relay");
    let address = RelayAddress::at(child.address());
    let mut load = Load::connect(address, PUBLISHERS, LISTENERS, bytes);
    let single = load.run_one_by_one(&mut child, RUN);
    row("one by one", bytes, raw, &single);
    floors.light("one by one", bytes, &single, LISTENERS);
    load.run(&mut child, LIGHT_RATE, WARM_UP);
    let light = load.run(&mut child, LIGHT_RATE, RUN);
    row("light", bytes, raw, &light);
    floors.light("light", bytes, &light, LISTENERS);
    let probe = load.run(&mut child, PROBE_RATE, PROBE);
    load.run(&mut child, LIGHT_RATE, WARM_UP);
    let capacity = probe.forwarded_per_second() / LISTENERS as f64;
    let saturated = load.run(&mut child, capacity, RUN);
    row("saturation", bytes, raw, &saturated);
    floors.saturation(bytes, &saturated);
    let overloaded = load.run(&mut child, capacity * 3.0, RUN);
    row("3x overload", bytes, raw, &overloaded);
    floors.overload(bytes, &saturated, &overloaded);
    load.run(&mut child, LIGHT_RATE, PROBE);
    let after = load.run(&mut child, LIGHT_RATE, PROBE);
    row("light, after overload", bytes, raw, &after);
    floors.light("light, after overload", bytes, &after, LISTENERS);
}

fn row(name: &str, bytes: usize, raw: f64, run: &Fanout) {
    let per_cpu = run.per_cpu_second();
    println!(
        "| {name} | {bytes} | {:.0} | {} | {} | {:.2} | {:.0} % | {:.1} | {:.1} | {:.1} % | {:.2} / {:.2} |",
        run.published_per_second(),
        thousands(run.forwarded_per_second()),
        thousands(per_cpu),
        per_cpu / raw,
        run.cpu.as_secs_f64() / run.wall.as_secs_f64() * 100.0,
        run.forwarded as f64 / run.packets.max(1) as f64,
        run.forwarded as f64 / run.sends.max(1) as f64,
        run.delivered as f64 / run.forwarded.max(1) as f64 * 100.0,
        run.delay_ms(0.5),
        run.delay_ms(0.99),
    );
    println!(
        "{}",
        json!({
            "figure": "relay_frames_per_cpu_second", "run": name, "bytes": bytes, "listeners": LISTENERS,
            "value": per_cpu.round(), "of_raw_udp": (per_cpu / raw * 100.0).round() / 100.0,
            "forwarded_per_second": run.forwarded_per_second().round(), "offered_per_second": run.published_per_second().round(),
            "frames_per_packet": run.forwarded as f64 / run.packets.max(1) as f64,
            "received": run.received, "delivered": run.delivered, "forwarded": run.forwarded, "drops": run.drops,
            "delay_ms_p50": run.delay_ms(0.5), "delay_ms_p99": run.delay_ms(0.99),
            "cpu_accounting": "stat of the relay's process",
        })
    );
}

fn memory() {
    let child = Child::spawn("relay");
    let address = RelayAddress::at(child.address());
    let mut idle = IdleSessions::new(address);
    let empty = child.resident_bytes();
    for sessions in [200, 1_000] {
        idle.grow_to(sessions);
        let bytes = child.resident_bytes().saturating_sub(empty) / sessions as u64;
        println!("| {sessions} idle sessions | | | | {bytes} bytes each | | | | | | |");
        println!(
            "{}",
            json!({"figure": "relay_bytes_per_idle_session", "sessions": sessions, "value": bytes})
        );
    }
}

fn thousands(value: f64) -> String {
    format!("{:.0}k", value / 1_000.0)
}
