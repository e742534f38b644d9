//! Sampling-rate conversion of whole clips.

use rubato::{Fft, FixedSync, Resampler, audioadapter_buffers::direct::InterleavedSlice};

/// Frames that the resampler handles at a time; only memory and speed depend on it.
const CHUNK_FRAMES: usize = 1_024;

/// `samples` (mono) at `from` Hz, converted to `to` Hz, without the filter's delay; `None` if a rate is zero or the
/// resampler refuses the pair.
#[must_use]
pub fn resample(samples: &[f32], from: u32, to: u32) -> Option<Vec<f32>> {
    if from == to || samples.is_empty() {
        return (from > 0).then(|| samples.to_vec());
    }
    let (from, to) = (usize::try_from(from).ok()?, usize::try_from(to).ok()?);
    let mut resampler = Fft::<f32>::new(from, to, CHUNK_FRAMES, 1, FixedSync::Input).ok()?;
    let input = InterleavedSlice::new(samples, 1, samples.len()).ok()?;
    let output = resampler.process_all(&input, samples.len(), None).ok()?;
    Some(output.take_data())
}

#[cfg(test)]
mod tests {
    use std::f32::consts::TAU;

    use super::*;

    fn tone(rate: u32, hertz: f32, seconds: f32) -> Vec<f32> {
        let count = (rate as f32 * seconds) as usize;
        (0..count)
            .map(|i| (i as f32 * hertz * TAU / rate as f32).sin())
            .collect()
    }

    #[test]
    fn keeps_length_phase_and_level() {
        for from in [8_000, 16_000, 22_050, 44_100, 96_000] {
            let converted = resample(&tone(from, 440.0, 1.0), from, 48_000).unwrap();
            assert!(
                converted.len().abs_diff(48_000) <= 1,
                "{from} Hz: {} samples",
                converted.len()
            );
            let expected = tone(48_000, 440.0, 1.0);
            let middle = 4_800..43_200;
            let error: f32 = middle
                .clone()
                .map(|i| (converted[i] - expected[i]).powi(2))
                .sum::<f32>()
                / middle.len() as f32;
            assert!(error.sqrt() < 0.01, "{from} Hz: error {}", error.sqrt());
        }
    }

    #[test]
    fn refuses_a_rate_of_zero() {
        assert!(resample(&[0.0], 0, 48_000).is_none());
    }
}
