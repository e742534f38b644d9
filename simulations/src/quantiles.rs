//! Quantiles of many times in little memory: counts in buckets that are at most 1/32 wide of what they hold.

use std::{collections::BTreeMap, time::Duration};

/// Buckets for each doubling.
const BUCKETS: u64 = 32;

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct Quantiles {
    counts: BTreeMap<u64, u64>,
    count: u64,
    max: u64,
}

/// The bucket of so many microseconds: below [`BUCKETS`] each has its own.
fn bucket(micros: u64) -> u64 {
    let shift = u64::from((micros | 1).ilog2().saturating_sub(BUCKETS.ilog2()));
    shift * BUCKETS + (micros >> shift)
}

/// The middle of a bucket.
fn middle(bucket: u64) -> u64 {
    let shift = (bucket / BUCKETS).saturating_sub(1);
    let low = (bucket - shift * BUCKETS) << shift;
    low + ((1 << shift) >> 1)
}

impl Quantiles {
    /// One more.
    pub fn add(&mut self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        *self.counts.entry(bucket(micros)).or_default() += 1;
        self.count += 1;
        self.max = self.max.max(micros);
    }

    /// How many.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// What `share` of all are not longer than, in milliseconds; 0 if there are none.
    #[must_use]
    pub fn at(&self, share: f64) -> f64 {
        let mut left = (self.count as f64 * share).ceil().max(1.0) as u64;
        for (bucket, count) in &self.counts {
            if left <= *count {
                return middle(*bucket).min(self.max) as f64 / 1e3;
            }
            left -= count;
        }
        self.max as f64 / 1e3
    }

    /// The longest, in milliseconds.
    #[must_use]
    pub fn max(&self) -> f64 {
        self.max as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_near_the_true_ones() {
        let mut quantiles = Quantiles::default();
        assert!(quantiles.at(0.5).abs() < 1e-9);
        for ms in 1..=1_000 {
            quantiles.add(Duration::from_millis(ms));
        }
        for (share, ms) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0)] {
            let found = quantiles.at(share);
            assert!((found - ms).abs() / ms < 1.0 / 32.0, "{found} instead of {ms}");
        }
        assert_eq!((quantiles.max(), quantiles.count()), (1_000.0, 1_000));
    }

    #[test]
    fn each_bucket_holds_its_own_middle() {
        for micros in (0..200).chain((8..40).map(|n| 1_u64 << n)) {
            assert_eq!(bucket(middle(bucket(micros))), bucket(micros), "{micros}");
        }
    }
}
