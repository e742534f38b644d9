use super::*;
use crate::policy::{
    CountrySet, DeniedAsns, EvidenceRule, Preset, Region, RoutePolicy,
    attestation::Claim,
    fixture::{
        NOW, after, attested, claim_of, country, descriptor_in, issuer_rule, relay, signed_policy, verified,
    },
    location::{Answer, LocationBook},
};

fn judge(policy: impl Into<RoutePolicy>) -> RouteJudge {
    RouteJudge::new(signed_policy(policy.into()))
}

fn eea() -> RoutePolicy {
    Preset::Eea.into()
}

fn refusal(policy: RoutePolicy, descriptor: Descriptor) -> Refusal {
    judge(policy)
        .permit(&verified(descriptor), &Evidence::default(), NOW)
        .unwrap_err()
}

/// The clause and the reason.
fn said(policy: RoutePolicy, descriptor: Descriptor) -> (Clause, String) {
    let refusal = refusal(policy, descriptor);
    (refusal.clause, refusal.reason)
}

#[test]
fn a_permit_holds_for_its_policy_and_time() {
    let judge = judge(RoutePolicy {
        expires: Some(after(100)),
        ..eea()
    });
    let permit = judge
        .permit(&verified(descriptor_in("DE")), &Evidence::default(), NOW)
        .unwrap();
    let hash = judge.policy().hash();
    assert_eq!(permit.relay(), Some(relay().relay_id()));
    assert_eq!(
        (permit.until(), permit.evidence()),
        (after(100), EvidenceLevel::Declared)
    );
    assert!(permit.is_valid(after(99), hash));
    assert!(!permit.is_valid(after(100), hash));
    assert!(!permit.is_valid(NOW, PolicyHash([0; 32])));
}

#[test]
fn a_permit_ends_with_the_descriptor() {
    let descriptor = Descriptor {
        valid_until: after(50),
        ..descriptor_in("DE")
    };
    let permit = judge(eea())
        .permit(&verified(descriptor), &Evidence::default(), NOW)
        .unwrap();
    assert_eq!(permit.until(), after(50));
}

#[test]
fn a_refusal_reads_as_a_sentence() {
    let refusal = refusal(eea(), descriptor_in("US"));
    let relay = relay().relay_id();
    assert_eq!((refusal.clause, refusal.relay), (Clause::Hosting, Some(relay)));
    let expected = format!(
        "refused relay {}: hosted US, the policy allows EEA",
        relay.fingerprint()
    );
    assert_eq!(refusal.to_string(), expected);
}

#[test]
fn each_axis_of_jurisdiction_refuses_by_itself() {
    let mut seated = descriptor_in("DE");
    seated.operator.legal_seat = country("US");
    let (clause, reason) = said(eea(), seated);
    assert_eq!(
        (clause, &*reason),
        (
            Clause::LegalSeat,
            "operator's legal seat US, the policy allows EEA"
        )
    );
    let mut owned = descriptor_in("DE");
    owned.operator.parent_seat = country("US");
    let (clause, reason) = said(eea(), owned);
    assert_eq!(
        (clause, &*reason),
        (
            Clause::ParentSeat,
            "operator controlled from US, the policy allows EEA"
        )
    );
    assert!(
        judge(Preset::Any)
            .permit(&verified(descriptor_in("US")), &Evidence::default(), NOW)
            .is_ok()
    );
    assert_eq!(
        said(Preset::Eu.into(), descriptor_in("NO")).1,
        "hosted NO, the policy allows EU"
    );
}

#[test]
fn an_empty_list_and_the_default_permit_no_relay() {
    let none = RoutePolicy {
        hosting: CountryRule::Only(CountrySet::default()),
        ..eea()
    };
    assert_eq!(
        said(none, descriptor_in("DE")).1,
        "hosted DE, the policy allows no country"
    );
    assert_eq!(
        said(RoutePolicy::default(), descriptor_in("DE")).0,
        Clause::DirectOnly
    );
    let opened = RoutePolicy {
        direct_only: false,
        ..RoutePolicy::default()
    };
    assert_eq!(said(opened, descriptor_in("DE")).0, Clause::Hosting);
}

#[test]
fn direct_only_allows_no_relay() {
    assert_eq!(
        said(Preset::Direct.into(), descriptor_in("DE")).0,
        Clause::DirectOnly
    );
}

#[test]
fn networks_can_be_denied_and_then_must_be_stated() {
    let denied = DeniedAsns::new([64_500].into()).unwrap();
    let policy = RoutePolicy {
        denied_asns: denied,
        ..eea()
    };
    assert_eq!(said(policy.clone(), descriptor_in("DE")).0, Clause::DeniedAsn);
    let unstated = Descriptor {
        asn: None,
        ..descriptor_in("DE")
    };
    assert_eq!(said(policy.clone(), unstated.clone()).0, Clause::AsnNotStated);
    assert!(
        judge(eea())
            .permit(&verified(unstated), &Evidence::default(), NOW)
            .is_ok()
    );
    let other = Descriptor {
        asn: Some(64_501),
        ..descriptor_in("DE")
    };
    assert!(
        judge(policy)
            .permit(&verified(other), &Evidence::default(), NOW)
            .is_ok()
    );
}

#[test]
fn another_protocol_version_is_refused() {
    let newer = Descriptor {
        protocol_version: RELAY_PROTOCOL_VERSION + 1,
        ..descriptor_in("DE")
    };
    assert_eq!(said(eea(), newer).0, Clause::ProtocolVersion);
}

#[test]
fn what_expired_since_it_was_verified_is_refused() {
    let descriptor = verified(descriptor_in("DE"));
    let clause = |policy: RoutePolicy, now| {
        judge(policy)
            .permit(&descriptor, &Evidence::default(), now)
            .unwrap_err()
            .clause
    };
    assert_eq!(clause(eea(), descriptor.valid_until), Clause::DescriptorExpired);
    assert_eq!(
        clause(eea(), UnixSeconds(NOW.0 - 3_600)),
        Clause::DescriptorNotYetValid
    );
    let expiring = RoutePolicy {
        expires: Some(after(10)),
        ..eea()
    };
    assert_eq!(clause(expiring, after(10)), Clause::PolicyExpired);
}

#[test]
fn an_expired_policy_permits_nothing_at_all() {
    let judge = judge(RoutePolicy {
        expires: Some(NOW),
        ..Preset::Any.into()
    });
    let expected = Clause::PolicyExpired;
    assert_eq!(
        judge
            .permit(&verified(descriptor_in("DE")), &Evidence::default(), NOW)
            .unwrap_err()
            .clause,
        expected
    );
    assert_eq!(judge.direct(NOW).unwrap_err().clause, expected);
    assert_eq!(judge.member_forwarding(NOW).unwrap_err().clause, expected);
    assert_eq!(
        judge.discovery(DiscoveryRule::Off, NOW).unwrap_err().clause,
        expected
    );
}

#[test]
fn members_forward_and_discovery_reaches_only_as_the_policy_says() {
    let eea = judge(eea());
    assert_eq!(eea.direct(NOW).unwrap().route(), Route::Direct);
    let refusal = eea.member_forwarding(NOW).unwrap_err();
    assert_eq!(refusal.clause, Clause::MembersMayForward);
    assert_eq!(
        refusal.to_string(),
        "refused the path through a member: the policy does not let members forward"
    );
    assert!(eea.discovery(DiscoveryRule::PermittedRelays, NOW).is_ok());
    let refusal = eea.discovery(DiscoveryRule::Any, NOW).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        "refused discovery: any: the policy allows discovery: permitted-relays"
    );
    let permit = judge(Preset::Any).member_forwarding(NOW).unwrap();
    assert_eq!((permit.route(), permit.relay()), (Route::Member, None));
}

#[test]
fn enough_of_the_named_issuers_must_attest() {
    let policy = RoutePolicy {
        evidence: EvidenceRule::Attested(issuer_rule(2, &[1, 2, 3])),
        ..eea()
    };
    let german = descriptor_in("DE");
    let claim = claim_of(&german);
    let with = |issuers: &[(u8, u64)]| attested(german.clone(), issuers, claim);
    let (clause, reason) = said(policy.clone(), german.clone());
    assert_eq!(clause, Clause::EvidenceAttested);
    assert_eq!(
        reason,
        "attested by 0 of the 3 issuers that the policy names, 2 must"
    );
    assert_eq!(said(policy.clone(), with(&[(1, 60)])).0, Clause::EvidenceAttested);
    // Issuer 9 is not named; the word of issuer 2 is over.
    assert_eq!(
        said(policy.clone(), with(&[(1, 60), (9, 60)])).0,
        Clause::EvidenceAttested
    );
    assert_eq!(
        said(policy.clone(), with(&[(1, 60), (2, 0)])).0,
        Clause::EvidenceAttested
    );
    let permit = judge(policy)
        .permit(
            &verified(with(&[(1, 60), (2, 90), (3, 30)])),
            &Evidence::default(),
            NOW,
        )
        .unwrap();
    assert_eq!(permit.evidence(), EvidenceLevel::Attested);
    assert_eq!(permit.until(), after(60), "the two that last longest carry it");
}

#[test]
fn an_issuer_must_speak_about_all_that_the_policy_restricts() {
    let german = descriptor_in("DE");
    let hosting_only = Claim {
        legal_seat: None,
        parent_seat: None,
        ..claim_of(&german)
    };
    let nothing = Claim {
        hosting: None,
        ..hosting_only
    };
    let rule = EvidenceRule::Attested(issuer_rule(1, &[1]));
    let eea = RoutePolicy {
        evidence: rule.clone(),
        ..eea()
    };
    let partly = attested(german.clone(), &[(1, 60)], hosting_only);
    assert_eq!(said(eea.clone(), partly.clone()).0, Clause::EvidenceAttested);
    let hosting_in_eea = RoutePolicy {
        legal_seat: CountryRule::Any,
        parent_seat: CountryRule::Any,
        ..eea
    };
    assert!(
        judge(hosting_in_eea)
            .permit(&verified(partly), &Evidence::default(), NOW)
            .is_ok()
    );
    let any = RoutePolicy {
        evidence: rule,
        ..Preset::Any.into()
    };
    assert_eq!(
        said(any, attested(german, &[(1, 60)], nothing)).0,
        Clause::EvidenceAttested
    );
}

#[test]
fn a_named_issuer_that_says_otherwise_contradicts() {
    let german = descriptor_in("DE");
    let otherwise = Claim {
        hosting: Some(country("US")),
        ..claim_of(&german)
    };
    let policy = RoutePolicy {
        evidence: EvidenceRule::Attested(issuer_rule(1, &[1, 2])),
        ..eea()
    };
    let descriptor = attested(german.clone(), &[(1, 60)], claim_of(&german));
    let descriptor = attested(descriptor, &[(2, 60)], otherwise);
    let (clause, reason) = said(policy, descriptor);
    assert_eq!(clause, Clause::EvidenceContradicted);
    assert!(
        reason.starts_with("it declares DE as hosting, the issuer "),
        "{reason}"
    );
    assert!(reason.ends_with(" says US"), "{reason}");
}

/// What sources say about the relay's only address.
fn located(codes: &[&str]) -> Evidence {
    let mut locations = LocationBook::new(codes.len());
    let address = descriptor_in("DE").addresses[0].ip();
    let said = codes.iter().map(|code| Answer::In(country(code))).collect();
    locations.insert(address, said);
    Evidence { locations }
}

#[test]
fn sources_must_agree_where_the_policy_asks_for_it() {
    let german = descriptor_in("DE");
    let descriptor = attested(german.clone(), &[(1, 60)], claim_of(&german));
    let policy = RoutePolicy {
        evidence: EvidenceRule::Located(issuer_rule(1, &[1])),
        ..eea()
    };
    let said = |evidence: &Evidence| {
        let judged = judge(policy.clone()).permit(&verified(descriptor.clone()), evidence, NOW);
        judged.map_err(|refusal| (refusal.clause, refusal.reason))
    };
    let permit = said(&located(&["DE", "US", "DE"])).unwrap();
    assert_eq!(
        (permit.evidence(), permit.until()),
        (EvidenceLevel::Located, after(60))
    );
    let (clause, reason) = said(&Evidence::default()).unwrap_err();
    assert_eq!(clause, Clause::EvidenceLocated);
    assert!(
        reason.contains("0 given, 2 at least must be (--geoip FILE)"),
        "{reason}"
    );
    let (clause, reason) = said(&located(&["DE", "FR"])).unwrap_err();
    assert_eq!(clause, Clause::EvidenceLocated);
    assert!(reason.ends_with("1 of 2 say DE, 1 say otherwise"), "{reason}");
    let elsewhere = Evidence {
        locations: LocationBook::new(3),
    };
    let (clause, reason) = said(&elsewhere).unwrap_err();
    assert_eq!(clause, Clause::EvidenceLocated);
    assert!(reason.contains("not consulted"), "{reason}");
}

#[test]
fn sources_that_contradict_refuse_at_every_level() {
    let contradicting = located(&["DE", "US", "US"]);
    for evidence in [
        EvidenceRule::Declared,
        EvidenceRule::Located(issuer_rule(1, &[1])),
    ] {
        let german = descriptor_in("DE");
        let descriptor = attested(german.clone(), &[(1, 60)], claim_of(&german));
        let policy = RoutePolicy { evidence, ..eea() };
        let refusal = judge(policy)
            .permit(&verified(descriptor), &contradicting, NOW)
            .unwrap_err();
        assert_eq!(refusal.clause, Clause::EvidenceContradicted);
        assert_eq!(
            refusal.reason,
            "it declares DE as hosting, 2 of 3 GeoIP sources say otherwise (203.0.113.7: US)"
        );
    }
}

#[test]
fn evidence_that_is_not_gathered_is_missing() {
    let german = descriptor_in("DE");
    let descriptor = attested(german.clone(), &[(1, 60)], claim_of(&german));
    let measured = RoutePolicy {
        evidence: EvidenceRule::Measured(issuer_rule(1, &[1])),
        ..eea()
    };
    let sources = located(&["DE", "DE"]);
    let judged = judge(measured.clone()).permit(&verified(descriptor.clone()), &sources, NOW);
    let refusal = judged.unwrap_err();
    assert_eq!(refusal.clause, Clause::EvidenceMeasured);
    assert!(refusal.reason.contains("round-trip"), "{}", refusal.reason);
    assert_eq!(
        said(measured.clone(), descriptor).0,
        Clause::EvidenceLocated,
        "what is missing first comes first"
    );
    assert_eq!(said(measured, german).0, Clause::EvidenceAttested);
}

#[test]
fn clauses_have_stable_names_each_its_own() {
    let names: std::collections::BTreeSet<&str> = Clause::ALL.iter().map(|clause| clause.name()).collect();
    assert_eq!(names.len(), Clause::ALL.len());
    assert!(
        names
            .iter()
            .all(|name| name.chars().all(|c| c.is_ascii_lowercase() || c == '_'))
    );
}

#[test]
fn presets_have_the_summaries_that_people_read() {
    let summaries = Preset::ALL.map(|preset| RoutePolicy::from(preset).summary());
    assert_eq!(
        summaries,
        ["any country", "EU only", "EEA only", "direct paths only"]
    );
    let closed = RoutePolicy {
        direct_only: false,
        ..RoutePolicy::default()
    };
    assert_eq!(closed.summary(), "no relay (no country is allowed)");
    let with_switzerland = Region::Eea
        .countries()
        .union(&std::iter::once(country("CH")).collect());
    let rule = CountryRule::Only(with_switzerland);
    let policy = RoutePolicy {
        hosting: rule.clone(),
        legal_seat: rule.clone(),
        parent_seat: rule,
        members_may_forward: true,
        ..eea()
    };
    assert_eq!(policy.summary(), "EEA and CH only, members may forward");
}
