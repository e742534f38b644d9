//! Who is given which key, and when it is used.

use super::{super::*, *};
use crate::sframe::KeyId;

fn events(publisher: &mut Publisher) -> Vec<(KeyId, KeyReason, usize)> {
    std::iter::from_fn(|| publisher.poll_event())
        .map(|event| (event.key, event.reason, event.members.len()))
        .collect()
}

fn key(generation: u32, step: u8) -> KeyId {
    KeyId::try_from(u64::from(generation) << 4 | u64::from(step)).unwrap()
}

#[test]
fn the_first_frame_is_heard_by_all() {
    let mut world = World::new([1, 2]);
    let frame = world.seal(at(0));
    for n in [1, 2] {
        assert!(world.open(at(1), n, &frame).is_ok());
    }
    assert_eq!(events(&mut world.publisher), [(key(0, 0), KeyReason::Start, 2)]);
}

#[test]
fn nobody_hears_without_recipients() {
    let mut publisher = new_publisher(1);
    let mut out = Vec::new();
    assert_eq!(
        publisher.seal(at(0), &context(0), b"x", &mut out),
        Err(SealError::NoRecipients)
    );
    assert!(out.is_empty());
    let mut world = World::new([1]);
    world.set(at(5), []);
    assert_eq!(
        world.publisher.seal(at(6), &context(0), b"x", &mut out),
        Err(SealError::NoRecipients)
    );
    assert_eq!(world.publisher.poll_timeout(), None);
}

#[test]
fn a_join_ratchets_at_once_and_members_catch_up_by_themselves() {
    let mut world = World::new([1]);
    let early = world.seal(at(0));
    let late = world.seal(at(0));
    world.open(at(1), 1, &early).unwrap();
    world.deaf.insert(member(1));
    world.set(at(10), [1, 2]);
    let after = world.seal(at(10));
    assert_eq!(after.sealed.key, key(0, 1));
    // Member 1 got no message about the step and hears all the same, also what comes late.
    assert!(world.open(at(11), 1, &after).is_ok());
    assert!(world.open(at(12), 1, &late).is_ok());
    assert!(world.open(at(11), 2, &after).is_ok());
    assert_eq!(world.open(at(12), 2, &early), Err(OpenError::UnknownKey));
    // Then the message arrives: same chain, so no fault.
    world.deaf.clear();
    world.exchange(at(400));
    assert_eq!(
        events(&mut world.publisher),
        [(key(0, 0), KeyReason::Start, 1), (key(0, 1), KeyReason::Join, 2)]
    );
}

#[test]
fn the_step_before_is_erased_after_the_grace() {
    let mut world = World::new([1]);
    let frames = [world.seal(at(0)), world.seal(at(0))];
    world.set(at(10), [1, 2]);
    assert!(world.open(at(5_009), 1, &frames[0]).is_ok());
    let receiver = world.receivers.get_mut(&member(1)).unwrap();
    assert_eq!(receiver.poll_timeout(), Some(at(10) + GRACE));
    assert_eq!(world.open(at(5_010), 1, &frames[1]), Err(OpenError::UnknownKey));
    // Its message cannot bring it back.
    let first = world.sent[0].1.clone();
    assert_eq!(world.hand_in(at(5_011), 1, &first), Err(KeyFault::Outdated));
}

#[test]
fn catching_up_ends_after_eight_steps() {
    for (joins, heard) in [(8, true), (9, false)] {
        let mut world = World::new([1]);
        world.deaf.insert(member(1));
        for n in 0..joins {
            world.set(at(1), 1..=2 + n);
        }
        world.deaf.clear();
        let frame = world.seal(at(2));
        assert_eq!(frame.sealed.key, key(0, joins));
        assert_eq!(world.open(at(3), 1, &frame).is_ok(), heard, "{joins} steps");
    }
}

#[test]
fn the_sixteenth_join_starts_a_generation() {
    let mut world = World::new([0]);
    for n in 1..=16 {
        world.set(at(u64::from(n)), 0..=n);
    }
    let frame = world.seal(at(17));
    assert_eq!(frame.sealed.key, key(1, 0));
    assert!((0..=16).all(|n| world.open(at(18), n, &frame).is_ok()));
}

#[test]
fn a_removal_takes_effect_when_all_acknowledged() {
    let mut world = World::new([1, 2, 3]);
    world.set(at(100), [1, 2]);
    let frame = world.seal(at(100));
    assert_eq!(frame.sealed.key, key(1, 0));
    assert_eq!(world.open(at(101), 3, &frame), Err(OpenError::UnknownKey));
    assert!(world.open(at(101), 1, &frame).is_ok());
    assert!(!world.sent.iter().rev().take(2).any(|(to, _)| *to == member(3)));
}

#[test]
fn a_removal_takes_effect_after_half_a_second_at_the_latest() {
    let mut world = World::new([1, 2, 3, 4]);
    world.deaf.insert(member(2));
    world.set(at(100), [1, 2, 3]);
    assert_eq!(world.seal(at(500)).sealed.key, key(0, 0));
    // A further removal, which is pending too, does not postpone the first.
    world.set(at(500), [1, 2]);
    assert_eq!(world.seal(at(599)).sealed.key, key(0, 0));
    // Without a timer that fires.
    assert_eq!(world.seal(at(600)).sealed.key, key(2, 0));
}

#[test]
fn whoever_joins_while_a_generation_is_pending_hears_nothing_older() {
    let mut world = World::new([1, 2, 3]);
    world.deaf.insert(member(2));
    world.set(at(100), [1, 2]);
    world.set(at(200), [1, 2, 5]);
    let before = world.seal(at(300));
    assert_eq!(before.sealed.key, key(0, 0));
    assert_eq!(world.open(at(301), 5, &before), Err(OpenError::UnknownKey));
    let after = world.seal(at(600));
    assert_eq!(after.sealed.key, key(1, 1));
    assert!(world.open(at(601), 5, &after).is_ok());
    assert!(world.open(at(601), 1, &after).is_ok());
}

#[test]
fn a_speaker_rotates_by_the_clock_and_a_muted_one_when_it_next_speaks() {
    let mut world = World::new([1]);
    assert_eq!(world.publisher.poll_timeout(), None, "muted");
    world.publisher.handle_timeout(at(500_000));
    world.exchange(at(500_000));
    assert_eq!(world.seal(at(500_000)).sealed.key, key(0, 0));
    world.exchange(at(500_000));
    assert_eq!(world.seal(at(500_010)).sealed.key, key(1, 0));
    assert_eq!(
        world.publisher.poll_timeout(),
        Some(at(500_000) + GENERATION_AGE_MAX)
    );
    world.publisher.handle_timeout(at(620_000));
    world.exchange(at(620_000));
    assert_eq!(world.seal(at(620_000)).sealed.key, key(2, 0));
    let reasons: Vec<_> = events(&mut world.publisher).iter().map(|event| event.1).collect();
    assert_eq!(reasons, [KeyReason::Start, KeyReason::Age, KeyReason::Age]);
}

#[test]
fn a_generation_ends_after_its_share_of_frames() {
    let mut world = World::new([1]);
    let mut out = Vec::new();
    let contexts = [context(0), context(1)];
    for n in 0..FRAMES_MAX {
        out.clear();
        let context = &contexts[usize::from(n % 3 == 0)];
        let sealed = world.publisher.seal(at(0), context, b"", &mut out).unwrap();
        assert_eq!(sealed.key, key(0, 0));
    }
    world.seal(at(0));
    world.exchange(at(0));
    assert_eq!(world.seal(at(0)).sealed.key, key(1, 0));
    assert_eq!(events(&mut world.publisher)[1].1, KeyReason::Frames);
}

#[test]
fn a_lost_message_is_sent_again_and_again_but_not_for_ever() {
    let mut world = World::new([1]);
    world.deaf.insert(member(2));
    world.set(at(0), [1, 2]);
    let mut sendings = 0;
    while let Some(due) = world.publisher.poll_timeout() {
        world.publisher.handle_timeout(due);
        world.exchange(due);
        sendings += 1;
    }
    assert_eq!(sendings, 8, "after the first, which set() sent");
    world.deaf.clear();
    world.publisher.resend_to(at(60_000), member(2));
    world.publisher.resend_to(at(60_000), member(9));
    world.exchange(at(60_000));
    let frame = world.seal(at(60_001));
    assert!(world.open(at(60_002), 2, &frame).is_ok());
    assert_eq!(world.publisher.poll_timeout(), Some(at(120_000)));
}

#[test]
fn the_list_of_recipients_travels_once_for_each_root() {
    let mut world = World::new([1, 2]);
    world.seal(at(0));
    world.publisher.handle_timeout(at(120_000));
    world.exchange(at(120_000));
    let lists: Vec<bool> = world
        .sent
        .iter()
        .map(|(_, message)| message.recipients.is_some())
        .collect();
    assert_eq!(lists, [true, true, false, false]);
    world.publisher.resend_to(at(120_001), member(1));
    world.exchange(at(120_001));
    assert!(world.last_message_to(1).recipients.is_some());
}

#[test]
fn nobody_is_given_the_list_of_everybody() {
    let mut world = World::new([]);
    world.everybody = true;
    for count in 1..5 {
        world.roster = roster(0..count);
        world.set(at(u64::from(count) * 1_000), 0..count);
        let frame = world.seal(at(u64::from(count) * 1_000));
        assert!((0..count).all(|n| world.open(at(u64::from(count) * 1_000), n, &frame).is_ok()));
    }
    assert!(world.sent.iter().all(|(_, message)| message.recipients.is_none()));
}

#[test]
fn a_root_that_is_nobodys_list_is_refused() {
    let mut world = World::new([]);
    world.everybody = true;
    world.roster = roster(0..3);
    // Member 2 is left out: then the others have to be told.
    let recipients = members([0, 1]);
    world
        .publisher
        .set_recipients(at(0), &recipients, &HEADS, true)
        .unwrap();
    let (to, message) = world.publisher.poll_transmit(at(0)).unwrap();
    let mut receiver = Receiver::new(MEETING, publisher_identity().member_id(), to);
    let refused = receiver.handle_key_message(at(0), &message, &world.roster);
    assert_eq!(refused, Err(KeyFault::RecipientsUnknown));
    world.roster.has_operations = false;
    let later = receiver.handle_key_message(at(0), &message, &world.roster);
    assert_eq!(later, Err(KeyFault::NeedOperations(HEADS.to_vec())));
}

#[test]
fn another_policy_starts_a_generation() {
    let mut world = World::new([1]);
    world.roster.policy = PolicyHash([9; 32]);
    world.publisher.set_policy(at(5), PolicyHash([9; 32]));
    world.exchange(at(5));
    let frame = world.seal(at(5));
    assert_eq!(frame.sealed.key, key(1, 0));
    assert!(world.open(at(6), 1, &frame).is_ok());
}

#[test]
fn acknowledgements_that_nobody_can_give_change_nothing() {
    let mut world = World::new([1, 2]);
    world.deaf.extend([member(1), member(2)]);
    world.set(at(10), [1]);
    let instance = world.publisher.instance();
    for (from, instance, key) in [
        (member(2), instance, key(1, 0)),
        (member(1), instance + 1, key(1, 0)),
        (member(1), instance, key(1, 1)),
        (member(1), instance, key(2, 0)),
    ] {
        world
            .publisher
            .handle_ack(at(11), from, &KeyAck { instance, key });
        assert_eq!(world.publisher.active_key(), Some(KeyId::first(0)));
    }
    world.publisher.handle_ack(
        at(11),
        member(1),
        &KeyAck {
            instance,
            key: key(1, 0),
        },
    );
    assert_eq!(world.publisher.active_key(), Some(KeyId::first(1)));
}

#[test]
fn too_many_recipients_are_refused() {
    let mut publisher = new_publisher(1);
    let many: BTreeSet<_> = (0..=256_u32)
        .map(|n| {
            let mut id = [0; 32];
            id[..4].copy_from_slice(&n.to_be_bytes());
            MemberId(id)
        })
        .collect();
    assert!(publisher.set_recipients(at(0), &many, &HEADS, false).is_err());
    let heads: Vec<_> = (0..9).map(|n| OperationHash([n; 32])).collect();
    assert!(
        publisher
            .set_recipients(at(0), &members([1]), &heads, false)
            .is_err()
    );
    assert_eq!(publisher.active_key(), None);
}
