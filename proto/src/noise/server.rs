//! Accepting: configurations for incoming connections.

use quinn_proto::ServerConfig;
use zeroize::Zeroizing;

use super::{Clock, Psk};
use crate::{identity::Identity, ids::MeetingId, random::Random};

/// What a member needs to accept members.
pub struct MemberAccept {
    /// Who we are.
    pub identity: Identity,
    /// The keys that open this port, each with its meeting. At most [`super::ACCEPT_KEYS_MAX`]; the rest is ignored.
    pub keys: Vec<(MeetingId, Psk)>,
    /// Wall-clock time, for identity bindings and Retry tokens.
    pub clock: Clock,
    /// For ephemeral keys.
    pub random: Random,
}

/// What a relay needs to accept anybody.
pub struct RelayAccept {
    /// The relay's identity.
    pub identity: Identity,
    /// The secret half of the static X25519 key in the relay's descriptor.
    pub static_secret: Zeroizing<[u8; 32]>,
    /// Wall-clock time, for identity bindings and Retry tokens.
    pub clock: Clock,
    /// For ephemeral keys.
    pub random: Random,
}

/// A configuration that accepts members.
#[must_use]
pub fn member(accept: MemberAccept) -> ServerConfig {
    let _ = accept;
    todo!()
}

/// A configuration that accepts anybody who knows the relay's static key.
#[must_use]
pub fn relay(accept: RelayAccept) -> ServerConfig {
    let _ = accept;
    todo!()
}

/// The public half of a relay's static key, for its descriptor.
#[must_use]
pub fn static_public(static_secret: &[u8; 32]) -> [u8; 32] {
    let _ = static_secret;
    todo!()
}
