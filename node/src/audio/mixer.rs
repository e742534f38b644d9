//! Adds the voices of a meeting into what the listener hears.

use super::{STEP, limiter::Limiter};

/// Sum of all voices of one step, each at its own loudness.
#[derive(Debug)]
pub struct Mixer {
    sum: [f32; STEP],
    limiter: Limiter,
}

impl Default for Mixer {
    fn default() -> Self {
        Self {
            sum: [0.0; STEP],
            limiter: Limiter::default(),
        }
    }
}

impl Mixer {
    /// Adds one voice; its loudness moves from `from` to `to` over the step, so that a change does not click.
    pub fn add(&mut self, voice: &[f32], from: f32, to: f32) {
        let step = (to - from) / STEP as f32;
        for (index, (sum, sample)) in self.sum.iter_mut().zip(voice).enumerate() {
            *sum += sample * (from + step * index as f32);
        }
    }

    /// Ends the step: what is to be heard, within full scale.
    pub fn finish(&mut self, out: &mut [f32; STEP]) {
        self.limiter.process(&mut self.sum);
        *out = self.sum;
        self.sum.fill(0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn voices_add_with_their_gains() {
        let mut mixer = Mixer::default();
        mixer.add(&[0.2; STEP], 1.0, 1.0);
        mixer.add(&[0.4; STEP], 0.5, 0.5);
        let mut out = [0.0; STEP];
        mixer.finish(&mut out);
        assert!(out.iter().all(|s| (s - 0.4).abs() < 1e-6));
        mixer.finish(&mut out);
        assert!(
            out.iter().all(|s| s.abs() < 1e-6),
            "nothing is left of the step before"
        );
    }

    #[test]
    fn a_change_of_gain_is_a_ramp() {
        let mut mixer = Mixer::default();
        mixer.add(&[0.5; STEP], 0.0, 1.0);
        let mut out = [0.0; STEP];
        mixer.finish(&mut out);
        assert!(out.windows(2).all(|pair| (pair[1] - pair[0]) < 0.003));
        assert!(out[0] < 0.01 && out[STEP - 1] > 0.49);
    }
}
