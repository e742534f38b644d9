//! Pacing by absolute deadlines: the n-th block is due at start + n · block, so errors never add up.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::audio::SAMPLE_RATE;

/// A pause longer than this (the computer slept) restarts the schedule instead of being caught up with.
const CATCH_UP_MAX: Duration = Duration::from_secs(2);

/// Sleeps from deadline to deadline.
#[derive(Debug)]
pub struct Pacer {
    start: Instant,
    /// Samples that have become due since `start`.
    samples: u64,
}

impl Pacer {
    /// A schedule that begins now.
    #[must_use]
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            samples: 0,
        }
    }

    /// Sleeps until `samples` more samples are due.
    pub fn wait(&mut self, samples: usize) {
        self.samples += samples as u64;
        let due = self.start + duration(self.samples);
        let now = Instant::now();
        if let Some(early) = due.checked_duration_since(now) {
            thread::sleep(early);
        } else if now - due > CATCH_UP_MAX {
            self.start = now;
            self.samples = 0;
        }
    }
}

impl Pacer {
    /// When the samples of the last wait were due, `back` samples earlier, as wall-clock time.
    #[must_use]
    pub fn due(&self, back: usize) -> SystemTime {
        let due = self.start + duration(self.samples.saturating_sub(back as u64));
        let now = Instant::now();
        let wall = SystemTime::now();
        match now.checked_duration_since(due) {
            Some(ago) => wall.checked_sub(ago).unwrap_or(wall),
            None => wall + (due - now),
        }
    }
}

impl Default for Pacer {
    fn default() -> Self {
        Self::new()
    }
}

/// How long `samples` last at [`SAMPLE_RATE`].
fn duration(samples: u64) -> Duration {
    let rate = u64::from(SAMPLE_RATE);
    // Whole seconds apart, so that the product of the rest cannot overflow.
    Duration::from_secs(samples / rate) + Duration::from_nanos(samples % rate * 1_000_000_000 / rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_do_not_add_up() {
        let begin = Instant::now();
        let mut pacer = Pacer::new();
        for block in 0..50 {
            if block == 20 {
                // A late block is followed by early ones until the schedule holds again.
                thread::sleep(Duration::from_millis(60));
            }
            pacer.wait(480);
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(500), "{took:?}");
        assert!(took < Duration::from_millis(530), "{took:?}");
    }

    #[test]
    fn durations_are_exact_over_years() {
        assert_eq!(
            duration(48_000 * 86_400 * 3_650),
            Duration::from_secs(86_400 * 3_650)
        );
        assert_eq!(duration(480), Duration::from_millis(10));
    }
}
