//! A limiter without look-ahead, so that it adds no delay.

/// Up to this peak nothing is changed: one voice at a usual level passes bit by bit.
const CEILING: f32 = 0.9;
/// Samples over which the gain moves inside a step: 1 ms, soft enough not to click.
const RAMP_SAMPLES: usize = 48;
/// How far the gain returns towards 1 with each step of 5 ms: half-way in about 0.2 s.
const RELEASE: f32 = 0.0175;

/// Keeps a sum of voices below full scale: the gain of a step follows its peak, and what a ramp lets through is
/// bent, not clipped.
#[derive(Debug)]
pub struct Limiter {
    gain: f32,
}

impl Default for Limiter {
    fn default() -> Self {
        Self { gain: 1.0 }
    }
}

impl Limiter {
    /// Limits one step in place; afterwards each sample lies in ±1.
    pub fn process(&mut self, block: &mut [f32]) {
        let peak = block.iter().fold(0.0_f32, |peak, sample| peak.max(sample.abs()));
        let released = self.gain + (1.0 - self.gain) * RELEASE;
        let target = if peak * released > CEILING {
            CEILING / peak
        } else {
            released
        };
        let target = if target > 0.999 { 1.0 } else { target };
        if self.gain < 1.0 || target < 1.0 {
            let step = (target - self.gain) / RAMP_SAMPLES as f32;
            for (index, sample) in block.iter_mut().enumerate() {
                let gain = if index < RAMP_SAMPLES {
                    self.gain + step * (index + 1) as f32
                } else {
                    target
                };
                *sample = bend(*sample * gain);
            }
        }
        self.gain = target;
    }
}

/// Identity up to [`CEILING`], then a curve that never reaches 1.
fn bend(sample: f32) -> f32 {
    let size = sample.abs();
    if size <= CEILING {
        return sample;
    }
    let room = 1.0 - CEILING;
    (CEILING + room * ((size - CEILING) / room).tanh()).copysign(sample)
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;
    use crate::audio::STEP;

    fn tone(level: f32, block: usize) -> Vec<f32> {
        (0..STEP)
            .map(|i| level * ((block * STEP + i) as f32 * 440.0 * TAU / 48_000.0).sin())
            .collect()
    }

    #[test]
    fn a_usual_level_passes_unchanged() {
        let mut limiter = Limiter::default();
        for block in 0..10 {
            let original = tone(0.85, block);
            let mut samples = original.clone();
            limiter.process(&mut samples);
            assert_eq!(samples, original);
        }
    }

    #[test]
    fn ten_voices_at_once_stay_in_range_without_clicks() {
        let mut limiter = Limiter::default();
        let mut previous = 0.0_f32;
        for block in 0..50 {
            let mut samples = tone(if block < 5 { 0.5 } else { 8.0 }, block);
            limiter.process(&mut samples);
            for (index, &sample) in samples.iter().enumerate() {
                assert!(sample.abs() <= 1.0);
                // 440 Hz at full scale moves by 0.06 a sample; only the attack may be steeper.
                if block != 5 || index > RAMP_SAMPLES {
                    assert!((sample - previous).abs() < 0.08, "block {block} sample {index}");
                }
                previous = sample;
            }
        }
    }

    #[test]
    fn the_gain_returns() {
        let mut limiter = Limiter::default();
        limiter.process(&mut tone(4.0, 0));
        for block in 1..800 {
            limiter.process(&mut tone(0.1, block));
        }
        let original = tone(0.1, 7);
        let mut samples = original.clone();
        limiter.process(&mut samples);
        assert_eq!(samples, original);
    }
}
