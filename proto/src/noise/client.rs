//! Dialling: configurations for outgoing connections.

use quinn_proto::ClientConfig;

use super::{Clock, Psk};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, RelayId},
    random::Random,
};

/// What is needed to dial a member.
pub struct MemberDial {
    /// Who we are.
    pub identity: Identity,
    /// The meeting that both belong to; part of the prologue.
    pub meeting: MeetingId,
    /// The meeting's key.
    pub psk: Psk,
    /// Whom we expect; `None` accepts anybody who knows the key (the caller then looks at `peer_identity`).
    pub expected: Option<MemberId>,
    /// Wall-clock time, for the validity of identity bindings.
    pub clock: Clock,
    /// For ephemeral keys and connection ids.
    pub random: Random,
}

/// What is needed to dial a relay.
pub struct RelayDial {
    /// The relay's identity; its binding must be signed by it.
    pub relay: RelayId,
    /// The relay's static X25519 key, from its descriptor.
    pub static_key: [u8; 32],
    /// Who we are to this relay: a fresh identity per (meeting, relay).
    pub identity: Identity,
    /// Wall-clock time, for the validity of identity bindings.
    pub clock: Clock,
    /// For ephemeral keys and connection ids.
    pub random: Random,
}

/// A configuration that dials one member, once or several times. The transport configuration is quinn's default; the
/// driver sets its own.
#[must_use]
pub fn member(dial: MemberDial) -> ClientConfig {
    let _ = dial;
    todo!()
}

/// A configuration that dials one relay.
#[must_use]
pub fn relay(dial: RelayDial) -> ClientConfig {
    let _ = dial;
    todo!()
}
