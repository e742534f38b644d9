//! Whether what is sent on a link waits in a queue on the way: the shortest round trip lately beside the shortest of the last
//! minutes (as LEDBAT's base delay, RFC 6817 §3.3).
//!
//! The shortest of several, because on a link that loses packets most answers come late without any queue.

use std::{collections::VecDeque, time::Duration};

/// Round trips that are "lately": two seconds of pings.
const RECENT: usize = 8;
/// The shortest round trip is forgotten after one to two times so many: two to four minutes. Reason: a path may become longer.
const BASE: u16 = 480;
/// From this on a queue stands. Reason: what a path varies by itself is less, and speech bears no more.
pub const STANDING_QUEUE: Duration = Duration::from_millis(100);

/// See the module.
#[derive(Clone, Debug)]
pub struct Queueing {
    recent: VecDeque<Duration>,
    /// The shortest of the present [`BASE`] round trips and of those before.
    shortest: [Option<Duration>; 2],
    counted: u16,
}

impl Queueing {
    /// Nothing is known.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            recent: VecDeque::new(),
            shortest: [None; 2],
            counted: 0,
        }
    }

    /// A round trip was measured.
    pub fn handle_round_trip(&mut self, rtt: Duration) {
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(rtt);
        if self.counted == BASE {
            self.shortest = [None, self.shortest[0]];
            self.counted = 0;
        }
        self.counted += 1;
        self.shortest[0] = Some(self.shortest[0].map_or(rtt, |shortest| shortest.min(rtt)));
    }

    /// How long packets wait in the queue; zero until that can be told.
    #[must_use]
    pub fn delay(&self) -> Duration {
        let base = self.shortest.iter().flatten().min();
        let recent = self.recent.iter().min();
        match (recent, base) {
            (Some(recent), Some(base)) if self.recent.len() == RECENT => *recent - *base,
            _ => Duration::ZERO,
        }
    }
}

impl Default for Queueing {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn after(round_trips: impl IntoIterator<Item = u64>) -> Duration {
        let mut queueing = Queueing::new();
        round_trips
            .into_iter()
            .for_each(|rtt| queueing.handle_round_trip(ms(rtt)));
        queueing.delay()
    }

    #[test]
    fn a_queue_shows_when_every_round_trip_is_longer_and_a_late_answer_does_not() {
        assert_eq!(after([40, 700]), ms(0), "too few to tell");
        assert_eq!(after([40; 20].into_iter().chain([700; 7])), ms(0));
        assert_eq!(after([40; 20].into_iter().chain([700; 8])), ms(660));
        let lossy = [40, 200, 150, 100, 45, 300, 200, 160];
        assert_eq!(after(lossy.into_iter().cycle().take(80)), ms(0));
    }

    #[test]
    fn a_path_that_became_longer_is_a_queue_for_some_minutes_only() {
        let longer = |count: usize| after([40; 20].into_iter().chain([300].into_iter().cycle().take(count)));
        assert_eq!(longer(400), ms(260));
        assert_eq!(longer(2 * usize::from(BASE)), ms(0));
    }
}
