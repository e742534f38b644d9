//! Sets of operations, by their place in one replica's log.

/// A set of places. Places count from 0 in the order in which this replica took the operations, parents first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct PlaceSet(Vec<u64>);

impl PlaceSet {
    /// `{0, …, count - 1}`.
    pub(super) fn first(count: usize) -> Self {
        let mut words = vec![u64::MAX; count / 64];
        if !count.is_multiple_of(64) {
            words.push((1 << (count % 64)) - 1);
        }
        Self(words)
    }

    pub(super) fn insert(&mut self, place: usize) {
        if self.0.len() <= place / 64 {
            self.0.resize(place / 64 + 1, 0);
        }
        self.0[place / 64] |= 1 << (place % 64);
    }

    pub(super) fn remove(&mut self, place: usize) {
        if let Some(word) = self.0.get_mut(place / 64) {
            *word &= !(1 << (place % 64));
        }
    }

    pub(super) fn contains(&self, place: usize) -> bool {
        self.0
            .get(place / 64)
            .is_some_and(|word| word >> (place % 64) & 1 == 1)
    }

    pub(super) fn unite(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, other) in self.0.iter_mut().zip(&other.0) {
            *word |= other;
        }
    }

    pub(super) fn intersects(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).any(|(word, other)| word & other != 0)
    }

    /// `{0, …, count - 1}` without `self`.
    pub(super) fn complement(&self, count: usize) -> Self {
        let mut rest = Self::first(count);
        for (word, own) in rest.0.iter_mut().zip(&self.0) {
            *word &= !own;
        }
        rest
    }

    /// Bytes that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.0.len() * size_of::<u64>()
    }

    pub(super) fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(i, &word)| {
            let mut rest = word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
                rest &= rest - 1;
                Some(i * 64 + bit)
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn agrees_with_a_set_of_numbers(a: BTreeSet<u16>, b: BTreeSet<u16>, probe: u16) {
            let collect = |set: &BTreeSet<u16>| {
                let mut places = PlaceSet::default();
                set.iter().for_each(|&place| places.insert(place.into()));
                places
            };
            prop_assert_eq!(collect(&a).intersects(&collect(&b)), !a.is_disjoint(&b));
            let outside = (0..1_000).filter(|place| !a.contains(place)).map(usize::from);
            prop_assert!(collect(&a).complement(1_000).iter().eq(outside));
            let mut both = collect(&a);
            both.unite(&collect(&b));
            let expected: BTreeSet<u16> = a.union(&b).copied().collect();
            prop_assert_eq!(both.len(), expected.len());
            prop_assert_eq!(both.contains(probe.into()), expected.contains(&probe));
            prop_assert!(both.iter().eq(expected.iter().map(|&place| usize::from(place))));
        }

        #[test]
        fn first_is_a_prefix(count in 0..300_usize) {
            prop_assert!(PlaceSet::first(count).iter().eq(0..count));
        }
    }
}
