//! The roster log between members, and what follows from a changed roster.

use std::collections::BTreeSet;

use super::{
    Event, LeftReason, MemberState, Output, Participant,
    conduits::{Conduit, fit},
    lobby::Phase,
    timers::{GOSSIP_DELAY, HEARTBEAT_INTERVAL, SAFETY_CODE_DELAY, Timer},
};
use crate::{
    ids::{MemberId, OperationHash, PolicyHash},
    meeting::{
        keys::{KeyFault, KeyMessage, RosterAtHeads},
        operation::{Op, SignedOperation},
        roster::RosterChange,
        roster_log::{Inserted, RosterLog},
        safety_code::SafetyCode,
    },
    time::Now,
    wire::control_message::{ControlMessage, HEADS_MAX},
};

/// How many members are told of news at once. Reason: news spread to 200 members in a few rounds, and a round costs each
/// member as many messages.
const GOSSIP_FANOUT: usize = 3;

/// The log as key messages are checked against it.
struct LogView<'a> {
    log: &'a RosterLog,
    policy: PolicyHash,
}

impl RosterAtHeads for LogView<'_> {
    fn members_at(&self, heads: &[OperationHash]) -> Option<BTreeSet<MemberId>> {
        self.log.members_at(heads)
    }

    fn policy_hash(&self) -> PolicyHash {
        self.policy
    }
}

impl Participant {
    /// Writes an operation of our own and tells everybody; its hash, or a fault for people.
    pub(super) fn author(&mut self, now: Now, op: Op) -> Option<OperationHash> {
        let _ = now;
        match self.log.author(&self.identity, op) {
            Ok(operation) => {
                let hash = operation.hash();
                // A newcomer gets the whole log with its welcome.
                let newcomer = match &operation.operation().op {
                    Op::Admit { member, .. } => Some(*member),
                    _ => None,
                };
                self.broadcast_except(newcomer, &ControlMessage::Operations(fit(vec![operation])));
                self.dirty.roster();
                Some(hash)
            }
            Err(error) => {
                self.emit(Event::Refused {
                    what: "command",
                    clause: "role".to_owned(),
                    reason: format!("not done: {error}"),
                });
                None
            }
        }
    }

    /// Operations from a peer. What rests on operations that are missing here is asked for.
    pub(super) fn insert_operations(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        operations: Vec<SignedOperation>,
    ) {
        let mut news = false;
        let mut pending = false;
        for operation in operations {
            match self.log.insert(operation) {
                Ok(Inserted::Added(_)) => news = true,
                Ok(Inserted::Pending) => pending = true,
                // A refused operation is refused by everybody: it has no effect, whoever passed it on.
                Ok(Inserted::Known) | Err(_) => {}
            }
        }
        if pending {
            let heads = self.log.heads();
            self.send_on(conduit, &ControlMessage::WantOperations(bounded_heads(heads)));
        }
        if news {
            self.dirty.roster();
            self.timers
                .set_if_unset(Timer::Gossip, now.monotonic + GOSSIP_DELAY);
            self.settle(now);
            self.retry_pending_key(now, from, conduit);
        }
    }

    /// A peer's heads: one of us may lack something.
    pub(super) fn handle_heads(&mut self, conduit: Conduit, heads: &[OperationHash]) {
        let ours = self.log.heads();
        if heads.iter().any(|head| !self.log.contains(head)) {
            self.send_on(
                conduit,
                &ControlMessage::WantOperations(bounded_heads(ours.clone())),
            );
        }
        let theirs: BTreeSet<OperationHash> = heads.iter().copied().collect();
        if ours.iter().any(|head| !theirs.contains(head)) && heads.iter().all(|head| self.log.contains(head))
        {
            self.send_operations_since(conduit, heads);
        }
    }

    /// What somebody with these heads lacks.
    pub(super) fn send_operations_since(&mut self, conduit: Conduit, heads: &[OperationHash]) {
        let mut cursor = Some(0);
        while let Some(from) = cursor {
            let batch = self.log.operations_since(heads, from);
            cursor = batch.next;
            self.send_operations(conduit, batch.operations);
        }
    }

    pub(super) fn heads_message(&self) -> ControlMessage {
        ControlMessage::Heads(bounded_heads(self.log.heads()))
    }

    /// Tells all members the heads, so that nothing stays lost.
    pub(super) fn send_heartbeat(&mut self, now: Now) {
        self.timers
            .set(Timer::Heartbeat, now.monotonic + HEARTBEAT_INTERVAL);
        if self.is_member() {
            let heads = self.heads_message();
            self.broadcast(&heads);
        }
    }

    /// Tells a few members the heads, because something is new.
    pub(super) fn send_gossip(&mut self) {
        let mut members: Vec<MemberId> = self
            .log
            .view()
            .members
            .keys()
            .filter(|id| **id != self.me)
            .copied()
            .collect();
        let heads = self.heads_message();
        for _ in 0..GOSSIP_FANOUT.min(members.len()) {
            let index = (self.random.next_u64() % members.len() as u64) as usize;
            let member = members.swap_remove(index);
            self.send_to(None, member, &heads);
        }
    }

    /// Everything that follows from a changed roster.
    pub(super) fn apply_roster(&mut self, now: Now) {
        if !self.is_member() {
            return;
        }
        let changes = self.log.take_changes();
        let joining = changes
            .iter()
            .any(|c| matches!(c, RosterChange::Admitted { member, .. } if *member == self.me));
        for change in &changes {
            self.apply_change(now, change);
        }
        if self.phase == Phase::Left {
            return;
        }
        self.follow_epoch(now);
        self.choose_recipients(now);
        self.conversation_follows(now, &changes);
        self.accept_keys();
        self.dirty.rooms();
        if !changes.is_empty() {
            let timer = if joining { Timer::Joined } else { Timer::SafetyCode };
            self.timers.set_if_unset(timer, now.monotonic + SAFETY_CODE_DELAY);
        }
    }

    fn apply_change(&mut self, now: Now, change: &RosterChange) {
        match change {
            RosterChange::Admitted { member, .. } | RosterChange::RoleChanged { member, .. } => {
                self.admission.forget(member);
                if *member != self.me {
                    self.plan_first_dial(now, *member);
                }
                self.tell_member(*member);
            }
            RosterChange::Removed { member, removal } => {
                self.tell_removed(*member, &removal.operation);
                self.cut_off(*member, MemberState::Removed);
            }
            RosterChange::AdmissionVoid { member } => self.cut_off(*member, MemberState::Removed),
            RosterChange::Left { member } => self.cut_off(*member, MemberState::Left),
            RosterChange::Locked(locked) => self.emit(Event::Locked(*locked)),
            _ => {}
        }
    }

    fn tell_member(&mut self, member: MemberId) {
        let Some(entry) = self.log.view().members.get(&member) else {
            return;
        };
        let (name, role) = (entry.name.to_string(), entry.role);
        self.seen.insert(member, (name.clone(), role));
        self.emit(Event::Member {
            member,
            name,
            role,
            state: MemberState::Joined,
        });
    }

    /// Whoever is removed is told, with nothing that it does not know beside it.
    fn tell_removed(&mut self, member: MemberId, operation: &OperationHash) {
        let message = ControlMessage::Operations(fit(self.log.operations(&[*operation])));
        for conduit in self.all_conduits(member) {
            self.send_on(conduit, &message);
        }
        // The channels end now; what they hold must be on its way.
        self.flush_channels();
    }

    /// Somebody is out: no link, no key, no sound.
    fn cut_off(&mut self, member: MemberId, state: MemberState) {
        if member == self.me {
            let reason = if state == MemberState::Left {
                LeftReason::Left
            } else {
                LeftReason::Removed
            };
            self.leave_with(reason);
            return;
        }
        self.close_links(member);
        self.channels.retain(|_, channel| channel.peer() != Some(member));
        self.peers.remove(&member);
        self.outputs.push_back(Output::MediaEnded { member });
        let (name, role) = self
            .seen
            .remove(&member)
            .unwrap_or_else(|| (member.fingerprint(), crate::meeting::role::Role::Listener));
        self.emit(Event::Member {
            member,
            name,
            role,
            state,
        });
    }

    /// Tells people the safety code of the present roster, and if `joining`, that they are in.
    pub(super) fn tell_safety_code(&mut self, joining: bool) {
        if !self.is_member() {
            return;
        }
        let members: BTreeSet<MemberId> = self.log.view().members.keys().copied().collect();
        let code = SafetyCode::new(&self.meeting, &self.judge.policy().hash(), &members);
        if joining {
            let policy = self.judge.policy().policy().summary();
            self.emit(Event::Joined {
                safety_code: code,
                policy,
            });
        }
        self.emit(Event::SafetyCode {
            code,
            members: members.len(),
        });
    }

    // --- keys ---------------------------------------------------------------------------------------------------

    /// Everybody in the roster gets this member's keys, but for those who named ghosts.
    pub(super) fn choose_recipients(&mut self, now: Now) {
        let members = self.log.view().members.keys();
        let recipients: BTreeSet<MemberId> = members
            .filter(|id| **id != self.me && !self.distrusted.contains(id))
            .copied()
            .collect();
        let heads = self.log.heads();
        if let Err(error) = self.publisher.set_recipients(now.monotonic, &recipients, &heads) {
            self.fault(
                "recipients",
                error.to_string(),
                "a meeting has at most 257 members",
            );
        }
    }

    /// Sends key messages that are due, and tells people which key is in use.
    pub(super) fn pump_keys(&mut self, now: Now) {
        while let Some(change) = self.publisher.poll_event() {
            self.emit(Event::Keys {
                generation: change.key.generation().into(),
                step: change.key.step(),
                reason: change.reason,
                members: change.members.len(),
            });
        }
        while let Some((member, message)) = self.publisher.poll_transmit(now.monotonic) {
            self.send_to(Some(now), member, &ControlMessage::Key(Box::new(message)));
        }
    }

    /// A peer's key.
    pub(super) fn handle_key(&mut self, now: Now, from: MemberId, conduit: Conduit, message: KeyMessage) {
        let policy = self.judge.policy().hash();
        let view = LogView {
            log: &self.log,
            policy,
        };
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        match peer.keys.handle_key_message(now.monotonic, &message, &view) {
            Ok(ack) => {
                self.send_on(conduit, &ControlMessage::KeyAck(ack));
                self.open_early(now, from);
            }
            Err(KeyFault::NeedOperations(_)) => {
                peer.pending_key = Some(message);
                let heads = bounded_heads(self.log.heads());
                self.send_on(conduit, &ControlMessage::WantOperations(heads));
            }
            Err(KeyFault::Ghost(ghosts)) => self.handle_ghosts(now, from, &ghosts),
            Err(KeyFault::Outdated) => {}
            Err(fault) => {
                let name = self.name_of(from);
                self.fault(
                    "key",
                    format!("no key from {name}: {fault}"),
                    "it is asked for again by itself",
                );
            }
        }
    }

    fn retry_pending_key(&mut self, now: Now, from: MemberId, conduit: Conduit) {
        let pending = self.peers.get_mut(&from).and_then(|peer| peer.pending_key.take());
        if let Some(message) = pending {
            self.handle_key(now, from, conduit, message);
        }
    }

    /// `from` encrypts for somebody whom the roster does not have: it gets no more of our keys, and is named.
    fn handle_ghosts(&mut self, now: Now, from: MemberId, ghosts: &BTreeSet<MemberId>) {
        if self.distrusted.insert(from) {
            let names: Vec<String> = ghosts.iter().map(MemberId::fingerprint).collect();
            let name = self.name_of(from);
            self.fault(
                "ghost",
                format!(
                    "{name} lets somebody listen who is not in the roster: {}",
                    names.join(", ")
                ),
                "this node no longer sends to them; ask them, or remove them",
            );
            self.choose_recipients(now);
        }
    }
}

fn bounded_heads(mut heads: Vec<OperationHash>) -> crate::wire::control_message::Heads {
    heads.truncate(HEADS_MAX);
    fit(heads)
}
