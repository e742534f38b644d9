//! How many media frames a relay forwards per CPU-second, beside what bare UDP allows, and what an idle session costs.
//!
//! `cargo bench -p subrosa-tests --bench relay_fanout` prints a table and one JSON line per figure; it takes about two
//! minutes. The relay under test is a process of its own with the real driver, handshake and encryption, on one core;
//! the load (publishers and 100 listeners) is another process on another core. CPU time is that of all the relay's
//! threads, user and system, as the kernel accounts it (`/proc/PID/task/*/schedstat`). Receiving costs of the loopback
//! interface fall partly on the sender, so the ratio to the bare UDP figure of the same run says more than the number.

mod load;
mod process;
mod raw;
mod relay_process;

use std::time::Duration;

use load::{Fanout, Load};
use process::Child;
use serde_json::json;
use subrosa_tests::relay_client::RelayAddress;

const LISTENERS: usize = 100;
const PUBLISHERS: usize = 4;
const RUN: Duration = Duration::from_secs(4);
const PROBE: Duration = Duration::from_secs(2);
/// Frames per second to the relay in the run in which frames leave one by one.
const LIGHT_RATE: f64 = 1_500.0;
/// More than any relay forwards to 100 listeners on one core.
const PROBE_RATE: f64 = 100_000.0;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("--role=relay") => return relay_process::run(),
        Some("--role=raw") => return raw::serve(),
        _ => {}
    }
    process::pin(std::process::id(), 1);
    println!(
        "| run | payload | offered in/s | forwarded/s | per CPU-second | of bare UDP | CPU | frames per packet | per send | delivered | p50 / p99 ms |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for bytes in [160, 1_200] {
        let raw = raw::measure(bytes, LISTENERS, RUN);
        fanout(bytes, raw);
    }
    memory();
}

/// The runs of one frame size.
fn fanout(bytes: usize, raw: f64) {
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
    load.run(&mut child, LIGHT_RATE, Duration::from_secs(1));
    let light = load.run(&mut child, LIGHT_RATE, RUN);
    row("light", bytes, raw, &light);
    let probe = load.run(&mut child, PROBE_RATE, PROBE);
    load.run(&mut child, LIGHT_RATE, Duration::from_secs(1));
    let capacity = probe.forwarded_per_second() / LISTENERS as f64;
    let saturated = load.run(&mut child, capacity, RUN);
    row("saturation", bytes, raw, &saturated);
    let overloaded = load.run(&mut child, capacity * 3.0, RUN);
    row("3x overload", bytes, raw, &overloaded);
    load.run(&mut child, LIGHT_RATE, Duration::from_secs(2));
    let after = load.run(&mut child, LIGHT_RATE, Duration::from_secs(2));
    row("light, after overload", bytes, raw, &after);
}

fn row(name: &str, bytes: usize, raw: f64, run: &Fanout) {
    let per_cpu = run.per_cpu_second();
    println!(
        "| {name} | {bytes} | {:.0} | {} | {} | {:.2} | {:.0} % | {:.1} | {:.1} | {:.1} % | {:.2} / {:.2} |",
        run.offered,
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
            "forwarded_per_second": run.forwarded_per_second().round(), "offered_per_second": run.offered.round(),
            "received": run.received, "delivered": run.delivered, "forwarded": run.forwarded, "drops": run.drops,
            "delay_ms_p50": run.delay_ms(0.5), "delay_ms_p99": run.delay_ms(0.99),
            "cpu_accounting": "schedstat of the relay's process",
        })
    );
}

fn memory() {
    let child = Child::spawn("relay");
    let address = RelayAddress::at(child.address());
    let mut idle = load::IdleSessions::new(address);
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
