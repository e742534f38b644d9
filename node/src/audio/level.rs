//! Loudness, and who is speaking.

use super::BLOCK;

/// Samples that must be loud in a row before somebody counts as speaking, 30 ms: a click is shorter.
const ON_SAMPLES: usize = 3 * BLOCK;
/// Samples after the last loud one for which somebody still counts as speaking, 400 ms: pauses between words are
/// shorter.
const HANGOVER_SAMPLES: usize = 40 * BLOCK;
/// Level above which a block is loud: −46 dB of full scale.
const LOUD: f32 = 0.005;
/// How far above the background a block must be: 9 dB.
const ABOVE_FLOOR: f32 = 2.8;
/// How fast the estimate of the background rises, per update: it doubles within 1.4 s.
const FLOOR_RISE: f32 = 1.005;
/// Highest background that is taken into account, so that steady loud speech is not taken for noise: −34 dB.
const FLOOR_MAX: f32 = 0.02;

/// Root mean square of `samples`; 0 to 1 for sound within full scale.
#[must_use]
pub fn level(samples: &[f32]) -> f32 {
    if samples.is_empty() {
        return 0.0;
    }
    (samples.iter().map(|s| s * s).sum::<f32>() / samples.len() as f32).sqrt()
}

/// Tells speech from pauses by level above the background, with a hangover.
#[derive(Debug)]
pub struct SpeechDetector {
    floor: f32,
    loud_samples: usize,
    quiet_samples: usize,
    speaking: bool,
}

impl Default for SpeechDetector {
    fn default() -> Self {
        Self {
            floor: FLOOR_MAX,
            loud_samples: 0,
            quiet_samples: 0,
            speaking: false,
        }
    }
}

impl SpeechDetector {
    /// Takes the next 5 to 20 ms of sound; `Some` when speaking began (`true`) or ended.
    pub fn update(&mut self, samples: &[f32]) -> Option<bool> {
        let level = level(samples);
        self.floor = level
            .max(LOUD / ABOVE_FLOOR)
            .min(self.floor * FLOOR_RISE)
            .min(FLOOR_MAX);
        if level > LOUD && level > self.floor * ABOVE_FLOOR {
            self.loud_samples += samples.len();
            self.quiet_samples = 0;
        } else {
            self.loud_samples = 0;
            self.quiet_samples = self.quiet_samples.saturating_add(samples.len());
        }
        if !self.speaking && self.loud_samples >= ON_SAMPLES {
            self.speaking = true;
            Some(true)
        } else if self.speaking && self.quiet_samples > HANGOVER_SAMPLES {
            self.speaking = false;
            Some(false)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(levels: impl IntoIterator<Item = f32>) -> Vec<(usize, bool)> {
        let mut detector = SpeechDetector::default();
        levels
            .into_iter()
            .enumerate()
            .filter_map(|(i, l)| detector.update(&[l; BLOCK]).map(|on| (i, on)))
            .collect()
    }

    #[test]
    fn words_with_pauses_are_one_utterance() {
        let words = (0..300).map(|block| if block % 50 < 25 { 0.1 } else { 0.0 });
        let quiet = std::iter::repeat_n(0.0, 100);
        let found = changes(quiet.clone().chain(words).chain(quiet));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!((100..105).contains(&found[0].0) && found[0].1);
        assert!((400..420).contains(&found[1].0) && !found[1].1);
    }

    #[test]
    fn clicks_and_steady_noise_are_not_speech() {
        assert!(changes((0..500).map(|block| if block % 40 == 0 { 0.5 } else { 0.0 })).is_empty());
        assert!(changes(std::iter::repeat_n(0.004, 500)).is_empty());
    }

    #[test]
    fn level_of_a_square_wave_is_its_height() {
        assert!((level(&[0.5, -0.5, 0.5, -0.5]) - 0.5).abs() < 1e-6);
        assert!(level(&[]) < 1e-6);
    }
}
