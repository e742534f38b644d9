//! Whom to dial, when, and with which keys.

use std::{net::SocketAddr, time::Duration};

use super::{
    DialId, DialTarget, Output, Participant,
    links::{DialPurpose, Scope},
    lobby::Phase,
    probing::Openers,
};
use crate::{
    ids::{LinkId, MemberId},
    noise::Psk,
    time::{Now, Timestamp},
};

/// How long the member with the greater id waits for the other to dial; meanwhile it sends probes. Reason: both dialling at
/// once makes two links, which is harmless but wasteful; a member that cannot be dialled must dial itself.
const DIAL_COURTESY: Duration = Duration::from_secs(1);
/// From a dial to the next one, doubled up to [`DIAL_RETRY_MAX`]. Reason: longer than two round trips of most ways.
const DIAL_RETRY_FIRST: Duration = Duration::from_secs(1);
/// Longest time from one dial to the next. Reason: a partition heals within 5 s.
const DIAL_RETRY_MAX: Duration = Duration::from_secs(4);
/// A member is not dialled again sooner: one that takes each link and closes it, or says every moment that it is elsewhere, would
/// keep us dialling.
const DIAL_AGAIN: Duration = Duration::from_millis(500);
/// Dials to one member at a time: two rounds with each key that may open its port.
const DIALS_PER_MEMBER_MAX: u8 = 12;

/// When to dial a member.
#[derive(Debug)]
pub(super) struct Redial {
    at: Timestamp,
    /// From that dial to the next.
    pause: Duration,
    /// Rounds of dials since the last link.
    rounds: u32,
    /// Dials that neither succeeded nor failed yet.
    in_flight: u8,
    /// When the last round began.
    began: Option<Timestamp>,
    /// The links there are were made by the other side, which sends to where this node no longer is.
    moved: bool,
    /// The probes that this node sends instead of dialling, while the other side dials.
    pub(super) openers: Openers,
}

impl Redial {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            at: now,
            pause: DIAL_RETRY_FIRST,
            rounds: 0,
            in_flight: 0,
            began: None,
            moved: false,
            openers: Openers::default(),
        }
    }

    /// There is a link.
    pub(super) fn linked(&mut self) {
        self.rounds = 0;
        self.pause = DIAL_RETRY_FIRST;
        self.moved = false;
        self.openers = Openers::default();
    }

    /// The last link ended.
    pub(super) fn unlinked(&mut self, now: Timestamp) {
        self.at = now + DIAL_AGAIN;
    }

    /// What is known of the way has changed: dials at `at`, whatever was planned; but no sooner than [`DIAL_AGAIN`] after the
    /// last round.
    pub(super) fn restart(&mut self, at: Timestamp) {
        self.at = self.began.map_or(at, |began| at.max(began + DIAL_AGAIN));
        self.pause = DIAL_RETRY_FIRST;
    }

    pub(super) fn ended(&mut self) {
        self.in_flight = self.in_flight.saturating_sub(1);
    }

    /// Whether a dial is under way.
    pub(super) fn is_dialling(&self) -> bool {
        self.in_flight > 0
    }

    /// Whether a round began so long ago, and no link came of it.
    pub(super) fn is_waiting_for(&self, now: Timestamp, time: Duration) -> bool {
        self.began.is_some_and(|began| now >= began + time)
    }

    /// Whether nobody answered a whole round at the known addresses.
    pub(super) fn is_in_vain(&self) -> bool {
        self.rounds > 1
    }

    /// Counts a round of dials, if one is due; its number.
    fn begin_round(&mut self, now: Timestamp) -> Option<u32> {
        if self.at > now {
            return None;
        }
        self.began = Some(now);
        self.at = now + self.pause;
        self.pause = (self.pause * 2).min(DIAL_RETRY_MAX);
        self.rounds = self.rounds.saturating_add(1);
        Some(self.rounds)
    }

    /// Counts a dial, if there may be one more.
    pub(super) fn begin_dial(&mut self) -> bool {
        let may = self.in_flight < DIALS_PER_MEMBER_MAX;
        self.in_flight += u8::from(may);
        may
    }
}

impl Participant {
    /// A dial failed.
    pub fn handle_dial_failed(&mut self, now: Now, dial: DialId) {
        match self.dials.remove(&dial) {
            Some(DialPurpose::Relay(relay)) => {
                if let Some(session) = self.relays.get_mut(&relay) {
                    session.handle_down(now.monotonic);
                }
            }
            Some(DialPurpose::Member(member)) => self.dial_ended(member),
            None => {}
        }
        self.settle(now);
    }

    /// A dial came to an end, good or bad.
    pub(super) fn dial_ended(&mut self, member: MemberId) {
        if let Some(peer) = self.peers.get_mut(&member) {
            peer.redial.ended();
        }
    }

    /// Dials members to whom there should be a direct link and is none.
    pub(super) fn dial_what_is_due(&mut self, now: Now) {
        if !self.direct || self.judge.direct(now.unix).is_err() {
            return;
        }
        for member in self.dial_candidates() {
            let Some(peer) = self.peers.get_mut(&member) else {
                continue;
            };
            if !peer.links.is_empty() && !peer.redial.moved || peer.addresses.is_empty() {
                continue;
            }
            let Some(round) = peer.redial.begin_round(now.monotonic) else {
                continue;
            };
            for psk in self.keys_for(member, round) {
                self.dial_member(member, psk);
            }
        }
    }

    /// Whom to dial: those in charge while joining, all members afterwards.
    fn dial_candidates(&self) -> Vec<MemberId> {
        match self.phase {
            Phase::Left => Vec::new(),
            // A host without its log is looked for by the members; one that left, or anybody else, looks for those whom it
            // knows to be in charge.
            Phase::Lobby { .. } => self.people_in_charge().into_iter().collect(),
            Phase::Member => {
                let members = self.log.view().members.keys();
                members.filter(|id| **id != self.me).copied().collect()
            }
        }
    }

    /// The keys that may open a member's port, for this round. The first round trusts that nothing changed; whoever does
    /// not answer may have been parted from us and use the room secret of before, or another one than we: both
    /// know those of before the partition. Whom the ticket names may have lost its log and know none, but opens to the
    /// ticket's.
    fn keys_for(&self, member: MemberId, round: u32) -> Vec<Psk> {
        let lobby = self.secrets.lobby_psk(&self.meeting);
        if !self.is_member() {
            return vec![lobby];
        }
        let mut keys: Vec<Psk> = self.secrets.member_psk(&self.meeting).into_iter().collect();
        if round > 1 {
            keys.extend(self.secrets.former_psks(&self.meeting));
            keys.extend(self.is_named_by_ticket(member).then_some(lobby));
        }
        keys
    }

    fn dial_member(&mut self, member: MemberId, psk: Psk) {
        if let Some(peer) = self.peers.get(&member) {
            let addresses = peer.addresses.clone();
            self.begin_dial(member, psk, addresses, None);
        }
    }

    /// Dials a known member at `addresses`, unless too many dials to it are under way.
    pub(super) fn begin_dial(
        &mut self,
        member: MemberId,
        psk: Psk,
        addresses: Vec<SocketAddr>,
        via: Option<u16>,
    ) {
        let known = self.peers.get_mut(&member);
        if !known.is_some_and(|peer| peer.redial.begin_dial()) {
            return;
        }
        let dial = DialId(self.next_dial);
        self.next_dial += 1;
        self.dials.insert(dial, DialPurpose::Member(member));
        let target = DialTarget::Member {
            member,
            addresses,
            meeting: self.meeting,
            psk,
            via,
        };
        self.outputs.push_back(Output::Dial { dial, target });
    }

    /// A member became known: dials it, unless that is under way.
    pub(super) fn plan_first_dial(&mut self, now: Now, member: MemberId) {
        if !self.peer_mut(now, member).redial.is_dialling() {
            self.dial_where_it_is_now(now, member);
        }
    }

    /// A member can be dialled, or elsewhere than before: the one with the lesser id dials at once, the other after a moment.
    /// What is under way at other addresses is not waited for: behind NATs both must dial at about the same time.
    pub(super) fn dial_where_it_is_now(&mut self, now: Now, member: MemberId) {
        let me = self.me;
        let peer = self.peer_mut(now, member);
        if peer.links.is_empty() {
            let courtesy = if me < member {
                Duration::ZERO
            } else {
                DIAL_COURTESY
            };
            peer.redial.restart(now.monotonic + courtesy);
            if me > member {
                self.open_for(now, member);
            }
        }
    }

    /// This node is elsewhere than before. Links that it dialled move with it (RFC 9000 §9); whoever dialled it goes on
    /// sending to the old place, so that it dials them.
    pub(super) fn dial_from_new_place(&mut self, now: Now) {
        for peer in self.peers.values_mut() {
            // An older link that this node dialled may lead to where the other side no longer is.
            let newest = peer.links.last().and_then(|link| self.links.get(link));
            if newest.is_some_and(|link| !link.dialled) {
                peer.redial.moved = true;
                peer.redial.restart(now.monotonic);
            }
        }
        self.dirty.routes();
    }

    /// Another room secret is in use: whoever was dialled in vain may open its port now.
    pub(super) fn dial_with_new_key(&mut self, now: Now) {
        for peer in self.peers.values_mut().filter(|peer| peer.links.is_empty()) {
            if peer.redial.is_in_vain() {
                peer.redial.restart(now.monotonic);
            }
        }
    }

    /// Whether a link that this node dialled is one too many: several keys were tried at once, and one was enough. Only the
    /// dialler judges, so that never both sides close all.
    pub(super) fn is_spare(&self, now: Now, member: MemberId) -> bool {
        let links = self.peers.get(&member).map(|peer| &peer.links);
        let dialled = |link: &LinkId| {
            let link = self.links.get(link).filter(|link| link.dialled);
            // One on which nothing comes may lead to where the other side no longer is.
            let heard = link.filter(|link| !link.monitor.is_silent(now.monotonic));
            heard.is_some_and(|link| link.scope == Scope::Members)
        };
        links.is_some_and(|links| links.iter().any(dialled))
    }
}
