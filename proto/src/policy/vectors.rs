//! Frozen vectors (`tests/vectors/`): bytes that this version writes and every later version of a format must read.

use std::fmt::Write;

use data_encoding::HEXLOWER;
use zeroize::Zeroizing;

use super::{
    Country, DeniedAsns, Descriptor, DiscoveryRule, EvidenceRule, Preset, RoutePolicy, SignedDescriptor,
    SignedPolicy,
    descriptor::{DescriptorHash, LogPolicy},
    family::Membership,
    fixture::{
        MEETING, NOW, after, attested, claim_of, country, descriptor_in, host, issuer, issuer_rule, relay,
    },
};
use crate::{
    identity::Identity,
    meeting::admission::AdmissionMode,
    wire::{
        codec,
        ticket::{Ticket, TicketTerms},
    },
};

/// Compares with the frozen file, and shows what it would have to hold.
#[track_caller]
fn assert_frozen(frozen: &str, now: &str) {
    let is_data = |line: &&str| !line.starts_with('#');
    let frozen: Vec<&str> = frozen.lines().filter(is_data).collect();
    assert!(
        frozen == now.lines().collect::<Vec<_>>(),
        "this version writes:\n{now}"
    );
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn policies() -> Vec<(String, RoutePolicy)> {
    let mut policies: Vec<(String, RoutePolicy)> = Preset::ALL
        .iter()
        .map(|preset| (preset.keyword().to_owned(), (*preset).into()))
        .collect();
    let three_rules = RoutePolicy {
        hosting: super::CountryRule::Only(["DE", "FR"].map(country).into_iter().collect()),
        legal_seat: super::CountryRule::Any,
        parent_seat: super::CountryRule::Only(Country::all().collect()),
        evidence: EvidenceRule::Attested(issuer_rule(2, &[1, 2, 3])),
        denied_asns: DeniedAsns::new([1, 64_500, u32::MAX].into()).unwrap(),
        members_may_forward: true,
        discovery: DiscoveryRule::Lan,
        direct_only: false,
        expires: Some(after(86_400)),
    };
    policies.push(("everything".to_owned(), three_rules));
    policies
}

#[test]
fn policies_are_written_as_they_were() {
    let mut now = String::new();
    for (name, policy) in policies() {
        let signed = SignedPolicy::sign(MEETING, 3, policy.clone(), &host());
        let hash = signed.clone().verify(MEETING, host().member_id()).unwrap().hash();
        writeln!(now, "[{name}]").unwrap();
        writeln!(now, "policy = \"{}\"", hex(&codec::encode(&policy))).unwrap();
        writeln!(now, "signed = \"{}\"", hex(&codec::encode(&signed))).unwrap();
        writeln!(now, "hash = \"{hash}\"").unwrap();
    }
    assert_frozen(include_str!("../../../tests/vectors/policy.toml"), &now);
}

fn full_descriptor() -> Descriptor {
    let mut descriptor = Descriptor {
        addresses: vec![
            "203.0.113.7:4433".parse().unwrap(),
            "[2001:db8::7]:443".parse().unwrap(),
        ],
        tcp_addresses: vec!["203.0.113.7:443".parse().unwrap()],
        family: Some(Membership::sign(&issuer(9), relay().relay_id(), after(90_000))),
        log_policy: LogPolicy::Addresses { days: 7 },
        sequence: u64::from(u32::MAX) + 1,
        previous: Some(DescriptorHash([4; 32])),
        ..descriptor_in("FR")
    };
    descriptor.operator.parent_seat = country("US");
    let claim = claim_of(&descriptor);
    attested(descriptor, &[(1, 500), (2, 600)], claim)
}

#[test]
fn descriptors_are_written_as_they_were() {
    let mut now = String::new();
    for (name, descriptor) in [("smallest", descriptor_in("DE")), ("full", full_descriptor())] {
        let signed = SignedDescriptor::sign(descriptor, &relay()).unwrap();
        writeln!(now, "[{name}]").unwrap();
        writeln!(now, "bytes = \"{}\"", hex(&signed.to_bytes())).unwrap();
        writeln!(
            now,
            "hash = \"{}\"",
            hex(&signed.clone().verify(NOW).unwrap().hash().0)
        )
        .unwrap();
        writeln!(now, "text = \"{}\"", signed.to_text()).unwrap();
    }
    assert_frozen(include_str!("../../../tests/vectors/descriptor.toml"), &now);
}

#[test]
fn tickets_are_written_as_they_were() {
    let mut now = String::new();
    let relay = SignedDescriptor::sign(descriptor_in("DE"), &relay()).unwrap();
    for (name, policy, relays) in [
        ("eea", Preset::Eea, vec![relay]),
        ("direct", Preset::Direct, vec![]),
    ] {
        let host = Identity::from_seed(&[1; 32]);
        let terms = TicketTerms {
            meeting: MEETING,
            secret: Zeroizing::new([5; 32]),
            epoch: 2,
            renewal: 0,
            admission: if relays.is_empty() {
                AdmissionMode::Ticket
            } else {
                AdmissionMode::Ask
            },
            policy: SignedPolicy::sign(MEETING, 3, policy.into(), &host),
            addresses: vec!["198.51.100.4:50000".parse().unwrap()],
            relays,
            expires: after(7 * 86_400),
        };
        let ticket = Ticket::issue(terms, &host).unwrap();
        writeln!(now, "[{name}]").unwrap();
        writeln!(now, "policy_hash = \"{}\"", ticket.policy().hash()).unwrap();
        writeln!(now, "text = \"{}\"", ticket.to_text()).unwrap();
    }
    assert_frozen(include_str!("../../../tests/vectors/ticket.toml"), &now);
}
