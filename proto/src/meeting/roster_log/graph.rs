//! The operations of the log as a graph: who follows whom, and by whom each was made.

use std::collections::{BTreeMap, BTreeSet};

use super::{ancestors::PlaceSet, base::Base};
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
    /// Whether it follows the base, as its signed parents say. What does not was made beside the base.
    pub(super) follows: bool,
    /// Made beside the base, and gives rather than takes: without effect.
    pub(super) void: bool,
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
            Op::Found { .. }
            | Op::Leave
            | Op::Lock { .. }
            | Op::Policy { .. }
            | Op::Sharing { .. }
            | Op::Checkpoint { .. } => None,
        }
    }
}

/// See the module. Bounded by [`super::OPERATIONS_MAX`], which the log checks.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// What place 0 stands for, if it is a checkpoint.
    pub(super) base: Option<Base>,
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
    /// A graph that begins with a checkpoint.
    pub(super) fn rooted(base: Base) -> Self {
        let root = base.checkpoint.operation.clone();
        let mut graph = Self {
            base: Some(base),
            ..Self::default()
        };
        let standing = Standing {
            role: Role::Host,
            grant: 0,
            epoch: 0,
        };
        graph.push(root, &[], PlaceSet::default(), Some(standing), true);
        graph
    }

    /// What it holds, parents first.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entry(&self, place: usize) -> &Entry {
        &self.entries[place]
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub(super) fn place(&self, hash: &OperationHash) -> Option<usize> {
        self.places.get(hash).copied()
    }

    /// Whether the operation is here, or the base holds it.
    pub(super) fn knows(&self, hash: &OperationHash) -> bool {
        self.places.contains_key(hash) || self.base.as_ref().is_some_and(|base| base.holds(hash))
    }

    /// The operation, if it is here or carried on as a proof.
    pub(super) fn operation(&self, hash: &OperationHash) -> Option<&SignedOperation> {
        match self.place(hash) {
            Some(place) => Some(&self.entries[place].signed),
            None => self.base.as_ref()?.proof(hash),
        }
    }

    /// The number of the member's next operation after `set`.
    pub(super) fn next_seq(&self, member: &MemberId, set: &PlaceSet) -> u32 {
        match self.last_of(member, Some(set)) {
            Some(place) => self.entries[place].seq() + 1,
            None => self.base.as_ref().map_or(0, |base| base.next_seq(member)),
        }
    }

    /// Who founded the meeting, if that is not settled by the base.
    pub(super) fn founder(&self) -> Option<MemberId> {
        match &self.base {
            // Without a handover the author of the base is still the founder.
            Some(base) => Some(base.checkpoint.operation.author()),
            None => self.entries.first().map(|entry| entry.signed.author()),
        }
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

    /// Adds an operation; `parents` are those that are here, `past` holds the base too. It is void without a standing.
    /// Gives its place.
    pub(super) fn push(
        &mut self,
        signed: SignedOperation,
        parents: &[usize],
        past: PlaceSet,
        standing: Option<Standing>,
        follows: bool,
    ) -> usize {
        let place = self.entries.len();
        for parent in parents {
            self.heads.remove(parent);
        }
        self.heads.insert(place);
        let deepest = parents.iter().map(|&parent| self.entries[parent].depth).max();
        // What was made beside the base stands as if it followed it.
        let depth = 1 + deepest.unwrap_or(u32::from(place > 0));
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
            standing: standing.unwrap_or(Standing {
                role: Role::Listener,
                grant: 0,
                epoch: 0,
            }),
            follows,
            void: standing.is_none(),
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
