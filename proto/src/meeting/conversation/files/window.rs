//! How much of a file is on its way at a time: as much as adds no delay to anybody's voice.
//!
//! A scavenger after RFC 6817 (LEDBAT): the window grows while round trips are as short as they were, and shrinks as soon
//! as they grow longer, long before anything is lost.

use std::time::Duration;

use super::message::CHUNK_BYTES;
use crate::time::Timestamp;

/// The delay that a transfer may add to its path. Reason: less than a frame and a half of audio; a jitter buffer
/// takes it without a change.
pub const TARGET_DELAY: Duration = Duration::from_millis(25);
/// The most that is on its way. Reason: 5 MB/s at 50 ms; more would fill queues before the first round trip tells.
pub const WINDOW_MAX: usize = 21 * CHUNK_BYTES;
/// The least.
const WINDOW_MIN: usize = CHUNK_BYTES;
/// The beginning.
const WINDOW_FIRST: usize = 2 * CHUNK_BYTES;
/// Base delays are forgotten after twice so long: paths change.
const BASE_INTERVAL: Duration = Duration::from_secs(30);
/// A queue that never empties hides how long the path is without it: after so long the window lets it empty.
const LOOK_INTERVAL: Duration = Duration::from_secs(8);
/// The window shrinks for delay once in so long, at least a round trip.
const SHRINK_INTERVAL_MIN: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Clone, Debug)]
pub struct Window {
    bytes: usize,
    slow_start: bool,
    base: Option<Duration>,
    /// The least since [`Window::base_since`].
    base_next: Option<Duration>,
    base_since: Timestamp,
    shrunk_at: Option<Timestamp>,
    /// When there was next to no queue.
    low_at: Timestamp,
}

impl Window {
    /// The window of a transfer that begins.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self {
            bytes: WINDOW_FIRST,
            slow_start: true,
            base: None,
            base_next: None,
            base_since: now,
            shrunk_at: None,
            low_at: now,
        }
    }

    /// Bytes that may be on their way.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// `acked` bytes arrived `rtt` after they were sent.
    pub fn handle_ack(&mut self, now: Timestamp, acked: usize, rtt: Duration) {
        self.note_base(now, rtt);
        let base = self.base.unwrap_or(rtt).min(rtt);
        let queued = rtt.saturating_sub(base);
        if queued < TARGET_DELAY / 8 {
            self.low_at = now;
        }
        if queued > TARGET_DELAY {
            self.slow_start = false;
            let pause = SHRINK_INTERVAL_MIN.max(rtt);
            if self.shrunk_at.is_none_or(|at| now.saturating_since(at) >= pause) {
                self.shrunk_at = Some(now);
                self.bytes = (self.bytes / 2).max(WINDOW_MIN);
            }
        } else if self.slow_start {
            self.slow_start = queued < TARGET_DELAY / 2;
            self.bytes += acked;
        } else {
            let room = (TARGET_DELAY - queued).as_micros() * 1_000 / TARGET_DELAY.as_micros();
            let room = usize::try_from(room).unwrap_or(0);
            self.bytes += CHUNK_BYTES * room / 1_000 * acked / self.bytes.max(1);
        }
        if now.saturating_since(self.low_at) > LOOK_INTERVAL {
            self.low_at = now;
            self.bytes /= 4;
        }
        self.bytes = self.bytes.clamp(WINDOW_MIN, WINDOW_MAX);
    }

    /// Nothing arrived for long: something was lost, or the way is gone.
    pub fn handle_stall(&mut self) {
        self.bytes = (self.bytes / 2).max(WINDOW_MIN);
        self.slow_start = false;
    }

    fn note_base(&mut self, now: Timestamp, rtt: Duration) {
        if now.saturating_since(self.base_since) >= BASE_INTERVAL {
            self.base = self.base_next;
            self.base_next = None;
            self.base_since = now;
        }
        let least = |base: Option<Duration>| Some(base.map_or(rtt, |base| base.min(rtt)));
        self.base = least(self.base);
        self.base_next = least(self.base_next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A bottleneck with a deep queue: the delay that the transfer adds stays about its target, and the path is used.
    #[test]
    fn a_transfer_keeps_the_queue_short_and_the_path_busy() {
        for bytes_per_second in [60_000.0_f64, 250_000.0, 1_000_000.0, 5_000_000.0] {
            let base = Duration::from_millis(40);
            let mut now = Timestamp::ZERO;
            let mut window = Window::new(now);
            let (mut delivered, mut worst) = (0.0, Duration::ZERO);
            for round in 0..2_000 {
                // A whole window per round: it leaves at the bottleneck's rate.
                let drain = Duration::from_secs_f64(window.bytes() as f64 / bytes_per_second);
                let rtt = base.max(drain);
                let acked = window.bytes();
                delivered += acked as f64;
                now += rtt;
                window.handle_ack(now, acked, rtt);
                if round > 100 {
                    worst = worst.max(rtt - base);
                }
            }
            let rate = delivered / now.as_micros() as f64 * 1e6;
            let possible = bytes_per_second.min(WINDOW_MAX as f64 / base.as_secs_f64());
            // One chunk alone takes this long where the path is slow.
            let chunk = Duration::from_secs_f64(2.0 * CHUNK_BYTES as f64 / bytes_per_second);
            assert!(worst <= TARGET_DELAY + chunk, "{bytes_per_second}: {worst:?}");
            assert!(rate > possible * 0.5, "{bytes_per_second}: {rate}");
        }
    }

    #[test]
    fn stalls_shrink_it_to_one_chunk_and_no_further() {
        let mut window = Window::new(Timestamp::ZERO);
        for _ in 0..20 {
            window.handle_stall();
        }
        assert_eq!(window.bytes(), CHUNK_BYTES);
    }
}
