//! Echo cancellation, noise suppression and gain between microphone and encoder.

use rtrb::{Consumer, Producer, RingBuffer};
use sonora::{
    AudioProcessing, Config, StreamConfig,
    config::{EchoCanceller, GainController2, HighPassFilter, NoiseSuppression},
};

use super::{BLOCK, SAMPLE_RATE};

/// Blocks of played sound that may wait for the capture thread: 200 ms; more means that it stands still.
const ECHO_BLOCKS_MAX: usize = 20;

/// What is played, on its way to the echo canceller.
pub type Played = Producer<[f32; BLOCK]>;

/// WebRTC's audio processing, one channel. The echo canceller estimates the delay between playing and hearing itself.
pub struct Processing {
    inner: AudioProcessing,
    played: Consumer<[f32; BLOCK]>,
}

impl Processing {
    /// The processing, and where the playback thread puts what it plays.
    #[must_use]
    pub fn new() -> (Self, Played) {
        let stream = StreamConfig::new(SAMPLE_RATE, 1);
        let config = Config {
            high_pass_filter: Some(HighPassFilter::default()),
            echo_canceller: Some(EchoCanceller::default()),
            noise_suppression: Some(NoiseSuppression::default()),
            gain_controller2: Some(GainController2::default()),
            ..Config::default()
        };
        let inner = AudioProcessing::builder()
            .config(config)
            .capture_config(stream)
            .render_config(stream)
            .build();
        let (producer, played) = RingBuffer::new(ECHO_BLOCKS_MAX);
        (Self { inner, played }, producer)
    }

    /// Cleans one block of the microphone in place.
    pub fn process(&mut self, block: &mut [f32; BLOCK]) {
        let mut out = [0.0; BLOCK];
        while let Ok(played) = self.played.pop() {
            // Both calls fail only for a wrong number of channels or samples, which the types exclude.
            let _ = self.inner.process_render_f32(&[&played], &mut [&mut out]);
        }
        if self
            .inner
            .process_capture_f32(&[block.as_slice()], &mut [&mut out])
            .is_ok()
        {
            *block = out;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::level;

    #[test]
    fn the_loudspeakers_echo_is_removed() {
        let (mut processing, mut played) = Processing::new();
        let mut state = 1_u32;
        let (mut before, mut after) = (0.0, 0.0);
        let mut previous = [0.0; BLOCK];
        for block in 0..600 {
            // Speech-like bursts of noise from the loudspeaker, heard one block later at half the level.
            let far: [f32; BLOCK] = std::array::from_fn(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let loud = if block % 40 < 30 { 0.2 } else { 0.0 };
                loud * ((state >> 8) as f32 / 8_388_608.0 - 1.0)
            });
            played.push(far).unwrap();
            let mut near = previous.map(|sample| sample * 0.5);
            previous = far;
            if block >= 400 {
                before += level(&near);
            }
            processing.process(&mut near);
            if block >= 400 {
                after += level(&near);
            }
        }
        assert!(after < before * 0.1, "echo {before}, left {after}");
    }
}
