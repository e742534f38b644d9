//! Who takes a publisher's track from whom: pure functions behind one trait.
//!
//! A publisher plans for its own track. What a plan says is carried out in one way, whoever planned
//! (`meeting/participant/forwarding`): subscribers are told their parents, ask them for the track, and fall back if it does
//! not come. Implement [`RoutePlanner`] to try another plan.

mod adaptive;
mod bounded_tree;
mod draft;
mod full_mesh;
mod relay_star;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bincode::{Decode, Encode};

pub use self::{
    adaptive::Adaptive,
    bounded_tree::BoundedTree,
    draft::{Carrier, Draft},
    full_mesh::FullMesh,
    relay_star::RelayStar,
};
use crate::ids::{MemberId, RelayId};

/// Members that a frame passes at most, its listener counted. Reason: each adds its way and its queue to the delay; two
/// that forward four times each reach twenty listeners from one copy.
pub const DEPTH_MAX: u8 = 3;
/// Parents of one subscriber at a time. Reason: two disjoint paths survive the loss of either (mesh.md).
pub const PARENTS_MAX: usize = 2;

/// So much of an uplink copies may take, in percent. Reason: control, keys and what is sent again share it, and a queue that
/// was full once has to drain.
pub const UPLINK_PERCENT: u32 = 80;

/// What an uplink of `kbps` has for copies, in kbit/s.
#[must_use]
pub const fn uplink_for_copies(kbps: u32) -> u32 {
    // A hundredth of a u32 times less than a hundred fits; the rest loses less than a kbit/s.
    kbps / 100 * UPLINK_PERCENT + kbps % 100 * UPLINK_PERCENT / 100
}

/// Where a subscriber takes a track.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Parent {
    /// From the publisher, over the link between the two.
    Direct,
    /// From a relay where both are in the room.
    Relay(RelayId),
    /// From a member who forwards, over the link between the two.
    Member(MemberId),
}

/// The parents of each subscriber, best first, at most [`PARENTS_MAX`]. Whoever is not named cannot be served.
pub type Plan = BTreeMap<MemberId, Vec<Parent>>;

/// What is known of somebody who wants the track.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Subscriber {
    /// The round-trip time of its link to the publisher, if there is one.
    pub direct: Option<Duration>,
    /// Relays at which it and the publisher are in one room.
    pub relays: BTreeSet<RelayId>,
    /// What it offers to forward for others, in kbit/s; 0 if it is not willing.
    pub forwards_kbps: u32,
    /// Members to whom it has links, with round-trip times.
    pub neighbours: BTreeMap<MemberId, Duration>,
}

/// What is known of a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayOffer {
    /// Whether the meeting's policy permits it. A relay that it refuses is in no plan.
    pub permitted: bool,
    /// The round-trip time from the publisher.
    pub rtt: Duration,
    /// What it can forward beside what it does, in kbit/s; `None` if it named no limit.
    pub spare_kbps: Option<u32>,
}

/// Everything that a plan depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Situation {
    /// Whose track it is.
    pub publisher: MemberId,
    /// What one copy of it takes on a link, in kbit/s with all headers; at least 1.
    pub track_kbps: u32,
    /// What the publisher may send in all, in kbit/s; `None` if nobody knows a limit.
    pub uplink_kbps: Option<u32>,
    /// Whether the meeting's policy lets members forward.
    pub members_may_forward: bool,
    /// Everybody who wants the track.
    pub subscribers: BTreeMap<MemberId, Subscriber>,
    /// Relays.
    pub relays: BTreeMap<RelayId, RelayOffer>,
    /// What was tried lately and did not work.
    pub failed: BTreeSet<(MemberId, Parent)>,
    /// The plan in force.
    pub current: Plan,
}

impl Situation {
    /// How many copies the publisher can send.
    #[must_use]
    pub fn uplink_copies(&self) -> usize {
        self.uplink_kbps
            .map_or(usize::MAX, |kbps| self.copies(uplink_for_copies(kbps)))
    }

    /// How many copies fit into `kbps`.
    #[must_use]
    pub fn copies(&self, kbps: u32) -> usize {
        (kbps / self.track_kbps.max(1)) as usize
    }

    /// How many subscribers have a link to the publisher.
    #[must_use]
    pub fn linked(&self) -> usize {
        let linked = self.subscribers.values().filter(|one| one.direct.is_some());
        linked.count()
    }
}

/// Decides who takes a track from whom. A pure function: the same situation gives the same plan.
///
/// A plan is carried out as far as the policy and everybody's consent allow: what it gets wrong is refused, never forced.
pub trait RoutePlanner: Send + Sync {
    /// Its name in scenarios and reports.
    fn name(&self) -> &'static str;

    /// The plan for `situation`.
    fn plan(&self, situation: &Situation) -> Plan;

    /// Whether it has a say in this situation at all. Otherwise everybody chooses paths alone ([`super::route`]).
    fn has_a_say(&self, _situation: &Situation) -> bool {
        true
    }
}

/// The planners that come with the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlannerKind {
    /// [`FullMesh`].
    Mesh,
    /// [`RelayStar`].
    Star,
    /// [`BoundedTree`].
    Tree,
    /// [`Adaptive`], the one that nodes use.
    #[default]
    Own,
}

impl PlannerKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Mesh, Self::Star, Self::Tree, Self::Own];

    /// The planner.
    #[must_use]
    pub fn planner(self) -> Box<dyn RoutePlanner> {
        match self {
            Self::Mesh => Box::new(FullMesh),
            Self::Star => Box::new(RelayStar),
            Self::Tree => Box::new(BoundedTree),
            Self::Own => Box::new(Adaptive),
        }
    }
}
