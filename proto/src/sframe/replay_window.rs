//! Replay window: which of the last 1,024 counters under one key were accepted (RFC 9605 §9.3, after RFC 6479).

/// How far below the highest accepted counter a late frame may lie. At 50 frames a second that is 20 s, more than
/// any path reorders; at video rates (about 1,000 packets a second) one second.
pub const WINDOW: u64 = 1_024;

/// One word more than the window, so that the word that is being filled never holds bits that still count.
const WORDS: u64 = WINDOW / 64 + 1;

/// The window of one (sender, stream, key id).
#[derive(Clone, Debug, Default)]
pub struct ReplayWindow {
    /// One more than the highest accepted counter; 0 before the first.
    next: u64,
    words: [u64; WORDS as usize],
}

impl ReplayWindow {
    /// Whether `counter` is neither accepted already nor too old to tell. Changes nothing: a frame may be forged
    /// until its tag was verified.
    #[must_use]
    pub fn is_fresh(&self, counter: u64) -> bool {
        if counter >= self.next {
            return counter < u64::MAX;
        }
        self.next - counter <= WINDOW && self.words[word(counter)] & bit(counter) == 0
    }

    /// Marks `counter`, whose frame's tag was verified.
    ///
    /// # Panics
    /// In debug builds, if `counter` is not fresh.
    pub fn accept(&mut self, counter: u64) {
        debug_assert!(self.is_fresh(counter));
        if counter >= self.next {
            self.clear_up_to(counter);
            self.next = counter + 1;
        }
        self.words[word(counter)] |= bit(counter);
    }

    /// Empties the words that the window enters when its top moves from `next - 1` to `counter`.
    fn clear_up_to(&mut self, counter: u64) {
        let Some(top) = self.next.checked_sub(1) else {
            return;
        };
        let entered = (counter / 64 - top / 64).min(WORDS);
        for step in 0..entered {
            self.words[word(counter - counter % 64 - step * 64)] = 0;
        }
    }
}

fn word(counter: u64) -> usize {
    usize::try_from(counter / 64 % WORDS).expect("a remainder of 17")
}

const fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// The window against the obvious model: a set of everything that was accepted.
        #[test]
        fn agrees_with_a_set_of_all_counters(jumps in proptest::collection::vec((any::<bool>(), 0..1_300_u64), 1..400)) {
            let (mut window, mut seen, mut at) = (ReplayWindow::default(), BTreeSet::new(), 3_000_u64);
            for (forward, jump) in jumps {
                at = if forward { at + jump % 90 } else { at.saturating_sub(jump) };
                let highest = seen.last().copied();
                let expected = !seen.contains(&at) && highest.is_none_or(|top: u64| at > top || top - at < WINDOW);
                prop_assert_eq!(window.is_fresh(at), expected, "counter {}", at);
                if expected {
                    window.accept(at);
                    seen.insert(at);
                }
            }
        }
    }

    #[test]
    fn a_far_jump_forgets_everything_older() {
        let mut window = ReplayWindow::default();
        for counter in 0..2_000 {
            window.accept(counter);
        }
        window.accept(1 << 40);
        assert!(!window.is_fresh(1 << 40) && !window.is_fresh(1_999) && !window.is_fresh(0));
        assert!(window.is_fresh((1 << 40) - 1) && window.is_fresh((1 << 40) - 1_023));
        assert!(!window.is_fresh((1 << 40) - 1_024));
    }
}
