use proptest::prelude::*;

use super::*;
use crate::{
    ids::OperationHash,
    meeting::{
        operation::RemoveReason,
        role::Role,
        roster::{Member, Removal},
    },
    wire::codec,
};

fn member(i: usize) -> MemberId {
    let mut id = MemberId([0; 32]);
    id.0[..8].copy_from_slice(&i.to_be_bytes());
    id
}

fn knock(name: &str) -> Knock {
    Knock::new(Name::new(name).unwrap(), Vec::new(), false).unwrap()
}

fn roster(mode: AdmissionMode) -> Roster {
    Roster {
        admission: Some(mode),
        ..Roster::default()
    }
}

fn at(seconds: u64) -> Now {
    Now {
        monotonic: Timestamp::from_micros(seconds * 1_000_000),
        ..Now::default()
    }
}

#[test]
fn ask_waits_until_somebody_decides() {
    let (mut book, roster) = (AdmissionBook::new(), roster(AdmissionMode::Ask));
    let ask = |book: &mut AdmissionBook, name| book.handle_knock(at(0), member(1), knock(name), &roster);
    assert_eq!(ask(&mut book, "Ada"), KnockOutcome::Waiting { new: true });
    assert_eq!(ask(&mut book, "Ada"), KnockOutcome::Waiting { new: false });
    assert_eq!(ask(&mut book, "Bob"), KnockOutcome::Waiting { new: true });
    assert_eq!(
        book.decide(&member(1), Decision::Wait, &roster),
        Ok(Decided::Wait)
    );
    assert_eq!(
        book.decide(&member(1), Decision::Admit, &roster),
        Ok(Decided::Admit(knock("Bob")))
    );
    assert_eq!(
        book.decide(&member(1), Decision::Admit, &roster),
        Err(DecideError::NotWaiting)
    );
}

#[test]
fn two_refusals_block() {
    let (mut book, roster) = (AdmissionBook::new(), roster(AdmissionMode::Ask));
    for reason in [RefusalReason::ByHost, RefusalReason::Blocked] {
        let outcome = book.handle_knock(at(0), member(1), knock("Ada"), &roster);
        assert_eq!(outcome, KnockOutcome::Waiting { new: true });
        assert_eq!(
            book.decide(&member(1), Decision::Refuse, &roster),
            Ok(Decided::Refuse(reason))
        );
    }
    let outcome = book.handle_knock(at(0), member(1), knock("Ada"), &roster);
    assert_eq!(outcome, KnockOutcome::Refused(RefusalReason::Blocked));
}

#[test]
fn a_ticket_admits_strangers_but_not_those_who_were_refused_or_removed() {
    let (mut book, mut roster) = (AdmissionBook::new(), roster(AdmissionMode::Ask));
    book.handle_knock(at(0), member(1), knock("Ada"), &roster);
    book.decide(&member(1), Decision::Refuse, &roster).unwrap();
    roster.admission = Some(AdmissionMode::Ticket);
    let removal = Removal {
        operation: OperationHash([0; 32]),
        by: None,
        reason: RemoveReason::Unstated,
    };
    roster.removed.insert(member(2), removal);
    roster.equivocators.insert(member(3));
    let outcomes: Vec<_> = (0..4)
        .map(|i| book.handle_knock(at(0), member(i), knock("Ada"), &roster))
        .collect();
    let expected = [
        KnockOutcome::Admit,
        KnockOutcome::Waiting { new: true },
        KnockOutcome::Waiting { new: true },
        KnockOutcome::Refused(RefusalReason::Excluded),
    ];
    assert_eq!(outcomes, expected);
    assert!(book.waiting().all(|(_, waiting)| waiting.returns));
}

#[test]
fn a_locked_meeting_refuses_all_but_its_members_and_counts_no_refusal() {
    let (mut book, mut roster) = (AdmissionBook::new(), roster(AdmissionMode::Ticket));
    roster.locked = true;
    let hash = OperationHash([0; 32]);
    let name = Name::new("Ada").unwrap();
    roster.members.insert(
        member(1),
        Member {
            name,
            role: Role::Speaker,
            since: hash,
            role_since: hash,
        },
    );
    assert_eq!(
        book.handle_knock(at(0), member(1), knock("Ada"), &roster),
        KnockOutcome::AlreadyIn
    );
    for _ in 0..3 {
        let outcome = book.handle_knock(at(0), member(2), knock("Bob"), &roster);
        assert_eq!(outcome, KnockOutcome::Refused(RefusalReason::Locked));
    }
    (roster.locked, roster.admission) = (false, Some(AdmissionMode::Ask));
    book.handle_knock(at(0), member(2), knock("Bob"), &roster);
    roster.locked = true;
    assert_eq!(
        book.decide(&member(2), Decision::Admit, &roster),
        Err(DecideError::Locked)
    );
    roster.locked = false;
    assert!(book.decide(&member(2), Decision::Admit, &roster).is_ok());
}

#[test]
fn those_who_wait_are_bounded_shown_in_order_and_expire() {
    let (mut book, roster) = (AdmissionBook::new(), roster(AdmissionMode::Ask));
    for i in (0..WAITING_MAX).rev() {
        let outcome = book.handle_knock(at(0), member(i), knock("Ada"), &roster);
        assert_eq!(outcome, KnockOutcome::Waiting { new: true });
    }
    let outcome = book.handle_knock(at(0), member(WAITING_MAX), knock("Ada"), &roster);
    assert_eq!(outcome, KnockOutcome::Refused(RefusalReason::TooManyWaiting));
    assert!(
        book.waiting()
            .map(|(member, _)| member)
            .eq((0..WAITING_MAX).rev().map(member))
    );
    book.handle_knock(at(20), member(5), knock("Ada"), &roster);
    assert_eq!(book.poll_timeout(), Some(at(35).monotonic));
    assert_eq!(book.handle_timeout(at(35)).len(), WAITING_MAX - 1);
    assert_eq!(
        book.waiting().map(|(member, _)| member).collect::<Vec<_>>(),
        [member(5)]
    );
    assert_eq!(book.poll_timeout(), Some(at(55).monotonic));
}

#[test]
fn remembered_refusals_are_bounded_and_blocked_ones_stay_longest() {
    let (mut book, roster) = (AdmissionBook::new(), roster(AdmissionMode::Ask));
    let mut refuse = |i: usize| {
        book.handle_knock(at(0), member(i), knock("Ada"), &roster);
        book.decide(&member(i), Decision::Refuse, &roster).unwrap();
    };
    refuse(0);
    refuse(0);
    (1..REFUSED_MAX + 10).for_each(&mut refuse);
    assert_eq!(book.refused.len(), REFUSED_MAX);
    let outcome = book.handle_knock(at(0), member(0), knock("Ada"), &roster);
    assert_eq!(outcome, KnockOutcome::Refused(RefusalReason::Blocked));
}

#[test]
fn addresses_are_bounded_and_hidden_where_no_direct_link_is_wanted() {
    let name = Name::new("Ada").unwrap();
    let address: SocketAddr = "192.0.2.1:5".parse().unwrap();
    let error = Knock::new(name.clone(), vec![address; 9], true);
    assert_eq!(error, Err(KnockError::TooManyAddresses));
    assert_eq!(
        Knock::new(name, vec![address], false),
        Err(KnockError::AddressesWithoutDirect)
    );
}

proptest! {
    #[test]
    fn knocks_round_trip_in_canonical_form(addresses: Vec<SocketAddr>, direct_ok: bool) {
        let bytes = codec::encode(&(Name::new("Ada").unwrap(), addresses.clone(), direct_ok));
        match codec::decode::<Knock>(&bytes) {
            Ok(knock) => {
                prop_assert_eq!(codec::encode(&knock), bytes);
                prop_assert_eq!(knock.addresses().len(), addresses.len());
            }
            Err(_) => prop_assert!(addresses.len() > KNOCK_ADDRESSES_MAX || !(direct_ok || addresses.is_empty())),
        }
    }
}
