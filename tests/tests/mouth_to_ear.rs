//! Two engines in one process, joined without a network: what one says, the other hears, soon.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use subrosa_node::audio::{
    AudioConfig, AudioEngine, AudioEvent, AudioHandle, Clock, DeviceSpec, MediaFrame, measure, wav,
};
use subrosa_proto::{
    ids::{MemberId, StreamId},
    media::{payload::FrameDuration, reception_stats::ReceptionStats},
    random::Random,
    time::Timestamp,
};
use tokio::sync::mpsc::Receiver;

/// What this issue allows, in ms; the goals are 35 and 25.
const FLOOR_MS: f64 = 60.0;

fn clock() -> Clock {
    let begin = Instant::now();
    Arc::new(move || Timestamp::from_micros(u64::try_from(begin.elapsed().as_micros()).unwrap_or(u64::MAX)))
}

fn engine(
    device: &DeviceSpec,
    frame_duration: FrameDuration,
    clock: &Clock,
) -> (AudioHandle, Receiver<AudioEvent>) {
    let config = AudioConfig {
        device: device.clone(),
        frame_duration,
        ..AudioConfig::default()
    };
    AudioEngine::start(&config, clock.clone(), &mut Random::from_seed([3; 32])).expect("the engine starts")
}

struct Heard {
    delay_ms: f64,
    found: measure::Heard,
    stats: ReceptionStats,
    /// Changes of the speaker's "speaking", as the listener saw them.
    speaking: Vec<bool>,
}

/// Plays `clip` into one engine and returns what the other heard.
fn call(clip: &Path, out: &Path, frame_duration: FrameDuration) -> Heard {
    let clock = clock();
    let speaker = MemberId([7; 32]);
    let (listener, mut heard) = engine(
        &DeviceSpec::File {
            input: None,
            output: Some(out.to_owned()),
        },
        frame_duration,
        &clock,
    );
    let (talker, mut said) = engine(
        &DeviceSpec::File {
            input: Some(clip.to_owned()),
            output: None,
        },
        frame_duration,
        &clock,
    );
    let (mut began, mut recording, mut end) = (None, None, None::<Instant>);
    let (mut stats, mut speaking) = (ReceptionStats::default(), Vec::new());
    while end.is_none_or(|end| Instant::now() < end) {
        while let Ok(event) = said.try_recv() {
            match event {
                AudioEvent::Captured(frame) => listener.push(MediaFrame {
                    member: speaker,
                    stream: StreamId::AUDIO,
                    arrival: clock(),
                    payload: frame.payload,
                }),
                AudioEvent::ClipBegan(at) => began = Some(at),
                AudioEvent::ClipEnded => end = Some(Instant::now() + Duration::from_millis(2_500)),
                _ => {}
            }
        }
        while let Ok(event) = heard.try_recv() {
            match event {
                AudioEvent::RecordingBegan(at) => recording = Some(at),
                AudioEvent::Stats {
                    member,
                    stats: latest,
                    ..
                } if member == speaker => stats = *latest,
                AudioEvent::Speaking {
                    member: Some(member),
                    on,
                } if member == speaker => speaking.push(on),
                _ => {}
            }
        }
        thread::sleep(Duration::from_micros(300));
    }
    drop((talker, listener));
    let seconds = |time: SystemTime| {
        time.duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_secs_f64()
    };
    let lead_ms =
        (seconds(began.expect("the clip began")) - seconds(recording.expect("recording"))) * 1_000.0;
    let found = measure::locate(
        &wav::read(clip).expect("the clip"),
        &wav::read(out).expect("what was heard"),
    )
    .expect("speech is found");
    Heard {
        delay_ms: found.delay_ms - lead_ms,
        found,
        stats,
        speaking,
    }
}

fn folder() -> PathBuf {
    let path = std::env::temp_dir().join(format!("subrosa-mouth-to-ear-{}", std::process::id()));
    std::fs::create_dir_all(&path).expect("a temporary folder");
    path
}

#[test]
fn speech_is_heard_within_the_delay_allowed() {
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets/speech/alice.wav");
    let folder = folder();
    for (frame_duration, goal) in [(FrameDuration::Ms20, 35.0), (FrameDuration::Ms10, 25.0)] {
        let heard = call(&clip, &folder.join("heard.wav"), frame_duration);
        println!(
            "{frame_duration:?}: mouth to ear {:.1} ms (goal {goal}, floor {FLOOR_MS}), spread {:.1} ms, similarity {:.3}, {:?}",
            heard.delay_ms, heard.found.spread_ms, heard.found.similarity, heard.stats
        );
        assert!(heard.delay_ms <= FLOOR_MS, "{:.1} ms", heard.delay_ms);
        assert!(
            heard.found.similarity > 0.8 && heard.found.heard > 0.95,
            "{:?}",
            heard.found
        );
        assert_eq!(heard.stats.lost, 0);
        assert_eq!(heard.speaking.first(), Some(&true));
        assert_eq!(heard.speaking.last(), Some(&false));
    }
    let _ = std::fs::remove_dir_all(folder);
}
