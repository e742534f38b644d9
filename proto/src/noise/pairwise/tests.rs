use proptest::prelude::*;

use super::*;

const NOW: UnixSeconds = UnixSeconds(1_795_293_120);
const MEETING: MeetingId = MeetingId([4; 16]);

fn alice() -> Identity {
    Identity::from_seed(&[1; 32])
}

fn bob() -> Identity {
    Identity::from_seed(&[2; 32])
}

fn sessions(seed: u8) -> (Session, Session) {
    let mut random = Random::from_seed([seed; 32]);
    let psk = Psk([5; 32]);
    let keys = [(MEETING, Psk([6; 32])), (MEETING, psk.clone())];
    let (initiator, m1) = Initiator::new(&alice(), MEETING, &psk, Some(bob().member_id()), &mut random);
    let (responder, m2, index) = Responder::read_m1(&bob(), &keys, NOW, &mut random, &m1).unwrap();
    assert_eq!(index, 1);
    let (a, m3, peer) = initiator.read_m2(NOW, &m2).unwrap();
    assert_eq!(peer, bob().member_id());
    let (b, peer) = responder.read_m3(NOW, &m3).unwrap();
    assert_eq!(peer, alice().member_id());
    (a, b)
}

#[test]
fn messages_go_both_ways_in_any_order_and_once() {
    let (mut a, mut b) = sessions(1);
    let sealed: Vec<_> = (0..100_u8).map(|n| a.seal(&[n; 3]).unwrap()).collect();
    for n in (0..100_u8).rev() {
        assert_eq!(b.open(&sealed[usize::from(n)]).unwrap(), [n; 3]);
    }
    for message in &sealed {
        assert_eq!(b.open(message), Err(PairwiseError::Replay));
    }
    let back = b.seal(b"back").unwrap();
    assert_eq!(a.open(&back).unwrap(), b"back");
    // Not to be reflected.
    assert_eq!(b.open(&back), Err(PairwiseError::Replay));
    let (_, mut b) = sessions(1);
    assert_eq!(b.open(&back), Err(PairwiseError::Decrypt));
}

#[test]
fn exporters_agree_and_differ_between_sessions() {
    let ((a, b), (c, _)) = (sessions(1), sessions(2));
    let export = |session: &Session| {
        let mut out = [0; 32];
        session.export(b"label", b"context", &mut out).unwrap();
        out
    };
    assert_eq!(export(&a), export(&b));
    assert_ne!(export(&a), export(&c));
    assert_eq!(a.export(b"", b"", &mut [0; 8_161]), Err(PairwiseError::TooLong));
}

#[test]
fn wrong_keys_meetings_and_identities_are_refused() {
    let mut random = Random::from_seed([1; 32]);
    let psk = Psk([5; 32]);
    let (initiator, m1) = Initiator::new(&alice(), MEETING, &psk, Some(alice().member_id()), &mut random);
    for keys in [
        vec![],
        vec![(MEETING, Psk([6; 32]))],
        vec![(MeetingId([9; 16]), psk.clone())],
    ] {
        let outcome = Responder::read_m1(&bob(), &keys, NOW, &mut random, &m1);
        assert!(matches!(outcome, Err(PairwiseError::Decrypt)));
    }
    let (_, m2, _) = Responder::read_m1(&bob(), &[(MEETING, psk.clone())], NOW, &mut random, &m1).unwrap();
    assert_eq!(
        initiator.read_m2(NOW, &m2).err(),
        Some(PairwiseError::WrongIdentity)
    );

    let (initiator, m1) = Initiator::new(&alice(), MEETING, &psk, None, &mut random);
    let (_, m2, _) = Responder::read_m1(&bob(), &[(MEETING, psk)], NOW, &mut random, &m1).unwrap();
    let late = UnixSeconds(NOW.0 + 13 * 3_600);
    assert_eq!(initiator.read_m2(late, &m2).err(), Some(PairwiseError::Binding));
}

#[test]
fn bounds_hold() {
    let (mut a, mut b) = sessions(1);
    let longest = a.seal(&vec![0; PLAINTEXT_BYTES_MAX]).unwrap();
    assert_eq!(longest.len(), PLAINTEXT_BYTES_MAX + OVERHEAD_BYTES);
    b.open(&longest).unwrap();
    assert_eq!(
        a.seal(&vec![0; PLAINTEXT_BYTES_MAX + 1]),
        Err(PairwiseError::TooLong)
    );
    assert!(!a.is_nearly_exhausted());
    let (responder, m1) = Initiator::new(
        &alice(),
        MEETING,
        &Psk([5; 32]),
        None,
        &mut Random::from_seed([1; 32]),
    );
    drop(responder);
    assert!(m1.len() < HANDSHAKE_BYTES_MAX);
    let long = vec![0; HANDSHAKE_BYTES_MAX + 1];
    let outcome = Responder::read_m1(&bob(), &[], NOW, &mut Random::from_seed([1; 32]), &long);
    assert!(matches!(outcome, Err(PairwiseError::TooLong)));
}

proptest! {
    #[test]
    fn changed_messages_do_not_open(bit in 0_usize..(8 + 5 + 16) * 8) {
        let (mut a, mut b) = sessions(1);
        let mut sealed = a.seal(b"hello").unwrap();
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(b.open(&sealed).is_err());
        sealed[bit / 8] ^= 1 << (bit % 8);
        prop_assert_eq!(b.open(&sealed), Ok(b"hello".to_vec()));
    }

    #[test]
    fn anything_may_arrive(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        let (_, mut b) = sessions(1);
        prop_assert!(b.open(&bytes).is_err());
    }
}
