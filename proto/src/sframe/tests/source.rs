//! Source authentication between a publisher and a receiver that hears it over several paths.

use std::time::Duration;

use proptest::prelude::*;

use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, StreamId},
    meeting::keys::Sealed,
    random::Random,
    sframe::{
        KeyId, MediaContext, encrypt,
        header::Header,
        key_schedule::FrameKey,
        source_authentication::{OBJECT_BYTES_MAX, SourceAuthentication},
        source_authenticator::SourceAuthenticator,
        source_verifier::{NotAuthentic, PathId, SourceVerifier, Verdict},
    },
    time::Timestamp,
    wire::{
        codec,
        media_packet::{HEADER_BYTES, MEDIA_PACKET_BYTES_MAX, MediaKind},
    },
};

const MEETING: MeetingId = MeetingId([5; 16]);
const INSTANCE: u64 = 77;
const A: PathId = PathId(1);
const B: PathId = PathId(2);

/// A publisher that sends a frame every 20 ms, and a receiver.
struct Call {
    now: Timestamp,
    key: FrameKey,
    key_id: KeyId,
    counter: u64,
    context: MediaContext,
    authenticator: SourceAuthenticator,
    verifier: SourceVerifier,
    objects: Vec<SourceAuthentication>,
}

impl Call {
    fn new() -> Self {
        let identity = Identity::from_seed(&[6; 32]);
        let sender = identity.member_id();
        let key_id = KeyId::first(3);
        Self {
            now: Timestamp::from_micros(1_000_000),
            key: FrameKey::derive(&[1; 64], key_id.to_u64()),
            key_id,
            counter: 0,
            context: MediaContext {
                kind: MediaKind::Audio,
                layer: 0,
                meeting: MEETING,
                sender,
                stream: StreamId::AUDIO,
            },
            authenticator: SourceAuthenticator::new(identity, MEETING, StreamId::AUDIO, INSTANCE),
            verifier: SourceVerifier::new(MEETING, sender, StreamId::AUDIO),
            objects: Vec::new(),
        }
    }

    fn sealed(&self, counter: u64, payload: &[u8]) -> Vec<u8> {
        let header = Header {
            kid: self.key_id.to_u64(),
            counter,
        };
        let mut out = Vec::new();
        encrypt::seal(&self.key, header, &self.context.to_bytes(), payload, &mut out);
        out
    }

    fn arrive(&mut self, path: PathId, sframe: &[u8]) {
        self.verifier
            .handle_packet(self.now, path, INSTANCE, &self.context, sframe);
    }

    /// Sends the next frame and lets 20 ms pass; gives the packet, and the object if one is due.
    fn frame(&mut self) -> (Vec<u8>, Option<SourceAuthentication>) {
        let packet = self.sealed(self.counter, &self.counter.to_be_bytes());
        let sealed = Sealed {
            key: self.key_id,
            counter: self.counter,
        };
        self.counter += 1;
        self.authenticator
            .handle_sealed(self.now, &self.context, sealed, &packet);
        self.now += Duration::from_millis(20);
        (packet, self.object())
    }

    fn object(&mut self) -> Option<SourceAuthentication> {
        let object = self.authenticator.poll_object(self.now)?;
        // The object itself takes a counter of the stream.
        self.counter += 1;
        Some(object)
    }

    fn handle(&mut self, object: Option<&SourceAuthentication>) {
        if let Some(object) = object {
            self.verifier.handle_authentication(self.now, object).unwrap();
            self.objects.push(object.clone());
        }
        self.verifier.handle_timeout(self.now);
    }

    fn verdicts(&mut self) -> Vec<Verdict> {
        std::iter::from_fn(|| self.verifier.poll_verdict()).collect()
    }
}

#[test]
fn both_paths_of_a_redundant_stream_are_verified() {
    let mut call = Call::new();
    for _ in 0..100 {
        let (packet, object) = call.frame();
        call.arrive(A, &packet);
        call.handle(object.as_ref());
        // The second path is slower, now and then than the signature.
        call.now += Duration::from_millis(5);
        call.arrive(B, &packet);
    }
    assert_eq!(
        call.verdicts(),
        [Verdict::Verified { path: A }, Verdict::Verified { path: B }]
    );
}

#[test]
fn a_forged_frame_accuses_its_path_only_whichever_came_first() {
    for forged_first in [true, false] {
        let mut call = Call::new();
        let mut accused = Vec::new();
        for n in 0..100 {
            let (packet, object) = call.frame();
            let on_b = if n == 40 {
                call.sealed(call.counter - 1, b"forged!!")
            } else {
                packet.clone()
            };
            let (first, second) = if forged_first {
                ((B, on_b), (A, packet))
            } else {
                ((A, packet), (B, on_b))
            };
            call.arrive(first.0, &first.1);
            call.arrive(second.0, &second.1);
            call.handle(object.as_ref());
            accused.extend(call.verdicts());
        }
        accused.retain(|verdict| !matches!(verdict, Verdict::Verified { .. }));
        assert_eq!(accused, [Verdict::Mismatch { path: B }]);
    }
}

#[test]
fn two_lost_objects_in_a_row_accuse_nobody() {
    let mut call = Call::new();
    let mut objects = 0;
    for _ in 0..500 {
        let (packet, object) = call.frame();
        call.arrive(A, &packet);
        let object = object.filter(|_| {
            objects += 1;
            objects % 3 == 0
        });
        call.handle(object.as_ref());
    }
    assert_eq!(call.verdicts(), [Verdict::Verified { path: A }]);
}

/// The network parts and heals: what the path brought last before stays without signature for ever.
#[test]
fn an_interrupted_path_is_not_accused_when_it_comes_back() {
    for gap in [60, 240] {
        let mut call = Call::new();
        for n in 0..400 {
            let (packet, object) = call.frame();
            // The object after the last packets is lost with everything else.
            let interrupted = (100..100 + gap).contains(&n);
            if !interrupted {
                call.arrive(A, &packet);
            }
            call.handle(object.as_ref().filter(|_| !(95..100 + gap).contains(&n)));
        }
        assert_eq!(call.verdicts(), [Verdict::Verified { path: A }], "{gap} frames");
    }
}

/// Pauses do not hide for ever that nothing is signed.
#[test]
fn a_path_that_pauses_every_second_is_named_all_the_same() {
    let mut call = Call::new();
    for n in 0..1_000 {
        let (packet, _) = call.frame();
        if n % 100 < 49 {
            call.arrive(A, &packet);
        }
        call.handle(None);
    }
    assert!(call.verdicts().contains(&Verdict::Unsigned { path: A }));
}

#[test]
fn a_path_without_signatures_is_named_after_a_second() {
    let mut call = Call::new();
    for n in 0..60 {
        let (packet, _) = call.frame();
        call.arrive(A, &packet);
        call.handle(None);
        let verdicts = call.verdicts();
        if n < 51 {
            assert_eq!(verdicts, [], "frame {n}");
        } else if !verdicts.is_empty() {
            return assert_eq!(verdicts, [Verdict::Unsigned { path: A }]);
        }
    }
    panic!("no verdict after {:?}", call.now);
}

#[test]
fn frames_made_up_while_the_publisher_is_muted_are_noticed() {
    let mut call = Call::new();
    for _ in 0..50 {
        let (packet, object) = call.frame();
        call.arrive(A, &packet);
        call.handle(object.as_ref());
    }
    call.verdicts();
    for n in 0..100 {
        let forged = call.sealed(call.counter + n, b"made up");
        call.arrive(A, &forged);
        call.now += Duration::from_millis(20);
        let object = call.object();
        call.handle(object.as_ref());
    }
    let verdicts = call.verdicts();
    assert!(
        verdicts.contains(&Verdict::Unsigned { path: A })
            || verdicts.contains(&Verdict::Mismatch { path: A }),
        "{verdicts:?}"
    );
}

#[test]
fn numbers_that_the_publisher_has_not_reached_are_noticed_amid_honest_ones() {
    let mut call = Call::new();
    let mut verdicts = Vec::new();
    for n in 0..100 {
        let (packet, object) = call.frame();
        call.arrive(A, &packet);
        if n == 20 {
            let forged = call.sealed(call.counter + 5_000, b"made up");
            call.arrive(A, &forged);
        }
        call.handle(object.as_ref());
        verdicts.extend(call.verdicts());
    }
    assert!(verdicts.contains(&Verdict::Mismatch { path: A }), "{verdicts:?}");
}

#[test]
fn the_numbers_of_the_objects_are_no_place_for_forgeries() {
    let mut call = Call::new();
    for _ in 0..40 {
        let (packet, object) = call.frame();
        call.arrive(A, &packet);
        if object.is_some() {
            let forged = call.sealed(call.counter - 1, b"made up");
            call.arrive(A, &forged);
        }
        call.handle(object.as_ref());
    }
    assert!(call.verdicts().contains(&Verdict::Mismatch { path: A }));
}

#[test]
fn objects_of_others_or_of_another_run_are_refused() {
    let mut call = Call::new();
    while call.objects.is_empty() {
        let (packet, object) = call.frame();
        call.arrive(A, &packet);
        call.handle(object.as_ref());
    }
    let object = call.objects[0].clone();
    let mut changed = object.clone();
    changed.signature.0[0] ^= 1;
    assert_eq!(
        call.verifier.handle_authentication(call.now, &changed),
        Err(NotAuthentic)
    );
    let mut changed = object.clone();
    changed.instance += 1;
    assert_eq!(
        call.verifier.handle_authentication(call.now, &changed),
        Err(NotAuthentic)
    );
    let mut other_stream = SourceVerifier::new(MEETING, call.context.sender, StreamId(1));
    assert_eq!(
        other_stream.handle_authentication(call.now, &object),
        Err(NotAuthentic)
    );
    let mut other_member = SourceVerifier::new(MEETING, MemberId([1; 32]), StreamId::AUDIO);
    assert_eq!(
        other_member.handle_authentication(call.now, &object),
        Err(NotAuthentic)
    );
}

#[test]
fn a_path_that_is_removed_leaves_nothing_behind() {
    let mut call = Call::new();
    let (packet, _) = call.frame();
    call.arrive(A, &packet);
    assert!(call.verifier.poll_timeout().is_some());
    call.verifier.remove_path(A);
    assert_eq!(call.verifier.poll_timeout(), None);
}

#[test]
fn hundreds_of_packets_at_once_stay_within_a_datagram() {
    let mut call = Call::new();
    let mut random = Random::from_seed([2; 32]);
    let mut signed = 0;
    for n in 0..3_000_u32 {
        let sealed = Sealed {
            key: KeyId::try_from(u64::from(u32::MAX) + u64::from(n / 20)).unwrap(),
            counter: u64::from(u32::MAX) - 100_000 + u64::from(n) * (1 + random.next_u64() % 2),
        };
        let (now, context) = (call.now, call.context);
        call.authenticator
            .handle_sealed(now, &context, sealed, &n.to_be_bytes());
        if let Some(object) = call.authenticator.poll_object(call.now) {
            let bytes = codec::encode(&object);
            assert!(bytes.len() <= OBJECT_BYTES_MAX, "{} bytes", bytes.len());
            signed += 1;
        }
    }
    assert!(signed >= 90);
    const { assert!(HEADER_BYTES + super::super::OVERHEAD_BYTES_MAX + OBJECT_BYTES_MAX <= MEDIA_PACKET_BYTES_MAX) };
}

#[test]
fn a_silent_publisher_repeats_itself_twice_and_rests() {
    let mut call = Call::new();
    call.frame();
    let mut objects = 0;
    while let Some(due) = call.authenticator.poll_timeout() {
        call.now = due;
        let object = call.object().unwrap();
        assert_eq!(object.runs.packets().count(), 1);
        objects += 1;
    }
    assert_eq!(objects, 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn objects_round_trip_and_are_canonical(
        steps in proptest::collection::vec((0..3_u8, 1..3_u64), 1..64),
        index: prop::sample::Index, byte: u8, cut: prop::sample::Index,
    ) {
        let mut call = Call::new();
        let mut sealed = Sealed { key: KeyId::first(1), counter: 0 };
        let mut object = None;
        for (n, &(change, gap)) in steps.iter().enumerate() {
            sealed.counter += gap;
            if change == 0 {
                sealed = Sealed { key: KeyId::first(sealed.key.generation() + 1), counter: 0 };
            }
            let (now, context) = (call.now, call.context);
            call.authenticator.handle_sealed(now, &context, sealed, &n.to_be_bytes());
            call.now += Duration::from_millis(20);
            object = call.authenticator.poll_object(call.now).or(object);
        }
        call.now += Duration::from_millis(200);
        let object = call.authenticator.poll_object(call.now).or(object).unwrap();
        let mut bytes = codec::encode(&object);
        prop_assert_eq!(codec::decode::<SourceAuthentication>(&bytes), Ok(object));
        prop_assert!(codec::decode::<SourceAuthentication>(&bytes[..cut.index(bytes.len())]).is_err());
        let index = index.index(bytes.len());
        bytes[index] = byte;
        if let Ok(decoded) = codec::decode::<SourceAuthentication>(&bytes) {
            prop_assert_eq!(codec::encode(&decoded), bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_are_no_object_and_no_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(object) = codec::decode::<SourceAuthentication>(&bytes) {
            prop_assert!(object.runs.packets().count() <= 64);
        }
    }
}
