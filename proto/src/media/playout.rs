//! One received stream, from payloads to samples.
//!
//! The jitter buffer says when frames are due to a microsecond, the device asks in blocks of 10 ms, and time stretching
//! joins the two: sound that waits longer than it must is shortened, sound that would run dry is lengthened.

use std::time::Duration;

use super::{
    BLOCK_SAMPLES, SAMPLE_RATE_HZ,
    jitter_buffer::{Decision, JitterBuffer},
    payload::{AudioPayload, FrameDuration},
    reception_report::{ReceptionReport, ReceptionReportValues},
    reception_stats::ReceptionStats,
    time_stretch,
};
use crate::time::Timestamp;

/// A frame may be due this much after the pull that decodes it before a block more of delay is asked for.
const EXPAND_TOLERANCE_US: i64 = 500;
/// A frame must wait this much longer than a block before a block of delay is taken away.
const ACCELERATE_TOLERANCE_US: i64 = 2_500;
/// Less than this is not worth a join.
const REMOVABLE_MIN_US: i64 = 5_000;
/// Least time between two joins that shorten, and the excess from which they come twice as often.
const ACCELERATE_INTERVAL: Duration = Duration::from_millis(100);
const ACCELERATE_HASTE_US: i64 = 50_000;
/// How much the floor of the excess rises per frame at least (and else by a sixteenth of the distance).
const EXCESS_RISE_US_MIN: i64 = 200;
/// How much alike both sides of a join must be: normally, and when delay is far off or sound is about to run out.
const SIMILARITY: f32 = 0.85;
const SIMILARITY_IN_HASTE: f32 = 0.4;
/// Fades into and out of silence, in samples: 2.5 ms and 5 ms.
const FADE_IN: usize = 120;
const FADE_OUT: usize = 240;
/// Pulls that come in bursts widen the grid on which frames are decoded; more than this is a stall, not a rhythm.
const PULL_GRAIN_US_MAX: i64 = 40_000;
/// Weight of the newest frame in the mean delay: about the last second.
const DELAY_WEIGHT: f64 = 1.0 / 50.0;

/// The decoder refused a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the decoder refused an audio frame")]
pub struct UndecodableFrame;

/// A stateful decoder of one mono stream at 48 kHz (Opus in the node, a model in tests). Each call advances it by one
/// frame and fills `out` wholly: 480 or 960 samples, full scale ±1.0.
pub trait FrameDecoder {
    /// Decodes a frame.
    ///
    /// # Errors
    /// [`UndecodableFrame`] if the bytes are not such a frame; `out` is then ignored.
    fn decode(&mut self, frame: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame>;

    /// Decodes the in-band copy of the frame *before* `next`. The caller decodes `next` itself afterwards.
    ///
    /// # Errors
    /// As for [`Self::decode`].
    fn decode_fec(&mut self, next: &[u8], out: &mut [f32]) -> Result<(), UndecodableFrame>;

    /// Invents what a missing frame may have sounded like.
    fn conceal(&mut self, out: &mut [f32]);
}

/// Jitter buffer, decoder calls and time stretching of one stream.
#[derive(Debug)]
pub struct Playout {
    buffer: JitterBuffer,
    /// Decoded samples not yet given out. At most a few frames: frames are decoded when a block lacks samples.
    pending: Vec<f32>,
    silent: bool,
    last_pull: Option<Timestamp>,
    /// How much longer than a block the time between pulls lately was, in µs.
    pull_grain_us: i64,
    /// The least excess of late, rising slowly: pulls that come late now and then are no spare time.
    excess_floor_us: i64,
    last_accelerated: Timestamp,
    samples_removed: u64,
    samples_added: u64,
    undecodable: u64,
    delay_us: f64,
    /// The counters at the previous report.
    reported: ReceptionStats,
}

impl Default for Playout {
    fn default() -> Self {
        Self::new()
    }
}

const fn samples_to_us(samples: usize) -> i64 {
    samples as i64 * 1_000_000 / SAMPLE_RATE_HZ as i64
}

const fn us_to_samples(us: i64) -> usize {
    (us * (SAMPLE_RATE_HZ as i64) / 1_000_000) as usize
}

impl Playout {
    /// A stream of which nothing has arrived yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            buffer: JitterBuffer::default(),
            pending: Vec::with_capacity(4 * FrameDuration::Ms20.samples()),
            silent: true,
            last_pull: None,
            pull_grain_us: 0,
            excess_floor_us: 0,
            last_accelerated: Timestamp::ZERO,
            samples_removed: 0,
            samples_added: 0,
            undecodable: 0,
            delay_us: 0.0,
            reported: ReceptionStats::default(),
        }
    }

    /// Takes a payload that arrived at `arrival` (not later than the next pull's `now`).
    pub fn insert(&mut self, arrival: Timestamp, payload: &AudioPayload) {
        self.buffer.insert(arrival, payload);
    }

    /// The next 10 ms of sound; silence if there is nothing to play. Call it every 10 ms of the playing device's clock.
    pub fn pull_10ms(
        &mut self,
        now: Timestamp,
        decoder: &mut dyn FrameDecoder,
        out: &mut [f32; BLOCK_SAMPLES],
    ) {
        self.pull(now, decoder, out);
    }

    /// As [`Self::pull_10ms`] for a block of any length up to 10 ms. Shorter blocks (5 ms) save some delay: a frame
    /// waits for the next pull after its arrival.
    ///
    /// # Panics
    /// If `out` is empty or longer than 10 ms.
    pub fn pull(&mut self, now: Timestamp, decoder: &mut dyn FrameDecoder, out: &mut [f32]) {
        assert!(
            (1..=BLOCK_SAMPLES).contains(&out.len()),
            "a block has 1 to {BLOCK_SAMPLES} samples"
        );
        self.watch_pulls(now, samples_to_us(out.len()));
        while self.pending.len() < out.len() {
            self.next_interval(now, decoder, out.len());
        }
        out.copy_from_slice(&self.pending[..out.len()]);
        self.pending.drain(..out.len());
    }

    fn watch_pulls(&mut self, now: Timestamp, block_us: i64) {
        if let Some(last) = self.last_pull {
            let extra = now.saturating_since(last).as_micros() as i64 - block_us;
            // Half of a block is a timer's jitter, not a burst.
            let extra = if extra > block_us / 2 {
                extra.min(PULL_GRAIN_US_MAX)
            } else {
                0
            };
            self.pull_grain_us = extra.max(self.pull_grain_us - self.pull_grain_us / 256);
        }
        self.last_pull = Some(now);
    }

    /// Asks for a decision and appends its samples.
    fn next_interval(&mut self, now: Timestamp, decoder: &mut dyn FrameDecoder, block: usize) {
        let queued = self.pending.len();
        let decision = self.buffer.pull(now);
        if decision == Decision::Silence {
            self.fall_silent(decoder, block);
            return;
        }
        let played = self.buffer.played();
        if let Some(arrival) = played.and_then(|played| played.own_arrival) {
            let waited = now.saturating_since(arrival).as_micros() as f64 + samples_to_us(queued) as f64;
            self.delay_us += (waited - self.delay_us) * DELAY_WEIGHT;
        }
        self.append(&decision, decoder);
        if self.silent {
            self.silent = false;
            for (n, sample) in self.pending[queued..].iter_mut().take(FADE_IN).enumerate() {
                *sample *= n as f32 / FADE_IN as f32;
            }
        } else if let Some(played) = played {
            let above = played.excess_us - self.excess_floor_us;
            self.excess_floor_us += above.min(EXCESS_RISE_US_MIN.max(above / 16));
            self.stretch(now, decoder, played.excess_us, queued, samples_to_us(block));
        }
    }

    fn append(&mut self, decision: &Decision, decoder: &mut dyn FrameDecoder) {
        let start = self.pending.len();
        self.pending
            .resize(start + self.buffer.frame_duration().samples(), 0.0);
        let out = &mut self.pending[start..];
        let decoded = match decision {
            Decision::Play(frame) => decoder.decode(frame, out),
            Decision::Fec(next) => decoder.decode_fec(next, out),
            Decision::Conceal | Decision::Silence => {
                decoder.conceal(out);
                Ok(())
            }
        };
        if decoded.is_err() {
            self.undecodable += 1;
            decoder.conceal(out);
        }
    }

    fn fall_silent(&mut self, decoder: &mut dyn FrameDecoder, block: usize) {
        let start = self.pending.len();
        if !self.silent {
            self.silent = true;
            self.excess_floor_us = 0;
            self.append(&Decision::Silence, decoder);
            for (n, sample) in self.pending[start..].iter_mut().enumerate() {
                *sample *= 1.0 - (n as f32 / FADE_OUT as f32).min(1.0);
            }
        }
        // No further than this block: the next frame may be due at the next pull.
        self.pending.truncate(block.max(start));
        self.pending.resize(block.max(start), 0.0);
    }

    /// Brings the delay nearer to the target. `excess` and `queued` (samples) are those before the frame was decoded.
    ///
    /// The frame was decoded at a pull, `excess` after it was due; it will be heard after the queued samples. Frames can
    /// only be decoded at pulls, so the best delay is that of the first pull at which the frame is due, with nothing
    /// queued before it.
    fn stretch(
        &mut self,
        now: Timestamp,
        decoder: &mut dyn FrameDecoder,
        excess: i64,
        queued: usize,
        block_us: i64,
    ) {
        let queued_us = samples_to_us(queued);
        if excess < -EXPAND_TOLERANCE_US {
            let missing = (block_us - 1 - excess) / block_us * block_us - queued_us;
            if missing > 0 {
                let lag_max = us_to_samples(missing).max(time_stretch::LAG_MIN * 3);
                self.samples_added +=
                    time_stretch::expand(&mut self.pending, lag_max, SIMILARITY_IN_HASTE) as u64;
            }
            return;
        }
        let pulls = (self.excess_floor_us - ACCELERATE_TOLERANCE_US - self.pull_grain_us)
            .div_euclid(block_us)
            .max(0);
        let removable = queued_us + pulls * block_us;
        let haste = removable > ACCELERATE_HASTE_US;
        let interval = if haste {
            ACCELERATE_INTERVAL / 2
        } else {
            ACCELERATE_INTERVAL
        };
        if removable < REMOVABLE_MIN_US || now.saturating_since(self.last_accelerated) < interval {
            return;
        }
        // A deep voice's period needs 20 ms of sound.
        if self.pending.len() < FrameDuration::Ms20.samples() && self.buffer.has_next() {
            let decision = self.buffer.pull(now);
            self.append(&decision, decoder);
        }
        let similarity = if haste { SIMILARITY_IN_HASTE } else { SIMILARITY };
        let removed = time_stretch::accelerate(&mut self.pending, us_to_samples(removable), similarity);
        if removed > 0 {
            self.last_accelerated = now;
            self.samples_removed += removed as u64;
        }
    }

    /// True while nothing is played because the sender pauses or was never heard: the mixer may skip the stream (but
    /// must go on pulling).
    #[must_use]
    pub fn is_silent(&self) -> bool {
        self.silent
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> ReceptionStats {
        ReceptionStats {
            undecodable: self.undecodable,
            samples_removed: self.samples_removed,
            samples_added: self.samples_added,
            delay: Duration::from_micros(self.delay_us.max(0.0) as u64),
            ..self.buffer.stats()
        }
    }

    /// The report for the sender on the time since the previous call; `None` if nothing was expected in it. Call it
    /// every [`super::reception_report::REPORT_INTERVAL_MS`].
    pub fn take_report(&mut self) -> Option<ReceptionReport> {
        let (highest_sequence, losses) = self.buffer.take_losses()?;
        let stats = self.stats();
        let before = std::mem::replace(&mut self.reported, stats);
        if losses.expected == 0 {
            return None;
        }
        let since = |now: u64, then: u64| u32::try_from(now - then).unwrap_or(u32::MAX);
        let values = ReceptionReportValues {
            highest_sequence,
            expected: losses.expected,
            lost: losses.lost,
            bursts: losses.bursts,
            longest_burst: losses.longest_burst,
            concealed: since(stats.concealed, before.concealed),
            late: since(stats.late, before.late),
            jitter_us: u32::try_from(stats.jitter.as_micros()).unwrap_or(u32::MAX),
            delay_ms: u16::try_from(stats.delay.as_millis()).unwrap_or(u16::MAX),
        };
        ReceptionReport::try_from(values).ok()
    }
}
