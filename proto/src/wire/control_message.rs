//! What members say to each other, over a direct link or a pairwise channel (`proto/spec/control.md`).
//!
//! Whoever receives a message knows its sender from the channel's handshake, never from the message. Each message can be
//! lost and said again: senders repeat what matters until it is answered.

use std::net::SocketAddr;

use bincode::{Decode, Encode};

use crate::{
    ids::{MemberId, OperationHash, RelayId, StreamId},
    media::reception_report::ReceptionReport,
    meeting::{
        admission::RefusalReason,
        charge::CHARGE_MAX,
        checkpoint::PART_BYTES_MAX,
        conversation::message::ConversationMessage,
        keys::{KeyAck, KeyMessage},
        name::Name,
        operation::SignedOperation,
    },
    mesh::hole_punch::{Mapping, Stage},
    wire::{
        bounded::{BoundedBytes, BoundedText, BoundedVec},
        codec::{self, DecodeError},
        door_message::DoorMessage,
        forwarding_message::ForwardingMessage,
        moderation::Moderation,
    },
};

/// Addresses that a member may state. Reason: four interfaces with both address families.
pub const ADDRESSES_MAX: usize = 8;
/// Relay descriptors that a member may pass on at a time.
pub const RELAYS_MAX: usize = 4;
/// Bytes of an encoded relay descriptor.
pub const DESCRIPTOR_BYTES_MAX: usize = 2_048;
/// Operations in one message; a longer log goes in several.
pub const OPERATIONS_MAX: usize = 32;
/// Bytes of operations in one message, so that it fits an envelope.
pub const OPERATION_BATCH_BYTES_MAX: usize = 10 * 1_024;
/// Peers in one message.
pub const PEERS_MAX: usize = 32;
/// Heads of a roster log.
pub const HEADS_MAX: usize = 8;
/// Room secrets of before that a member keeps. Reason: with the present one and the lobby's, twice over at midnight, they
/// make as many rooms as a session may have at a relay; with the lobby's key, they open a port.
pub const FORMER_SECRETS_MAX: usize = 4;
/// Addresses at which relays see a member. Reason: one for each address family; more only tell that the NAT gives every
/// destination another port.
pub const SEEN_MAX: usize = 2;
/// Bytes of a ticket's text.
pub const TICKET_BYTES_MAX: usize = 6_144;

/// Addresses at which a member can be dialled.
pub type Addresses = BoundedVec<WireAddress, ADDRESSES_MAX>;
/// The heads of a roster log.
pub type Heads = BoundedVec<OperationHash, HEADS_MAX>;

/// A socket address: IPv4-mapped IPv6 addresses are written as IPv4, so that one address has one form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum WireAddress {
    /// Four bytes and a port.
    V4([u8; 4], u16),
    /// Sixteen bytes and a port.
    V6([u8; 16], u16),
}

impl From<SocketAddr> for WireAddress {
    fn from(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            std::net::IpAddr::V4(ip) => Self::V4(ip.octets(), address.port()),
            std::net::IpAddr::V6(ip) => Self::V6(ip.octets(), address.port()),
        }
    }
}

impl From<WireAddress> for SocketAddr {
    fn from(address: WireAddress) -> Self {
        match address {
            WireAddress::V4(ip, port) => (ip, port).into(),
            WireAddress::V6(ip, port) => (ip, port).into(),
        }
    }
}

/// The first message on every channel, in both directions. From somebody who is not a member it is the knock.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    /// The name to show; proves nothing.
    pub name: Name,
    /// Where the sender can be dialled; empty if it does not want direct links.
    pub addresses: Addresses,
    /// Encoded signed descriptors of relays that the sender can use; the receiver judges each by the policy.
    pub relays: BoundedVec<BoundedBytes<DESCRIPTOR_BYTES_MAX>, RELAYS_MAX>,
    /// Relays that the sender does not reach itself, and through which other one it uses them.
    pub ways: BoundedVec<(RelayId, RelayId), RELAYS_MAX>,
}

/// Where another member can be dialled, as the sender knows it. A hint: the handshake proves who answers.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PeerHint {
    /// Which member.
    pub member: MemberId,
    /// Where.
    pub addresses: Addresses,
}

/// The secret of one epoch: to somebody who was admitted or comes back, and to those who remain after a removal.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct RoomSecretGrant {
    /// The operation that began the epoch and commits to the secret: Found or Remove.
    pub operation: OperationHash,
    /// The secret.
    pub secret: [u8; 32],
    /// The newest ticket that the sender knows, to come back with.
    pub ticket: Option<BoundedText<TICKET_BYTES_MAX>>,
}

impl std::fmt::Debug for RoomSecretGrant {
    /// The epoch only: the secret and the ticket open doors.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RoomSecretGrant")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// What somebody who comes in needs, beside the roster.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Welcome {
    /// The present epoch's secret.
    pub grant: RoomSecretGrant,
    /// Those of before that members who cannot be reached may still use: the newcomer may reach them.
    pub former: BoundedVec<FormerSecret, FORMER_SECRETS_MAX>,
}

/// The secret of an epoch that is over.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct FormerSecret {
    /// The operation that began the epoch.
    pub operation: OperationHash,
    /// The secret.
    pub secret: [u8; 32],
}

impl std::fmt::Debug for FormerSecret {
    /// The epoch only.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FormerSecret")
            .field("operation", &self.operation)
            .finish_non_exhaustive()
    }
}

/// A part of a checkpoint of the roster log.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CheckpointPart {
    /// Of which one: its operation.
    pub checkpoint: OperationHash,
    /// Which part, from 0.
    pub number: u8,
    /// Of how many; all but the last are full.
    pub parts: u8,
    /// The bytes.
    pub bytes: BoundedBytes<PART_BYTES_MAX>,
}

/// What somebody lacks of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct WantCheckpoint {
    /// Which one; whoever has a later one sends that.
    pub checkpoint: OperationHash,
    /// The one at which the sender's own log begins: it does not lack that.
    pub known: Option<OperationHash>,
    /// The parts, one bit for each.
    pub lacking: u64,
}

/// A search for a way between two NATs (`proto/spec/control.md`, Punching).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Punch {
    /// How far the sender is.
    pub stage: Stage,
    /// Which search between the two this is.
    pub search: u8,
    /// Whether the sender's NAT gives every destination another port.
    pub mapping: Mapping,
    /// Where relays see the sender.
    pub seen: BoundedVec<WireAddress, SEEN_MAX>,
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum ControlMessage {
    /// See [`Hello`].
    Hello(Hello),
    /// The host has to decide; wait.
    Waiting,
    /// No.
    Refused(RefusalReason),
    /// You are in; the roster's operations came before.
    Welcome(Box<Welcome>),
    /// Roster operations, parents before children.
    Operations(BoundedVec<SignedOperation, OPERATIONS_MAX>),
    /// The sender's heads; a receiver who lacks one asks, one who has more sends.
    Heads(Heads),
    /// Send me what follows these heads.
    WantOperations(Heads),
    /// See [`RoomSecretGrant`].
    RoomSecret(RoomSecretGrant),
    /// I lack the room secret of the epoch that this operation began.
    WantRoomSecret(OperationHash),
    /// See [`PeerHint`].
    Peers(BoundedVec<PeerHint, PEERS_MAX>),
    /// A sender key.
    Key(Box<KeyMessage>),
    /// The sender key arrived and is good.
    KeyAck(KeyAck),
    /// Send me this track on this link (direct links only; relays have their own request).
    Subscribe(StreamId),
    /// No longer.
    Unsubscribe(StreamId),
    /// How the receiver's audio arrives here.
    Report(ReceptionReport),
    /// Are you there?
    Ping(u64),
    /// Yes.
    Pong(u64),
    /// To somebody at the door, from a co-host: I am in charge. The host of the ticket signed the first, whom it names
    /// signed the next, the last names the sender.
    Charge(BoundedVec<SignedOperation, CHARGE_MAX>),
    /// I hold the room secret of the epoch that this operation began, and use it.
    Moved(OperationHash),
    /// Chat, hands, reactions, polls, files (`proto/spec/conversation.md`).
    Conversation(Box<ConversationMessage>),
    /// See [`DoorMessage`].
    Door(DoorMessage),
    /// See [`Moderation`].
    Moderation(Moderation),
    /// I cannot reach these members: where are they?
    WantPeers(BoundedVec<MemberId, PEERS_MAX>),
    /// What the sender's roster log begins with, in parts.
    CheckpointPart(Box<CheckpointPart>),
    /// I lack what came before a checkpoint.
    WantCheckpoint(WantCheckpoint),
    /// Your frames come, but not their key.
    WantKey,
    /// See [`ForwardingMessage`].
    Forwarding(Box<ForwardingMessage>),
    /// See [`Punch`].
    Punch(Punch),
}

#[cfg(test)]
#[path = "control_message_tests.rs"]
mod tests;

impl ControlMessage {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one control frame or channel message.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but one canonical message within its bounds.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}
