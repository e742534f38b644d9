//! What has been said and not been followed yet: the parents of the next item.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::item::{ItemHash, OrderKey, PARENTS_MAX, SignedItem};

/// Items without a follower that are remembered. Reason: as many as speak at once.
const HEADS_MAX: usize = 64;
/// Items that were followed before they came.
const FOLLOWED_MAX: usize = 256;
/// A clock that is further ahead than this does not move ours: whoever states one does not push everybody's order.
pub(super) const LEAP_MAX: u64 = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Frontier {
    heads: BTreeMap<OrderKey, ()>,
    followed: BTreeSet<ItemHash>,
    followed_order: VecDeque<ItemHash>,
    /// The highest clock value seen.
    clock: u64,
}

impl Frontier {
    /// An item was shown.
    pub(super) fn note(&mut self, signed: &SignedItem, hash: ItemHash) {
        self.note_clock(signed.item.lamport);
        for parent in signed.item.parents.iter() {
            let before = self.heads.len();
            self.heads.retain(|key, ()| key.hash != *parent);
            if self.heads.len() == before && self.followed.insert(*parent) {
                self.followed_order.push_back(*parent);
            }
        }
        while self.followed_order.len() > FOLLOWED_MAX {
            if let Some(oldest) = self.followed_order.pop_front() {
                self.followed.remove(&oldest);
            }
        }
        if !self.followed.contains(&hash) {
            self.heads.insert(signed.order(hash), ());
            if self.heads.len() > HEADS_MAX {
                self.heads.pop_first();
            }
        }
    }

    /// A clock value was seen.
    pub(super) fn note_clock(&mut self, lamport: u64) {
        if lamport <= self.clock.saturating_add(LEAP_MAX) {
            self.clock = self.clock.max(lamport);
        }
    }

    /// The next item's clock and parents, ascending by hash.
    #[must_use]
    pub(super) fn next(&mut self) -> (u64, Vec<ItemHash>) {
        self.clock += 1;
        let latest = self.heads.keys().rev().take(PARENTS_MAX);
        let mut parents: Vec<ItemHash> = latest.map(|key| key.hash).collect();
        parents.sort_unstable();
        (self.clock, parents)
    }
}
