//! The relay under test: the real driver with limits out of the way.

use std::io::BufRead;

use serde_json::json;
use subrosa_proto::relay::{DropReason, MediaRate, RelayConfig, RelayLimits};
use subrosa_tests::relay_client::start_relay;

pub(crate) fn run() {
    let unlimited = MediaRate {
        bits_per_second: 1 << 40,
        burst_bytes: u32::MAX,
    };
    let limits = RelayLimits {
        session_media: unlimited,
        room_media: unlimited,
        address_block_media: unlimited,
        sessions_per_address_block_max: 100_000,
        sessions_max: 100_000,
        ..RelayLimits::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (driver, address) = start_relay(RelayConfig {
        limits,
        ..RelayConfig::default()
    });
    println!("{}", address.addr);
    for line in std::io::stdin().lock().lines() {
        if line.is_err() {
            break;
        }
        let report = runtime.block_on(driver.report());
        let drops: serde_json::Map<_, _> = DropReason::ALL
            .iter()
            .filter(|&&r| report.relay.dropped(r) > 0)
            .map(|&r| (r.name().to_owned(), report.relay.dropped(r).into()))
            .collect();
        println!(
            "{}",
            json!({
                "received": report.relay.frames_received, "forwarded": report.relay.frames_forwarded,
                "packets": report.driver.datagrams_sent, "sends": report.driver.sends, "drops": drops,
                "load": report.driver.load_permille, "sessions": report.relay.sessions,
                "gather_us": report.relay.gather_window_us, "packets_in": report.driver.datagrams_received,
                "queue_us": report.relay.queue_delay_us_sum,
            })
        );
    }
}
