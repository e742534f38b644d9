//! A sliding window over counters: each is accepted once (RFC 4303 §3.4.3, RFC 9001 has no such need).

/// How far behind the newest counter a message may arrive. Reason: a relay's queue and its reordering hold far fewer control
/// messages.
pub(super) const WINDOW: u64 = 1_024;

const WORDS: usize = (WINDOW / 64) as usize;

/// Counters that were accepted.
#[derive(Debug)]
pub(super) struct ReplayWindow {
    /// One more than the highest accepted; zero at first.
    next: u64,
    /// Bit `n % WINDOW` tells whether counter `n` of the last [`WINDOW`] was accepted.
    accepted: [u64; WORDS],
}

impl ReplayWindow {
    pub(super) const fn new() -> Self {
        Self {
            next: 0,
            accepted: [0; WORDS],
        }
    }

    const fn bit(counter: u64) -> (usize, u64) {
        let place = counter % WINDOW;
        ((place / 64) as usize, 1 << (place % 64))
    }

    /// Whether `counter` was not accepted yet and is not too old to tell.
    pub(super) const fn is_fresh(&self, counter: u64) -> bool {
        if counter >= self.next {
            return true;
        }
        if self.next - counter > WINDOW {
            return false;
        }
        let (word, bit) = Self::bit(counter);
        self.accepted[word] & bit == 0
    }

    /// Accepts `counter`; call only after its message proved authentic, and only if [`Self::is_fresh`].
    pub(super) fn accept(&mut self, counter: u64) {
        if counter >= self.next {
            // What leaves the window makes room; at most the whole window is cleared.
            let skipped = (counter - self.next).min(WINDOW - 1);
            for passed in counter - skipped..=counter {
                let (word, bit) = Self::bit(passed);
                self.accepted[word] &= !bit;
            }
            self.next = counter.saturating_add(1);
        }
        let (word, bit) = Self::bit(counter);
        self.accepted[word] |= bit;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_of_the_window() {
        let mut window = ReplayWindow::new();
        window.accept(WINDOW);
        assert!(!window.is_fresh(0));
        assert!(window.is_fresh(1));
        assert!(!window.is_fresh(WINDOW));
        window.accept(u64::MAX - 1);
        assert!(!window.is_fresh(WINDOW + 1));
        assert!(window.is_fresh(u64::MAX));
    }

    proptest! {
        #[test]
        fn agrees_with_a_set(counters in proptest::collection::vec(0_u64..5_000, 0..400)) {
            let mut window = ReplayWindow::new();
            let mut seen = BTreeSet::new();
            for counter in counters {
                let newest = seen.last().copied().unwrap_or(0);
                let fresh = !seen.contains(&counter) && counter + WINDOW > newest;
                prop_assert_eq!(window.is_fresh(counter), fresh);
                if fresh {
                    window.accept(counter);
                    seen.insert(counter);
                }
            }
        }
    }
}
