//! What a control message means, and who may say it.

use std::collections::BTreeMap;

use super::{Output, Participant, conduits::Conduit, links::Scope, lobby::Phase};
use crate::{
    ids::{LinkId, MemberId, RelayId, StreamId},
    time::Now,
    wire::control_message::{ControlMessage, Hello},
};

impl Participant {
    /// One control frame arrived on a link.
    pub fn handle_control(&mut self, now: Now, link: LinkId, bytes: &[u8]) {
        if let Some(relay) = self.relay_links.get(&link).copied() {
            self.handle_relay_frame(now, relay, bytes);
        } else if self.handle_code_frame(link, bytes) {
            // Served.
        } else if let Some(state) = self.links.get_mut(&link) {
            state.monitor.handle_heard(now.monotonic);
            let member = state.member;
            match ControlMessage::decode(bytes) {
                Ok(message) => self.handle_message(now, member, Conduit::Link(link), message),
                // Whoever completed the handshake and then sends what is no message is faulty or hostile.
                Err(_) => self.outputs.push_back(Output::Close { link }),
            }
        }
        self.settle(now);
    }

    /// One message over an authenticated conduit.
    pub(super) fn handle_message(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        message: ControlMessage,
    ) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.place.heard_at = Some(now.monotonic);
        }
        match message {
            ControlMessage::Ping(nonce) => {
                self.send_on(conduit, &ControlMessage::Pong(nonce));
            }
            ControlMessage::Pong(nonce) => self.handle_pong(now, conduit, nonce),
            ControlMessage::Door(message) => self.handle_door(now, from, conduit, message),
            message if matches!(self.phase, Phase::Lobby { .. }) => {
                self.handle_as_guest(now, from, conduit, message);
            }
            ControlMessage::Hello(hello) => self.handle_hello(now, from, conduit, &hello),
            message if self.log.view().members.contains_key(&from) => {
                self.handle_as_member(now, from, conduit, message);
            }
            message if self.scope_of(conduit) == Scope::Members => {
                self.handle_from_unknown(now, from, conduit, message);
            }
            // From somebody at the door: nothing but a greeting is listened to.
            _ => {}
        }
    }

    /// This node is at the door. What those in charge decide is taken from them only; what proves itself (signed
    /// operations, and a secret that they commit to) from anybody.
    fn handle_as_guest(&mut self, now: Now, from: MemberId, conduit: Conduit, message: ControlMessage) {
        match message {
            ControlMessage::Hello(hello) => drop(self.note_hello(now, from, &hello)),
            ControlMessage::Waiting if self.is_doorkeeper(from) => self.handle_waiting(now),
            ControlMessage::Refused(reason) if self.is_doorkeeper(from) => {
                self.handle_refusal(reason, "");
            }
            ControlMessage::Charge(chain) => self.handle_charge(now, from, conduit, &chain),
            ControlMessage::Subscribe(stream) => self.handle_subscribe(from, conduit, stream, true),
            ControlMessage::Operations(operations) => {
                self.insert_operations(now, from, conduit, operations.into_inner());
            }
            ControlMessage::CheckpointPart(part) => self.handle_checkpoint_part(now, from, *part),
            ControlMessage::Welcome(welcome) => self.handle_welcome(now, from, welcome),
            _ => {}
        }
    }

    /// It holds the room secret, but is not in this node's roster yet: somebody else has just admitted it.
    fn handle_from_unknown(&mut self, now: Now, from: MemberId, conduit: Conduit, message: ControlMessage) {
        match message {
            ControlMessage::Operations(operations) => {
                self.insert_operations(now, from, conduit, operations.into_inner());
            }
            ControlMessage::Heads(heads) => self.handle_heads(now, from, conduit, &heads),
            ControlMessage::CheckpointPart(part) => self.handle_checkpoint_part(now, from, *part),
            // Good for nothing until the roster has it, which will be soon.
            ControlMessage::Key(message) => {
                self.peer_mut(now, from).pending_key = Some(*message);
            }
            ControlMessage::Subscribe(stream) => self.handle_subscribe(from, conduit, stream, true),
            _ => {}
        }
    }

    fn handle_as_member(&mut self, now: Now, from: MemberId, conduit: Conduit, message: ControlMessage) {
        match message {
            ControlMessage::Operations(operations) => {
                self.insert_operations(now, from, conduit, operations.into_inner());
            }
            ControlMessage::Heads(heads) => {
                self.note_heads(now, from, &heads);
                self.handle_heads(now, from, conduit, &heads);
            }
            ControlMessage::CheckpointPart(part) => self.handle_checkpoint_part(now, from, *part),
            ControlMessage::WantCheckpoint(want) => self.handle_want_checkpoint(now, from, conduit, &want),
            ControlMessage::WantOperations(heads) => self.send_operations_since(conduit, &heads),
            ControlMessage::RoomSecret(grant) => self.handle_grant(now, &grant),
            ControlMessage::Welcome(welcome) => self.handle_grant(now, &welcome.grant),
            ControlMessage::WantRoomSecret(operation) => {
                // Only members get here, and a removed one is none: what they lack they may have.
                let named = self
                    .log
                    .view()
                    .room_epochs
                    .iter()
                    .any(|epoch| epoch.operation == operation);
                if let Some(grant) = self.grant_of(&operation).filter(|_| named) {
                    self.send_on(conduit, &ControlMessage::RoomSecret(grant));
                }
            }
            ControlMessage::Moved(operation) => {
                let is_here = self.secrets.holds(&operation);
                let place = &mut self.peer_mut(now, from).place;
                place.note(now.monotonic, operation, is_here);
            }
            ControlMessage::Peers(hints) => self.handle_hints(now, &hints),
            ControlMessage::WantPeers(members) => self.handle_want_peers(now, from, conduit, &members),
            ControlMessage::Key(message) => self.handle_key(now, from, conduit, *message),
            ControlMessage::WantKey => self.handle_want_key(now, from),
            ControlMessage::Punch(punch) => self.handle_punch(now, from, &punch),
            ControlMessage::KeyAck(ack) => self.publisher.handle_ack(now.monotonic, from, &ack),
            ControlMessage::Subscribe(stream) => self.handle_subscribe(from, conduit, stream, true),
            ControlMessage::Unsubscribe(stream) => self.handle_subscribe(from, conduit, stream, false),
            ControlMessage::Conversation(message) => {
                self.conversation.handle_message(now, &self.log, from, *message);
            }
            ControlMessage::Report(report) => {
                self.outputs.push_back(Output::Reported {
                    member: from,
                    report,
                    congested: self.is_congested_towards(from),
                });
            }
            ControlMessage::Moderation(request) => self.handle_moderation(from, request),
            ControlMessage::Forwarding(message) => self.handle_forwarding(now, from, conduit, *message),
            ControlMessage::Hello(_)
            | ControlMessage::Door(_)
            | ControlMessage::Waiting
            | ControlMessage::Charge(_)
            | ControlMessage::Refused(_)
            | ControlMessage::Ping(_)
            | ControlMessage::Pong(_) => {}
        }
    }

    fn handle_hello(&mut self, now: Now, from: MemberId, conduit: Conduit, hello: &Hello) {
        let member = self.log.view().members.contains_key(&from);
        let moved = self.note_hello(now, from, hello);
        if self.scope_of(conduit) == Scope::Lobby {
            self.handle_knock(now, from, conduit, hello);
        }
        if member && moved {
            self.dial_where_it_is_now(now, from);
        } else if member {
            self.plan_first_dial(now, from);
        }
        // Relays that a member brings are judged like any other; those of strangers are ignored.
        if member {
            for descriptor in hello.relays.iter() {
                self.consider_encoded_relay(now, descriptor);
            }
        }
    }

    /// Whether the sender is somewhere else than was known.
    fn note_hello(&mut self, now: Now, from: MemberId, hello: &Hello) -> bool {
        let addresses = hello.addresses.iter().map(|address| (*address).into()).collect();
        let peer = self.peer_mut(now, from);
        let ways: BTreeMap<RelayId, RelayId> = hello.ways.iter().copied().collect();
        if peer.ways != ways {
            peer.ways = ways;
            self.dirty.routes();
        }
        let peer = self.peer_mut(now, from);
        if (!hello.addresses.is_empty() || peer.links.is_empty()) && peer.addresses != addresses {
            peer.addresses = addresses;
            self.keep_peer(from);
            return true;
        }
        false
    }

    fn handle_pong(&mut self, now: Now, conduit: Conduit, nonce: u64) {
        if let Conduit::Link(link) = conduit
            && let Some(state) = self.links.get_mut(&link)
        {
            state.monitor.handle_pong(now.monotonic, nonce);
        }
    }

    /// The peer wants our audio on this link, or no longer.
    fn handle_subscribe(&mut self, from: MemberId, conduit: Conduit, stream: StreamId, on: bool) {
        let (Conduit::Link(link), StreamId::AUDIO) = (conduit, stream) else {
            return;
        };
        if let Some(peer) = self.peers.get_mut(&from) {
            if on {
                peer.listening.insert(link);
            } else {
                peer.listening.remove(&link);
            }
        }
    }
}
