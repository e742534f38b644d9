//! Members who forward for each other.
//!
//! A member whose user agreed, under a policy that permits it, *offers* a budget. A publisher whose uplink does not carry a
//! copy for everybody, or who cannot reach somebody, *plans* ([`crate::mesh::route_planner`]) and names parents to its
//! listeners. These *take* the track from there, and whoever they ask *carries* it: the ciphertext as it came, within its
//! budget. Each step asks the policy again.
//!
//! | file | concern |
//! |---|---|
//! | `offering` | what this node offers |
//! | `planning` | whom this node's listeners are sent to |
//! | `carrying` | what this node forwards |
//! | `taking` | what this node takes from forwarders, and what it makes of those that do not deliver |
//! | `envelopes` | channels through a member, between two who share no link and no relay |

mod carrying;
mod envelopes;
mod offering;
mod planning;
mod taking;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, time::Duration};

pub use self::carrying::ForwardCounters;
use self::{carrying::Child, envelopes::Carriage, planning::TrackRate};
pub(super) use self::{envelopes::Through, taking::Feed};
use super::{Participant, conduits::Conduit};
use crate::{
    channel::pairwise::PairwiseChannel,
    ids::{LinkId, MemberId, TrackAlias},
    mesh::route_planner::{Parent, Plan, PlannerKind, RoutePlanner},
    time::{Now, Timestamp},
    wire::forwarding_message::{ForwardingMessage, Offer},
};

/// What this node's user agreed to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ForwardingTerms {
    /// What this node carries for others at most, in kbit/s; 0 (the default): nothing.
    pub forwards_kbps: u32,
    /// What its network can send in all, in kbit/s; `None` if nobody knows.
    pub uplink_kbps: Option<u32>,
}

/// See the module.
pub(super) struct Forwarding {
    terms: ForwardingTerms,
    planner: Box<dyn RoutePlanner>,
    /// What members offer; of the roster only.
    offers: BTreeMap<MemberId, Offer>,
    /// What members were told of this node's offer, and when.
    told: Option<Offer>,
    told_at: Option<Timestamp>,
    /// This node's own track.
    rate: TrackRate,
    plan: Plan,
    planned_at: Option<Timestamp>,
    /// What listeners were told, and since when.
    named: BTreeMap<MemberId, (Vec<Parent>, Timestamp)>,
    /// What did not work lately, until when it is not tried again.
    failed: BTreeMap<(MemberId, Parent), Timestamp>,
    /// Who takes whose track from this node.
    children: BTreeMap<MemberId, BTreeMap<MemberId, Child>>,
    /// How fast each carried track came lately.
    carried: BTreeMap<MemberId, TrackRate>,
    bucket: carrying::Bucket,
    counters: ForwardCounters,
    /// Whose track it is that comes under an alias on a forwarder's link.
    incoming: BTreeMap<(MemberId, TrackAlias), MemberId>,
    channels: BTreeMap<Through, PairwiseChannel>,
    carriage: BTreeMap<MemberId, Carriage>,
    /// Something happened that the plan has to answer at once.
    replan: bool,
}

impl Forwarding {
    pub(super) fn new() -> Self {
        Self {
            terms: ForwardingTerms::default(),
            planner: PlannerKind::Own.planner(),
            offers: BTreeMap::new(),
            told: None,
            told_at: None,
            rate: TrackRate::default(),
            plan: Plan::new(),
            planned_at: None,
            named: BTreeMap::new(),
            failed: BTreeMap::new(),
            children: BTreeMap::new(),
            carried: BTreeMap::new(),
            bucket: carrying::Bucket::default(),
            counters: ForwardCounters::default(),
            incoming: BTreeMap::new(),
            channels: BTreeMap::new(),
            carriage: BTreeMap::new(),
            replan: false,
        }
    }
}

impl Participant {
    /// What this node's user agrees to; from now on.
    pub fn set_forwarding(&mut self, now: Now, terms: ForwardingTerms) {
        self.forwarding.terms = terms;
        self.forwarding.replan = true;
        self.settle(now);
    }

    /// The same, at the beginning.
    #[must_use]
    pub fn with_forwarding(mut self, terms: ForwardingTerms) -> Self {
        self.forwarding.terms = terms;
        self
    }

    /// Another planner than the program's own.
    #[must_use]
    pub fn with_planner(mut self, planner: Box<dyn RoutePlanner>) -> Self {
        self.forwarding.planner = planner;
        self
    }

    /// Whether members may forward under the meeting's policy at this moment.
    pub(super) fn members_may_forward(&self, now: Now) -> bool {
        self.judge.member_forwarding(now.unix).is_ok()
    }

    /// What time alone brings about.
    pub(super) fn watch_forwarding(&mut self, now: Now) {
        if !self.is_member() {
            return;
        }
        self.forwarding.failed.retain(|_, until| *until > now.monotonic);
        self.renew_offer(now);
        self.check_children(now);
        self.watch_feeds(now);
        self.plan_listeners(now);
        self.open_channels_through(now);
    }

    /// A member says something about forwarding.
    pub(super) fn handle_forwarding(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        message: ForwardingMessage,
    ) {
        match message {
            ForwardingMessage::Offer(offer) => self.handle_offer(now, from, offer),
            ForwardingMessage::Route(parents) => self.handle_named_parents(now, from, parents.into_inner()),
            ForwardingMessage::Failed(parent) => self.handle_failed(now, from, parent),
            ForwardingMessage::Subscribe(publisher) => {
                self.handle_track_wanted(now, from, conduit, publisher);
            }
            ForwardingMessage::Unsubscribe(publisher) => self.end_child(publisher, from),
            ForwardingMessage::Serving(publisher, depth) => self.handle_serving(from, publisher, depth),
            ForwardingMessage::Refused(publisher, _) => self.handle_feed_refused(now, from, publisher),
            ForwardingMessage::Carry(to, content) => self.carry_envelope(now, from, conduit, to, content),
            ForwardingMessage::Carried(member, content) => {
                self.handle_carried(now, from, conduit, member, &content);
            }
        }
    }

    /// A conduit to a member opened: what it may have missed.
    pub(super) fn tell_forwarding(&mut self, conduit: Conduit, member: MemberId) {
        if let Some(offer) = self.forwarding.told.clone().filter(|offer| offer.budget_kbps > 0) {
            self.say_forwarding(conduit, ForwardingMessage::Offer(offer));
        }
        // Whoever comes anew has forgotten what it was told.
        self.forwarding.named.remove(&member);
    }

    fn say_forwarding(&mut self, conduit: Conduit, message: ForwardingMessage) -> bool {
        self.send_on(conduit, &super::ControlMessage::Forwarding(Box::new(message)))
    }

    fn say_forwarding_to(&mut self, now: Now, member: MemberId, message: ForwardingMessage) -> bool {
        let message = super::ControlMessage::Forwarding(Box::new(message));
        self.send_to(Some(now), member, &message)
    }

    /// Somebody is out: it is nobody's parent and nobody's child.
    pub(super) fn forget_forwarding(&mut self, member: MemberId) {
        let state = &mut self.forwarding;
        state.offers.remove(&member);
        state.plan.remove(&member);
        state.named.remove(&member);
        state
            .failed
            .retain(|(child, parent), _| *child != member && *parent != Parent::Member(member));
        state.children.remove(&member);
        state.carried.remove(&member);
        state.children.retain(|_, children| {
            children.remove(&member);
            !children.is_empty()
        });
        state
            .incoming
            .retain(|(from, _), publisher| *from != member && *publisher != member);
        state
            .channels
            .retain(|through, _| through.via != member && through.to != member);
        state.carriage.remove(&member);
        state.replan = true;
        for peer in self.peers.values_mut() {
            peer.feeds.remove(&member);
            peer.named.retain(|parent| *parent != Parent::Member(member));
        }
        self.dirty.routes();
    }

    /// A link to a member ended.
    pub(super) fn forget_link_forwarding(&mut self, member: MemberId, link: LinkId) {
        let state = &mut self.forwarding;
        state.children.retain(|_, children| {
            children.retain(|child, state| *child != member || state.link != link);
            !children.is_empty()
        });
        if self.peers.get(&member).is_none_or(|peer| peer.links.is_empty()) {
            state.channels.retain(|through, _| through.via != member);
            state.replan = true;
        }
    }

    /// Members to whom there is a link that is heard, with round-trip times.
    fn linked_members(&self, now: Now) -> BTreeMap<MemberId, Duration> {
        let mut linked: BTreeMap<MemberId, Duration> = BTreeMap::new();
        for state in self.links.values() {
            if self.log.view().members.contains_key(&state.member) && !state.monitor.is_silent(now.monotonic)
            {
                let rtt = state.monitor.rtt().unwrap_or_default();
                let known = linked.entry(state.member).or_insert(rtt);
                *known = rtt.min(*known);
            }
        }
        linked
    }
}
