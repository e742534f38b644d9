//! What a meeting permits: total, literal, and denying by default.

use std::collections::BTreeSet;

use bincode::{Decode, Encode};

use super::{Country, CountrySet, attestation::IssuerId, evidence::EvidenceLevel};
use crate::time::UnixSeconds;

/// Which countries one axis of the policy allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountryRule {
    /// Any country.
    Any,
    /// These; none, if the set is empty.
    Only(CountrySet),
}

impl CountryRule {
    /// Whether `country` is allowed.
    #[must_use]
    pub fn allows(&self, country: Country) -> bool {
        match self {
            Self::Any => true,
            Self::Only(set) => set.contains(country),
        }
    }
}

/// At least `at_least` of the issuers `of`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRule {
    at_least: u8,
    of: BTreeSet<IssuerId>,
}

/// The evidence that a relay must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EvidenceRule {
    /// L0.
    Declared,
    /// L1.
    Attested(IssuerRule),
    /// L2.
    Located(IssuerRule),
    /// L3.
    Measured(IssuerRule),
}

/// Which discovery services may be used; each includes the ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum DiscoveryRule {
    /// None: the ticket's addresses only.
    Off,
    /// Multicast DNS on the local network.
    Lan,
    /// Also services of relays that the policy permits.
    PermittedRelays,
    /// Also the public DHT.
    Any,
}

/// A meeting's route policy (`proto/spec/policy.md`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePolicy {
    /// Where a relay may be hosted.
    pub hosting: CountryRule,
    /// Where its operator may have its legal seat.
    pub legal_seat: CountryRule,
    /// Where whoever controls the operator may have its seat.
    pub parent_seat: CountryRule,
    /// What must support these statements.
    pub evidence: EvidenceRule,
    /// Autonomous systems that no relay may be in. Unless it is empty, a relay must state its own.
    pub denied_asns: BTreeSet<u32>,
    /// No relay at all.
    pub direct_only: bool,
    /// Whether members may forward media for members.
    pub members_may_forward: bool,
    /// See [`DiscoveryRule`].
    pub discovery: DiscoveryRule,
    /// The first second at which the policy permits nothing any more.
    pub expires: Option<UnixSeconds>,
}

/// Policies with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Any country.
    Any,
    /// EU only.
    Eu,
    /// EEA only.
    Eea,
    /// Direct paths only.
    Direct,
}

impl RoutePolicy {
    /// One line for people, e.g. `EEA only`.
    #[must_use]
    pub fn summary(&self) -> String {
        todo!()
    }
}

impl From<Preset> for RoutePolicy {
    fn from(preset: Preset) -> Self {
        let _ = (preset, EvidenceLevel::Declared);
        todo!()
    }
}
