//! How long somebody who dials waits for the first decrypted audio frame.
//!
//! The host speaks all the time in frames of 20 ms. The time runs from the moment at which the joining node decides to dial
//! until its driver hands the first decrypted frame to the audio engine. Nothing of it is spent on starting the node.

use std::{net::SocketAddr, time::Duration};

use subrosa_node::audio::{SAMPLE_RATE, wav};
use tokio::time::sleep;

use crate::{
    delay_proxy::DelayProxy,
    meeting::{Host, Scratch, join, leave, speech},
    report::{Figure, Report, median_and_p95},
    trace,
};

/// Joins per case.
const JOINS: usize = 60;
/// What a join may take besides [`ROUND_TRIPS_MAX`], in ms: up to 20 of it pass until the host's next frame is due.
const FLOOR_EXTRA_MS: f64 = 20.0;
const GOAL_EXTRA_MS: f64 = 5.0;
const ROUND_TRIPS_MAX: f64 = 2.0;
/// Speech enough for a whole case.
const SPEECH_SECONDS: usize = 60;
/// A join that has brought no sound after this time has failed.
const PATIENCE: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(5);

/// One kind of join.
struct Case {
    /// The emulated round-trip time in ms; 0 is the loopback interface without the proxy.
    rtt_ms: u64,
    /// How many came and went before: 0 begins a new meeting for each join, otherwise all joins are to one meeting, whose
    /// log is that long when the first of them is measured.
    earlier: usize,
}

const CASES: [Case; 3] = [
    Case {
        rtt_ms: 0,
        earlier: 0,
    },
    Case {
        rtt_ms: 100,
        earlier: 0,
    },
    Case {
        rtt_ms: 100,
        earlier: 30,
    },
];

pub(crate) fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let scratch = Scratch::new("first-audio");
        let clip = scratch.path().join("speech.wav");
        let short = wav::read(&speech()).expect("the speech that the repository ships");
        let long: Vec<f32> = short
            .iter()
            .copied()
            .cycle()
            .take(SPEECH_SECONDS * SAMPLE_RATE as usize)
            .collect();
        wav::WavWriter::create(&clip)
            .and_then(|mut writer| writer.write(&long))
            .expect("the temporary directory is writable");
        for case in &CASES {
            let mut joins = Vec::new();
            let mut host = Host::start(&scratch, &clip, 20).await;
            for _ in 0..case.earlier {
                one(&mut host, 0).await;
            }
            for index in 0..JOINS {
                if case.earlier == 0 && index > 0 {
                    leave(host.node).await;
                    host = Host::start(&scratch, &clip, 20).await;
                }
                // Over a whole frame's time, so that joins fall on every moment of it.
                sleep(Duration::from_millis(50 + 7 * index as u64 % 20)).await;
                joins.push(one(&mut host, case.rtt_ms).await);
            }
            leave(host.node).await;
            tell(report, case, &joins);
        }
    });
}

async fn one(host: &mut Host, rtt_ms: u64) -> trace::Join {
    let proxy = (rtt_ms > 0).then(|| DelayProxy::start(host.address, Duration::from_millis(rtt_ms) / 2));
    let address: SocketAddr = proxy.as_ref().map_or(host.address, DelayProxy::address);
    let (node, id) = join(host.ticket_at(address), "null".to_owned(), 20).await;
    let heard = async {
        loop {
            if let Some(join) = trace::join_of(&id) {
                return join;
            }
            sleep(POLL).await;
        }
    };
    let heard = tokio::time::timeout(PATIENCE, heard)
        .await
        .expect("the joiner hears the host");
    leave(node).await;
    host.alone_again().await;
    heard
}

fn tell(report: &mut Report, case: &Case, joins: &[trace::Join]) {
    let millis = |step: fn(&trace::Join) -> Duration| -> (f64, f64) {
        let mut values: Vec<f64> = joins
            .iter()
            .map(|join| step(join).as_secs_f64() * 1_000.0)
            .collect();
        median_and_p95(&mut values)
    };
    let (link, _) = millis(|join| join.link);
    let (median, p95) = millis(|join| join.sound);
    let rtt = case.rtt_ms as f64;
    let log = match case.earlier {
        0 => String::new(),
        earlier => format!(" after {earlier} others"),
    };
    let name = |what: &str| format!("RTT {rtt} ms{log}, {what} of {}", joins.len());
    report.add(&Figure::new("handshake_done_ms", name("median"), link, "ms"));
    report.add(&Figure {
        goal: Some(rtt * ROUND_TRIPS_MAX + GOAL_EXTRA_MS),
        // The floor is that of a meeting without a history; a long log takes time to send and to verify.
        floor: (case.earlier == 0).then_some(rtt * ROUND_TRIPS_MAX + FLOOR_EXTRA_MS),
        ..Figure::new("first_audio_ms", name("median"), median, "ms")
    });
    report.add(&Figure::new("first_audio_ms", name("p95"), p95, "ms"));
    let fastest = joins
        .iter()
        .map(|join| join.sound.as_secs_f64() * 1_000.0)
        .fold(f64::MAX, f64::min);
    report.add(&Figure::new("first_audio_ms", name("fastest"), fastest, "ms"));
    if case.rtt_ms > 0 {
        report.add(&Figure::new(
            "first_audio_rtts",
            name("median"),
            median / rtt,
            "RTT",
        ));
        report.add(&Figure::new("first_audio_rtts", name("p95"), p95 / rtt, "RTT"));
    }
}
