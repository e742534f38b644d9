//! Frames that are not what the publisher sealed, or not for the first time.

use super::{super::*, *};
use crate::sframe::header::Header;

#[test]
fn every_changed_byte_of_frame_and_context_is_an_error() {
    let mut world = World::new([1]);
    let frame = world.seal(at(0));
    let receiver = world.receivers.get_mut(&member(1)).unwrap();
    let mut out = Vec::new();
    for index in 0..frame.sframe.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut changed = frame.sframe.clone();
            changed[index] ^= flip;
            assert!(
                receiver.open(at(1), &context(0), &changed, &mut out).is_err(),
                "byte {index}"
            );
        }
    }
    for cut in 0..frame.sframe.len() {
        assert!(
            receiver
                .open(at(1), &context(0), &frame.sframe[..cut], &mut out)
                .is_err()
        );
    }
    let good = context(0);
    let mut foreign_meeting = good.meeting;
    foreign_meeting.0[15] ^= 1;
    for changed in [
        MediaContext {
            kind: MediaKind::SourceAuthentication,
            ..good
        },
        MediaContext { layer: 1, ..good },
        MediaContext {
            stream: StreamId(1),
            ..good
        },
        MediaContext {
            meeting: foreign_meeting,
            ..good
        },
        MediaContext {
            sender: member(1),
            ..good
        },
    ] {
        assert!(
            receiver.open(at(1), &changed, &frame.sframe, &mut out).is_err(),
            "{changed:?}"
        );
    }
    assert!(out.is_empty());
    // None of this moved the replay window or made the receiver ratchet.
    assert!(receiver.open(at(1), &good, &frame.sframe, &mut out).is_ok());
    assert_eq!(receiver.newest_key(), Some(crate::sframe::KeyId::first(0)));
}

#[test]
fn no_replay_is_accepted() {
    let replays = if cfg!(debug_assertions) {
        100_000
    } else {
        1_000_000
    };
    let mut world = World::new([1]);
    let frames: Vec<_> = (0..1_500).map(|_| world.seal(at(0))).collect();
    for frame in &frames {
        world.open(at(1), 1, frame).unwrap();
    }
    let mut random = Random::from_seed([3; 32]);
    let receiver = world.receivers.get_mut(&member(1)).unwrap();
    let (context, mut out) = (context(0), Vec::new());
    for _ in 0..replays {
        let frame = &frames[usize::try_from(random.next_u64() % 1_500).unwrap()];
        let result = receiver.open(at(2), &context, &frame.sframe, &mut out);
        assert_eq!(result, Err(OpenError::Replay));
    }
}

#[test]
fn streams_have_their_own_keys_and_counters() {
    let mut world = World::new([1]);
    let (mut audio, mut video, mut out) = (Vec::new(), Vec::new(), Vec::new());
    world
        .publisher
        .seal(at(0), &context(0), b"same", &mut audio)
        .unwrap();
    let sealed = world
        .publisher
        .seal(at(0), &context(1), b"same", &mut video)
        .unwrap();
    assert_eq!(sealed.counter, 0);
    assert_ne!(audio, video);
    let receiver = world.receivers.get_mut(&member(1)).unwrap();
    receiver.open(at(1), &context(1), &video, &mut out).unwrap();
    receiver.open(at(1), &context(0), &audio, &mut out).unwrap();
    assert_eq!(out, b"samesame");
    for stream in 2..16 {
        let sealed = world.publisher.seal(at(0), &context(stream), b"", &mut out);
        assert!(sealed.is_ok());
    }
    assert_eq!(
        world.publisher.seal(at(0), &context(16), b"", &mut out),
        Err(SealError::TooManyStreams)
    );
}

#[test]
fn a_key_id_or_counter_beyond_all_bounds_is_an_error() {
    let mut world = World::new([1]);
    let receiver = world.receivers.get_mut(&member(1)).unwrap();
    for (kid, counter) in [
        (1 << 36, 0),
        (u64::MAX, u64::MAX),
        (0, u64::MAX),
        ((1 << 36) - 1, 3),
    ] {
        let mut frame = Header { kid, counter }.encode().as_slice().to_vec();
        frame.extend_from_slice(&[0; 20]);
        assert!(
            receiver
                .open(at(0), &context(0), &frame, &mut Vec::new())
                .is_err()
        );
    }
}

#[test]
fn a_frame_of_another_member_is_not_sealed() {
    let mut world = World::new([1]);
    let foreign = MediaContext {
        sender: member(2),
        ..context(0)
    };
    assert_eq!(
        world.publisher.seal(at(0), &foreign, b"", &mut Vec::new()),
        Err(SealError::ForeignContext)
    );
}
