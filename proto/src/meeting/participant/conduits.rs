//! Telling a member something: over a direct link if there is one, else over a pairwise channel through a relay.

use super::{Output, Participant, forwarding::Through, links::Scope, rooms::RoomKind};
use crate::meeting::operation::SignedOperation;
use crate::{
    channel::pairwise::MESSAGE_BYTES_MAX,
    ids::{Alias, LinkId, MemberId, RelayId, RoomId},
    time::Now,
    wire::{
        bounded::BoundedVec,
        control_message::{
            ControlMessage, DESCRIPTOR_BYTES_MAX, Hello, OPERATION_BATCH_BYTES_MAX, OPERATIONS_MAX,
            RELAYS_MAX,
        },
    },
};

/// Where a pairwise channel runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChannelKey {
    pub(super) relay: RelayId,
    pub(super) room: RoomId,
    pub(super) alias: Alias,
}

/// One authenticated way to one person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Conduit {
    Link(LinkId),
    Channel(ChannelKey),
    /// A channel through a member who forwards.
    Through(Through),
}

impl Participant {
    /// How far the person at the other end has come.
    pub(super) fn scope_of(&self, conduit: Conduit) -> Scope {
        match conduit {
            Conduit::Link(link) => self.links.get(&link).map_or(Scope::Lobby, |link| link.scope),
            Conduit::Channel(key) => match self.rooms.by_id.get(&key.room).map(|room| room.kind) {
                Some(RoomKind::Members) => Scope::Members,
                _ => Scope::Lobby,
            },
            // Only members have such channels, under the members' key.
            Conduit::Through(_) => Scope::Members,
        }
    }

    /// All conduits to `member`, best first: direct links that are heard, channels over relays that are heard, channels through
    /// members, the rest.
    fn conduits_to(&self, now: Option<Now>, member: MemberId) -> Vec<Conduit> {
        let mut conduits: Vec<(bool, u8, Conduit)> = Vec::new();
        if let Some(peer) = self.peers.get(&member) {
            for link in peer.links.iter().rev() {
                let silent = now.is_some_and(|now| {
                    self.links
                        .get(link)
                        .is_none_or(|state| state.monitor.is_silent(now.monotonic))
                });
                conduits.push((silent, 0, Conduit::Link(*link)));
            }
        }
        for (key, channel) in &self.channels {
            if channel.peer() == Some(member) {
                let rank = self.rank_of(key);
                let doubtful = now.is_some_and(|now| self.is_way_doubtful(now.monotonic, key.relay));
                conduits.push((doubtful, rank, Conduit::Channel(*key)));
            }
        }
        for through in self.channels_through(member) {
            conduits.push((false, 3, Conduit::Through(through)));
        }
        conduits.sort_by_key(|(silent, rank, _)| (*silent, *rank));
        conduits.into_iter().map(|(.., conduit)| conduit).collect()
    }

    /// Channels in the present members' room come before those in rooms that are being left: the lobby, and the rooms
    /// of the former secret.
    fn rank_of(&self, key: &ChannelKey) -> u8 {
        let psk = self.secrets.member_psk(&self.meeting);
        let present = |room: &super::rooms::Room| Some(&room.psk) == psk.as_ref();
        match self.rooms.by_id.get(&key.room) {
            Some(room) if present(room) => 1,
            Some(room) if room.kind == RoomKind::Members => 2,
            _ => 3,
        }
    }

    /// All conduits to `member`.
    pub(super) fn all_conduits(&self, member: MemberId) -> Vec<Conduit> {
        self.conduits_to(None, member)
    }

    /// Whether `member` can be told anything at the moment.
    pub(super) fn is_reachable(&self, member: MemberId) -> bool {
        !self.conduits_to(None, member).is_empty()
    }

    /// Tells `member`; `false` if no conduit took it. What matters is said again when a conduit opens.
    pub(super) fn send_to(&mut self, now: Option<Now>, member: MemberId, message: &ControlMessage) -> bool {
        let conduits = self.conduits_to(now, member);
        let bytes = message.encode();
        conduits
            .into_iter()
            .any(|conduit| self.send_bytes(conduit, &bytes))
    }

    /// Tells the person at the other end of `conduit`.
    pub(super) fn send_on(&mut self, conduit: Conduit, message: &ControlMessage) -> bool {
        self.send_bytes(conduit, &message.encode())
    }

    fn send_bytes(&mut self, conduit: Conduit, bytes: &[u8]) -> bool {
        match conduit {
            Conduit::Link(link) if self.links.contains_key(&link) => {
                self.outputs.push_back(Output::Control {
                    link,
                    bytes: bytes.to_vec(),
                });
                true
            }
            Conduit::Link(_) => false,
            Conduit::Through(through) => {
                bytes.len() <= MESSAGE_BYTES_MAX && self.send_through(through, bytes)
            }
            Conduit::Channel(key) => {
                bytes.len() <= MESSAGE_BYTES_MAX && self.channels.get_mut(&key).is_some_and(|c| c.send(bytes))
            }
        }
    }

    /// Tells every member.
    pub(super) fn broadcast(&mut self, message: &ControlMessage) {
        self.broadcast_except(None, message);
    }

    /// Tells every member but one.
    pub(super) fn broadcast_except(&mut self, except: Option<MemberId>, message: &ControlMessage) {
        let members = self.log.view().members.keys();
        let members: Vec<MemberId> = members
            .filter(|id| **id != self.me && Some(**id) != except)
            .copied()
            .collect();
        for member in members {
            self.send_to(None, member, message);
        }
    }

    /// A conduit opened, with its peer proven: introductions, and whatever the peer may have missed.
    pub(super) fn conduit_opened(&mut self, now: Now, member: MemberId, conduit: Conduit) {
        if !self.is_member() {
            if self.is_doorkeeper(member) {
                self.knock_on(now, conduit);
            }
            return;
        }
        let is_member = self.log.view().members.contains_key(&member);
        if self.scope_of(conduit) == Scope::Members {
            self.show_credential(conduit);
            let (hello, heads) = (self.hello(), self.heads_message());
            self.send_on(conduit, &hello);
            self.send_on(conduit, &heads);
            if let Some(operation) = self.secrets.current_epoch() {
                self.send_on(conduit, &ControlMessage::Moved(operation));
            }
        } else if !is_member {
            // Whoever holds no more than a ticket learns no name; but a co-host has to prove that it may answer.
            self.show_charge(conduit);
        }
        if is_member {
            self.publisher.resend_to(now.monotonic, member);
            self.tell_forwarding(conduit, member);
            self.conversation.conduit_opened(now, &self.log, member);
        }
    }

    /// Who this is. Addresses only if direct links are wanted.
    pub(super) fn hello(&self) -> ControlMessage {
        let addresses = self.advertised().into_iter();
        let descriptors = self
            .relays
            .values()
            .map(|session| session.descriptor().signed().to_bytes());
        let descriptors = descriptors
            .filter(|bytes| bytes.len() <= DESCRIPTOR_BYTES_MAX)
            .take(RELAYS_MAX);
        ControlMessage::Hello(Hello {
            name: self.name.clone(),
            addresses: fit(addresses.map(Into::into).collect()),
            relays: fit(descriptors.map(fit).collect()),
            ways: fit(self.ways_through().into_iter().collect()),
        })
    }

    /// After addresses or relays changed.
    pub(super) fn say_hello_to_all(&mut self) {
        if self.is_member() {
            let hello = self.hello();
            self.broadcast(&hello);
        }
    }

    /// Sends operations in messages that each fit an envelope.
    pub(super) fn send_operations(&mut self, conduit: Conduit, operations: Vec<SignedOperation>) {
        let mut batch: Vec<SignedOperation> = Vec::new();
        let mut bytes = 0;
        for operation in operations {
            let size = operation.body().len() + 80;
            if !batch.is_empty()
                && (batch.len() == OPERATIONS_MAX || bytes + size > OPERATION_BATCH_BYTES_MAX)
            {
                self.send_on(
                    conduit,
                    &ControlMessage::Operations(fit(std::mem::take(&mut batch))),
                );
                bytes = 0;
            }
            bytes += size;
            batch.push(operation);
        }
        if !batch.is_empty() {
            self.send_on(conduit, &ControlMessage::Operations(fit(batch)));
        }
    }
}

/// A list that was cut to its bound before.
pub(super) fn fit<T, const MAX: usize>(list: Vec<T>) -> BoundedVec<T, MAX> {
    debug_assert!(list.len() <= MAX);
    list.try_into().unwrap_or_default()
}
