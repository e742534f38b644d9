//! Mouth to ear between two nodes on the loopback interface: everything but sound devices and the network's delay.
//!
//! The host plays a clip in real time, the joiner writes what it hears; both say when their device began, by the same
//! clock. Cross-correlation finds the clip in the recording.

use std::time::Duration;
use subrosa_node::{
    audio::{measure, wav},
    event::Event,
};

use crate::{
    meeting::{Host, Scratch, event, join, leave, speech},
    report::{Figure, Report},
};

/// What this issue allows, in ms.
const FLOOR_MS: f64 = 60.0;
/// Frame durations, each with its goal in ms.
const CASES: [(u8, f64); 2] = [(20, 35.0), (10, 25.0)];

pub(crate) fn measure(report: &mut Report) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for (frame_ms, goal) in CASES {
        let (delay_ms, found) = runtime.block_on(call(frame_ms));
        assert!(found.heard > 0.9, "the clip was not heard: {found:?}");
        let case = format!("frames of {frame_ms} ms");
        report.add(&Figure {
            goal: Some(goal),
            floor: Some(FLOOR_MS),
            ..Figure::new("mouth_to_ear_ms", case.as_str(), delay_ms, "ms")
        });
        report.add(&Figure::new(
            "mouth_to_ear_spread_ms",
            case.as_str(),
            found.spread_ms,
            "ms",
        ));
        report.add(&Figure::new(
            "mouth_to_ear_similarity",
            case,
            found.similarity,
            "",
        ));
    }
}

/// One clip from the host to the joiner: the delay in ms, and how well it was heard.
async fn call(frame_ms: u8) -> (f64, measure::Heard) {
    let scratch = Scratch::new("mouth-to-ear");
    let (clip, out) = (speech(), scratch.path().join("heard.wav"));
    let mut host = Host::start(&scratch, &clip, frame_ms).await;
    let ticket = host.ticket_at(host.address);
    let (mut joiner, _) = join(ticket, format!("file:,{}", out.display()), frame_ms).await;
    let began = event(&mut host.node, "start of the clip", |event| match event {
        Event::Audio {
            input_started_unix_us,
            ..
        } => input_started_unix_us,
        _ => None,
    })
    .await;
    let recording = event(&mut joiner, "start of the recording", |event| match event {
        Event::Audio {
            output_started_unix_us,
            ..
        } => output_started_unix_us,
        _ => None,
    })
    .await;
    let source = wav::read(&clip).expect("the clip");
    let seconds = source.len() as f64 / f64::from(subrosa_node::audio::SAMPLE_RATE);
    tokio::time::sleep(Duration::from_secs_f64(seconds + 0.5)).await;
    leave(joiner).await;
    leave(host.node).await;
    let heard = wav::read(&out).expect("the recording");
    let found = measure::locate(&source, &heard).expect("the clip is found");
    let lead_ms = (began as f64 - recording as f64) / 1_000.0;
    (found.delay_ms - lead_ms, found)
}
