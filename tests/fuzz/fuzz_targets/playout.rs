//! The way of received audio: payloads in any order, with any numbers and at any time, and a device that asks at any time.
//! Samples stay finite, memory stays bounded, the counters never fall and agree with one another.
#![no_main]

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::at;
use subrosa_proto::media::{
    BLOCK_SAMPLES,
    jitter_buffer::{Decision, FRAMES_MAX, JitterBuffer},
    payload::{AudioHeader, AudioPayload, FrameDuration, SpeechLevel},
    playout::{FrameDecoder, Playout, UndecodableFrame},
    reception_stats::ReceptionStats,
};

/// A decoder that is as strange as a decoder may be: it refuses some frames, and tones depend on the frame.
struct Model {
    phase: f32,
}

impl Model {
    fn tone(&mut self, step: f32, out: &mut [f32]) {
        assert!(out.len() == 480 || out.len() == 960);
        for sample in out {
            self.phase += step;
            *sample = self.phase.sin();
        }
    }
}

impl FrameDecoder for Model {
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> std::result::Result<(), UndecodableFrame> {
        match frame.first() {
            None | Some(0xff) => Err(UndecodableFrame),
            Some(first) => {
                self.tone(f32::from(*first) / 500.0, out);
                Ok(())
            }
        }
    }

    fn decode_fec(&mut self, next: &[u8], out: &mut [f32]) -> std::result::Result<(), UndecodableFrame> {
        self.decode(next, out)
    }

    fn conceal(&mut self, out: &mut [f32]) {
        self.tone(0.01, out);
    }
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let _ = run(&mut u);
});

fn run(u: &mut Unstructured<'_>) -> Result<()> {
    // The driver's clock may have begun long ago.
    let mut now = if u.arbitrary()? { 0 } else { u.int_in_range(0..=1 << 52)? };
    let (mut playout, mut buffer) = (Playout::new(), JitterBuffer::default());
    let mut decoder = Model { phase: 0.0 };
    let mut sequence: u32 = u.arbitrary()?;
    let mut before = [playout.stats(), buffer.stats()];
    let mut inserted = 0;
    for _ in 0..400 {
        if u.is_empty() {
            break;
        }
        match u.int_in_range(0..=7_u8)? {
            0..=2 => {
                sequence = match u.int_in_range(0..=9_u8)? {
                    0 => u.arbitrary()?,
                    1 => sequence.wrapping_add(u.int_in_range(0..=4_000)?),
                    2 => sequence.wrapping_sub(u.int_in_range(0..=200)?),
                    3 => sequence,
                    _ => sequence.wrapping_add(1),
                };
                let payload = payload(u, sequence)?;
                playout.insert(at(now).monotonic, &payload);
                buffer.insert(at(now).monotonic, &payload);
                inserted += 1;
            }
            3..=5 => {
                let len = if u.ratio(7, 8)? { BLOCK_SAMPLES } else { u.int_in_range(1..=BLOCK_SAMPLES)? };
                let mut out = [f32::NAN; BLOCK_SAMPLES];
                playout.pull(at(now).monotonic, &mut decoder, &mut out[..len]);
                assert!(out[..len].iter().all(|sample| sample.abs() <= 1.01), "samples out of range");
                let had = buffer.has_next();
                if let Decision::Play(frame) | Decision::Fec(frame) = buffer.pull(at(now).monotonic) {
                    assert!(!frame.is_empty());
                } else {
                    assert!(buffer.played().is_none() || had);
                }
                now += len as u64 * 1_000_000 / 48_000;
            }
            6 => {
                // Silence of the network or of the machine: up to a minute, sometimes days.
                let days = u.ratio(1, 16)?;
                now += u.int_in_range(0..=if days { 1 << 38 } else { 60_000_000 })?;
            }
            _ => {
                if let Some(report) = playout.take_report() {
                    let values = report.values();
                    assert!(values.expected > 0 && values.lost <= values.expected);
                }
            }
        }
        assert!(buffer.len() <= FRAMES_MAX && buffer.is_empty() == (buffer.len() == 0));
        let after = [playout.stats(), buffer.stats()];
        for (before, after) in before.iter().zip(&after) {
            grow(before, after);
            assert_eq!(after.received, inserted);
        }
        before = after;
    }
    Ok(())
}

fn payload(u: &mut Unstructured<'_>, sequence: u32) -> Result<AudioPayload> {
    let redundancy = u.int_in_range(0..=3)?;
    let header = AudioHeader {
        sequence,
        duration: if u.ratio(1, 32)? { FrameDuration::Ms10 } else { FrameDuration::Ms20 },
        level: SpeechLevel::new(u.arbitrary()?),
        in_band_fec: u.arbitrary()?,
        pause_follows: u.ratio(1, 16)?,
        redundancy,
        spacing: if redundancy == 0 { 1 } else { u.int_in_range(1..=4)? },
    };
    let newest = [u.arbitrary()?];
    let copy = [u.arbitrary()?];
    let mut frames: Vec<&[u8]> = vec![&newest];
    for _ in 0..redundancy {
        frames.push(if u.ratio(3, 4)? { &copy } else { &[] });
    }
    let payload = AudioPayload::new(header, 4, &frames).expect("valid by construction");
    let mut bytes = Vec::new();
    payload.write(&mut bytes);
    assert_eq!(AudioPayload::parse(&bytes).as_ref(), Ok(&payload));
    Ok(payload)
}

fn counters(stats: &ReceptionStats) -> [u64; 16] {
    [
        stats.received,
        stats.duplicates,
        stats.reordered,
        stats.late,
        stats.lost,
        stats.recovered_redundancy,
        stats.recovered_fec,
        stats.played,
        stats.concealed,
        stats.inserted,
        stats.discarded,
        stats.silence,
        stats.undecodable,
        stats.restarts,
        stats.samples_removed,
        stats.samples_added,
    ]
}

fn grow(before: &ReceptionStats, after: &ReceptionStats) {
    let (then, now) = (counters(before), counters(after));
    assert!(then.iter().zip(&now).all(|(then, now)| then <= now), "a counter fell");
    assert!(after.recovered() <= after.lost, "more recovered than lost");
    assert!(after.inserted <= after.concealed);
    assert!(after.duplicates + after.reordered <= after.received);
    assert!(after.drift_ppm.is_finite());
}
