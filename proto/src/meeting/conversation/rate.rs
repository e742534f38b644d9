//! How much one person may say: token buckets.

use std::time::Duration;

use crate::time::Timestamp;

/// So many at once, then one every so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once.
    pub burst: u32,
    /// One more after so long.
    pub every: Duration,
}

/// Chat messages of one person: faster than anybody types.
pub const CHAT_RATE: Rate = Rate {
    burst: 10,
    every: Duration::from_millis(500),
};
/// Hands, votes.
pub const GESTURE_RATE: Rate = Rate {
    burst: 6,
    every: Duration::from_secs(1),
};
/// Reactions.
pub const REACTION_RATE: Rate = Rate {
    burst: 5,
    every: Duration::from_millis(500),
};
/// Polls, and offers of files.
pub const POLL_RATE: Rate = Rate {
    burst: 4,
    every: Duration::from_secs(10),
};
/// Items of one author that are taken from others: above what honest ones send, and enough at once for what was kept
/// while one was away. What comes faster is taken when it comes again.
pub const INTAKE_RATE: Rate = Rate {
    burst: 400,
    every: Duration::from_millis(150),
};
/// Messages that a lacking member is sent in answer to its digests.
pub const SERVE_RATE: Rate = Rate {
    burst: 40,
    every: Duration::from_millis(100),
};

/// A bucket of tokens; full at first.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    tokens: u32,
    /// When the last token came.
    since: Timestamp,
}

impl Bucket {
    /// A full one.
    #[must_use]
    pub fn new(rate: Rate, now: Timestamp) -> Self {
        Self {
            rate,
            tokens: rate.burst,
            since: now,
        }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long to wait if there is none.
    pub fn take(&mut self, now: Timestamp) -> Result<(), Duration> {
        self.refill(now);
        if self.tokens == 0 {
            return Err((self.since + self.rate.every).saturating_since(now));
        }
        if self.tokens == self.rate.burst {
            self.since = now;
        }
        self.tokens -= 1;
        Ok(())
    }

    fn refill(&mut self, now: Timestamp) {
        let every = self.rate.every.as_micros().max(1);
        let earned = now.saturating_since(self.since).as_micros() / every;
        let missing = self.rate.burst - self.tokens;
        if earned >= u128::from(missing) {
            self.tokens = self.rate.burst;
            self.since = now;
        } else {
            let earned = u32::try_from(earned).unwrap_or(u32::MAX);
            self.tokens += earned;
            self.since += self.rate.every * earned;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_and_then_one_at_a_time() {
        let at = |ms: u64| Timestamp::from_micros(ms * 1_000);
        let mut bucket = Bucket::new(CHAT_RATE, at(0));
        assert!((0..10).all(|_| bucket.take(at(0)).is_ok()));
        assert_eq!(bucket.take(at(100)), Err(Duration::from_millis(400)));
        assert!(bucket.take(at(500)).is_ok() && bucket.take(at(501)).is_err());
        assert!((0..10).all(|_| bucket.take(at(60_000)).is_ok()));
        assert!(bucket.take(at(60_000)).is_err());
    }
}
