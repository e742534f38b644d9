//! Sessions that do nothing.

use serde_json::json;
use subrosa_tests::idle::IdleSessions;

use crate::{holds, relay::Relay};

/// What the guide for operators promises, with a third on top for what the allocator keeps.
const BYTES_MAX: u64 = 33_000;

/// What 1,000 and 10,000 of them cost; whether that is within bounds.
pub(crate) fn run() -> bool {
    let relay = Relay::start();
    let empty = relay.resident_bytes();
    let mut idle = IdleSessions::new(relay.address);
    let mut held = true;
    for sessions in [1_000, 10_000] {
        idle.grow_to(sessions);
        let there = relay.metrics().get("sessions");
        let bytes = relay.resident_bytes().saturating_sub(empty) / sessions as u64;
        let cpu = relay.cpu();
        idle.rest(std::time::Duration::from_secs(10));
        let cpu = relay.cpu().saturating_sub(cpu).as_secs_f64() / 10.0 * 100.0;
        println!(
            "{}",
            json!({
                "figure": "idle_session_bytes", "sessions": sessions, "value": bytes, "cpu_percent": cpu,
                "empty_bytes": empty,
            })
        );
        held &= holds(
            &format!("{sessions} sessions are there"),
            there == sessions as f64,
        );
        held &= holds(
            &format!("{bytes} bytes each, {cpu:.1} % of a core"),
            bytes <= BYTES_MAX,
        );
    }
    held
}
