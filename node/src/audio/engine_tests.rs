use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use subrosa_proto::{
    ids::StreamId,
    media::payload::{AudioPayload, SpeechLevel},
};

use super::*;
use crate::audio::{
    level::level,
    wav::{self, WavWriter, tests::Folder},
};

fn start(
    device: DeviceSpec,
    hold_clip: bool,
) -> Result<(AudioHandle, mpsc::Receiver<AudioEvent>), AudioError> {
    let begin = Instant::now();
    let clock: Clock =
        Arc::new(move || Timestamp::from_micros(u64::try_from(begin.elapsed().as_micros()).unwrap()));
    let config = AudioConfig {
        device,
        hold_clip,
        ..AudioConfig::default()
    };
    AudioEngine::start(&config, clock, &mut Random::from_seed([5; 32]))
}

fn file(input: Option<&Path>, output: Option<&Path>) -> DeviceSpec {
    DeviceSpec::File {
        input: input.map(PathBuf::from),
        output: output.map(PathBuf::from),
    }
}

fn clip(path: &Path, seconds: usize) {
    let mut writer = WavWriter::create(path).unwrap();
    let tone: Vec<f32> = (0..seconds * 48_000)
        .map(|i| 0.3 * (i as f32 * 0.05).sin())
        .collect();
    writer.write(&tone).unwrap();
}

/// All events of `duration`.
fn events_of(events: &mut mpsc::Receiver<AudioEvent>, duration: Duration) -> Vec<AudioEvent> {
    let end = Instant::now() + duration;
    let mut all = Vec::new();
    while Instant::now() < end {
        while let Ok(event) = events.try_recv() {
            all.push(event);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    all
}

fn payloads(events: &[AudioEvent]) -> Vec<AudioPayload> {
    let captured = events.iter().filter_map(|event| match event {
        AudioEvent::Captured(frame) => Some(frame),
        _ => None,
    });
    captured
        .map(|frame| AudioPayload::parse(&frame.payload).unwrap())
        .collect()
}

#[test]
fn files_keep_pace_with_the_clock() {
    let folder = Folder::new("pace");
    let out = folder.file("out.wav");
    let (handle, mut events) = start(file(None, Some(&out)), false).unwrap();
    let begin = Instant::now();
    let captured = payloads(&events_of(&mut events, Duration::from_secs(3))).len();
    let counters = handle.counters();
    let expected = begin.elapsed().as_secs_f64() * 48_000.0;
    for samples in [counters.captured_samples, counters.played_samples] {
        assert!(
            (samples as f64 - expected).abs() < 48.0 * 40.0,
            "{samples} of {expected} samples"
        );
    }
    assert!((145..=151).contains(&captured), "{captured} frames in 3 s");
    drop(handle);
    let written = wav::read(&out).unwrap().len() as u64;
    assert!(
        written.abs_diff(counters.played_samples) < 4_800,
        "the file is complete when the handle is gone"
    );
}

#[test]
fn a_held_clip_waits_and_muting_pauses() {
    let folder = Folder::new("hold");
    let input = folder.file("in.wav");
    clip(&input, 5);
    let (handle, mut events) = start(file(Some(&input), None), true).unwrap();
    let quiet = events_of(&mut events, Duration::from_millis(400));
    assert!(
        payloads(&quiet)
            .iter()
            .all(|p| p.header().level == SpeechLevel::SILENCE)
    );

    handle.release_clip();
    let loud = events_of(&mut events, Duration::from_millis(600));
    assert!(loud.iter().any(|event| matches!(event, AudioEvent::ClipBegan(_))));
    assert!(loud.iter().any(|event| matches!(
        event,
        AudioEvent::Speaking {
            member: None,
            on: true
        }
    )));
    assert!(
        payloads(&loud)
            .iter()
            .any(|p| p.header().level != SpeechLevel::SILENCE)
    );
    assert!(handle.level() > 0.1);

    handle.set_muted(true);
    let muted = payloads(&events_of(&mut events, Duration::from_millis(600)));
    assert!(muted.len() <= 8, "{} frames after muting", muted.len());
    assert!(muted.last().unwrap().header().pause_follows);
    handle.set_muted(false);
    let resumed = payloads(&events_of(&mut events, Duration::from_millis(400)));
    assert!(
        resumed
            .iter()
            .any(|p| !p.header().pause_follows && p.header().level != SpeechLevel::SILENCE)
    );
}

#[test]
fn a_bad_input_costs_nothing_that_was_there() {
    let folder = Folder::new("bad");
    let (missing, damaged, out) = (
        folder.file("missing.wav"),
        folder.file("damaged.wav"),
        folder.file("out.wav"),
    );
    fs::write(&damaged, b"not audio").unwrap();
    fs::write(&out, b"precious").unwrap();
    for (input, code) in [(&missing, "audio-file-missing"), (&damaged, "audio-file-damaged")] {
        assert_eq!(
            start(file(Some(input), Some(&out)), false).unwrap_err().code(),
            code
        );
        assert_eq!(fs::read(&out).unwrap(), b"precious");
    }
    let input = folder.file("in.wav");
    clip(&input, 1);
    let same = folder.0.join(".").join("in.wav");
    assert_eq!(
        start(file(Some(&input), Some(&same)), false).unwrap_err().code(),
        "audio-file-same"
    );
    assert_eq!(wav::read(&input).unwrap().len(), 48_000);
    let nowhere = folder.file("no/such/folder/out.wav");
    assert_eq!(
        start(file(None, Some(&nowhere)), false).unwrap_err().code(),
        "audio-file-write"
    );
}

#[test]
fn what_peers_send_is_refused_in_bounds() {
    let (listener, mut heard) = start(DeviceSpec::Null, false).unwrap();
    let (_talker, mut said) = start(DeviceSpec::Null, false).unwrap();
    let good = events_of(&mut said, Duration::from_millis(100))
        .into_iter()
        .find_map(|event| match event {
            AudioEvent::Captured(frame) => Some(frame.payload),
            _ => None,
        })
        .unwrap();
    let member = MemberId([9; 32]);
    let push = |stream: u8, payload: &[u8]| {
        listener.push(MediaFrame {
            member,
            stream: StreamId(stream),
            arrival: Timestamp::from_micros(100_000),
            payload: payload.to_vec(),
        });
    };
    for bytes in [&b""[..], b"x", &[0xff; 2_000]] {
        push(0, bytes);
    }
    for stream in 0..10 {
        push(stream, &good);
    }
    events_of(&mut heard, Duration::from_millis(200));
    assert_eq!(
        listener.counters().received_refused,
        3 + 6,
        "three that are no payloads, six streams too many"
    );
    listener.remove(member);
    listener.set_gain(member, f32::NAN);
    assert!(level(&[listener.level()]) < 0.001);
}

#[test]
fn settings_out_of_range_are_named() {
    let config = AudioConfig {
        device: DeviceSpec::Null,
        bitrate_max: 20_000,
        ..AudioConfig::default()
    };
    let error = AudioEngine::start(
        &config,
        Arc::new(|| Timestamp::ZERO),
        &mut Random::from_seed([5; 32]),
    );
    assert_eq!(error.unwrap_err().code(), "audio-setting");
}
