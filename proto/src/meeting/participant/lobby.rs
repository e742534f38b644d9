//! The door: knocking at it, and answering those who knock.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Event, LeftReason, Participant,
    conduits::{Conduit, fit},
    links::Scope,
    timers::{JOIN_PATIENCE, KNOCK_RETRY, LOBBY_LINGER, RETURN_PATIENCE, Timer, WAITING_PATIENCE},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        admission::{Decided, Decision, KNOCK_INTERVAL, Knock, KnockOutcome, RefusalReason},
        name::Name,
        operation::{Op, SignedOperation},
        role::Role,
        roster::RoomEpoch,
    },
    time::Now,
    wire::control_message::{CHARGE_MAX, ControlMessage, Hello, PEERS_MAX, PeerHint, RoomSecretGrant},
};

/// Co-hosts to whom a node at the door knocks. Reason: more do not read the list.
const DOORKEEPERS_MAX: usize = 16;

/// Where this node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// At the door.
    Lobby {
        /// The host said that it has to decide.
        waiting: bool,
    },
    /// In.
    Member,
    /// Out for good.
    Left,
}

impl Participant {
    /// Whether this node needs the lobby's rooms: it knocks, or it answers those who do.
    pub(super) fn uses_lobby(&self) -> bool {
        match self.phase {
            Phase::Lobby { .. } => true,
            // The first keys come through the lobby, while the way to the members' room is long.
            Phase::Member => self.timers.is_set(Timer::Lobby) || self.is_in_charge() || self.misses_host(),
            Phase::Left => false,
        }
    }

    /// Whether the host is in the roster and cannot be reached: it may be at its own door, having lost its log.
    fn misses_host(&self) -> bool {
        self.log.view().members.contains_key(&self.host) && !self.is_reachable(self.host)
    }

    /// Whether this node's role lets it admit.
    pub(super) fn is_in_charge(&self) -> bool {
        self.log
            .view()
            .members
            .get(&self.me)
            .is_some_and(|member| member.role.is_in_charge())
    }

    /// Those whom people at the door look for: the host from the ticket, and whoever is in charge by the roster.
    pub(super) fn people_in_charge(&self) -> BTreeSet<MemberId> {
        let roster = self.log.view();
        let members = roster
            .members
            .iter()
            .filter(|(_, member)| member.role.is_in_charge());
        members
            .map(|(id, _)| *id)
            .chain([self.host])
            .filter(|id| *id != self.me)
            .collect()
    }

    // --- knocking -----------------------------------------------------------------------------------------------

    /// Looks for ways to the host. If the policy allows none, says so at once.
    pub(super) fn begin_joining(&mut self, now: Now) {
        let direct = self.direct && self.judge.direct(now.unix).is_ok();
        let host_addresses = self.ticket.terms().addresses.clone();
        if self.me == self.host {
            // It comes back: members look for it, at its address and in the lobby.
        } else if direct && !host_addresses.is_empty() {
            let host = self.host;
            self.peer_mut(now, host).addresses = host_addresses;
        } else if self.relays.is_empty() {
            let refusals: Vec<String> = self.refused_relays.values().cloned().collect();
            let why_not_direct = if !self.direct {
                "direct links are switched off on this node"
            } else if direct {
                "the ticket states no address of the host"
            } else {
                "the policy has expired"
            };
            let relays = if refusals.is_empty() {
                "no relay is known".to_owned()
            } else {
                refusals.join("; ")
            };
            self.leave_with(LeftReason::NoPermittedPath {
                detail: format!(
                    "cannot reach the host: no path is allowed. Direct: {why_not_direct}. Relays: {relays}."
                ),
            });
        }
    }

    /// How long to look for somebody in charge.
    pub(super) fn join_patience(&self) -> Duration {
        if self.me == self.host {
            RETURN_PATIENCE
        } else {
            JOIN_PATIENCE
        }
    }

    /// Whether somebody is told our name while we are at the door, and may answer: the host and proven co-hosts. A host
    /// that comes back is known to everybody anyway.
    pub(super) fn is_doorkeeper(&self, member: MemberId) -> bool {
        member == self.host || self.me == self.host || self.doorkeepers.contains(&member)
    }

    /// Knocks: a greeting from somebody who is not in.
    pub(super) fn knock_on(&mut self, now: Now, conduit: Conduit) {
        let hello = self.hello();
        self.send_on(conduit, &hello);
        let waiting = self.phase == Phase::Lobby { waiting: true };
        let interval = if waiting { KNOCK_INTERVAL } else { KNOCK_RETRY };
        self.timers.set(Timer::Knock, now.monotonic + interval);
    }

    /// Knocks again: the greeting may be lost, and whoever ceases to knock is taken to have gone.
    pub(super) fn knock_again(&mut self, now: Now) {
        let Phase::Lobby { waiting } = self.phase else {
            return;
        };
        let interval = if waiting { KNOCK_INTERVAL } else { KNOCK_RETRY };
        self.timers.set(Timer::Knock, now.monotonic + interval);
        let hello = self.hello();
        let people: Vec<MemberId> = self.peers.keys().copied().collect();
        let mut reached = false;
        for member in people {
            if self.is_doorkeeper(member) {
                reached |= self.send_to(Some(now), member, &hello);
            }
        }
        if waiting && !reached {
            self.look_again(now);
        }
    }

    /// Those in charge are gone while we wait for their decision: begin again, with patience.
    fn look_again(&mut self, now: Now) {
        self.phase = Phase::Lobby { waiting: false };
        self.timers.set(Timer::Knock, now.monotonic + KNOCK_RETRY);
        self.timers
            .set(Timer::JoinDeadline, now.monotonic + WAITING_PATIENCE);
        self.fault(
            "host_gone",
            "nobody in charge of the meeting can be reached any more".to_owned(),
            "this node goes on trying for a minute",
        );
    }

    /// A co-host proves that it may answer the door: a chain of appointments from the ticket's host to it.
    pub(super) fn handle_charge(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        chain: &[SignedOperation],
    ) {
        let mut author = self.host;
        for operation in chain {
            let said = operation.operation();
            let Op::Role { member, role } = said.op else {
                return;
            };
            let signed = said.author == author && said.meeting == self.meeting && operation.verify().is_ok();
            if !signed || !role.is_in_charge() {
                return;
            }
            author = member;
        }
        if author == from && self.doorkeepers.len() < DOORKEEPERS_MAX && self.doorkeepers.insert(from) {
            self.knock_on(now, conduit);
        }
    }

    /// Proves to somebody at the door that this co-host may answer; the host needs no proof.
    pub(super) fn show_charge(&mut self, conduit: Conduit) {
        if self.me == self.host || !self.is_in_charge() {
            return;
        }
        let mut chain = Vec::new();
        let mut appointed = self.me;
        while appointed != self.host && chain.len() < CHARGE_MAX {
            let since = self.log.view().members.get(&appointed).map(|m| m.role_since);
            let operation = since.and_then(|since| self.log.operations(&[since]).pop());
            let Some(operation) = operation.filter(|o| matches!(o.operation().op, Op::Role { .. })) else {
                return;
            };
            appointed = operation.author();
            chain.insert(0, operation);
        }
        if appointed == self.host {
            self.send_on(conduit, &ControlMessage::Charge(fit(chain)));
        }
    }

    /// The host was not reached in time.
    pub(super) fn give_up_joining(&mut self) {
        if self.phase != (Phase::Lobby { waiting: false }) {
            return;
        }
        let mut tried = Vec::new();
        if self.direct {
            tried.extend(
                self.ticket
                    .terms()
                    .addresses
                    .iter()
                    .map(|address| format!("direct {address}")),
            );
        }
        tried.extend(self.relays.values().map(|session| {
            format!(
                "relay {} ({})",
                session.descriptor().operator.name,
                session.relay().fingerprint()
            )
        }));
        tried.extend(self.refused_relays.values().cloned());
        self.leave_with(LeftReason::Unreachable {
            detail: format!("tried: {}", tried.join("; ")),
        });
    }

    /// The host's node said that the host has to decide.
    pub(super) fn handle_waiting(&mut self, now: Now) {
        if self.phase == (Phase::Lobby { waiting: false }) {
            self.phase = Phase::Lobby { waiting: true };
            self.timers.clear(Timer::JoinDeadline);
            self.timers.set(Timer::Knock, now.monotonic + KNOCK_INTERVAL);
            self.emit(Event::Waiting);
        }
    }

    /// The host said no.
    pub(super) fn handle_refusal(&mut self, reason: RefusalReason) {
        if matches!(self.phase, Phase::Lobby { .. }) {
            self.emit(Event::Refused {
                what: "join",
                clause: clause(reason).to_owned(),
                reason: reason.to_string(),
            });
            self.leave_with(match reason {
                RefusalReason::Locked => LeftReason::Locked,
                _ => LeftReason::Refused,
            });
        }
    }

    /// Somebody let us in. The roster came before; without it the welcome means nothing yet and is said again. It is the
    /// log, rooted in the host's signature, that says that we are in, and that commits to the secret: it does not matter
    /// who passes them on, as long as it is a member.
    pub(super) fn handle_welcome(&mut self, now: Now, from: MemberId, grant: &RoomSecretGrant) {
        self.handle_grant(now, from, grant);
        let roster = self.log.view();
        let admitted = roster.members.contains_key(&self.me) && roster.members.contains_key(&from);
        if matches!(self.phase, Phase::Lobby { .. }) && admitted && self.secrets.current().is_some() {
            self.phase = Phase::Member;
            self.timers.clear(Timer::Knock);
            self.timers.clear(Timer::JoinDeadline);
            self.doorkeepers.clear();
            self.timers.set(Timer::Lobby, now.monotonic + LOBBY_LINGER);
            self.raise_scope(from);
            self.accept_keys();
            self.dirty.roster();
            self.dirty.rooms();
        }
    }

    // --- answering ----------------------------------------------------------------------------------------------

    /// A greeting from somebody who is not in yet, or who comes back through the lobby.
    pub(super) fn handle_knock(&mut self, now: Now, member: MemberId, conduit: Conduit, hello: &Hello) {
        if self.log.view().members.contains_key(&member) {
            self.admission.forget(&member);
            self.welcome(now, member, conduit);
            return;
        }
        if !self.is_in_charge() {
            return;
        }
        let addresses: Vec<_> = hello.addresses.iter().map(|address| (*address).into()).collect();
        let direct = !addresses.is_empty();
        // The message's own bound is the knock's.
        let Ok(knock) = Knock::new(hello.name.clone(), addresses, direct) else {
            return;
        };
        match self.admission.handle_knock(now, member, knock, self.log.view()) {
            KnockOutcome::Waiting { new } => {
                self.send_on(conduit, &ControlMessage::Waiting);
                if new {
                    self.emit(Event::Knock {
                        member,
                        name: hello.name.to_string(),
                    });
                }
            }
            KnockOutcome::Admit => self.let_in(now, member, hello.name.clone()),
            KnockOutcome::AlreadyIn => self.welcome(now, member, conduit),
            KnockOutcome::Refused(reason) => {
                self.send_on(conduit, &ControlMessage::Refused(reason));
            }
        }
    }

    /// Admits somebody who waits.
    pub(super) fn admit(&mut self, now: Now, member: MemberId) {
        match self.admission.decide(&member, Decision::Admit, self.log.view()) {
            Ok(Decided::Admit(knock)) => self.let_in(now, member, knock.name().clone()),
            Ok(_) => {}
            Err(error) => self.fault(
                "not_admitted",
                error.to_string(),
                "`who` lists who is there and who waits",
            ),
        }
    }

    /// Writes the operation, then welcomes the newcomer.
    fn let_in(&mut self, now: Now, member: MemberId, name: Name) {
        if self
            .author(
                now,
                Op::Admit {
                    member,
                    name,
                    role: Role::Speaker,
                },
            )
            .is_some()
        {
            // The newcomer learns of the meeting first: whatever else it is told means nothing to it before.
            for conduit in self.all_conduits(member) {
                self.welcome(now, member, conduit);
            }
            self.settle(now);
        }
    }

    /// Refuses somebody who waits.
    pub(super) fn refuse(&mut self, member: MemberId) {
        match self.admission.decide(&member, Decision::Refuse, self.log.view()) {
            Ok(Decided::Refuse(reason)) => {
                self.send_to(None, member, &ControlMessage::Refused(reason));
            }
            Ok(_) => {}
            Err(error) => self.fault(
                "not_refused",
                error.to_string(),
                "`who` lists who is there and who waits",
            ),
        }
    }

    /// Tells a member everything that it needs: the log, the room secret, where the others are; and the others where it is.
    pub(super) fn welcome(&mut self, now: Now, member: MemberId, conduit: Conduit) {
        let epoch: Option<OperationHash> = self
            .log
            .view()
            .room_epoch()
            .map(|epoch: &RoomEpoch| epoch.operation);
        let Some(grant) = epoch.and_then(|epoch| self.grant_of(&epoch)) else {
            return;
        };
        let hello = self.hello();
        self.send_on(conduit, &hello);
        self.send_operations_since(conduit, &[]);
        self.send_on(conduit, &ControlMessage::Welcome(grant));
        let hints = self.peer_hints(member);
        for batch in hints.chunks(PEERS_MAX) {
            self.send_on(conduit, &ControlMessage::Peers(fit(batch.to_vec())));
        }
        if let Some(hint) = self.peer_hint(member) {
            self.broadcast(&ControlMessage::Peers(fit(vec![hint])));
        }
        self.raise_scope(member);
        // It will want to hear this node; two round trips after dialling it does, if nobody waits for its wish.
        if let (Conduit::Link(link), Some(peer)) = (conduit, self.peers.get_mut(&member)) {
            peer.listening.insert(link);
        }
        self.publisher.resend_to(now.monotonic, member);
        self.dirty.routes();
    }

    /// Links that began at the door lead to a member now.
    fn raise_scope(&mut self, member: MemberId) {
        for state in self.links.values_mut().filter(|state| state.member == member) {
            state.scope = Scope::Members;
        }
    }

    fn peer_hints(&self, except: MemberId) -> Vec<PeerHint> {
        let roster = self.log.view();
        let others = roster
            .members
            .keys()
            .filter(|id| **id != except && **id != self.me);
        others.filter_map(|id| self.peer_hint(*id)).collect()
    }

    fn peer_hint(&self, member: MemberId) -> Option<PeerHint> {
        let addresses = &self.peers.get(&member)?.addresses;
        (!addresses.is_empty()).then(|| PeerHint {
            member,
            addresses: fit(addresses.iter().map(|address| (*address).into()).collect()),
        })
    }
}

/// The refusal's stable name.
fn clause(reason: RefusalReason) -> &'static str {
    match reason {
        RefusalReason::ByHost => "host",
        RefusalReason::Blocked => "blocked",
        RefusalReason::Locked => "locked",
        RefusalReason::TooManyWaiting => "lobby_full",
        RefusalReason::Excluded => "excluded",
    }
}
