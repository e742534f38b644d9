//! A bounded set of numbers as ascending ranges: which items of a feed somebody has.

use bincode::{Decode, Encode};

use crate::wire::bounded::BoundedVec;

/// Ranges that are told about one feed.
pub const RANGES_TOLD_MAX: usize = 8;
/// Ranges that are kept of one feed. Reason: more holes than that only a hostile author makes.
const RANGES_KEPT_MAX: usize = 64;

/// The first and the last number of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Range {
    /// The first.
    pub first: u64,
    /// The last, not below the first.
    pub last: u64,
}

/// See the module. If there are too many ranges, the lowest hole counts as filled: an old item stays away rather than
/// coming twice.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ranges(Vec<Range>);

/// Ranges as they are told.
pub type ToldRanges = BoundedVec<Range, RANGES_TOLD_MAX>;

impl Ranges {
    /// The ranges that a peer told, if they ascend without touching.
    #[must_use]
    pub fn from_told(told: &ToldRanges) -> Option<Self> {
        let apart = told
            .windows(2)
            .all(|pair| pair[0].last.saturating_add(1) < pair[1].first);
        let sound = told.iter().all(|range| range.first <= range.last);
        (apart && sound).then(|| Self(told.to_vec()))
    }

    /// The highest ranges, for telling. What is left out looks lacking and may come again, which does no harm.
    #[must_use]
    pub fn to_told(&self) -> ToldRanges {
        let skip = self.0.len().saturating_sub(RANGES_TOLD_MAX);
        self.0[skip..].to_vec().try_into().unwrap_or_default()
    }

    /// Whether `number` is in the set.
    #[must_use]
    pub fn contains(&self, number: u64) -> bool {
        let at = self.0.partition_point(|range| range.last < number);
        self.0.get(at).is_some_and(|range| range.first <= number)
    }

    /// Whether every number of `other` is in the set.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.0.iter().all(|range| {
            let at = self.0.partition_point(|own| own.last < range.first);
            self.0
                .get(at)
                .is_some_and(|own| own.first <= range.first && range.last <= own.last)
        })
    }

    /// Adds `number`; whether it was new.
    pub fn insert(&mut self, number: u64) -> bool {
        let at = self.0.partition_point(|range| range.last < number);
        if self.0.get(at).is_some_and(|range| range.first <= number) {
            return false;
        }
        let joins_before = at > 0 && self.0[at - 1].last + 1 == number;
        let joins_after = self.0.get(at).is_some_and(|range| number + 1 == range.first);
        match (joins_before, joins_after) {
            (true, true) => {
                self.0[at - 1].last = self.0[at].last;
                self.0.remove(at);
            }
            (true, false) => self.0[at - 1].last = number,
            (false, true) => self.0[at].first = number,
            (false, false) => self.0.insert(
                at,
                Range {
                    first: number,
                    last: number,
                },
            ),
        }
        if self.0.len() > RANGES_KEPT_MAX {
            self.0[1].first = self.0[0].first;
            self.0.remove(0);
        }
        true
    }

    /// Empties the set.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// Whether nothing is in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set_and_its_told_form_is_read_again(numbers in proptest::collection::vec(1_u64..60, 0..80)) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(ranges.insert(number), model.insert(number));
            }
            for number in 0..62 {
                prop_assert_eq!(ranges.contains(number), model.contains(&number));
            }
            let told = Ranges::from_told(&ranges.to_told()).unwrap();
            prop_assert!((0..62).all(|n| !told.contains(n) || ranges.contains(n)));
            prop_assert!(ranges.covers(&told));
            for number in 0..62 {
                let mut one = Ranges::default();
                one.insert(number);
                prop_assert_eq!(ranges.covers(&one), model.contains(&number));
            }
        }
    }

    #[test]
    fn holes_are_bounded_and_the_lowest_is_given_up() {
        let mut ranges = Ranges::default();
        for number in 0..1_000 {
            ranges.insert(2 * number + 1);
        }
        assert_eq!(ranges.0.len(), RANGES_KEPT_MAX);
        assert!(ranges.contains(2) && !ranges.contains(1_998));
    }

    #[test]
    fn overlapping_and_inverted_ranges_are_refused() {
        let told = |list: &[(u64, u64)]| {
            let list: Vec<Range> = list.iter().map(|&(first, last)| Range { first, last }).collect();
            Ranges::from_told(&list.try_into().unwrap())
        };
        assert!(told(&[(1, 3), (5, 9)]).is_some());
        for bad in [
            &[(3, 1)][..],
            &[(1, 3), (4, 5)],
            &[(5, 6), (1, 2)],
            &[(1, u64::MAX), (3, 4)],
        ] {
            assert!(told(bad).is_none(), "{bad:?}");
        }
    }
}
