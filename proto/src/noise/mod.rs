//! Hop by hop: QUIC whose handshake is Noise instead of TLS (`proto/spec/noise-quic.md`).
//!
//! `client` and `server` make the configurations that quinn-proto takes, for the *member leg* (participant to
//! participant, `XXhfs+psk0`) and the *relay leg* (anybody to a relay, `XKhfs`). `token` keeps the port silent,
//! [`pairwise`] runs the same handshake inside envelopes. Nothing here reads a clock or ambient randomness.

pub mod binding;
pub mod client;
pub mod endpoint_config;
pub mod framing;
pub mod pairwise;
pub mod server;
pub mod token;

mod ack_delay;
mod error;
mod exchange;
mod handshake;
mod initial;
mod kem;
mod key_schedule;
mod packet_protection;
mod resolver;
mod session;
mod token_key;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use aws_lc_rs::digest;
use zeroize::{Zeroize, ZeroizeOnDrop};

pub use self::{endpoint_config::endpoint_config, error::HandshakeError, key_schedule::EXPORT_BYTES_MAX};
use crate::time::UnixSeconds;

/// The QUIC version that we speak, the only one: private use, "Sr" and the protocol's version 1. It is mixed into the
/// handshake's prologue, so both sides agree on it or do not connect.
pub const QUIC_VERSION: u32 = 0x5372_0001;

/// The number of keys that a member accepts at a time. Reason: each is tried on message 1 (about 10 µs); two lobbies and
/// two members' keys around a change of the room secret, for two meetings.
pub const ACCEPT_KEYS_MAX: usize = 8;

/// Wall-clock time as an input of a configuration that outlives one call; the driver reads the clock.
pub type Clock = Arc<dyn Fn() -> UnixSeconds + Send + Sync>;

/// A pre-shared key of a meeting, 32 bytes: derived from the ticket's or the room's secret. Erased on drop.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Psk(pub [u8; 32]);

impl Psk {
    /// A name for this key that reveals nothing about it: 8 bytes of SHA-256 under a label.
    #[must_use]
    pub fn id(&self) -> PskId {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"subrosa-nq-psk-id-v1\0");
        hash.update(&self.0);
        let mut id = [0; 8];
        id.copy_from_slice(&hash.finish().as_ref()[..8]);
        PskId(id)
    }
}

impl std::fmt::Debug for Psk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Psk({:02x?})", &self.id().0[..4])
    }
}

/// Who is turned away inside the handshake: an identity that was removed still knows the keys that it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Unadmitted {
    /// The keys that do not open the port to them. (The lobby's still does: they may knock.)
    pub keys: Vec<PskId>,
    /// Their Ed25519 keys.
    pub members: std::collections::BTreeSet<[u8; 32]>,
}

impl Unadmitted {
    /// Whether `peer` is turned away under this key.
    #[must_use]
    pub fn covers(&self, psk: Option<PskId>, peer: &[u8; 32]) -> bool {
        psk.is_some_and(|psk| self.keys.contains(&psk)) && self.members.contains(peer)
    }
}

/// Which pre-shared key a handshake used ([`Psk::id`]); stays right when the set of accepted keys changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PskId(pub [u8; 8]);

/// The kinds of connection; mixed into the prologue, so that a message of one is garbage to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Leg {
    /// Participant to participant over QUIC.
    Member = 1,
    /// Participant or relay to a relay over QUIC.
    Relay = 2,
    /// Participant to participant inside envelopes that relays carry ([`pairwise`]).
    Envelope = 3,
}

/// Who is at the other end: what `peer_identity()` of a connection gives once the handshake has finished.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerIdentity {
    /// The peer's Ed25519 key: a `MemberId` on the member leg, a `RelayId` where we dialled a relay, a
    /// pseudonym where somebody dialled us as a relay.
    pub key: [u8; 32],
    /// The index in [`server::MemberAccept::keys`] that the peer proved to know; `None` on dialled and relay legs.
    /// It counts in the configuration in force when the connection arrived; prefer [`PeerIdentity::psk`].
    pub accept_key: Option<usize>,
    /// The key of the meeting that both sides proved to know; `None` on the relay leg.
    pub psk: Option<PskId>,
    /// The kind of connection.
    pub leg: Leg,
}
