//! When people speak: always, never, or in talk spurts.
//!
//! Spurts and pauses are exponential, as is each state of the artificial conversation of ITU-T P.59 (03/93), whose mean
//! talk spurt and pause for one speaker are the defaults here; P. T. Brady's measurements ("A Model for Generating On-Off
//! Speech Patterns in Two-Way Conversation", Bell Syst. Tech. J. 48, 1969) are of the same kind. People speak independently of one another.
//!
//! The node sends frames of silence as of speech, as its encoder has no discontinuous transmission: an open microphone is `always`. In
//! `talkspurts` somebody opens the microphone for each spurt.

use std::time::Duration;

use subrosa_proto::{random::Random, time::Timestamp};

/// Frames that announce a pause, as in the node's capture thread.
const PAUSE_FRAMES: u32 = 4;
/// The shortest that is drawn: a syllable.
const SHORTEST: Duration = Duration::from_millis(100);

/// What a microphone does at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Microphone {
    /// A frame is sent; `resumes` if it is the first after a pause, `pauses` if it announces one.
    Open { resumes: bool, pauses: bool },
    /// Nothing is sent.
    Closed,
}

/// One person's talk spurts.
pub(crate) struct Talkspurts {
    random: Random,
    /// Mean lengths in seconds.
    talkspurt_s: f64,
    pause_s: f64,
    speaks: bool,
    until: Timestamp,
    announced: u32,
}

impl Talkspurts {
    /// In a pause at first.
    pub(crate) fn new(talkspurt_s: f64, pause_s: f64, random: Random) -> Self {
        let mut spurts = Self {
            random,
            talkspurt_s,
            pause_s,
            speaks: false,
            until: Timestamp::ZERO,
            announced: PAUSE_FRAMES,
        };
        spurts.until = Timestamp::ZERO + spurts.draw(pause_s);
        spurts
    }

    fn draw(&mut self, mean_s: f64) -> Duration {
        let uniform = (self.random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64;
        Duration::from_secs_f64(-mean_s * (1.0 - uniform).ln()).max(SHORTEST)
    }

    /// A frame is due at `at`; calls come in order.
    pub(crate) fn frame(&mut self, at: Timestamp) -> Microphone {
        let mut resumes = false;
        while at >= self.until {
            self.speaks = !self.speaks;
            let mean = if self.speaks {
                self.talkspurt_s
            } else {
                self.pause_s
            };
            resumes = self.speaks;
            let length = self.draw(mean);
            self.until += length;
        }
        if self.speaks {
            self.announced = 0;
            return Microphone::Open {
                resumes,
                pauses: false,
            };
        }
        self.announced += 1;
        if self.announced <= PAUSE_FRAMES {
            return Microphone::Open {
                resumes: false,
                pauses: true,
            };
        }
        Microphone::Closed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spurts_and_pauses_have_their_mean_lengths() {
        let mut spurts = Talkspurts::new(1.004, 1.587, Random::from_seed([1; 32]));
        let (mut open, mut begun) = (0_u32, 0_u32);
        let frames = 500_000;
        for n in 0..frames {
            if let Microphone::Open { resumes, .. } = spurts.frame(Timestamp::from_micros(n * 20_000)) {
                open += 1;
                begun += u32::from(resumes);
            }
        }
        // With the frames that announce each pause.
        let share = f64::from(open - begun * PAUSE_FRAMES) / frames as f64;
        assert!((share - 1.004 / 2.591).abs() < 0.02, "{share}");
        let mean = f64::from(open) / f64::from(begun) * 0.02;
        assert!((1.0..1.2).contains(&mean), "{mean}");
    }
}
