//! Listeners that do not keep up, beside others in the same call.

use std::time::{Duration, Instant};

use serde_json::json;
use subrosa_tests::port::{BUFFER_BYTES, Port};

use crate::{
    call::{Call, Heard, listen},
    holds,
    relay::Relay,
};

const DURING: Duration = Duration::from_secs(20);
/// How seldom the slow one looks.
const SLOW: Duration = Duration::from_millis(400);
/// What waits for a listener is bounded: memory must not grow by more than this.
const GROWTH_BYTES_MAX: u64 = 4 << 20;

fn print(name: &str, heard: &Heard, resident: u64) {
    println!(
        "{}",
        json!({
            "figure": "beside_stalled", "run": name, "published": heard.published, "delivered": heard.frames,
            "wanted": heard.wanted(), "delay_ms_p50": heard.p50_ms, "delay_ms_p99": heard.p99_ms,
            "resident_bytes": resident,
        })
    );
}

/// The room alone, and then with the two; whether the others noticed nothing.
pub(crate) fn run() -> bool {
    let relay = Relay::start();
    let mut call = Call::open(&relay.address, "127.0.0.1:0");
    call.speak(DURING, |_| {});
    let alone = call.speak(DURING, |_| {});
    let resident = relay.resident_bytes();
    print("alone", &alone, resident);

    let mut stalled = Port::new(3);
    listen(&mut stalled, &relay.address, 200);
    let mut buffer = vec![0; BUFFER_BYTES];
    stalled.turn(&mut buffer, call.start, None);
    let mut slow = Port::new(4);
    listen(&mut slow, &relay.address, 201);
    let (start, before) = (call.start, relay.metrics());
    let mut looked = Instant::now();
    let beside = call.speak(DURING, |buffer| {
        if looked.elapsed() > SLOW {
            looked = Instant::now();
            slow.timeouts();
            slow.turn(buffer, start, None);
        }
    });
    let after = relay.metrics();
    let grown = relay.resident_bytes().saturating_sub(resident);
    print("beside a stalled and a slow listener", &beside, resident + grown);
    println!(
        "the slow one got {} of {}, dropped by the relay: {:?}",
        slow.frames,
        beside.published,
        after.drops(&before)
    );
    [
        holds(
            "everybody else hears every frame",
            alone.is_whole() && beside.is_whole(),
        ),
        holds(
            &format!("delay p99 {:.2} ms, {:.2} alone", beside.p99_ms, alone.p99_ms),
            beside.p99_ms <= 1.5 * alone.p99_ms + 1.0,
        ),
        holds(
            &format!("memory grew by {:.1} kB", grown as f64 / 1e3),
            grown <= GROWTH_BYTES_MAX,
        ),
    ]
    .into_iter()
    .all(|held| held)
}
