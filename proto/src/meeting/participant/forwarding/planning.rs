//! The publisher's side: whom this node's listeners are sent to.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::super::{Participant, conduits::fit};
use crate::{
    ids::MemberId,
    mesh::route_planner::{Parent, Plan, RelayOffer, Situation, Subscriber, uplink_for_copies},
    time::{Now, Timestamp},
    wire::forwarding_message::ForwardingMessage,
};

/// A plan is made anew no sooner, unless a parent is gone. Reason: what changes all the time are round-trip times.
const PLAN_INTERVAL: Duration = Duration::from_secs(1);
/// What did not work is not tried again for so long.
const FAILED_FOR: Duration = Duration::from_secs(10);
/// What did not work, remembered. Reason: two parents of as many listeners as a meeting has.
const FAILED_MAX: usize = 640;
/// From when a listener who was sent elsewhere and still asks here gets what is left: until then its new parents may not
/// have begun.
const MOVED_AFTER: Duration = Duration::from_secs(2);
/// Bytes of headers around a sealed frame: ours, QUIC's, UDP's and IPv6's.
pub(super) const HEADER_BYTES: u32 = 80;
/// What a track takes before its first second, in kbit/s: 24 kbit/s of Opus with headers.
const TRACK_KBPS: u32 = 64;
/// Over so much time a track's rate is taken.
const RATE_WINDOW: Duration = Duration::from_secs(1);
/// A pause between frames that is longer belongs to no stream.
const PAUSE_MIN: Duration = Duration::from_millis(200);

/// How fast a track comes: over whole seconds, so that frames that come in a bunch are not taken for more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct TrackRate {
    /// When the present second began, and what came since.
    since: Option<Timestamp>,
    bytes: u64,
    frames: u64,
    last: Option<Timestamp>,
    /// What the last whole second had.
    kbps: Option<u32>,
}

impl TrackRate {
    /// A frame was sealed or forwarded.
    pub(super) fn note(&mut self, now: Timestamp, bytes: usize) {
        let last = self.last.replace(now);
        let goes_on = last.is_some_and(|last| now - last < PAUSE_MIN);
        let Some(since) = self.since.filter(|_| goes_on) else {
            (self.since, self.bytes, self.frames) = (Some(now), 0, 0);
            return;
        };
        self.bytes += bytes as u64;
        self.frames += 1;
        let elapsed = now - since;
        if elapsed >= RATE_WINDOW {
            let bits = (self.bytes + self.frames * u64::from(HEADER_BYTES)) as f64 * 8.0;
            let kbps = bits / elapsed.as_secs_f64() / 1_000.0;
            self.kbps = Some(kbps.clamp(1.0, 10_000.0) as u32);
            (self.since, self.bytes, self.frames) = (Some(now), 0, 0);
        }
    }

    /// What one copy takes on a link, in kbit/s.
    pub(super) fn kbps(&self) -> u32 {
        self.kbps.unwrap_or(TRACK_KBPS)
    }

    /// Whether the track came lately.
    pub(super) fn is_running(&self, now: Timestamp) -> bool {
        self.last.is_some_and(|last| now - last < Duration::from_secs(1))
    }
}

impl Participant {
    /// A frame of this node was sealed.
    pub(in super::super) fn note_sealed(&mut self, now: Now, bytes: usize) {
        self.forwarding.rate.note(now.monotonic, bytes);
    }

    /// What this node's own speech takes of its uplink, in kbit/s.
    pub(super) fn own_kbps(&self, now: Now) -> u32 {
        if !self.forwarding.rate.is_running(now.monotonic) {
            return 0;
        }
        let listeners = self
            .peers
            .values()
            .filter(|peer| !peer.listening.is_empty())
            .count();
        let copies = if self.forwarding.named.is_empty() {
            listeners + self.relays.len()
        } else {
            self.planned_copies()
        };
        self.forwarding
            .rate
            .kbps()
            .saturating_mul(u32::try_from(copies).unwrap_or(u32::MAX))
    }

    /// Copies of its track that this node sends by its plan.
    fn planned_copies(&self) -> usize {
        let parents = self.forwarding.plan.values().flatten();
        let direct = parents
            .clone()
            .filter(|parent| **parent == Parent::Direct)
            .count();
        let relays: BTreeSet<&Parent> = parents
            .filter(|parent| matches!(parent, Parent::Relay(_)))
            .collect();
        direct + relays.len()
    }

    /// Plans anew, if there is a need, and tells listeners what changed for them.
    pub(super) fn plan_listeners(&mut self, now: Now) {
        let recent = self
            .forwarding
            .planned_at
            .is_some_and(|at| now.monotonic - at < PLAN_INTERVAL);
        if recent && !self.forwarding.replan {
            return;
        }
        self.forwarding.replan = false;
        self.forwarding.planned_at = Some(now.monotonic);
        let plan = if self.may_speak() {
            let situation = self.situation(now);
            if self.forwarding.planner.has_a_say(&situation) {
                self.forwarding.planner.plan(&situation)
            } else {
                Plan::new()
            }
        } else {
            Plan::new()
        };
        self.forwarding.plan = plan;
        self.name_parents(now);
    }

    /// Tells each listener the parents that it would not choose itself.
    fn name_parents(&mut self, now: Now) {
        let mut members: Vec<MemberId> = self.log.view().members.keys().copied().collect();
        members.retain(|member| *member != self.me);
        for member in members {
            let parents = self.forwarding.plan.get(&member).cloned().unwrap_or_default();
            let parents = if self.would_choose(member, &parents) {
                Vec::new()
            } else {
                parents
            };
            let known = self
                .forwarding
                .named
                .get(&member)
                .map_or(&[][..], |(told, _)| told);
            if known == parents {
                continue;
            }
            let message = ForwardingMessage::Route(fit(parents.clone()));
            if !self.say_forwarding_to(now, member, message) {
                continue;
            }
            if parents.is_empty() {
                self.forwarding.named.remove(&member);
            } else {
                let since = self
                    .forwarding
                    .named
                    .get(&member)
                    .map_or(now.monotonic, |(_, since)| *since);
                self.forwarding.named.insert(member, (parents, since));
            }
        }
    }

    /// Whether a listener comes to these parents by itself ([`crate::mesh::route`]).
    fn would_choose(&self, member: MemberId, parents: &[Parent]) -> bool {
        let linked = self.peers.get(&member).is_some_and(|peer| !peer.links.is_empty());
        match parents {
            [] => true,
            [Parent::Direct] => linked,
            _ => !linked && parents.iter().all(|parent| matches!(parent, Parent::Relay(_))),
        }
    }

    /// What this node knows, for its planner.
    fn situation(&self, now: Now) -> Situation {
        let track_kbps = self.forwarding.rate.kbps();
        let linked = self.linked_members(now);
        let members = self.log.view().members.keys().filter(|id| **id != self.me);
        let subscribers = members.map(|id| {
            let offer = self.forwarding.offers.get(id);
            let relays = self.relays.keys().filter(|relay| self.is_at_relay(**relay, *id));
            let neighbours = offer.into_iter().flat_map(|offer| offer.neighbours.iter());
            let subscriber = Subscriber {
                direct: linked.get(id).copied(),
                relays: relays.copied().collect(),
                forwards_kbps: offer.map_or(0, |offer| {
                    let others = offer.taken.iter().filter(|(publisher, _)| *publisher != self.me);
                    offer
                        .budget_kbps
                        .saturating_sub(others.map(|(_, kbps)| *kbps).fold(0, u32::saturating_add))
                }),
                neighbours: neighbours
                    .map(|(member, rtt_ms)| (*member, Duration::from_millis(u64::from(*rtt_ms))))
                    .collect(),
            };
            (*id, subscriber)
        });
        let policy = self.judge.policy().hash();
        let relays = self.relays.iter().map(|(relay, session)| {
            let (rtt, silent) = self.way_to(now.monotonic, session);
            let offer = RelayOffer {
                permitted: session.permit().is_valid(now.unix, policy)
                    && session.link(now, policy).is_some()
                    && !silent,
                rtt: rtt.unwrap_or_default(),
                spare_kbps: None,
            };
            (*relay, offer)
        });
        Situation {
            publisher: self.me,
            track_kbps,
            uplink_kbps: self.forwarding.terms.uplink_kbps,
            members_may_forward: self.members_may_forward(now),
            subscribers: subscribers.collect(),
            relays: relays.collect(),
            failed: self.forwarding.failed.keys().copied().collect(),
            current: self.forwarding.plan.clone(),
        }
    }

    /// A listener does not get this node's track from a parent that it was sent to.
    pub(super) fn handle_failed(&mut self, now: Now, from: MemberId, parent: Parent) {
        let named = self.forwarding.named.get(&from);
        // Only what it was told can fail.
        if !named.is_some_and(|(parents, _)| parents.contains(&parent)) {
            return;
        }
        let state = &mut self.forwarding;
        if state.failed.len() < FAILED_MAX || state.failed.contains_key(&(from, parent)) {
            state.failed.insert((from, parent), now.monotonic + FAILED_FOR);
        }
        state.replan = true;
    }

    /// Of those who ask this node for its track, who gets this frame: all whom the plan leaves here, and of those who were
    /// sent elsewhere as many as the uplink still carries, in turns. `turn` counts frames.
    pub(in super::super) fn served_directly(&self, now: Now, turn: u64) -> Option<BTreeSet<MemberId>> {
        if self.forwarding.named.is_empty() {
            return None;
        }
        let asks = self.peers.iter().filter(|(_, peer)| !peer.listening.is_empty());
        let (stay, sent): (Vec<MemberId>, Vec<MemberId>) = asks.map(|(id, _)| *id).partition(|id| {
            let planned = self.forwarding.plan.get(id);
            let is_planned = planned.is_some_and(|parents| parents.contains(&Parent::Direct));
            let told = self.forwarding.named.get(id).map(|(_, since)| *since);
            is_planned || told.is_some_and(|since| now.monotonic - since < MOVED_AFTER)
        });
        let copies = self.forwarding.terms.uplink_kbps.map_or(usize::MAX, |kbps| {
            (uplink_for_copies(kbps) / self.forwarding.rate.kbps().max(1)) as usize
        });
        // One at least: who is served by nobody else hears something.
        let spare = copies.saturating_sub(self.planned_copies()).max(1);
        let mut served: BTreeSet<MemberId> = stay.into_iter().collect();
        let first = usize::try_from(turn % sent.len().max(1) as u64).unwrap_or(0);
        served.extend(sent.iter().cycle().skip(first).take(spare.min(sent.len())));
        Some(served)
    }

    /// The parents that this node named to its listeners, for checkers and people.
    #[must_use]
    pub fn named_parents(&self) -> BTreeMap<MemberId, Vec<Parent>> {
        let named = self.forwarding.named.iter();
        named
            .map(|(member, (parents, _))| (*member, parents.clone()))
            .collect()
    }
}
