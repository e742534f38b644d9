//! Where members can be dialled: told to newcomers, and asked for by whoever cannot reach somebody.
//!
//! A member that cannot be reached asks another that reaches it. Both sides are told of each other, so that both dial.

use std::time::Duration;

use super::{
    Participant,
    conduits::{Conduit, fit},
};
use crate::{
    ids::MemberId,
    time::{Now, Timestamp},
    wire::control_message::{ADDRESSES_MAX, ControlMessage, PEERS_MAX, PeerHint},
};

/// How long a member may be out of reach before its addresses are asked for. Reason: what everybody is told when
/// somebody comes in arrives sooner.
const PATIENCE: Duration = Duration::from_secs(1);
/// Longest pause between two questions for the same member; the first is [`PATIENCE`], each next twice as long.
const PAUSE_MAX: Duration = Duration::from_secs(16);
/// Questions of one member are answered no more often. Reason: a question goes to one of those who can be reached at a
/// time, and an answer is told to two sides.
const ANSWER_INTERVAL: Duration = Duration::from_millis(500);

/// When a member's addresses are asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Search {
    at: Timestamp,
    pause: Duration,
}

impl Participant {
    /// Asks one of those who can be reached for the addresses of those who cannot.
    pub(super) fn ask_for_addresses(&mut self, now: Now) {
        if !self.direct || !self.is_member() || self.judge.direct(now.unix).is_err() {
            return;
        }
        let others = self.log.view().members.keys().filter(|id| **id != self.me);
        let (reached, missing): (Vec<MemberId>, Vec<MemberId>) =
            others.partition(|member| self.is_reachable(**member));
        for member in &reached {
            if let Some(peer) = self.peers.get_mut(member) {
                peer.search = None;
            }
        }
        if reached.is_empty() {
            return;
        }
        let mut due = Vec::new();
        for member in missing {
            let search = &mut self.peer_mut(now, member).search;
            let plan = search.get_or_insert(Search {
                at: now.monotonic + PATIENCE,
                pause: PATIENCE,
            });
            if plan.at <= now.monotonic && due.len() < PEERS_MAX {
                plan.pause = (plan.pause * 2).min(PAUSE_MAX);
                plan.at = now.monotonic + plan.pause;
                due.push(member);
            }
        }
        if !due.is_empty() {
            let index = (self.random.next_u64() % reached.len() as u64) as usize;
            self.send_to(Some(now), reached[index], &ControlMessage::WantPeers(fit(due)));
        }
    }

    /// A member cannot reach others: it is told where those are that can be reached from here, and they where it is.
    pub(super) fn handle_want_peers(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        wanted: &[MemberId],
    ) {
        let peer = self.peer_mut(now, from);
        if peer
            .answered_at
            .is_some_and(|at| now.monotonic < at + ANSWER_INTERVAL)
        {
            return;
        }
        peer.answered_at = Some(now.monotonic);
        let roster = self.log.view();
        let here = |member: &&MemberId| {
            **member != from && roster.members.contains_key(member) && self.is_reachable(**member)
        };
        let known: Vec<MemberId> = wanted.iter().filter(here).copied().collect();
        let hints: Vec<PeerHint> = known
            .iter()
            .filter_map(|member| self.peer_hint(*member))
            .collect();
        if !hints.is_empty() {
            self.send_on(conduit, &ControlMessage::Peers(fit(hints)));
        }
        if let Some(hint) = self.peer_hint(from) {
            let message = ControlMessage::Peers(fit(vec![hint]));
            for member in known {
                self.send_to(Some(now), member, &message);
            }
        }
    }

    /// Somebody said where others can be dialled.
    pub(super) fn handle_hints(&mut self, now: Now, hints: &[PeerHint]) {
        for hint in hints {
            if hint.member == self.me || !self.log.view().members.contains_key(&hint.member) {
                continue;
            }
            let peer = self.peer_mut(now, hint.member);
            for address in hint.addresses.iter() {
                let address = (*address).into();
                if peer.addresses.contains(&address) {
                    continue;
                }
                // Addresses at which nobody answered make room; those that were not tried yet do not.
                if peer.addresses.len() >= ADDRESSES_MAX && peer.redial.is_in_vain() {
                    peer.addresses.remove(0);
                }
                if peer.addresses.len() < ADDRESSES_MAX {
                    peer.addresses.push(address);
                }
            }
            self.plan_first_dial(now, hint.member);
        }
    }

    /// Where all but one member can be dialled.
    pub(super) fn peer_hints(&self, except: MemberId) -> Vec<PeerHint> {
        let roster = self.log.view();
        let others = roster
            .members
            .keys()
            .filter(|id| **id != except && **id != self.me);
        others.filter_map(|id| self.peer_hint(*id)).collect()
    }

    /// Where a member can be dialled, if it takes direct links.
    pub(super) fn peer_hint(&self, member: MemberId) -> Option<PeerHint> {
        let addresses = &self.peers.get(&member)?.addresses;
        (!addresses.is_empty()).then(|| PeerHint {
            member,
            addresses: fit(addresses.iter().map(|address| (*address).into()).collect()),
        })
    }
}
