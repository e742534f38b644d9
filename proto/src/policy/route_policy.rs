//! What a meeting permits: total, literal, and denying by default.

use std::fmt::Write;

use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::{
    CountryRule, CountrySet, DeniedAsns, DiscoveryRule, EvidenceRule, Region, evidence::EvidenceLevel,
};
use crate::time::UnixSeconds;

/// A meeting's route policy (`proto/spec/policy.md`). Every field has a value; the default permits direct paths and
/// nothing else.
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
    pub denied_asns: DeniedAsns,
    /// No relay at all.
    pub direct_only: bool,
    /// Whether members may forward media for members. Nobody knows in which country a member is.
    pub members_may_forward: bool,
    /// See [`DiscoveryRule`].
    pub discovery: DiscoveryRule,
    /// The first second at which the policy permits nothing any more.
    pub expires: Option<UnixSeconds>,
}

impl Default for RoutePolicy {
    /// Denies all that can be denied.
    fn default() -> Self {
        Self {
            hosting: CountryRule::none(),
            legal_seat: CountryRule::none(),
            parent_seat: CountryRule::none(),
            evidence: EvidenceRule::Declared,
            denied_asns: DeniedAsns::default(),
            direct_only: true,
            members_may_forward: false,
            discovery: DiscoveryRule::Off,
            expires: None,
        }
    }
}

/// Policies with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Relays in any country, forwarding members, any discovery service.
    Any,
    /// Relays hosted in the EU, with operator and parent there; no forwarding members, no public DHT.
    Eu,
    /// The same for the EEA.
    Eea,
    /// No relay and no forwarding member; discovery on the local network.
    Direct,
}

impl Preset {
    /// Every preset.
    pub const ALL: [Self; 4] = [Self::Any, Self::Eu, Self::Eea, Self::Direct];

    /// The word for it on the command line and in a policy file.
    #[must_use]
    pub const fn keyword(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Eu => "eu",
            Self::Eea => "eea",
            Self::Direct => "direct",
        }
    }

    /// The preset with this keyword.
    #[must_use]
    pub fn from_keyword(word: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|preset| preset.keyword().eq_ignore_ascii_case(word))
    }
}

impl From<Preset> for RoutePolicy {
    fn from(preset: Preset) -> Self {
        let in_countries = |rule: CountryRule| Self {
            hosting: rule.clone(),
            legal_seat: rule.clone(),
            parent_seat: rule,
            direct_only: false,
            discovery: DiscoveryRule::PermittedRelays,
            ..Self::default()
        };
        match preset {
            Preset::Any => Self {
                members_may_forward: true,
                discovery: DiscoveryRule::Any,
                ..in_countries(CountryRule::Any)
            },
            Preset::Eu => in_countries(CountryRule::Only(Region::Eu.countries())),
            Preset::Eea => in_countries(CountryRule::Only(Region::Eea.countries())),
            Preset::Direct => Self {
                discovery: DiscoveryRule::Lan,
                ..Self::default()
            },
        }
    }
}

impl RoutePolicy {
    /// One line for people: `EEA only`, `any country`, `direct paths only`, or the parts in which it is special.
    #[must_use]
    pub fn summary(&self) -> String {
        let mut line = self.relays_summary();
        let mut add = |part: std::fmt::Arguments<'_>| {
            line.push_str(", ");
            line.write_fmt(part).expect("writing to a String succeeds");
        };
        if !self.direct_only {
            if let Some(issuers) = self.evidence.issuers() {
                add(format_args!(
                    "attested by {} of {} issuers",
                    issuers.at_least(),
                    issuers.issuers().len()
                ));
            }
            if self.evidence.level() > EvidenceLevel::Attested {
                add(format_args!("{}", self.evidence.level()));
            }
            if !self.denied_asns.is_empty() {
                add(format_args!("{} networks denied", self.denied_asns.len()));
            }
        }
        if self.members_may_forward && self.hosting != CountryRule::Any {
            add(format_args!("members may forward"));
        }
        if let Some(expires) = self.expires {
            add(format_args!("until {expires}"));
        }
        line
    }

    fn relays_summary(&self) -> String {
        let axes = [&self.hosting, &self.legal_seat, &self.parent_seat];
        if self.direct_only {
            return String::from("direct paths only");
        }
        if axes.contains(&&CountryRule::none()) {
            return String::from("no relay (no country is allowed)");
        }
        match axes {
            [CountryRule::Any, CountryRule::Any, CountryRule::Any] => String::from("any country"),
            [CountryRule::Only(one), second, third] if self.hosting == *second && second == third => {
                format!("{one} only")
            }
            [hosting, seat, parent] => {
                format!("hosted in {hosting}, operator in {seat}, controlled from {parent}")
            }
        }
    }
}

/// Tags of a country rule on the wire.
mod tag {
    pub(super) const ANY: u8 = 0;
    pub(super) const ONLY: u8 = 1;
    /// Equal to the rule for hosting; always used where it is.
    pub(super) const AS_HOSTING: u8 = 2;
}

fn encode_rule<E: Encoder>(
    rule: &CountryRule,
    hosting: Option<&CountryRule>,
    encoder: &mut E,
) -> Result<(), EncodeError> {
    match rule {
        rule if Some(rule) == hosting => tag::AS_HOSTING.encode(encoder),
        CountryRule::Any => tag::ANY.encode(encoder),
        CountryRule::Only(set) => {
            tag::ONLY.encode(encoder)?;
            set.encode(encoder)
        }
    }
}

fn decode_rule<D: Decoder>(
    hosting: Option<&CountryRule>,
    decoder: &mut D,
) -> Result<CountryRule, DecodeError> {
    match (u8::decode(decoder)?, hosting) {
        (tag::ANY, _) => Ok(CountryRule::Any),
        (tag::ONLY, _) => CountrySet::decode(decoder).map(CountryRule::Only),
        (tag::AS_HOSTING, Some(hosting)) => Ok(hosting.clone()),
        _ => Err(DecodeError::Other("country rule")),
    }
}

impl Encode for RoutePolicy {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_rule(&self.hosting, None, encoder)?;
        encode_rule(&self.legal_seat, Some(&self.hosting), encoder)?;
        encode_rule(&self.parent_seat, Some(&self.hosting), encoder)?;
        self.evidence.encode(encoder)?;
        self.denied_asns.encode(encoder)?;
        (
            self.direct_only,
            self.members_may_forward,
            self.discovery,
            self.expires,
        )
            .encode(encoder)
    }
}

impl<C> Decode<C> for RoutePolicy {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let hosting = decode_rule(None, decoder)?;
        let legal_seat = decode_rule(Some(&hosting), decoder)?;
        let parent_seat = decode_rule(Some(&hosting), decoder)?;
        Ok(Self {
            hosting,
            legal_seat,
            parent_seat,
            evidence: EvidenceRule::decode(decoder)?,
            denied_asns: DeniedAsns::decode(decoder)?,
            direct_only: bool::decode(decoder)?,
            members_may_forward: bool::decode(decoder)?,
            discovery: DiscoveryRule::decode(decoder)?,
            expires: Option::decode(decoder)?,
        })
    }
}

impl<'de, C> BorrowDecode<'de, C> for RoutePolicy {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}
