//! How long to wait for the copies of lost frames.
//!
//! Waiting delays every frame, so it is done only on a path that loses packets, and for all copies only if one is not
//! enough: another receiver's losses may be what made the sender add them.

use super::payload::AudioHeader;

/// Share of lost packets from which it pays to wait for the nearest copy.
const LOSS_NEAREST: f32 = 0.01;
/// Share of lost packets from which it pays to wait for all copies.
const LOSS_ALL: f32 = 0.04;
/// Waiting ends when the loss has fallen to this part of the threshold.
const HYSTERESIS: f32 = 0.4;
/// Weight of the newest packet in the running loss: about the last two seconds.
const WEIGHT: f32 = 1.0 / 100.0;

/// Watches the loss and the protection of one stream.
#[derive(Debug, Default)]
pub(super) struct RepairWait {
    /// When the first and the last copy of a frame comes after it, in µs, by the newest packet; in-band FEC counts.
    nearest_us: i64,
    all_us: i64,
    loss: f32,
    wait_us: i64,
}

impl RepairWait {
    /// Takes the header of the newest packet.
    pub(super) fn set_protection(&mut self, header: &AudioHeader) {
        let frame = header.duration.micros();
        (self.nearest_us, self.all_us) = match header.redundancy {
            0 if header.in_band_fec => (frame, frame),
            0 => (0, 0),
            copies => {
                let spacing = frame * i64::from(header.spacing);
                (spacing, spacing * i64::from(copies))
            }
        };
    }

    /// Notes whether a frame's own packet was there when its turn came.
    pub(super) fn note(&mut self, lost: bool) {
        let sample = if lost { 1.0 } else { 0.0 };
        self.loss += (sample - self.loss) * WEIGHT;
    }

    /// Chooses anew how long to wait.
    pub(super) fn update(&mut self) {
        let above =
            |threshold: f32, held: bool| self.loss >= if held { threshold * HYSTERESIS } else { threshold };
        self.wait_us = if above(LOSS_ALL, self.wait_us > self.nearest_us) {
            self.all_us
        } else if above(LOSS_NEAREST, self.wait_us > 0) {
            self.nearest_us
        } else {
            0
        };
    }

    /// How long after its due time by jitter alone a frame is due, in µs.
    pub(super) const fn wait_us(&self) -> i64 {
        self.wait_us
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::payload::{FrameDuration, SpeechLevel};

    fn wait_at(redundancy: u8, in_band_fec: bool, losses_in_20: u32) -> i64 {
        let mut wait = RepairWait::default();
        wait.set_protection(&AudioHeader {
            sequence: 0,
            duration: FrameDuration::Ms20,
            level: SpeechLevel::SILENCE,
            in_band_fec,
            pause_follows: false,
            redundancy,
            spacing: if redundancy == 0 { 1 } else { 2 },
        });
        for n in 0..2_000 {
            wait.note(n % 20 < losses_in_20);
            wait.update();
        }
        wait.wait_us()
    }

    #[test]
    fn waiting_follows_loss_and_protection() {
        assert_eq!(wait_at(2, true, 0), 0, "no loss, no waiting");
        assert_eq!(wait_at(2, true, 4), 80_000);
        assert_eq!(wait_at(1, true, 4), 40_000);
        assert_eq!(wait_at(0, true, 4), 20_000);
        assert_eq!(wait_at(0, false, 4), 0, "nothing to wait for");
    }
}
