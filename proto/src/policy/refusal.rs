//! Refusals that name their clause.

use std::fmt;

use crate::ids::RelayId;

/// Which clause of the policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Clause {
    /// The policy expired.
    PolicyExpired,
    /// The policy allows no relay at all.
    DirectOnly,
    /// The relay's descriptor does not hold yet.
    DescriptorNotYetValid,
    /// The relay's descriptor expired.
    DescriptorExpired,
    /// The relay speaks another version of the relay protocol.
    ProtocolVersion,
    /// The country in which the relay is hosted.
    Hosting,
    /// The legal seat of its operator.
    LegalSeat,
    /// The seat of whoever controls the operator.
    ParentSeat,
    /// Its autonomous system is denied.
    DeniedAsn,
    /// Some autonomous systems are denied, and it does not state its own.
    AsnNotStated,
    /// Too few of the issuers that the policy names attest its statement.
    EvidenceAttested,
    /// An issuer that the policy names says something else than the relay.
    EvidenceContradicted,
    /// Agreement of GeoIP sources (L2) is missing.
    EvidenceLocated,
    /// Measured round-trip times (L3) are missing.
    EvidenceMeasured,
    /// Members may not forward.
    MembersMayForward,
    /// The discovery service is not allowed.
    Discovery,
}

impl Clause {
    /// Every clause.
    pub const ALL: [Self; 16] = [
        Self::PolicyExpired,
        Self::DirectOnly,
        Self::DescriptorNotYetValid,
        Self::DescriptorExpired,
        Self::ProtocolVersion,
        Self::Hosting,
        Self::LegalSeat,
        Self::ParentSeat,
        Self::DeniedAsn,
        Self::AsnNotStated,
        Self::EvidenceAttested,
        Self::EvidenceContradicted,
        Self::EvidenceLocated,
        Self::EvidenceMeasured,
        Self::MembersMayForward,
        Self::Discovery,
    ];

    /// The stable name, in snake case, for logs, events and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::PolicyExpired => "policy_expired",
            Self::DirectOnly => "direct_only",
            Self::DescriptorNotYetValid => "descriptor_not_yet_valid",
            Self::DescriptorExpired => "descriptor_expired",
            Self::ProtocolVersion => "protocol_version",
            Self::Hosting => "hosting",
            Self::LegalSeat => "legal_seat",
            Self::ParentSeat => "parent_seat",
            Self::DeniedAsn => "denied_asn",
            Self::AsnNotStated => "asn_not_stated",
            Self::EvidenceAttested => "evidence_attested",
            Self::EvidenceContradicted => "evidence_contradicted",
            Self::EvidenceLocated => "evidence_located",
            Self::EvidenceMeasured => "evidence_measured",
            Self::MembersMayForward => "members_may_forward",
            Self::Discovery => "discovery",
        }
    }
}

impl fmt::Display for Clause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A refusal. Displays as `refused relay ABCD-EFGH-IJKL-MNOP: hosted US, the policy allows EEA`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused {what}: {reason}")]
pub struct Refusal {
    /// What was refused, e.g. `relay ABCD-EFGH-IJKL-MNOP`.
    pub what: String,
    /// The relay, if it was one.
    pub relay: Option<RelayId>,
    /// Which clause refused it.
    pub clause: Clause,
    /// Why, for people.
    pub reason: String,
}
