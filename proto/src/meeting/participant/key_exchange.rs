//! Sender keys between members: who gets ours, and what becomes of theirs.

use std::collections::BTreeSet;

use super::{Event, Participant, conduits::Conduit};
use crate::{
    ids::{MemberId, OperationHash, PolicyHash},
    meeting::{
        keys::{KeyFault, KeyMessage, RosterAtHeads},
        roster_log::RosterLog,
    },
    time::Now,
    wire::control_message::ControlMessage,
};

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
    /// Everybody in the roster gets this member's keys, but for those who named ghosts.
    pub(super) fn choose_recipients(&mut self, now: Now) {
        let roster = self.log.view();
        if self.is_member() && !roster.members.contains_key(&self.me) {
            // A checkpoint put this node out; keys that rest on that would look like a ghost's.
            return;
        }
        let members = roster.members.keys();
        let recipients: BTreeSet<MemberId> = members
            .filter(|id| **id != self.me && !self.distrusted.contains(id))
            .copied()
            .collect();
        let heads = self.log.heads();
        let everybody = recipients.len() + 1 == self.log.view().members.len();
        let set = self
            .publisher
            .set_recipients(now.monotonic, &recipients, &heads, everybody);
        if let Err(error) = set {
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
                self.want_operations(now, from, conduit);
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

    /// Key messages that rest on operations which have come by now, whoever brought them.
    pub(super) fn retry_pending_keys(&mut self, now: Now) {
        let log = &self.log;
        let ready = |message: &KeyMessage| {
            let heads = message.statement.heads.to_vec();
            heads.iter().all(|head| log.contains(head))
        };
        let waiting: Vec<(MemberId, KeyMessage)> = self
            .peers
            .iter_mut()
            .filter(|(_, peer)| peer.pending_key.as_ref().is_some_and(ready))
            .filter_map(|(member, peer)| Some((*member, peer.pending_key.take()?)))
            .collect();
        for (member, message) in waiting {
            // Without a way to its sender there is nobody to hear; it comes again with the next one.
            if let Some(conduit) = self.all_conduits(member).first().copied() {
                self.handle_key(now, member, conduit, message);
            }
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
