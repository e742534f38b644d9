//! Time buckets: rendezvous keys change with them, so that whoever stores records cannot follow a meeting for long.

use crate::time::UnixSeconds;

/// The length of a bucket in seconds. Reason: an hour is short against a meeting's life and long against clock errors.
pub const BUCKET_SECONDS: u64 = 3_600;
/// How long before and after a change both buckets count, in seconds: twice the clock error of five minutes that members
/// are allowed.
pub const OVERLAP_SECONDS: u64 = 600;

/// Whole hours since 1970-01-01 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bucket(pub u64);

impl Bucket {
    /// The bucket of `now`.
    #[must_use]
    pub fn of(now: UnixSeconds) -> Self {
        Self(now.0 / BUCKET_SECONDS)
    }

    /// The buckets that count at `now`: its own, and a neighbour within [`OVERLAP_SECONDS`] of a change.
    pub fn around(now: UnixSeconds) -> impl Iterator<Item = Self> {
        let own = Self::of(now);
        let second = now.0 % BUCKET_SECONDS;
        let neighbour = if second < OVERLAP_SECONDS {
            own.0.checked_sub(1).map(Self)
        } else if second >= BUCKET_SECONDS - OVERLAP_SECONDS {
            own.0.checked_add(1).map(Self)
        } else {
            None
        };
        std::iter::once(own).chain(neighbour)
    }

    /// The first second at which nobody looks in it any more.
    #[must_use]
    pub fn end(self) -> UnixSeconds {
        let next = self.0.saturating_add(1).saturating_mul(BUCKET_SECONDS);
        UnixSeconds(next.saturating_add(OVERLAP_SECONDS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_count_around_a_change_only() {
        let change = 400_000 * BUCKET_SECONDS;
        let around = |second: u64| {
            Bucket::around(UnixSeconds(second))
                .map(|b| b.0)
                .collect::<Vec<_>>()
        };
        assert_eq!(around(change - 601), [399_999]);
        assert_eq!(around(change - 600), [399_999, 400_000]);
        assert_eq!(around(change + 599), [400_000, 399_999]);
        assert_eq!(around(change + 600), [400_000]);
        assert_eq!(around(0), [0]);
        assert_eq!(
            around(u64::MAX).len(),
            1 + usize::from(u64::MAX % BUCKET_SECONDS < 600)
        );
        assert_eq!(Bucket(399_999).end(), UnixSeconds(change + 600));
    }
}
