//! A token bucket.

use crate::{relay::limits::MediaRate, time::Timestamp};

/// Tokens come at a steady rate up to a burst; each unit of work takes some. Integer arithmetic in micro-tokens, so that
/// a simulation repeats exactly.
#[derive(Clone, Copy, Debug)]
pub struct RateLimiter {
    /// Tokens per second; equally, micro-tokens per microsecond.
    rate: u64,
    /// Largest balance, in micro-tokens.
    burst: u64,
    /// Balance, in micro-tokens.
    balance: u64,
    /// When the balance was last brought up to date.
    updated: Timestamp,
}

const MICRO: u64 = 1_000_000;
/// One part of so many of a burst is the reserve. Reason: a burst holds at least a tenth of a second of
/// signatures then, and sound is refused before it.
const RESERVE_SHARE: u64 = 8;

impl RateLimiter {
    /// A full bucket of `burst` tokens that refills with `per_second`.
    #[must_use]
    pub fn new(per_second: u64, burst: u64, now: Timestamp) -> Self {
        let burst = burst.saturating_mul(MICRO);
        Self {
            rate: per_second,
            burst,
            balance: burst,
            updated: now,
        }
    }

    /// A bucket that counts bytes of media.
    #[must_use]
    pub fn media(rate: MediaRate, now: Timestamp) -> Self {
        Self::new(rate.bits_per_second / 8, u64::from(rate.burst_bytes), now)
    }

    /// Changes the rate and the burst; what was taken stays taken.
    pub fn set_media(&mut self, rate: MediaRate, now: Timestamp) {
        self.refill(now);
        let new = Self::media(rate, now);
        let taken = self.burst - self.balance;
        *self = Self {
            balance: new.burst.saturating_sub(taken),
            ..new
        };
    }

    fn refill(&mut self, now: Timestamp) {
        let passed = now.as_micros().saturating_sub(self.updated.as_micros());
        if passed > 0 {
            self.balance = self
                .balance
                .saturating_add(passed.saturating_mul(self.rate))
                .min(self.burst);
            self.updated = now;
        }
    }

    /// Whether `tokens` are there; takes nothing.
    pub fn allows(&mut self, now: Timestamp, tokens: u64) -> bool {
        self.refill(now);
        self.balance >= tokens.saturating_mul(MICRO)
    }

    /// Whether `tokens` are there beside an eighth of the burst, which is kept for what may use the reserve. A full bucket
    /// allows whatever it holds.
    pub fn allows_beside_reserve(&mut self, now: Timestamp, tokens: u64, may_use_reserve: bool) -> bool {
        let reserve = if may_use_reserve {
            0
        } else {
            self.burst / RESERVE_SHARE
        };
        let wanted = tokens.saturating_mul(MICRO);
        self.refill(now);
        self.balance >= wanted.max(wanted.saturating_add(reserve).min(self.burst))
    }

    /// Takes `tokens` if they are there.
    pub fn take(&mut self, now: Timestamp, tokens: u64) -> bool {
        let allowed = self.allows(now, tokens);
        if allowed {
            self.balance -= tokens.saturating_mul(MICRO);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = RateLimiter::new(100, 10, Timestamp::ZERO);
        assert!((0..10).all(|_| bucket.take(Timestamp::ZERO, 1)));
        assert!(!bucket.take(Timestamp::ZERO, 1));
        let later = Timestamp::ZERO + Duration::from_millis(10);
        assert!(bucket.take(later, 1));
        assert!(!bucket.take(later, 1));
    }

    #[test]
    fn the_reserve_is_for_those_who_may_use_it() {
        let mut bucket = RateLimiter::new(100, 80, Timestamp::ZERO);
        assert!(bucket.allows_beside_reserve(Timestamp::ZERO, 80, false), "full");
        assert!(bucket.take(Timestamp::ZERO, 65));
        assert!(bucket.allows_beside_reserve(Timestamp::ZERO, 5, false));
        assert!(!bucket.allows_beside_reserve(Timestamp::ZERO, 6, false));
        assert!(bucket.allows_beside_reserve(Timestamp::ZERO, 15, true));
        assert!(!bucket.allows_beside_reserve(Timestamp::ZERO, 16, true));
    }

    #[test]
    fn a_changed_rate_forgives_nothing() {
        let rate = |bits_per_second, burst_bytes| MediaRate {
            bits_per_second,
            burst_bytes,
        };
        let mut bucket = RateLimiter::media(rate(8_000, 1_000), Timestamp::ZERO);
        assert!(bucket.take(Timestamp::ZERO, 900));
        bucket.set_media(rate(80_000, 2_000), Timestamp::ZERO);
        assert!(bucket.allows(Timestamp::ZERO, 1_100) && !bucket.allows(Timestamp::ZERO, 1_101));
        bucket.set_media(rate(8_000, 500), Timestamp::ZERO);
        assert!(!bucket.allows(Timestamp::ZERO, 1));
        assert!(bucket.allows(Timestamp::ZERO + Duration::from_millis(100), 100));
    }

    proptest! {
        #[test]
        fn never_more_than_burst_and_rate(
            rate in 1_u64..10_000, burst in 1_u64..1_000,
            asks in proptest::collection::vec((0_u64..50_000, 1_u64..50), 1..200),
        ) {
            let mut bucket = RateLimiter::new(rate, burst, Timestamp::ZERO);
            let (mut now, mut taken) = (Timestamp::ZERO, 0);
            for (wait, tokens) in asks {
                now += Duration::from_micros(wait);
                if bucket.take(now, tokens) {
                    taken += tokens;
                }
            }
            prop_assert!(taken * MICRO <= burst * MICRO + rate * now.as_micros());
        }
    }
}
