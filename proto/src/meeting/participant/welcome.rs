//! Coming in: what a newcomer is told, and what it does with it.

use super::{
    Participant,
    conduits::{Conduit, fit},
    links::Scope,
    lobby::Phase,
    timers::{LOBBY_LINGER, Timer, WELCOME_INTERVAL},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::roster::RoomEpoch,
    time::Now,
    wire::control_message::{ControlMessage, PEERS_MAX, Welcome},
};

impl Participant {
    /// Somebody let us in. The roster came before; without it the welcome means nothing yet and is said again. It is the
    /// log, rooted in the host's signature, that says that we are in, and that commits to the secret: it does not matter
    /// who passes them on, as long as it is a member.
    pub(super) fn handle_welcome(&mut self, now: Now, from: MemberId, welcome: Box<Welcome>) {
        self.handle_grant(now, &welcome.grant);
        let roster = self.log.view();
        let admitted = roster.members.contains_key(&self.me) && roster.members.contains_key(&from);
        if matches!(self.phase, Phase::Lobby { .. }) && admitted && self.secrets.current().is_some() {
            self.phase = Phase::Member;
            self.timers.clear(Timer::Knock);
            self.timers.clear(Timer::JoinDeadline);
            self.doorkeepers.clear();
            self.timers.set(Timer::Lobby, now.monotonic + LOBBY_LINGER);
            self.raise_scope(from);
            self.take_former_secrets(now, &welcome.former);
            self.accept_keys();
            self.dirty.roster();
            self.dirty.rooms();
        } else if matches!(self.phase, Phase::Lobby { .. }) && !admitted {
            self.checkpoints.transfers.welcome = Some((from, welcome));
        }
    }

    /// Whether a welcome was sent on this conduit a moment ago.
    pub(super) fn was_welcomed(&self, now: Now, conduit: Conduit) -> bool {
        self.welcomed
            .get(&conduit)
            .is_some_and(|at| now.monotonic < *at + WELCOME_INTERVAL)
    }

    /// Tells a member everything that it needs: the state, the log since, the room secret, where the others are; and the others where it is.
    pub(super) fn welcome(&mut self, now: Now, member: MemberId, conduit: Conduit) {
        let epoch: Option<OperationHash> = self
            .log
            .view()
            .room_epoch()
            .map(|epoch: &RoomEpoch| epoch.operation);
        let Some(grant) = epoch.and_then(|epoch| self.grant_of(&epoch)) else {
            return;
        };
        self.welcomed
            .retain(|_, at| now.monotonic < *at + WELCOME_INTERVAL);
        self.welcomed.insert(conduit, now.monotonic);
        self.show_credential(conduit);
        let hello = self.hello();
        self.send_on(conduit, &hello);
        self.send_checkpoint(conduit, u64::MAX);
        self.send_operations_since(conduit, &[]);
        let former = self.secrets.former_to_wire();
        self.send_on(
            conduit,
            &ControlMessage::Welcome(Box::new(Welcome { grant, former })),
        );
        let hints = self.peer_hints(member);
        for batch in hints.chunks(PEERS_MAX) {
            self.send_on(conduit, &ControlMessage::Peers(fit(batch.to_vec())));
        }
        if let Some(hint) = self.peer_hint(member) {
            self.broadcast(&ControlMessage::Peers(fit(vec![hint])));
        }
        // It said so while it knocked, when it was no member yet.
        self.keep_peer(member);
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
}
