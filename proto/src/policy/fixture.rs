//! Relays, issuers and policies for tests, and generators of arbitrary ones.

use std::{collections::BTreeSet, net::SocketAddr};

use proptest::{collection::vec, option, prelude::*};

use super::{
    Country, CountryRule, CountrySet, DeniedAsns, Descriptor, DiscoveryRule, EvidenceRule, IssuerRule,
    RoutePolicy, SignedDescriptor, SignedPolicy, VerifiedDescriptor, VerifiedPolicy,
    attestation::{Attestation, Claim, IssuerId},
    descriptor::{Limits, LogPolicy, Operator, RELAY_PROTOCOL_VERSION, TCP_ADDRESSES_MAX},
    family::Membership,
};
use crate::{identity::Identity, ids::MeetingId, time::UnixSeconds};

/// 2026-11-21T20:32:00Z.
pub(crate) const NOW: UnixSeconds = UnixSeconds(1_795_293_120);
pub(crate) const MEETING: MeetingId = MeetingId([7; 16]);

pub(crate) fn after(seconds: u64) -> UnixSeconds {
    UnixSeconds(NOW.0 + seconds)
}

pub(crate) fn host() -> Identity {
    Identity::from_seed(&[1; 32])
}

pub(crate) fn relay() -> Identity {
    Identity::from_seed(&[2; 32])
}

pub(crate) fn issuer(number: u8) -> Identity {
    Identity::from_seed(&[100 + number; 32])
}

pub(crate) fn country(code: &str) -> Country {
    code.parse().unwrap()
}

/// A relay with one address and no attestation, hosted and seated in `code`.
pub(crate) fn descriptor_in(code: &str) -> Descriptor {
    Descriptor {
        relay: relay().relay_id(),
        static_key: [9; 32],
        addresses: vec!["203.0.113.7:4433".parse().unwrap()],
        tcp_addresses: Vec::new(),
        asn: Some(64_500),
        hosting: country(code),
        operator: Operator {
            name: "Example Cooperative".parse().unwrap(),
            contact: "noc@example.org".parse().unwrap(),
            legal_seat: country(code),
            parent_seat: country(code),
        },
        family: None,
        log_policy: LogPolicy::CountersOnly,
        limits: Limits {
            sessions_max: 500,
            rooms_max: 100,
            session_kbit_per_s_max: 4_000,
        },
        attestations: Vec::new(),
        protocol_version: RELAY_PROTOCOL_VERSION,
        sequence: 1,
        previous: None,
        valid_from: NOW,
        valid_until: after(24 * 3_600),
    }
}

/// Signed by [`relay`] and verified at [`NOW`].
pub(crate) fn verified(descriptor: Descriptor) -> VerifiedDescriptor {
    SignedDescriptor::sign(descriptor, &relay())
        .unwrap()
        .verify(NOW)
        .unwrap()
}

pub(crate) fn claim_of(descriptor: &Descriptor) -> Claim {
    Claim {
        hosting: Some(descriptor.hosting),
        legal_seat: Some(descriptor.operator.legal_seat),
        parent_seat: Some(descriptor.operator.parent_seat),
    }
}

/// `descriptor` with attestations of the numbered issuers, valid so many seconds from [`NOW`].
pub(crate) fn attested(mut descriptor: Descriptor, issuers: &[(u8, u64)], claim: Claim) -> Descriptor {
    let sign = |&(number, seconds): &(u8, u64)| {
        Attestation::sign(&issuer(number), relay().relay_id(), claim, after(seconds))
    };
    descriptor.attestations.extend(issuers.iter().map(sign));
    descriptor.attestations.sort_by_key(Attestation::issuer);
    descriptor
}

pub(crate) fn issuer_rule(at_least: u8, numbers: &[u8]) -> IssuerRule {
    IssuerRule::new(
        at_least,
        numbers.iter().map(|&n| IssuerId(issuer(n).public())).collect(),
    )
    .unwrap()
}

/// Signed by [`host`] into [`MEETING`].
pub(crate) fn signed_policy(policy: RoutePolicy) -> VerifiedPolicy {
    SignedPolicy::sign(MEETING, 0, policy, &host())
        .verify(MEETING, host().member_id())
        .unwrap()
}

pub(crate) fn any_country() -> impl Strategy<Value = Country> {
    (0_usize..249).prop_map(|at| Country::all().nth(at).unwrap())
}

fn any_rule() -> impl Strategy<Value = CountryRule> {
    prop_oneof![
        Just(CountryRule::Any),
        vec(any_country(), 0..40).prop_map(|set| CountryRule::Only(set.into_iter().collect::<CountrySet>())),
    ]
}

fn any_evidence() -> impl Strategy<Value = EvidenceRule> {
    let issuers = || {
        proptest::collection::btree_set(any::<[u8; 32]>().prop_map(IssuerId), 1..16)
            .prop_map(|of: BTreeSet<IssuerId>| IssuerRule::new(u8::try_from(of.len()).unwrap(), of).unwrap())
    };
    prop_oneof![
        Just(EvidenceRule::Declared),
        issuers().prop_map(EvidenceRule::Attested),
        issuers().prop_map(EvidenceRule::Located),
        issuers().prop_map(EvidenceRule::Measured),
    ]
}

pub(crate) fn any_policy() -> impl Strategy<Value = RoutePolicy> {
    let rules = (any_rule(), option::of(any_rule()), option::of(any_rule()));
    let rest = (
        any_evidence(),
        proptest::collection::btree_set(any::<u32>(), 0..20),
        any::<(bool, bool)>(),
        0_usize..4,
        option::of(any::<u64>().prop_map(UnixSeconds)),
    );
    (rules, rest).prop_map(|((hosting, legal_seat, parent_seat), rest)| {
        let (evidence, asns, (direct_only, members_may_forward), discovery, expires) = rest;
        RoutePolicy {
            legal_seat: legal_seat.unwrap_or_else(|| hosting.clone()),
            parent_seat: parent_seat.unwrap_or_else(|| hosting.clone()),
            hosting,
            evidence,
            denied_asns: DeniedAsns::new(asns).unwrap(),
            direct_only,
            members_may_forward,
            discovery: DiscoveryRule::ALL[discovery],
            expires,
        }
    })
}

pub(crate) fn any_address() -> impl Strategy<Value = SocketAddr> {
    prop_oneof![
        (1_u8..224, any::<[u8; 3]>(), 1_u16..)
            .prop_map(|(a, [b, c, d], port)| SocketAddr::from(([a, b, c, d], port))),
        (any::<[u16; 7]>(), 1_u16..).prop_map(|(rest, port)| {
            let mut segments = [0x2001; 8];
            segments[1..].copy_from_slice(&rest);
            SocketAddr::from((segments, port))
        }),
    ]
}

pub(crate) fn any_addresses(least: usize) -> impl Strategy<Value = Vec<SocketAddr>> {
    proptest::collection::btree_set(any_address(), least..=8).prop_map(|set| set.into_iter().collect())
}

pub(crate) fn any_descriptor() -> impl Strategy<Value = Descriptor> {
    let who = (
        any_country(),
        any_country(),
        any_country(),
        "[a-zA-Zäß]{1,30}",
        option::of(0_u8..9),
    );
    let numbers = (
        option::of(any::<u32>()),
        any::<[u32; 3]>(),
        option::of(any::<u16>()),
        any::<u64>(),
    );
    let rest = (
        any::<[u8; 32]>(),
        (any_addresses(1), any_addresses(0)),
        0_u8..3,
        option::of(any::<[u8; 32]>()),
        1_u64..86_400,
    );
    (who, numbers, rest).prop_map(
        |((hosting, seat, parent, name, family), (asn, limits, days, sequence), rest)| {
            let (static_key, addresses, issuers, previous, seconds) = rest;
            let mut descriptor = descriptor_in("DE");
            descriptor.hosting = hosting;
            descriptor.operator.legal_seat = seat;
            descriptor.operator.parent_seat = parent;
            descriptor.operator.name = name.parse().unwrap();
            descriptor.family = family.map(|number| {
                Membership::sign(
                    &issuer(number),
                    relay().relay_id(),
                    after(u64::from(number) + 100_000),
                )
            });
            descriptor.static_key = static_key;
            (descriptor.addresses, descriptor.tcp_addresses) = addresses;
            descriptor.tcp_addresses.truncate(TCP_ADDRESSES_MAX);
            descriptor.asn = asn;
            let [sessions_max, rooms_max, session_kbit_per_s_max] = limits;
            descriptor.limits = Limits {
                sessions_max,
                rooms_max,
                session_kbit_per_s_max,
            };
            descriptor.log_policy =
                days.map_or(LogPolicy::CountersOnly, |days| LogPolicy::Addresses { days });
            descriptor.sequence = sequence;
            descriptor.previous = previous.map(super::descriptor::DescriptorHash);
            descriptor.valid_until = after(seconds);
            let claim = claim_of(&descriptor);
            let issuers: Vec<(u8, u64)> = (0..issuers).map(|number| (number, 1_000)).collect();
            attested(descriptor, &issuers, claim)
        },
    )
}
