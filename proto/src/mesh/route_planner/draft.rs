//! A plan in the making: what can be added to it without a loop, an overdrawn budget, or anybody's unwillingness.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{DEPTH_MAX, PARENTS_MAX, Parent, Plan, Situation};
use crate::ids::{MemberId, RelayId};

/// Who carries a frame between publisher and subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Carrier {
    /// A relay.
    Relay(RelayId),
    /// A member who forwards.
    Member(MemberId),
}

/// See the module. Whatever is built by [`Draft::add`] alone is a plan that keeps every rule: each parent was placed before
/// its child and is less deep, so there are no loops.
#[derive(Clone, Debug)]
pub struct Draft<'a> {
    situation: &'a Situation,
    plan: Plan,
    depth: BTreeMap<MemberId, u8>,
    /// Who has children: its own depth stays as it is.
    is_parent: BTreeSet<MemberId>,
    delay: BTreeMap<MemberId, Duration>,
    uplink_left: usize,
    /// Copies that may be taken from each member.
    members_left: BTreeMap<MemberId, usize>,
    /// Relays that get a copy, and how many more may be taken from each.
    relays_left: BTreeMap<RelayId, usize>,
    relays_fed: BTreeSet<RelayId>,
}

impl<'a> Draft<'a> {
    /// Nothing planned yet.
    #[must_use]
    pub fn new(situation: &'a Situation) -> Self {
        let subscribers = situation.subscribers.iter();
        let members_left = subscribers.map(|(id, one)| (*id, situation.copies(one.forwards_kbps)));
        let relays = situation.relays.iter().filter(|(_, offer)| offer.permitted);
        let relays_left = relays.map(|(id, offer)| {
            let left = offer.spare_kbps.map_or(usize::MAX, |kbps| situation.copies(kbps));
            (*id, left)
        });
        Self {
            situation,
            plan: Plan::new(),
            depth: BTreeMap::new(),
            is_parent: BTreeSet::new(),
            delay: BTreeMap::new(),
            uplink_left: situation.uplink_copies(),
            members_left: members_left.collect(),
            relays_left: relays_left.collect(),
            relays_fed: BTreeSet::new(),
        }
    }

    /// The same without a bound on what the publisher sends.
    #[must_use]
    pub fn with_any_uplink(mut self) -> Self {
        self.uplink_left = usize::MAX;
        self
    }

    /// The plan as it is.
    #[must_use]
    pub fn into_plan(self) -> Plan {
        self.plan
    }

    /// What it is planned for.
    #[must_use]
    pub fn situation(&self) -> &'a Situation {
        self.situation
    }

    /// Whether `member` has a parent.
    #[must_use]
    pub fn is_placed(&self, member: MemberId) -> bool {
        self.plan.contains_key(&member)
    }

    /// The parents of `member` so far.
    #[must_use]
    pub fn parents(&self, member: MemberId) -> &[Parent] {
        self.plan.get(&member).map_or(&[], Vec::as_slice)
    }

    /// Subscribers without a parent.
    #[must_use]
    pub fn unplaced(&self) -> Vec<MemberId> {
        let all = self.situation.subscribers.keys();
        all.filter(|id| !self.is_placed(**id)).copied().collect()
    }

    /// How many more copies the publisher may send.
    #[must_use]
    pub fn uplink_left(&self) -> usize {
        self.uplink_left
    }

    /// How many more copies may be taken from `member`.
    #[must_use]
    pub fn left_at(&self, member: MemberId) -> usize {
        self.members_left.get(&member).copied().unwrap_or_default()
    }

    /// How many more copies may be taken from `relay`; 0 if the policy refuses it.
    #[must_use]
    pub fn left_at_relay(&self, relay: RelayId) -> usize {
        self.relays_left.get(&relay).copied().unwrap_or_default()
    }

    /// How deep `member` is, once placed.
    #[must_use]
    pub fn depth(&self, member: MemberId) -> Option<u8> {
        self.depth.get(&member).copied()
    }

    /// How deep whoever takes the track from `parent` is at least.
    #[must_use]
    pub fn depth_below(&self, parent: Parent) -> u8 {
        match parent {
            Parent::Direct | Parent::Relay(_) => 1,
            Parent::Member(member) => self.depth(member).unwrap_or_default() + 1,
        }
    }

    /// Whether `child` can take the track from `parent` as far as links, policy and consent go, whatever is left of budgets.
    #[must_use]
    pub fn is_possible(&self, child: MemberId, parent: Parent) -> bool {
        let Some(subscriber) = self.situation.subscribers.get(&child) else {
            return false;
        };
        if self.situation.failed.contains(&(child, parent)) {
            return false;
        }
        match parent {
            Parent::Direct => subscriber.direct.is_some(),
            Parent::Relay(relay) => {
                subscriber.relays.contains(&relay) && self.relays_left.contains_key(&relay)
            }
            Parent::Member(forwarder) => {
                let offered = self.situation.subscribers.get(&forwarder);
                self.situation.members_may_forward
                    && forwarder != child
                    && offered.is_some_and(|one| {
                        one.forwards_kbps >= self.situation.track_kbps && one.neighbours.contains_key(&child)
                    })
            }
        }
    }

    /// Whether [`Draft::add`] would do it.
    #[must_use]
    pub fn can_add(&self, child: MemberId, parent: Parent) -> bool {
        let present = self.parents(child);
        if present.len() >= PARENTS_MAX || present.contains(&parent) || !self.is_possible(child, parent) {
            return false;
        }
        match parent {
            Parent::Direct => self.uplink_left > 0,
            Parent::Relay(relay) => {
                self.left_at_relay(relay) > 0 && (self.relays_fed.contains(&relay) || self.uplink_left > 0)
            }
            Parent::Member(forwarder) => {
                let Some(depth) = self.depth(forwarder).filter(|depth| *depth < DEPTH_MAX) else {
                    return false;
                };
                let stays = !self.is_parent.contains(&child) || self.depth(child) > Some(depth);
                self.left_at(forwarder) > 0 && stays
            }
        }
    }

    /// Lets `child` take the track from `parent`, after those it has; `false` if that cannot be.
    pub fn add(&mut self, child: MemberId, parent: Parent) -> bool {
        if !self.can_add(child, parent) {
            return false;
        }
        let delay = self.delay_of(child, parent);
        let depth = self.depth_below(parent);
        match parent {
            Parent::Direct => take_one(Some(&mut self.uplink_left)),
            Parent::Relay(relay) => {
                if self.relays_fed.insert(relay) {
                    take_one(Some(&mut self.uplink_left));
                }
                take_one(self.relays_left.get_mut(&relay));
            }
            Parent::Member(forwarder) => {
                take_one(self.members_left.get_mut(&forwarder));
                self.is_parent.insert(forwarder);
            }
        }
        self.plan.entry(child).or_default().push(parent);
        let deepest = self.depth(child).unwrap_or_default().max(depth);
        self.depth.insert(child, deepest);
        // What is heard first counts.
        let soonest = self.delay.get(&child).map_or(delay, |known| delay.min(*known));
        self.delay.insert(child, soonest);
        true
    }

    /// Every parent that [`Draft::can_add`] takes for `child`.
    #[must_use]
    pub fn options(&self, child: MemberId) -> Vec<Parent> {
        let Some(subscriber) = self.situation.subscribers.get(&child) else {
            return Vec::new();
        };
        let relays = subscriber.relays.iter().map(|relay| Parent::Relay(*relay));
        let members = self.depth.keys().map(|member| Parent::Member(*member));
        let all = std::iter::once(Parent::Direct).chain(relays).chain(members);
        all.filter(|parent| self.can_add(child, *parent)).collect()
    }

    /// The round trip of the way over `parent`, as far as it is known.
    #[must_use]
    pub fn delay_of(&self, child: MemberId, parent: Parent) -> Duration {
        let subscriber = self.situation.subscribers.get(&child);
        match parent {
            Parent::Direct => subscriber.and_then(|one| one.direct).unwrap_or_default(),
            Parent::Relay(relay) => self
                .situation
                .relays
                .get(&relay)
                .map_or(Duration::ZERO, |one| one.rtt),
            Parent::Member(forwarder) => {
                let offered = self.situation.subscribers.get(&forwarder);
                let hop = offered.and_then(|one| one.neighbours.get(&child)).copied();
                self.delay.get(&forwarder).copied().unwrap_or_default() + hop.unwrap_or_default()
            }
        }
    }

    /// The sum of everybody's delays.
    #[must_use]
    pub fn delay_sum(&self) -> Duration {
        self.delay.values().sum()
    }

    /// Everybody who carries frames to whoever takes them from `parent`.
    #[must_use]
    pub fn carriers(&self, parent: Parent) -> BTreeSet<Carrier> {
        let mut carriers = BTreeSet::new();
        let mut open = vec![parent];
        while let Some(parent) = open.pop() {
            let carrier = match parent {
                Parent::Direct => continue,
                Parent::Relay(relay) => Carrier::Relay(relay),
                Parent::Member(member) => Carrier::Member(member),
            };
            if carriers.insert(carrier)
                && let Parent::Member(member) = parent
            {
                open.extend(self.parents(member));
            }
        }
        carriers
    }

    /// How many carriers `parent` shares with the parents that `child` has.
    #[must_use]
    pub fn shared(&self, child: MemberId, parent: Parent) -> usize {
        let there: BTreeSet<Carrier> = self
            .parents(child)
            .iter()
            .flat_map(|parent| self.carriers(*parent))
            .collect();
        self.carriers(parent).intersection(&there).count()
    }
}

/// Budgets without a limit stay without one.
fn take_one(left: Option<&mut usize>) {
    if let Some(left) = left
        && *left != usize::MAX
    {
        *left -= 1;
    }
}
