//! Frame numbers, unwrapped to 64 bits, and the moment at which a sender begins another sequence.

use super::{
    loss_runs::{Arrival, LossInterval, LossRuns},
    payload::FrameDuration,
};

/// Positions that a packet may jump ahead without the sequence counting as another one: a minute at 20 ms.
const JUMP_MAX: i64 = 3_000;
/// Consecutive packets outside the sequence after which it counts as another one (RFC 3550 appendix A.1 asks for two;
/// packets are authenticated, but stragglers of an old path exist).
const STRANGERS_MAX: u32 = 4;

/// A packet was far from the sequence, again and again: the sender began another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AnotherSequence;

/// One sequence of one sender.
#[derive(Debug)]
pub(super) struct Sequence {
    /// Sequence number of position `runs.highest()`.
    highest: u32,
    runs: LossRuns,
    strangers: u32,
    /// The duration of each frame.
    pub(super) duration: FrameDuration,
    /// The next position to play.
    pub(super) next: i64,
}

impl Sequence {
    /// Begins with a packet that has just arrived; its position is its number.
    pub(super) fn starting_at(sequence: u32, duration: FrameDuration) -> Self {
        let position = i64::from(sequence);
        Self {
            highest: sequence,
            runs: LossRuns::starting_at(position),
            strangers: 0,
            duration,
            next: position,
        }
    }

    /// The position of `sequence`, and whether it is new. [`Arrival::Ancient`] also stands for one too far ahead.
    pub(super) fn place(&mut self, sequence: u32) -> Result<(i64, Arrival), AnotherSequence> {
        let ahead = i64::from(sequence.wrapping_sub(self.highest).cast_signed());
        let position = self.runs.highest() + ahead;
        let arrival = if ahead > JUMP_MAX {
            Arrival::Ancient
        } else {
            self.runs.insert(position)
        };
        match arrival {
            Arrival::Ancient => {
                self.strangers += 1;
                if self.strangers == STRANGERS_MAX {
                    return Err(AnotherSequence);
                }
            }
            Arrival::Newest => {
                self.highest = sequence;
                self.strangers = 0;
            }
            Arrival::Reordered | Arrival::Duplicate => self.strangers = 0,
        }
        Ok((position, arrival))
    }

    /// When the frame at `position` is sent, in µs of the sender's media time.
    pub(super) const fn media_us(&self, position: i64) -> i64 {
        position * self.duration.micros()
    }

    /// The newest sequence number, and the losses since the last call.
    pub(super) fn take_losses(&mut self) -> (u32, LossInterval) {
        (self.highest, self.runs.take_interval())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun() -> Sequence {
        Sequence::starting_at(u32::MAX - 1, FrameDuration::Ms20)
    }

    #[test]
    fn numbers_wrap_and_positions_do_not() {
        let mut sequence = begun();
        let start = i64::from(u32::MAX - 1);
        for (number, ahead) in [(u32::MAX, 1), (1, 3), (0, 2)] {
            assert_eq!(sequence.place(number).unwrap().0, start + ahead);
        }
        assert_eq!(sequence.take_losses().0, 1);
    }

    #[test]
    fn strangers_in_a_row_are_another_sequence_and_single_ones_are_not() {
        let mut sequence = begun();
        for n in 0..20 {
            assert_eq!(sequence.place(1_000_000 + n).unwrap().1, Arrival::Ancient);
            assert_eq!(sequence.place(n).unwrap().1, Arrival::Newest);
        }
        for n in 0..3 {
            assert!(sequence.place(7_000_000 + n).is_ok());
        }
        assert_eq!(sequence.place(7_000_003), Err(AnotherSequence));
    }
}
