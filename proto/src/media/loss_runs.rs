//! Lost packets and how they cluster, for reports to the sender.

/// How many newer packets may overtake one before it counts as lost. Reason: 640 ms at 20 ms, beyond any playout.
const REORDER_WINDOW: i64 = 32;
/// Positions remembered for telling duplicates.
const SEEN_WINDOW: i64 = 128;

/// What [`LossRuns::insert`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// Newer than all before.
    Newest,
    /// Older than the newest, for the first time.
    Reordered,
    /// Seen before.
    Duplicate,
    /// So old that it cannot be told whether it was seen.
    Ancient,
}

/// Losses of one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossInterval {
    /// Packets whose fate was settled in the interval.
    pub expected: u32,
    /// Of these, lost.
    pub lost: u32,
    /// Runs of consecutive lost packets.
    pub bursts: u32,
    /// The longest run.
    pub longest_burst: u32,
}

/// Watches packet positions (unwrapped sequence numbers) of one stream.
#[derive(Debug)]
pub struct LossRuns {
    highest: i64,
    /// Bit `i` is set if position `highest − i` was seen.
    seen: u128,
    /// Positions below are settled.
    settled: i64,
    run: u32,
    interval: LossInterval,
}

impl LossRuns {
    /// Watches from `position` on, which has just arrived.
    #[must_use]
    pub fn starting_at(position: i64) -> Self {
        Self {
            highest: position,
            seen: 1,
            settled: position,
            run: 0,
            interval: LossInterval::default(),
        }
    }

    /// The newest position seen.
    #[must_use]
    pub const fn highest(&self) -> i64 {
        self.highest
    }

    /// Notes that `position` arrived. The caller keeps jumps ahead within reason: the loop runs once per position.
    pub fn insert(&mut self, position: i64) -> Arrival {
        let ahead = position - self.highest;
        if ahead > 0 {
            while self.settled <= position - REORDER_WINDOW {
                self.settle();
            }
            self.seen = if ahead < SEEN_WINDOW {
                self.seen << ahead
            } else {
                0
            } | 1;
            self.highest = position;
            return Arrival::Newest;
        }
        if -ahead >= SEEN_WINDOW {
            return Arrival::Ancient;
        }
        let bit = 1 << -ahead;
        if self.seen & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen |= bit;
        Arrival::Reordered
    }

    fn settle(&mut self) {
        let back = self.highest - self.settled;
        // Positions above the old highest were jumped over and not seen.
        let arrived = (0..SEEN_WINDOW).contains(&back) && self.seen & (1 << back) != 0;
        self.settled += 1;
        self.interval.expected += 1;
        if arrived {
            self.close_run();
        } else {
            self.interval.lost += 1;
            self.run += 1;
        }
    }

    fn close_run(&mut self) {
        if self.run > 0 {
            self.interval.bursts += 1;
            self.interval.longest_burst = self.interval.longest_burst.max(self.run);
            self.run = 0;
        }
    }

    /// Ends the interval and begins the next one. A run over the border counts on both sides.
    pub fn take_interval(&mut self) -> LossInterval {
        self.close_run();
        std::mem::take(&mut self.interval)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(positions: impl IntoIterator<Item = i64>) -> LossInterval {
        let mut runs = LossRuns::starting_at(0);
        for position in positions {
            runs.insert(position);
        }
        runs.take_interval()
    }

    #[test]
    fn losses_and_runs_are_counted_once_settled() {
        let lost = [10, 20, 21, 22, 60];
        let interval = after((1..=100).filter(|p| !lost.contains(p)));
        assert_eq!(
            interval,
            LossInterval {
                expected: 69,
                lost: 5,
                bursts: 3,
                longest_burst: 3
            }
        );
    }

    #[test]
    fn reordering_within_the_window_is_no_loss() {
        assert_eq!(after((1..=50).chain(52..=80).chain([51]).chain(81..=120)).lost, 0);
    }

    #[test]
    fn duplicates_and_ancient_packets_are_told() {
        let mut runs = LossRuns::starting_at(0);
        assert_eq!(runs.insert(0), Arrival::Duplicate);
        assert_eq!(runs.insert(5), Arrival::Newest);
        assert_eq!(runs.insert(3), Arrival::Reordered);
        assert_eq!(runs.insert(3), Arrival::Duplicate);
        assert_eq!(runs.insert(400), Arrival::Newest);
        assert_eq!(runs.insert(5), Arrival::Ancient);
        let interval = runs.take_interval();
        assert_eq!((interval.expected, interval.lost), (369, 366));
    }
}
