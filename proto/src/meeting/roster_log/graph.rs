//! The operations of the log as a graph: who follows whom, and by whom each was made.

use std::collections::{BTreeMap, BTreeSet};

use super::ancestors::PlaceSet;
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        operation::{Op, SignedOperation},
        role::Role,
    },
};

/// What an author was when it made an operation, as its own causal past says. Never changes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    /// The author's role.
    pub(super) role: Role,
    /// The place of the operation that gave the author this role; the founding gives itself.
    pub(super) grant: usize,
    /// The number of the room epoch that a Remove begins, or the founding.
    pub(super) epoch: u32,
}

/// One operation in its place.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) signed: SignedOperation,
    /// Everything that it follows, directly or not.
    pub(super) past: PlaceSet,
    /// Everything that neither it follows nor follows it.
    pub(super) concurrent: PlaceSet,
    /// 1 more than its deepest parent.
    pub(super) depth: u32,
    /// Author and target as numbers of [`Graph::person`].
    pub(super) author: usize,
    pub(super) target: Option<usize>,
    pub(super) standing: Standing,
}

impl Entry {
    pub(super) fn op(&self) -> &Op {
        &self.signed.operation().op
    }

    pub(super) fn seq(&self) -> u32 {
        self.signed.operation().seq
    }

    /// The place in the log's order: topological, with the hash as tie-break.
    pub(super) fn order(&self) -> (u32, OperationHash) {
        (self.depth, self.signed.hash())
    }

    /// The member whom the operation is about.
    pub(super) fn target_of(op: &Op) -> Option<MemberId> {
        match op {
            Op::Admit { member, .. }
            | Op::Remove { member, .. }
            | Op::Role { member, .. }
            | Op::Reactions { member, .. } => Some(*member),
            Op::Found { .. } | Op::Leave | Op::Lock { .. } | Op::Policy { .. } | Op::Sharing { .. } => None,
        }
    }
}

/// See the module. Bounded by [`super::OPERATIONS_MAX`], which the log checks.
#[derive(Debug, Default)]
pub(super) struct Graph {
    entries: Vec<Entry>,
    places: BTreeMap<OperationHash, usize>,
    heads: BTreeSet<usize>,
    people: Vec<MemberId>,
    person_numbers: BTreeMap<MemberId, usize>,
    /// Places by author and sequence number. More than one place for a number is an equivocation.
    by_author: BTreeMap<(usize, u32), Vec<usize>>,
    forked: BTreeSet<(usize, u32)>,
}

impl Graph {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entry(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    pub(super) fn place(&self, hash: &OperationHash) -> Option<usize> {
        self.places.get(hash).copied()
    }

    pub(super) fn heads(&self) -> &BTreeSet<usize> {
        &self.heads
    }

    pub(super) fn people(&self) -> &[MemberId] {
        &self.people
    }

    /// Author and number of each equivocation, with its operations.
    pub(super) fn forks(&self) -> impl Iterator<Item = (usize, u32, &[usize])> {
        self.forked
            .iter()
            .map(|&(author, seq)| (author, seq, self.by_author[&(author, seq)].as_slice()))
    }

    /// How many operations `author` has with this number.
    pub(super) fn count(&self, author: &MemberId, seq: u32) -> usize {
        let number = self.person_numbers.get(author);
        number
            .and_then(|&number| self.by_author.get(&(number, seq)))
            .map_or(0, Vec::len)
    }

    /// The place of the author's operation with the highest number, among those in `within`.
    pub(super) fn last_of(&self, author: &MemberId, within: Option<&PlaceSet>) -> Option<usize> {
        let number = *self.person_numbers.get(author)?;
        let places = self
            .by_author
            .range((number, 0)..=(number, u32::MAX))
            .rev()
            .flat_map(|(_, places)| places);
        places
            .copied()
            .find(|&place| within.is_none_or(|set| set.contains(place)))
    }

    /// Everything at or before these places.
    pub(super) fn closure(&self, places: &[usize]) -> PlaceSet {
        let mut set = PlaceSet::default();
        for &place in places {
            set.unite(&self.entries[place].past);
            set.insert(place);
        }
        set
    }

    /// Whether neither of the two follows the other.
    pub(super) fn concurrent(&self, a: usize, b: usize) -> bool {
        self.entries[a].concurrent.contains(b)
    }

    /// Those of `places` (ascending) that none of the others follows, ascending.
    pub(super) fn maximal(&self, places: &[usize]) -> Vec<usize> {
        let mut covered = PlaceSet::default();
        let mut maximal = Vec::new();
        for &place in places.iter().rev() {
            if !covered.contains(place) {
                covered.unite(&self.entries[place].past);
                maximal.push(place);
            }
        }
        maximal.reverse();
        maximal
    }

    /// Adds an operation whose parents are here. Gives its place.
    pub(super) fn push(
        &mut self,
        signed: SignedOperation,
        parents: &[usize],
        past: PlaceSet,
        standing: Standing,
    ) -> usize {
        let place = self.entries.len();
        for parent in parents {
            self.heads.remove(parent);
        }
        self.heads.insert(place);
        let depth = 1 + parents
            .iter()
            .map(|&parent| self.entries[parent].depth)
            .max()
            .unwrap_or(0);
        let author = self.number(signed.author());
        let target = Entry::target_of(&signed.operation().op).map(|member| self.number(member));
        let key = (author, signed.operation().seq);
        let twins = self.by_author.entry(key).or_default();
        twins.push(place);
        if twins.len() > 1 {
            self.forked.insert(key);
        }
        self.places.insert(signed.hash(), place);
        let concurrent = past.complement(place);
        for other in concurrent.iter() {
            self.entries[other].concurrent.insert(place);
        }
        self.entries.push(Entry {
            signed,
            past,
            concurrent,
            depth,
            author,
            target,
            standing,
        });
        place
    }

    fn number(&mut self, member: MemberId) -> usize {
        let people = &mut self.people;
        *self.person_numbers.entry(member).or_insert_with(|| {
            people.push(member);
            people.len() - 1
        })
    }
}
