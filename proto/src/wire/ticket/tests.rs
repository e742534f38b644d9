use proptest::prelude::*;

use super::*;
use crate::policy::{
    Preset,
    family::Membership,
    fixture::{MEETING, NOW, after, any_addresses, any_descriptor, any_policy, descriptor_in, host, relay},
};
use crate::{
    ids::OperationHash,
    meeting::{operation::Op, role::Role},
};

fn terms() -> TicketTerms {
    TicketTerms {
        meeting: MEETING,
        secret: Zeroizing::new([5; 32]),
        epoch: 0,
        renewal: 0,
        admission: AdmissionMode::Ask,
        policy: SignedPolicy::sign(MEETING, 0, Preset::Eea.into(), &host()),
        addresses: vec!["198.51.100.4:50000".parse().unwrap()],
        relays: vec![SignedDescriptor::sign(descriptor_in("DE"), &relay()).unwrap()],
        expires: after(7 * 86_400),
    }
}

fn ticket() -> Ticket {
    Ticket::issue(terms(), &host()).unwrap()
}

fn error(text: &str) -> TicketError {
    let error = Ticket::parse(text, NOW).unwrap_err();
    assert!(!error.hint().is_empty() && !error.name().is_empty());
    error
}

#[test]
fn a_ticket_says_on_the_other_side_what_it_was_made_of() {
    let ticket = ticket();
    let read = Ticket::parse(&ticket.to_text(), NOW).unwrap();
    assert_eq!(read, ticket);
    assert_eq!(read.host(), host().member_id());
    assert_eq!(read.policy().policy().summary(), "EEA only");
    assert_eq!(*read.terms().secret, [5; 32]);
    assert_eq!(read.relays(NOW).filter(Result::is_ok).count(), 1);
    // The relay's word is over before the ticket is.
    let two_days_on = after(2 * 86_400);
    let read = Ticket::parse(&ticket.to_text(), two_days_on).unwrap();
    assert!(matches!(
        read.relays(two_days_on).next(),
        Some(Err(DescriptorError::Expired(_)))
    ));
}

/// A line that people paste: the length is part of the design.
#[test]
fn a_ticket_is_short() {
    let ticket = ticket();
    assert_eq!(ticket.to_text().len(), 651);
    let without_relay = TicketTerms {
        relays: Vec::new(),
        ..terms()
    };
    assert_eq!(
        Ticket::issue(without_relay, &host()).unwrap().to_text().len(),
        375
    );
}

#[test]
fn the_largest_ticket_fits_the_line() {
    use crate::policy::{
        CountryRule, DeniedAsns, EvidenceRule, IssuerRule, RoutePolicy, attestation::IssuerId, fixture,
    };
    let almost_all = |without: usize| {
        let countries = crate::policy::Country::all().enumerate();
        CountryRule::Only(
            countries
                .filter(|(at, _)| *at != without)
                .map(|(_, country)| country)
                .collect(),
        )
    };
    let policy = RoutePolicy {
        hosting: almost_all(0),
        legal_seat: almost_all(1),
        parent_seat: almost_all(2),
        evidence: EvidenceRule::Measured(
            IssuerRule::new(16, (0..16).map(|byte| IssuerId([byte; 32])).collect()).unwrap(),
        ),
        denied_asns: DeniedAsns::new((u32::MAX - 63..=u32::MAX).collect()).unwrap(),
        direct_only: false,
        expires: Some(UnixSeconds(u64::MAX)),
        ..Preset::Any.into()
    };
    let addresses: Vec<SocketAddr> = (1..=8)
        .map(|host| SocketAddr::from(([0x2001, 0, 0, 0, 0, 0, 0, host], 50_000)))
        .collect();
    let mut descriptor = descriptor_in("DE");
    descriptor.addresses.clone_from(&addresses);
    descriptor.operator.name = "n".repeat(64).parse().unwrap();
    descriptor.operator.contact = "c".repeat(128).parse().unwrap();
    descriptor.family = Some(Membership::sign(
        &fixture::issuer(1),
        descriptor.relay,
        crate::time::UnixSeconds(u64::MAX / 2),
    ));
    descriptor.sequence = u64::MAX;
    descriptor.previous = Some(crate::policy::descriptor::DescriptorHash([1; 32]));
    let claim = fixture::claim_of(&descriptor);
    let issuers: Vec<(u8, u64)> = (0..8).map(|number| (number, u64::MAX / 2)).collect();
    let relay = SignedDescriptor::sign(fixture::attested(descriptor, &issuers, claim), &relay()).unwrap();
    let terms = TicketTerms {
        policy: SignedPolicy::sign(MEETING, u32::MAX, policy, &host()),
        addresses,
        relays: vec![relay.clone(), relay],
        epoch: u32::MAX,
        renewal: u32::MAX,
        expires: UnixSeconds(u64::MAX),
        ..terms()
    };
    let text = Ticket::issue(terms, &host()).unwrap().to_text();
    assert!(text.len() <= armor::TEXT_CHARS_MAX, "{} characters", text.len());
    assert!(Ticket::parse(&text, NOW).is_ok());
}

#[test]
fn harmless_changes_are_undone() {
    let ticket = ticket();
    let text = ticket.to_text();
    let (a, b) = text.split_at(300);
    let variants = [
        format!("\"{text}\"\n"),
        format!("{a}\r\n{b}"),
        format!("{a} {b}"),
        format!("<{text}>."),
        format!("“{text}”"),
    ];
    for variant in variants {
        assert_eq!(Ticket::parse(&variant, NOW).as_ref(), Ok(&ticket), "{variant}");
    }
}

#[test]
fn each_thing_that_people_do_to_tickets_has_its_error() {
    let ticket = ticket();
    let text = ticket.to_text();
    let want = Some(text.len() - TEXT_PREFIX.len());
    assert_eq!(
        error(&text[..400]),
        TicketError::Damaged(Damage::CutShort {
            have: 400 - TEXT_PREFIX.len(),
            want
        })
    );
    let swapped = text.replacen(|c: char| c.is_ascii_digit(), "Q", 1);
    assert_eq!(
        error(&swapped),
        TicketError::Damaged(Damage::Changed { lower_case: false })
    );
    let lower = TicketError::Damaged(Damage::Changed { lower_case: true });
    assert_eq!(error(&text.to_lowercase()), lower);
    assert!(matches!(
        error(&format!("{text} see you")),
        TicketError::Damaged(Damage::Appended { extra: 6 })
    ));
    assert_eq!(error("hello"), TicketError::NotATicket);
    assert_eq!(error(""), TicketError::NotATicket);
    assert_eq!(error("https://example.org/j/123"), TicketError::NotATicket);
    assert_eq!(error(&terms().relays[0].to_text()), TicketError::RelayDescriptor);
    let newer = armor::write(TEXT_PREFIX, 2, b"what a later version writes");
    assert_eq!(error(&newer), TicketError::OtherVersion { found: 2 });
    assert_eq!(
        error(&armor::write(TEXT_PREFIX, VERSION, b"nonsense")),
        TicketError::Malformed
    );
    assert_eq!(
        Ticket::parse(&text, after(7 * 86_400)),
        Err(TicketError::Expired {
            at: after(7 * 86_400)
        })
    );
}

#[test]
fn another_policy_than_the_asked_one_is_told() {
    let ticket = ticket();
    assert_eq!(ticket.expect_policy(&Preset::Eea.into()), Ok(()));
    let expiring = RoutePolicy {
        expires: Some(NOW),
        ..Preset::Eea.into()
    };
    assert_eq!(ticket.expect_policy(&expiring), Ok(()));
    let error = ticket.expect_policy(&Preset::Eu.into()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the meeting's policy is \"EEA only\", you asked for \"EU only\""
    );
}

#[test]
fn terms_beyond_their_bounds_make_no_ticket() {
    let address = |port: u16| SocketAddr::from(([192, 0, 2, 1], port));
    let relay = terms().relays.remove(0);
    let made = |change: &dyn Fn(&mut TicketTerms)| {
        let mut terms = terms();
        change(&mut terms);
        Ticket::issue(terms, &host()).unwrap_err()
    };
    assert_eq!(
        made(&|terms| terms.addresses = (1..=9).map(address).collect()),
        TicketTermsError::TooManyAddresses(9)
    );
    assert_eq!(
        made(&|terms| terms.addresses = vec![address(0)]),
        TicketTermsError::Address(address(0))
    );
    assert_eq!(
        made(&|terms| terms.relays = vec![relay.clone(); 3]),
        TicketTermsError::TooManyRelays(3)
    );
    let nowhere = |terms: &mut TicketTerms| {
        terms.addresses.clear();
        terms.relays.clear();
    };
    assert_eq!(made(&nowhere), TicketTermsError::LeadsNowhere);
    assert_eq!(
        made(&|terms| terms.meeting = MeetingId([8; 16])),
        TicketTermsError::Policy(PolicyError::OtherMeeting)
    );
    let stranger = Identity::from_seed(&[66; 32]);
    assert!(matches!(
        Ticket::issue(terms(), &stranger),
        Err(TicketTermsError::Policy(PolicyError::OtherAuthor { .. }))
    ));
}

#[test]
fn each_byte_is_under_the_signature() {
    let ticket = ticket();
    let (_, payload) = armor::read(TEXT_PREFIX, &ticket.to_text()).unwrap();
    for at in 0..payload.len() {
        let mut bad = payload.clone();
        bad[at] ^= 1;
        let error = Ticket::parse(&armor::write(TEXT_PREFIX, VERSION, &bad), NOW).unwrap_err();
        assert!(
            matches!(error, TicketError::Malformed | TicketError::Forged),
            "byte {at}: {error:?}"
        );
    }
}

/// The founder handed the meeting to `by`.
fn handed_to(by: &Identity) -> SignedOperation {
    let op = Op::Role {
        member: by.member_id(),
        role: Role::Host,
    };
    SignedOperation::sign(&host(), MEETING, 4, vec![OperationHash([3; 32])], op).unwrap()
}

#[test]
fn whoever_the_host_put_in_charge_renews_the_ticket() {
    let heir = Identity::from_seed(&[0x61; 32]);
    let terms = TicketTerms {
        renewal: 1,
        ..terms()
    };
    let charge = vec![handed_to(&heir)];
    let renewed = Ticket::renew(terms.clone(), host().member_id(), charge.clone(), &heir).unwrap();
    let read = Ticket::parse(&renewed.to_text(), NOW).unwrap();
    assert_eq!(read, renewed);
    assert_eq!(read.host(), host().member_id());
    assert_eq!(read.issuer(), heir.member_id());
    assert!(read.supersedes(&ticket()) && !ticket().supersedes(&read));
    let next_epoch = TicketTerms {
        epoch: 1,
        renewal: 0,
        ..terms.clone()
    };
    assert!(Ticket::issue(next_epoch, &host()).unwrap().supersedes(&read));
    let stranger = Identity::from_seed(&[0x62; 32]);
    for (charge, issuer) in [(charge, &stranger), (Vec::new(), &heir)] {
        assert_eq!(
            Ticket::renew(terms.clone(), host().member_id(), charge, issuer),
            Err(TicketTermsError::NotInCharge)
        );
    }
}

#[test]
fn a_ticket_by_somebody_who_is_not_in_charge_is_forged() {
    let (heir, stranger) = (Identity::from_seed(&[0x61; 32]), Identity::from_seed(&[0x62; 32]));
    let good = Ticket::renew(terms(), host().member_id(), vec![handed_to(&heir)], &heir).unwrap();
    let resigned = |charge: Vec<SignedOperation>, by: &Identity| {
        let charge = BoundedVec::try_from(charge).unwrap();
        let mut payload = codec::encode(&body_of(good.terms(), good.host(), charge));
        let signature = by.sign(DOMAIN, &payload);
        payload.extend_from_slice(&signature.0);
        Ticket::parse(&armor::write(TEXT_PREFIX, VERSION, &payload), NOW)
    };
    assert_eq!(resigned(vec![handed_to(&heir)], &heir), Ok(good.clone()));
    assert_eq!(
        resigned(vec![handed_to(&heir)], &stranger),
        Err(TicketError::Forged)
    );
    assert_eq!(resigned(Vec::new(), &stranger), Err(TicketError::Forged));
    assert_eq!(
        resigned(vec![handed_to(&stranger)], &heir),
        Err(TicketError::Forged)
    );
}

#[test]
fn the_secret_is_not_printed() {
    let printed = format!("{:?}", ticket());
    assert!(!printed.contains("5, 5, 5"), "{printed}");
}

proptest! {
    #[test]
    fn tickets_round_trip(
        policy in any_policy(),
        secret in any::<[u8; 32]>(),
        (epoch, renewal, sequence) in any::<(u32, u32, u32)>(),
        addresses in any_addresses(1),
        relays in proptest::collection::vec(any_descriptor(), 0..=2),
        by_ticket in any::<bool>(),
        expires in 1_u64..u64::MAX,
    ) {
        let terms = TicketTerms {
            meeting: MEETING,
            secret: Zeroizing::new(secret),
            epoch,
            renewal,
            admission: if by_ticket { AdmissionMode::Ticket } else { AdmissionMode::Ask },
            policy: SignedPolicy::sign(MEETING, sequence, policy, &host()),
            addresses,
            relays: relays.into_iter().map(|descriptor| SignedDescriptor::sign(descriptor, &relay()).unwrap()).collect(),
            expires: UnixSeconds(expires),
        };
        let ticket = Ticket::issue(terms, &host()).unwrap();
        prop_assert_eq!(Ticket::parse(&ticket.to_text(), UnixSeconds(expires - 1)), Ok(ticket));
    }

    #[test]
    fn no_text_and_no_payload_panics(text: String, payload in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Ticket::parse(&text, NOW);
        let _ = Ticket::parse(&armor::write(TEXT_PREFIX, VERSION, &payload), NOW);
    }
}
