//! The rules that a route policy is made of.

use std::{collections::BTreeSet, fmt};

use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::{Country, CountrySet, attestation::IssuerId, evidence::EvidenceLevel};

/// Most issuers that a policy names. Reason: a descriptor shows eight attestations at most.
pub const ISSUERS_MAX: usize = 16;
/// Most autonomous systems that a policy denies. Reason: a policy travels in every ticket.
pub const DENIED_ASNS_MAX: usize = 64;

/// Which countries one axis of the policy allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CountryRule {
    /// Any country.
    Any,
    /// These; none, if the set is empty.
    Only(CountrySet),
}

impl CountryRule {
    /// Allows no country.
    #[must_use]
    pub fn none() -> Self {
        Self::Only(CountrySet::default())
    }

    /// Whether `country` is allowed.
    #[must_use]
    pub fn allows(&self, country: Country) -> bool {
        match self {
            Self::Any => true,
            Self::Only(set) => set.contains(country),
        }
    }
}

impl fmt::Display for CountryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any country"),
            Self::Only(set) => set.fmt(f),
        }
    }
}

/// At least so many of these issuers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuerRule {
    at_least: u8,
    of: BTreeSet<IssuerId>,
}

/// Issuers and a count that do not fit each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{at_least} of {of} issuers: 1 to {ISSUERS_MAX} issuers are allowed, and a count from 1 to theirs")]
pub struct IssuerRuleError {
    /// The count.
    pub at_least: u8,
    /// How many issuers.
    pub of: usize,
}

impl IssuerRule {
    /// At least `at_least` of `of`.
    ///
    /// # Errors
    /// [`IssuerRuleError`] unless 1 ≤ `at_least` ≤ number of issuers ≤ [`ISSUERS_MAX`].
    pub fn new(at_least: u8, of: BTreeSet<IssuerId>) -> Result<Self, IssuerRuleError> {
        if at_least == 0 || usize::from(at_least) > of.len() || of.len() > ISSUERS_MAX {
            return Err(IssuerRuleError {
                at_least,
                of: of.len(),
            });
        }
        Ok(Self { at_least, of })
    }

    /// How many must agree.
    #[must_use]
    pub fn at_least(&self) -> u8 {
        self.at_least
    }

    /// The issuers.
    #[must_use]
    pub fn issuers(&self) -> &BTreeSet<IssuerId> {
        &self.of
    }
}

impl Encode for IssuerRule {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        (self.at_least, &self.of).encode(encoder)
    }
}

impl<C> Decode<C> for IssuerRule {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let (at_least, of) = Decode::decode(decoder)?;
        Self::new(at_least, of).map_err(|_| DecodeError::Other("issuers"))
    }
}

impl<'de, C> BorrowDecode<'de, C> for IssuerRule {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// The evidence that a relay must have; each includes the ones before it (see [`EvidenceLevel`]).
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EvidenceRule {
    /// L0: its signed word is enough.
    Declared,
    /// L1: also the word of issuers.
    Attested(IssuerRule),
    /// L2: also GeoIP sources, which each user supplies.
    Located(IssuerRule),
    /// L3: also round-trip times. No relay passes in this version.
    Measured(IssuerRule),
}

impl EvidenceRule {
    /// The level that it asks for.
    #[must_use]
    pub fn level(&self) -> EvidenceLevel {
        match self {
            Self::Declared => EvidenceLevel::Declared,
            Self::Attested(_) => EvidenceLevel::Attested,
            Self::Located(_) => EvidenceLevel::Located,
            Self::Measured(_) => EvidenceLevel::Measured,
        }
    }

    /// The issuers that it asks for, at all levels but the first.
    #[must_use]
    pub fn issuers(&self) -> Option<&IssuerRule> {
        match self {
            Self::Declared => None,
            Self::Attested(issuers) | Self::Located(issuers) | Self::Measured(issuers) => Some(issuers),
        }
    }
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

impl DiscoveryRule {
    /// Every rule, the narrowest first.
    pub const ALL: [Self; 4] = [Self::Off, Self::Lan, Self::PermittedRelays, Self::Any];

    /// The word for it in a policy file.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Lan => "lan",
            Self::PermittedRelays => "permitted-relays",
            Self::Any => "any",
        }
    }
}

impl fmt::Display for DiscoveryRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.keyword())
    }
}

/// Autonomous systems that no relay may be in: at most [`DENIED_ASNS_MAX`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeniedAsns(BTreeSet<u32>);

/// More than [`DENIED_ASNS_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} autonomous systems are denied, {DENIED_ASNS_MAX} can be")]
pub struct TooManyAsns(pub usize);

impl DeniedAsns {
    /// Denies `asns`.
    ///
    /// # Errors
    /// [`TooManyAsns`] beyond [`DENIED_ASNS_MAX`].
    pub fn new(asns: BTreeSet<u32>) -> Result<Self, TooManyAsns> {
        if asns.len() > DENIED_ASNS_MAX {
            Err(TooManyAsns(asns.len()))
        } else {
            Ok(Self(asns))
        }
    }

    /// Whether none is denied.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many are denied.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether `asn` is denied.
    #[must_use]
    pub fn contains(&self, asn: u32) -> bool {
        self.0.contains(&asn)
    }
}

impl Encode for DeniedAsns {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for DeniedAsns {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::new(BTreeSet::decode(decoder)?).map_err(|_| DecodeError::Other("autonomous systems"))
    }
}

impl<'de, C> BorrowDecode<'de, C> for DeniedAsns {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}
