//! What a relay states about itself: where it can be reached, where it is hosted, under whose law its operator stands.

use std::net::SocketAddr;

use bincode::{Decode, Encode};

use super::{Country, attestation::Attestation, family::Membership, label::Label};
use crate::{ids::RelayId, time::UnixSeconds};

/// Most addresses in a descriptor. Reason: IPv4 and IPv6 on a few ports or uplinks; each one is dialled in parallel.
pub const ADDRESSES_MAX: usize = 8;
/// Most addresses for TCP in a descriptor. Reason: IPv4 and IPv6, on port 443 and on one that the operator likes better.
pub const TCP_ADDRESSES_MAX: usize = 4;
/// Most attestations in a descriptor. Reason: each costs a signature check.
pub const ATTESTATIONS_MAX: usize = 8;
/// The longest validity in seconds: 24 hours, so that a withdrawn or changed statement is gone a day later.
pub const VALIDITY_SECONDS_MAX: u64 = 24 * 3_600;
/// How far in the future `valid_from` may lie, in seconds, because clocks differ. Expiry has no such grace.
pub const CLOCK_SKEW_SECONDS_MAX: u64 = 120;
/// The version of the relay protocol that this version speaks.
pub const RELAY_PROTOCOL_VERSION: u16 = 1;

/// The operator's name, at most 64 bytes.
pub type OperatorName = Label<64>;
/// How to reach the operator (mail address or web address), at most 128 bytes.
pub type Contact = Label<128>;

/// SHA-256 of a descriptor's statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct DescriptorHash(pub [u8; 32]);

/// What the relay's logs hold, as its operator states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub enum LogPolicy {
    /// Counters and faults; no addresses and no identities.
    CountersOnly,
    /// Also addresses of clients, kept this long.
    Addresses {
        /// How long, in days, rounded up.
        days: u16,
    },
}

/// What the relay offers at most. Zero means that the operator states no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct Limits {
    /// Sessions at one time.
    pub sessions_max: u32,
    /// Rooms at one time.
    pub rooms_max: u32,
    /// Kilobits per second that one session may send.
    pub session_kbit_per_s_max: u32,
}

/// The seats of the operator and of whoever controls it.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Operator {
    /// Its name.
    pub name: OperatorName,
    /// How to reach it.
    pub contact: Contact,
    /// Where it has its legal seat; for a person, where that person lives.
    pub legal_seat: Country,
    /// Where whoever controls it in the end has its seat; its own seat if nobody does.
    pub parent_seat: Country,
}

/// A relay's statement about itself, not yet signed (`proto/spec/descriptor.md`).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Descriptor {
    /// The relay's identity, which signs the descriptor.
    pub relay: RelayId,
    /// The relay's Noise static key (X25519).
    pub static_key: [u8; 32],
    /// Where it accepts connections: 1 to [`ADDRESSES_MAX`], each once, ports not zero.
    pub addresses: Vec<SocketAddr>,
    /// Where it takes the same connections over TCP, from networks that let no UDP through: at most [`TCP_ADDRESSES_MAX`],
    /// otherwise as `addresses`.
    pub tcp_addresses: Vec<SocketAddr>,
    /// The autonomous system that announces the addresses.
    pub asn: Option<u32>,
    /// The country in which its hardware stands.
    pub hosting: Country,
    /// Who runs it.
    pub operator: Operator,
    /// The family to which it belongs, which signed for it; holds as long as the descriptor at least.
    pub family: Option<Membership>,
    /// See [`LogPolicy`].
    pub log_policy: LogPolicy,
    /// See [`Limits`].
    pub limits: Limits,
    /// What issuers say about it: at most [`ATTESTATIONS_MAX`], one for each issuer, in the order of the issuers' keys.
    pub attestations: Vec<Attestation>,
    /// The version of the relay protocol, see [`RELAY_PROTOCOL_VERSION`].
    pub protocol_version: u16,
    /// Rises with each descriptor of this relay. A relay that lost its count goes on with the present Unix time.
    pub sequence: u64,
    /// The hash of the descriptor before this one; `None` at the beginning of a chain.
    pub previous: Option<DescriptorHash>,
    /// The first second at which it holds.
    pub valid_from: UnixSeconds,
    /// The first second at which it no longer holds, at most [`VALIDITY_SECONDS_MAX`] after `valid_from`.
    pub valid_until: UnixSeconds,
}

/// Which bound of a descriptor does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DescriptorFault {
    /// Not 1 to [`ADDRESSES_MAX`] addresses.
    #[error("it has {0} addresses, 1 to {ADDRESSES_MAX} are allowed")]
    AddressCount(usize),
    /// More than [`TCP_ADDRESSES_MAX`] addresses for TCP.
    #[error("it has {0} addresses for TCP, {TCP_ADDRESSES_MAX} are allowed")]
    TcpAddressCount(usize),
    /// An address that nobody can dial, or one that is there twice.
    #[error("the address {0} cannot be dialled from elsewhere or is there twice")]
    Address(SocketAddr),
    /// More than [`ATTESTATIONS_MAX`] attestations.
    #[error("it has {0} attestations, {ATTESTATIONS_MAX} are allowed")]
    AttestationCount(usize),
    /// Attestations that do not stand in the order of their issuers' keys, or two of one issuer.
    #[error("its attestations are not one for each issuer in the order of the issuers' keys")]
    AttestationOrder,
    /// The family signed for less time than the descriptor holds.
    #[error("its family signed for it until {0} only, before the descriptor ends")]
    FamilyEnds(UnixSeconds),
    /// The identity that signs is not the relay's.
    #[error("the identity that signs is not the relay that it names")]
    OtherRelay,
}

impl Descriptor {
    /// Checks the bounds that the types of the fields leave open. Validity is checked with the signature.
    ///
    /// # Errors
    /// [`DescriptorFault`] for the first that does not hold.
    pub fn check(&self) -> Result<(), DescriptorFault> {
        if self.addresses.is_empty() || self.addresses.len() > ADDRESSES_MAX {
            return Err(DescriptorFault::AddressCount(self.addresses.len()));
        }
        if self.tcp_addresses.len() > TCP_ADDRESSES_MAX {
            return Err(DescriptorFault::TcpAddressCount(self.tcp_addresses.len()));
        }
        let bad = first_bad_address(&self.addresses).or_else(|| first_bad_address(&self.tcp_addresses));
        if let Some(bad) = bad {
            return Err(DescriptorFault::Address(bad));
        }
        if self.attestations.len() > ATTESTATIONS_MAX {
            return Err(DescriptorFault::AttestationCount(self.attestations.len()));
        }
        if !self.attestations.is_sorted_by(|a, b| a.issuer() < b.issuer()) {
            return Err(DescriptorFault::AttestationOrder);
        }
        if let Some(family) = &self.family
            && family.valid_until() < self.valid_until
        {
            return Err(DescriptorFault::FamilyEnds(family.valid_until()));
        }
        Ok(())
    }
}

/// The first address that cannot be dialled (no port, unspecified, multicast, broadcast, or IPv4 dressed up as IPv6),
/// that carries what the wire form leaves out (scope, flow label), or that is there twice.
pub(crate) fn first_bad_address(addresses: &[SocketAddr]) -> Option<SocketAddr> {
    let bad = |at: usize, address: SocketAddr| {
        let wrong_kind = match address {
            SocketAddr::V4(v4) => v4.ip().is_broadcast(),
            SocketAddr::V6(v6) => {
                v6.ip().to_ipv4_mapped().is_some() || v6.scope_id() != 0 || v6.flowinfo() != 0
            }
        };
        let ip = address.ip();
        wrong_kind
            || address.port() == 0
            || ip.is_unspecified()
            || ip.is_multicast()
            || addresses[..at].contains(&address)
    };
    addresses
        .iter()
        .copied()
        .enumerate()
        .find(|&(at, address)| bad(at, address))
        .map(|(_, address)| address)
}
