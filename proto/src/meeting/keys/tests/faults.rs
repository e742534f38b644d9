//! What a receiver refuses.

use super::{super::*, *};
use crate::identity::Identity;

/// Signs again what a malicious publisher changed.
fn resigned(mut message: KeyMessage, change: impl FnOnce(&mut KeyMessage)) -> KeyMessage {
    change(&mut message);
    message.statement.commitment = KeyStatement::commit(&message.secret.0);
    if let Some(list) = &message.recipients {
        message.statement.recipients = RecipientsRoot::of(&MEETING, list.members());
    }
    message.signature = message.statement.sign(&publisher_identity());
    message
}

fn first_message() -> (World, KeyMessage) {
    let world = World::new([1, 2]);
    let message = world.last_message_to(1);
    (world, message)
}

fn fresh_receiver(message: &KeyMessage, roster: &FixedRoster) -> Result<KeyAck, KeyFault> {
    Receiver::new(MEETING, publisher_identity().member_id(), member(1)).handle_key_message(
        at(0),
        message,
        roster,
    )
}

#[test]
fn a_ghost_is_named() {
    let (_, message) = first_message();
    assert_eq!(
        fresh_receiver(&message, &roster([1])),
        Err(KeyFault::Ghost(members([2])))
    );
    assert!(fresh_receiver(&message, &roster([1, 2, 3])).is_ok());
    let mut without_publisher = roster([1, 2]);
    without_publisher
        .members
        .remove(&publisher_identity().member_id());
    let ghosts = BTreeSet::from([publisher_identity().member_id()]);
    assert_eq!(
        fresh_receiver(&message, &without_publisher),
        Err(KeyFault::Ghost(ghosts))
    );
}

#[test]
fn a_ghost_is_found_even_when_the_list_is_left_out() {
    let mut world = World::new([1, 2]);
    world.seal(at(0));
    world.publisher.handle_timeout(at(120_000));
    let (_, message) = world.publisher.poll_transmit(at(120_000)).unwrap();
    assert_eq!(message.recipients, None);
    // The roster at these heads has lost member 2, and the publisher still counts it in.
    world.roster = roster([1]);
    assert_eq!(
        world.hand_in(at(120_001), 1, &message),
        Err(KeyFault::Ghost(members([2])))
    );
    assert_eq!(
        fresh_receiver(&message, &roster([1, 2, 3])),
        Err(KeyFault::RecipientsUnknown)
    );
}

#[test]
fn missing_operations_are_asked_for_before_anybody_is_accused() {
    let (_, message) = first_message();
    let mut behind = roster([1]);
    behind.has_operations = false;
    assert_eq!(
        fresh_receiver(&message, &behind),
        Err(KeyFault::NeedOperations(HEADS.to_vec()))
    );
}

#[test]
fn a_hidden_recipient_does_not_fit_the_root() {
    let (_, message) = first_message();
    let mut hidden = message.clone();
    hidden.recipients = RecipientList::new(members([1]));
    assert_eq!(
        fresh_receiver(&hidden, &roster([1])),
        Err(KeyFault::RecipientsUnknown)
    );
    let unaddressed = resigned(message, |message| {
        message.recipients = RecipientList::new(members([2]));
    });
    assert_eq!(
        fresh_receiver(&unaddressed, &roster([1, 2])),
        Err(KeyFault::NotAddressed)
    );
}

#[test]
fn another_policy_is_refused() {
    let (_, message) = first_message();
    let mut other = roster([1, 2]);
    other.policy = PolicyHash([9; 32]);
    assert_eq!(
        fresh_receiver(&message, &other),
        Err(KeyFault::PolicyMismatch { theirs: POLICY })
    );
}

#[test]
fn foreign_and_forged_messages_are_refused() {
    let (_, message) = first_message();
    let all = roster([1, 2]);
    let mut changed = message.clone();
    changed.statement.meeting = MeetingId([0; 16]);
    assert_eq!(fresh_receiver(&changed, &all), Err(KeyFault::Foreign));
    let mallory = Identity::from_seed(&[9; 32]);
    let mut changed = message.clone();
    changed.statement.publisher = mallory.member_id();
    changed.signature = changed.statement.sign(&mallory);
    assert_eq!(fresh_receiver(&changed, &all), Err(KeyFault::Foreign));
    let mut changed = message.clone();
    changed.signature = message.statement.sign(&mallory);
    assert_eq!(fresh_receiver(&changed, &all), Err(KeyFault::Forged));
    let mut changed = message.clone();
    changed.statement.key = crate::sframe::KeyId::first(9);
    assert_eq!(fresh_receiver(&changed, &all), Err(KeyFault::Forged));
    let mut changed = message;
    changed.secret.0 = changed.secret.0.ratchet();
    assert_eq!(fresh_receiver(&changed, &all), Err(KeyFault::Forged));
}

#[test]
fn contradicting_messages_are_noticed() {
    let (mut world, message) = first_message();
    world.hand_in(at(1), 1, &message).unwrap();
    let secret = resigned(message.clone(), |message| {
        message.secret.0 = message.secret.0.ratchet();
    });
    assert_eq!(world.hand_in(at(1), 1, &secret), Err(KeyFault::Equivocation));
    let recipients = resigned(message, |message| {
        message.recipients = RecipientList::new(members([1]));
    });
    assert_eq!(world.hand_in(at(1), 1, &recipients), Err(KeyFault::Equivocation));
    // A later step that is not of the same chain.
    world.deaf.insert(member(1));
    world.set(at(2), [1, 2, 3]);
    let step = resigned(world.last_message_to(1), |message| {
        message.secret.0 = message.secret.0.ratchet();
    });
    assert_eq!(world.hand_in(at(3), 1, &step), Err(KeyFault::Equivocation));
    let step = resigned(world.last_message_to(1), |message| {
        message.statement.first_recipients = RecipientsRoot([0; 32]);
    });
    assert_eq!(world.hand_in(at(3), 1, &step), Err(KeyFault::Equivocation));
    let frame = world.seal(at(4));
    assert!(
        world.open(at(4), 1, &frame).is_ok(),
        "a refused message changes nothing"
    );
}

#[test]
fn a_restarted_publisher_replaces_its_keys_and_its_former_messages_are_void() {
    let (mut world, former) = first_message();
    world.publisher = new_publisher(8);
    world.set(at(100), [1, 2]);
    let frame = world.seal(at(101));
    assert!(world.open(at(102), 1, &frame).is_ok());
    assert_eq!(world.hand_in(at(103), 1, &former), Err(KeyFault::Outdated));
    let frame = world.seal(at(104));
    assert!(world.open(at(104), 1, &frame).is_ok());
}

#[test]
fn keys_that_come_too_fast_push_out_the_oldest() {
    let mut world = World::new([1]);
    for n in 0..100_u8 {
        world.set(at(u64::from(n) + 1), [1, 2 + n % 2]);
        let frame = world.seal(at(u64::from(n) + 1));
        assert!(world.open(at(u64::from(n) + 1), 1, &frame).is_ok());
    }
}

#[test]
fn messages_that_arrive_in_another_order_do_no_harm() {
    let mut world = World::new([1, 2]);
    world.deaf.insert(member(1));
    let mut held = Vec::new();
    let mut frames = Vec::new();
    for n in 3..6 {
        world.set(at(u64::from(n)), 1..=n);
        held.push(world.last_message_to(1));
        frames.push(world.seal(at(u64::from(n))));
    }
    for message in held.iter().rev() {
        world.hand_in(at(10), 1, message).unwrap();
    }
    for frame in &frames {
        assert!(world.open(at(11), 1, frame).is_ok());
    }
    assert_eq!(
        world.receivers[&member(1)].newest_key(),
        world.publisher.active_key()
    );
}
