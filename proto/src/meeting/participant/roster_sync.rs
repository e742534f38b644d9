//! The roster log between members.

use std::{collections::BTreeSet, time::Duration};

use super::{
    Event, Participant,
    conduits::{Conduit, fit},
    links::Scope,
    timers::{GOSSIP_DELAY, HEARTBEAT_INTERVAL, Timer},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        operation::{Op, SignedOperation},
        roster_log::Inserted,
    },
    time::Now,
    wire::control_message::{ControlMessage, HEADS_MAX},
};

/// How many members are told of news at once. Reason: news spread to 200 members in a few rounds, and a round costs each
/// member as many messages.
const GOSSIP_FANOUT: usize = 3;

/// A peer is asked for the same operations no more often. Reason: what a checkpoint stands for is not in its log, so that its
/// answer may not help: both would ask and answer as fast as the way between them allows.
const WANT_INTERVAL: Duration = Duration::from_millis(250);

impl Participant {
    /// Writes an operation of our own and tells everybody; its hash, or a fault for people.
    pub(super) fn author(&mut self, _now: Now, op: Op) -> Option<OperationHash> {
        match self.log.author(&self.identity, op) {
            Ok(operation) => {
                let hash = operation.hash();
                self.keep_news();
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
            let author = operation.author();
            match self.log.insert(operation) {
                Ok(Inserted::Added(_)) => news = true,
                Ok(Inserted::Pending) => pending = true,
                // A refused operation is refused by everybody: it has no effect, whoever passed it on.
                Ok(Inserted::Known) => {}
                Err(error) => self.note_refused_operation(from, author, error),
            }
        }
        if pending {
            self.expect_checkpoint(now, from);
        }
        if pending && !self.awaits_state() {
            self.want_operations(now, from, conduit);
        }
        if news {
            self.keep_news();
            self.dirty.roster();
            self.timers
                .set_if_unset(Timer::Gossip, now.monotonic + GOSSIP_DELAY);
            self.settle(now);
            self.retry_pending_keys(now);
        }
    }

    /// Asks a peer for what this node lacks; not again at once if nothing came that helps.
    pub(super) fn want_operations(&mut self, now: Now, from: MemberId, conduit: Conduit) {
        if !self.may_know_heads(from, conduit) {
            return;
        }
        let heads = self.log.heads();
        if let Some(peer) = self.peers.get_mut(&from) {
            let asked = peer.asked.as_ref();
            if asked.is_some_and(|(known, at)| *known == heads && now.monotonic - *at < WANT_INTERVAL) {
                return;
            }
            peer.asked = Some((heads.clone(), now.monotonic));
        }
        self.send_on(conduit, &ControlMessage::WantOperations(bounded_heads(heads)));
    }

    /// Heads say how much this node knows. While it is at the door itself, others at the door are not told.
    fn may_know_heads(&self, from: MemberId, conduit: Conduit) -> bool {
        self.is_member()
            || self.scope_of(conduit) == Scope::Members
            || self.is_doorkeeper(from)
            || self.log.view().members.contains_key(&from)
    }

    /// A peer's heads: one of us may lack something.
    pub(super) fn handle_heads(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        heads: &[OperationHash],
    ) {
        let ours = self.log.heads();
        if heads.iter().any(|head| !self.log.contains(head)) {
            self.want_operations(now, from, conduit);
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
        self.consider_checkpoint(now);
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
}

pub(super) fn bounded_heads(mut heads: Vec<OperationHash>) -> crate::wire::control_message::Heads {
    heads.truncate(HEADS_MAX);
    fit(heads)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::LinkId,
        meeting::participant::{
            LinkPeer, Output,
            fixture::{NOW, config, host, identity, outputs},
        },
        random::Random,
    };

    /// What a guest at the door says when somebody shows it an operation that rests on one it does not have.
    fn guest_shown_half_the_log(by: u8) -> Vec<ControlMessage> {
        let host = host();
        let mut guest = Participant::join(NOW, config(3), host.ticket().clone(), Random::from_seed([4; 32]));
        let peer = identity(by);
        let door = host.secrets.lobby_psk(&host.meeting).id();
        let remote = "192.0.2.66:4433".parse().unwrap();
        guest.handle_link_up(
            NOW,
            None,
            LinkId(7),
            LinkPeer::Member(peer.member_id()),
            Some(door),
            remote,
        );
        let parent = OperationHash([9; 32]);
        let half = SignedOperation::sign(&peer, host.meeting, 1, vec![parent], Op::Leave).unwrap();
        let shown = ControlMessage::Operations(fit(vec![half]));
        guest.handle_control(NOW, LinkId(7), &shown.encode());
        let said = outputs(&mut guest).into_iter().filter_map(|output| match output {
            Output::Control { bytes, .. } => Some(ControlMessage::decode(&bytes).unwrap()),
            _ => None,
        });
        said.collect()
    }

    #[test]
    fn a_guest_asks_those_at_the_door_for_the_log_and_tells_other_guests_nothing_of_it() {
        let asks = |message: &ControlMessage| matches!(message, ControlMessage::WantOperations(_));
        assert!(guest_shown_half_the_log(1).iter().any(asks), "the host is asked");
        let said = guest_shown_half_the_log(5);
        assert!(!said.iter().any(asks), "{said:?}");
    }
}
