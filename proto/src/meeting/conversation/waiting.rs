//! Items that came before what they answer, or before the roster operations by which they are judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::item::{ItemHash, SignedItem};
use crate::{ids::MemberId, time::Timestamp};

/// An item waits so long for what it answers; then it is shown without. Reason: what a newcomer was not meant to hear
/// never comes, and a lost message comes again within a second.
pub const PARENT_PATIENCE: Duration = Duration::from_millis(1_200);
/// An item waits so long for roster operations; then it is forgotten, to be sent again.
pub const HEADS_PATIENCE: Duration = Duration::from_secs(8);
/// Items that wait.
pub const WAITING_MAX: usize = 1_024;
/// Items of one author that wait.
pub const WAITING_PER_AUTHOR_MAX: usize = 256;

/// What an item waits for.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The item.
    pub signed: SignedItem,
    /// Since when.
    pub since: Timestamp,
    /// Whether the roster operations that it rests on are here.
    pub judged: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct WaitingRoom {
    items: BTreeMap<ItemHash, Waiting>,
    /// Who waits for which item.
    children: BTreeMap<ItemHash, BTreeSet<ItemHash>>,
}

impl WaitingRoom {
    /// Whether an item waits.
    #[must_use]
    pub fn contains(&self, hash: &ItemHash) -> bool {
        self.items.contains_key(hash)
    }

    /// The waiting item.
    #[must_use]
    pub fn get(&self, hash: &ItemHash) -> Option<&Waiting> {
        self.items.get(hash)
    }

    /// Another waiting item with this place in its feed, if there is one.
    #[must_use]
    pub fn twin(&self, signed: &SignedItem, hash: &ItemHash) -> bool {
        let place = (signed.item.feed, signed.item.seq);
        self.items.iter().any(|(other, waiting)| {
            other != hash && (waiting.signed.item.feed, waiting.signed.item.seq) == place
        })
    }

    /// Takes an item in; `false` if there is no room.
    pub fn insert(&mut self, now: Timestamp, hash: ItemHash, signed: SignedItem, judged: bool) -> bool {
        let author = signed.item.feed.author;
        if self.items.len() >= WAITING_MAX || self.count_of(&author) >= WAITING_PER_AUTHOR_MAX {
            return false;
        }
        for parent in signed.item.parents.iter() {
            self.children.entry(*parent).or_default().insert(hash);
        }
        let waiting = Waiting {
            signed,
            since: now,
            judged,
        };
        self.items.insert(hash, waiting);
        true
    }

    fn count_of(&self, author: &MemberId) -> usize {
        let own = self
            .items
            .values()
            .filter(|waiting| waiting.signed.item.feed.author == *author);
        own.count()
    }

    /// Those that wait for `parent`.
    #[must_use]
    pub fn children_of(&self, parent: &ItemHash) -> Vec<ItemHash> {
        self.children.get(parent).into_iter().flatten().copied().collect()
    }

    /// Items that wait for roster operations.
    #[must_use]
    pub fn unjudged(&self) -> Vec<ItemHash> {
        let unjudged = self.items.iter().filter(|(_, waiting)| !waiting.judged);
        unjudged.map(|(hash, _)| *hash).collect()
    }

    /// Takes one out.
    pub fn remove(&mut self, hash: &ItemHash) -> Option<Waiting> {
        let waiting = self.items.remove(hash)?;
        for parent in waiting.signed.item.parents.iter() {
            if let Some(children) = self.children.get_mut(parent) {
                children.remove(hash);
                if children.is_empty() {
                    self.children.remove(parent);
                }
            }
        }
        Some(waiting)
    }

    /// When the patience of the next one ends.
    #[must_use]
    pub fn next(&self) -> Option<Timestamp> {
        self.items.values().map(Waiting::until).min()
    }

    /// Those whose patience has ended, by clock: causes come before effects.
    #[must_use]
    pub fn overdue(&self, now: Timestamp) -> Vec<ItemHash> {
        let due = self.items.iter().filter(|(_, waiting)| waiting.until() <= now);
        let mut due: Vec<_> = due
            .map(|(hash, waiting)| (waiting.signed.item.lamport, *hash))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, hash)| hash).collect()
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

impl Waiting {
    fn until(&self) -> Timestamp {
        let patience = if self.judged {
            PARENT_PATIENCE
        } else {
            HEADS_PATIENCE
        };
        self.since + patience
    }
}
