//! Permits: the only proof that a path may carry a meeting's media.

use super::{
    Country, CountryRule, DiscoveryRule, EvidenceLevel, IssuerRule,
    attestation::Attestation,
    descriptor::{CLOCK_SKEW_SECONDS_MAX, Descriptor, RELAY_PROTOCOL_VERSION},
    evidence::Evidence,
    location::{AGREEING_MIN, Location},
    refusal::{Clause, Refusal},
    signed_descriptor::VerifiedDescriptor,
    signed_policy::VerifiedPolicy,
};
use crate::{
    ids::{PolicyHash, RelayId},
    time::UnixSeconds,
};

/// A kind of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// Straight between two members.
    Direct,
    /// Through a relay.
    Relay(RelayId),
    /// Through a member who forwards.
    Member,
}

/// That a path may carry the meeting's media, under one policy, for a while. Only [`RouteJudge`] makes one.
///
/// ```compile_fail,E0451
/// # use subrosa_proto::{ids::PolicyHash, policy::{EvidenceLevel, Permit, Route}, time::UnixSeconds};
/// let forged = Permit {
///     route: Route::Direct,
///     policy: PolicyHash([0; 32]),
///     evidence: EvidenceLevel::Measured,
///     until: UnixSeconds(u64::MAX),
/// };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Permit {
    route: Route,
    policy: PolicyHash,
    evidence: EvidenceLevel,
    until: UnixSeconds,
}

impl Permit {
    /// Whether it still holds at `now` under the policy `policy`. To be asked at each send.
    #[must_use]
    pub fn is_valid(&self, now: UnixSeconds, policy: PolicyHash) -> bool {
        now < self.until && policy == self.policy
    }

    /// The path.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }

    /// The relay, if it is a path through one.
    #[must_use]
    pub fn relay(&self) -> Option<RelayId> {
        match self.route {
            Route::Relay(relay) => Some(relay),
            Route::Direct | Route::Member => None,
        }
    }

    /// The policy that it was given under.
    #[must_use]
    pub fn policy(&self) -> PolicyHash {
        self.policy
    }

    /// What supports the relay's statement, as far as the policy asked. `Declared` for paths without a relay.
    #[must_use]
    pub fn evidence(&self) -> EvidenceLevel {
        self.evidence
    }

    /// The first second at which it no longer holds: the policy, the descriptor, or the attestations that it rests on
    /// expire then.
    #[must_use]
    pub fn until(&self) -> UnixSeconds {
        self.until
    }
}

/// Holds paths against one policy.
#[derive(Clone, Debug)]
pub struct RouteJudge {
    policy: VerifiedPolicy,
}

/// A clause and its reason, before it is known what they refuse.
type Objection = (Clause, String);

impl RouteJudge {
    /// A judge under `policy`. A change of policy takes a new judge, and with it all permits fall.
    #[must_use]
    pub fn new(policy: VerifiedPolicy) -> Self {
        Self { policy }
    }

    /// The policy that it holds paths against.
    #[must_use]
    pub fn policy(&self) -> &VerifiedPolicy {
        &self.policy
    }

    /// Whether the relay may be dialled and used, given what was found out about it.
    ///
    /// # Errors
    /// [`Refusal`] with the first clause that is against it.
    pub fn permit(
        &self,
        descriptor: &VerifiedDescriptor,
        evidence: &Evidence,
        now: UnixSeconds,
    ) -> Result<Permit, Refusal> {
        let judged = self
            .check_expiry(now)
            .and_then(|()| self.check_relay_kind(descriptor, now))
            .and_then(|()| self.check_countries(descriptor))
            .and_then(|()| self.check_asn(descriptor))
            .and_then(|()| self.check_evidence(descriptor, evidence, now));
        match judged {
            Ok((evidence, evidence_until)) => {
                let until = descriptor.valid_until.min(evidence_until).min(self.expiry());
                Ok(self.given(Route::Relay(descriptor.relay), evidence, until))
            }
            Err((clause, reason)) => Err(Refusal {
                what: format!("relay {}", descriptor.relay.fingerprint()),
                relay: Some(descriptor.relay),
                clause,
                reason,
            }),
        }
    }

    /// Whether media may go straight to another member.
    ///
    /// # Errors
    /// [`Refusal`] if the policy expired.
    pub fn direct(&self, now: UnixSeconds) -> Result<Permit, Refusal> {
        self.check_expiry(now)
            .map_err(|objection| refusal("the direct path", objection))?;
        Ok(self.given(Route::Direct, EvidenceLevel::Declared, self.expiry()))
    }

    /// Whether media may go through a member who forwards.
    ///
    /// # Errors
    /// [`Refusal`] if the policy says no or expired.
    pub fn member_forwarding(&self, now: UnixSeconds) -> Result<Permit, Refusal> {
        let allowed = self.check_expiry(now).and_then(|()| {
            if self.policy.policy().members_may_forward {
                Ok(())
            } else {
                Err((
                    Clause::MembersMayForward,
                    "the policy does not let members forward".into(),
                ))
            }
        });
        allowed.map_err(|objection| refusal("the path through a member", objection))?;
        Ok(self.given(Route::Member, EvidenceLevel::Declared, self.expiry()))
    }

    /// Whether a discovery service of the reach `service` may be used.
    ///
    /// # Errors
    /// [`Refusal`] if the policy says no or expired.
    pub fn discovery(&self, service: DiscoveryRule, now: UnixSeconds) -> Result<(), Refusal> {
        let allowed = self.policy.policy().discovery;
        let judged = self.check_expiry(now).and_then(|()| {
            if service <= allowed {
                Ok(())
            } else {
                Err((
                    Clause::Discovery,
                    format!("the policy allows discovery: {allowed}"),
                ))
            }
        });
        judged.map_err(|objection| refusal(&format!("discovery: {service}"), objection))
    }

    fn given(&self, route: Route, evidence: EvidenceLevel, until: UnixSeconds) -> Permit {
        Permit {
            route,
            policy: self.policy.hash(),
            evidence,
            until,
        }
    }

    /// A policy without an expiry holds to the end of time.
    fn expiry(&self) -> UnixSeconds {
        self.policy.policy().expires.unwrap_or(UnixSeconds(u64::MAX))
    }

    fn check_expiry(&self, now: UnixSeconds) -> Result<(), Objection> {
        if now < self.expiry() {
            Ok(())
        } else {
            Err((
                Clause::PolicyExpired,
                format!("the meeting's policy expired at {}", self.expiry()),
            ))
        }
    }

    fn check_relay_kind(&self, descriptor: &Descriptor, now: UnixSeconds) -> Result<(), Objection> {
        if self.policy.policy().direct_only {
            return Err((Clause::DirectOnly, "the policy allows direct paths only".into()));
        }
        if descriptor.valid_from.0 > now.0.saturating_add(CLOCK_SKEW_SECONDS_MAX) {
            let reason = format!("its descriptor holds from {} only", descriptor.valid_from);
            return Err((Clause::DescriptorNotYetValid, reason));
        }
        if descriptor.valid_until <= now {
            let reason = format!("its descriptor expired at {}", descriptor.valid_until);
            return Err((Clause::DescriptorExpired, reason));
        }
        if descriptor.protocol_version != RELAY_PROTOCOL_VERSION {
            let found = descriptor.protocol_version;
            let reason =
                format!("it speaks version {found} of the relay protocol, not {RELAY_PROTOCOL_VERSION}");
            return Err((Clause::ProtocolVersion, reason));
        }
        Ok(())
    }

    fn check_countries(&self, descriptor: &Descriptor) -> Result<(), Objection> {
        let policy = self.policy.policy();
        let operator = &descriptor.operator;
        let axes = [
            (&policy.hosting, descriptor.hosting, Clause::Hosting, "hosted"),
            (
                &policy.legal_seat,
                operator.legal_seat,
                Clause::LegalSeat,
                "operator's legal seat",
            ),
            (
                &policy.parent_seat,
                operator.parent_seat,
                Clause::ParentSeat,
                "operator controlled from",
            ),
        ];
        for (rule, country, clause, what) in axes {
            if !rule.allows(country) {
                return Err((clause, format!("{what} {country}, the policy allows {rule}")));
            }
        }
        Ok(())
    }

    fn check_asn(&self, descriptor: &Descriptor) -> Result<(), Objection> {
        let denied = &self.policy.policy().denied_asns;
        match descriptor.asn {
            _ if denied.is_empty() => Ok(()),
            Some(asn) if denied.contains(asn) => Err((
                Clause::DeniedAsn,
                format!("network AS{asn}, which the policy denies"),
            )),
            Some(_) => Ok(()),
            None => Err((
                Clause::AsnNotStated,
                "the policy denies some networks, and the relay does not state its own".into(),
            )),
        }
    }

    /// The level reached and how long it lasts.
    fn check_evidence(
        &self,
        descriptor: &VerifiedDescriptor,
        evidence: &Evidence,
        now: UnixSeconds,
    ) -> Result<(EvidenceLevel, UnixSeconds), Objection> {
        let rule = &self.policy.policy().evidence;
        let until = match rule.issuers() {
            Some(issuers) => self.check_attestations(issuers, descriptor, now)?,
            None => UnixSeconds(u64::MAX),
        };
        let location = evidence.locations.judge(descriptor);
        // Whatever the policy asks for: nobody supplies sources in order to go where they say that something is wrong.
        if let Location::Contradicted { .. } = location {
            return Err((Clause::EvidenceContradicted, unlocated(descriptor, &location)));
        }
        if rule.level() >= EvidenceLevel::Located && location != Location::Agreed {
            return Err((Clause::EvidenceLocated, unlocated(descriptor, &location)));
        }
        if rule.level() == EvidenceLevel::Measured {
            let reason =
                "the policy asks that round-trip times were measured; this version does not measure them";
            return Err((Clause::EvidenceMeasured, reason.into()));
        }
        Ok((rule.level(), until))
    }

    /// Until when enough of the issuers say what the relay says.
    fn check_attestations(
        &self,
        issuers: &IssuerRule,
        descriptor: &Descriptor,
        now: UnixSeconds,
    ) -> Result<UnixSeconds, Objection> {
        let named = |a: &&Attestation| issuers.issuers().contains(&a.issuer()) && now < a.valid_until();
        let mut expiries = Vec::new();
        for attestation in descriptor.attestations.iter().filter(named) {
            if let Some(contradiction) = contradiction(attestation, descriptor) {
                return Err((Clause::EvidenceContradicted, contradiction));
            }
            if self.covers(attestation, descriptor) {
                expiries.push(attestation.valid_until());
            }
        }
        let needed = usize::from(issuers.at_least());
        expiries.sort_unstable_by(|a, b| b.cmp(a));
        // Enough remain until the needed-th longest lasting one expires.
        expiries.get(needed.saturating_sub(1)).copied().ok_or_else(|| {
            let reason = format!(
                "attested by {} of the {} issuers that the policy names, {needed} must",
                expiries.len(),
                issuers.issuers().len()
            );
            (Clause::EvidenceAttested, reason)
        })
    }

    /// Whether an attestation speaks about each thing that the policy restricts, and about one thing at least.
    fn covers(&self, attestation: &Attestation, descriptor: &Descriptor) -> bool {
        let policy = self.policy.policy();
        let rules = [&policy.hosting, &policy.legal_seat, &policy.parent_seat];
        let axes = axes(attestation, descriptor);
        let each = rules
            .iter()
            .zip(&axes)
            .all(|(rule, (_, said, _))| **rule == CountryRule::Any || said.is_some());
        each && axes.iter().any(|(_, said, _)| said.is_some())
    }
}

/// For each axis: its name, what the issuer says, what the relay says.
fn axes(attestation: &Attestation, descriptor: &Descriptor) -> [(&'static str, Option<Country>, Country); 3] {
    let claim = attestation.claim();
    [
        ("hosting", claim.hosting, descriptor.hosting),
        ("legal seat", claim.legal_seat, descriptor.operator.legal_seat),
        (
            "parent's seat",
            claim.parent_seat,
            descriptor.operator.parent_seat,
        ),
    ]
}

fn contradiction(attestation: &Attestation, descriptor: &Descriptor) -> Option<String> {
    axes(attestation, descriptor)
        .into_iter()
        .find_map(|(axis, said, declared)| {
            let said = said.filter(|said| *said != declared)?;
            let issuer = &attestation.issuer().to_string()[..8];
            Some(format!(
                "it declares {declared} as {axis}, the issuer {issuer} says {said}"
            ))
        })
}

/// Why GeoIP sources do not support what a relay says.
fn unlocated(descriptor: &Descriptor, location: &Location) -> String {
    let hosting = descriptor.hosting;
    match location {
        Location::Agreed => format!("GeoIP sources say {hosting}, too"),
        Location::Contradicted {
            against,
            of,
            address,
            place,
        } => format!(
            "it declares {hosting} as hosting, {against} of {of} GeoIP sources say otherwise ({address}: {place})"
        ),
        Location::Undecided { of, .. } if *of < AGREEING_MIN => format!(
            "the policy asks that GeoIP sources agree; {of} given, {AGREEING_MIN} at least must be (--geoip FILE)"
        ),
        Location::Undecided { agree, against, of } => format!(
            "the policy asks that GeoIP sources agree: {agree} of {of} say {hosting}, {against} say otherwise"
        ),
        Location::NotConsulted => {
            "the policy asks that GeoIP sources agree; they were not consulted about this relay".into()
        }
    }
}

fn refusal(what: &str, (clause, reason): Objection) -> Refusal {
    Refusal {
        what: what.to_owned(),
        relay: None,
        clause,
        reason,
    }
}

#[cfg(test)]
mod tests;
