//! Who wants to speak, in one order on all screens.
//!
//! The state follows from the set of items, whatever order they came in: a hand is up if the latest of its owner's hand
//! items raises it and nobody in charge took that one down.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::item::{ItemHash, OrderKey};
use crate::{ids::MemberId, meeting::roster::Roster};

/// Hands whose taking down came before they did. Reason: one for each member.
const LOWERED_MAX: usize = 512;
/// Members whose hands are known, including those who went.
const OWNERS_MAX: usize = 1_024;

#[derive(Clone, Copy, Debug)]
struct Hand {
    /// Place in the owner's feeds.
    at: (u64, u64),
    key: OrderKey,
    up: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Hands {
    latest: BTreeMap<MemberId, Hand>,
    lowered: BTreeSet<ItemHash>,
    /// Of these, the order in which they came.
    lowered_order: VecDeque<ItemHash>,
    told: Vec<MemberId>,
}

impl Hands {
    /// A hand item of `owner`, at `at` (run, number) of its feeds.
    pub fn set(&mut self, owner: MemberId, at: (u64, u64), key: OrderKey, up: bool) {
        let newer = self.latest.get(&owner).is_none_or(|hand| hand.at < at);
        if newer && (self.latest.len() < OWNERS_MAX || self.latest.contains_key(&owner)) {
            self.latest.insert(owner, Hand { at, key, up });
        }
    }

    /// Somebody in charge took down the hand that `raise` put up.
    pub fn lower(&mut self, raise: ItemHash) {
        if self.lowered.insert(raise) {
            self.lowered_order.push_back(raise);
            if self.lowered_order.len() > LOWERED_MAX
                && let Some(oldest) = self.lowered_order.pop_front()
            {
                self.lowered.remove(&oldest);
            }
        }
    }

    /// The item that keeps `owner`'s hand up.
    #[must_use]
    pub fn raised_by(&self, owner: &MemberId) -> Option<ItemHash> {
        let hand = self.latest.get(owner).filter(|hand| hand.up)?;
        (!self.lowered.contains(&hand.key.hash)).then_some(hand.key.hash)
    }

    /// Whether an item of `owner` is what keeps its hand up.
    #[must_use]
    pub fn rests_on(&self, owner: &MemberId, item: &ItemHash) -> bool {
        self.raised_by(owner).is_some_and(|raise| raise == *item)
    }

    /// Those in the roster whose hands are up: who raised first comes first.
    #[must_use]
    pub fn order(&self, roster: &Roster) -> Vec<MemberId> {
        let up = self
            .latest
            .iter()
            .filter(|(owner, _)| roster.members.contains_key(owner) && self.raised_by(owner).is_some());
        let mut up: Vec<_> = up.map(|(owner, hand)| (hand.key, *owner)).collect();
        up.sort_unstable();
        up.into_iter().map(|(_, owner)| owner).collect()
    }

    /// The order, if it is another than last time.
    pub fn take_change(&mut self, roster: &Roster) -> Option<Vec<MemberId>> {
        let order = self.order(roster);
        (order != self.told).then(|| {
            self.told.clone_from(&order);
            order
        })
    }
}
