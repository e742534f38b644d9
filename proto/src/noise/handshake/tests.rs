//! snow's traps, each closed.
use super::*;
use crate::{
    ids::MeetingId,
    noise::{
        QUIC_VERSION,
        binding::Context,
        kem::{CIPHERTEXT_LEN, PUBLIC_LEN},
        resolver::x25519_public,
    },
};

fn pair(leg: Leg, psk: &Psk) -> (Handshake, Handshake) {
    let prologue = Context::new(leg, &MeetingId([1; 16]).0).prologue(QUIC_VERSION);
    let relay_public = x25519_public(&[2; 32]);
    let setup = Setup {
        leg,
        initiator: true,
        static_secret: &[1; 32],
        remote_static: (leg == Leg::Relay).then_some(&relay_public),
        psk: (leg != Leg::Relay).then_some(psk),
        prologue: &prologue,
    };
    let initiator = Handshake::new(&setup, &mut Random::from_seed([1; 32]));
    let setup = Setup {
        initiator: false,
        static_secret: &[2; 32],
        remote_static: None,
        ..setup
    };
    (initiator, Handshake::new(&setup, &mut Random::from_seed([2; 32])))
}

#[test]
fn both_legs_complete_and_agree() {
    for leg in [Leg::Member, Leg::Relay, Leg::Envelope] {
        let (mut initiator, mut responder) = pair(leg, &Psk([5; 32]));
        let m1 = initiator.write(b"one").unwrap();
        assert_eq!(&responder.read(&m1).unwrap()[..], b"one");
        let m2 = responder.write(b"two").unwrap();
        assert_eq!(&initiator.read(&m2).unwrap()[..], b"two");
        let (a, b) = (initiator.split().unwrap(), responder.split().unwrap());
        assert_eq!((a.keys, a.hash), (b.keys, b.hash));
        let m3 = initiator.write(b"three").unwrap();
        assert_eq!(&responder.read(&m3).unwrap()[..], b"three");
        let (c, d) = (initiator.split().unwrap(), responder.split().unwrap());
        assert_eq!((&c.keys, c.hash), (&d.keys, d.hash));
        assert_ne!(a.hash, c.hash);
        assert_eq!(responder.remote_static(), Some(x25519_public(&[1; 32])));
        assert_eq!(initiator.remote_static(), Some(x25519_public(&[2; 32])));
    }
}

#[test]
fn protocol_name_is_ours_in_the_transcript() {
    assert_eq!(params(Leg::Member).name, MEMBER_PROTOCOL);
    assert_eq!(params(Leg::Relay).name, RELAY_PROTOCOL);
}

#[test]
fn an_ephemeral_of_small_order_is_refused() {
    // In XX the responder's first DH is in message 2; the zero key itself is not authenticated by message 1's tags, since a
    // holder of the psk may send any.
    let (mut initiator, mut responder) = pair(Leg::Member, &Psk([5; 32]));
    let mut m1 = initiator.write(b"").unwrap();
    m1[..32].fill(0);
    // Changing the key breaks the tag of e1 …
    assert_eq!(responder.read(&m1).unwrap_err(), HandshakeError::Decrypt);
    // … so a malicious holder makes the whole message with a zero key.
    let m1 = zero_ephemeral_m1(&Psk([5; 32]));
    let (_, mut responder) = pair(Leg::Member, &Psk([5; 32]));
    responder.read(&m1).unwrap();
    assert_eq!(responder.write(b"").unwrap_err(), HandshakeError::Decrypt);
    assert_eq!(responder.write(b"").unwrap_err(), HandshakeError::Malformed);
}

/// Message 1 of the member leg by hand, with an ephemeral of zeros (Noise §5, the tokens psk, e, e1).
fn zero_ephemeral_m1(psk: &Psk) -> Vec<u8> {
    use aws_lc_rs::{aead, digest, hmac};
    fn hash(parts: &[&[u8]]) -> Vec<u8> {
        digest::digest(&digest::SHA256, &parts.concat()).as_ref().to_vec()
    }
    fn hkdf(ck: &[u8], input: &[u8], outputs: usize) -> Vec<Vec<u8>> {
        let mac = |key: &[u8], data: &[u8]| {
            hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data)
                .as_ref()
                .to_vec()
        };
        let temp = mac(ck, input);
        let mut out: Vec<Vec<u8>> = Vec::new();
        for n in 1..=outputs {
            let last = out.last().cloned().unwrap_or_default();
            out.push(mac(&temp, &[&last[..], &[u8::try_from(n).unwrap()]].concat()));
        }
        out
    }
    fn seal(key: &[u8], counter: u8, h: &[u8], plain: &[u8]) -> Vec<u8> {
        let key = aead::LessSafeKey::new(aead::UnboundKey::new(&aead::AES_256_GCM, key).unwrap());
        let mut nonce = [0; 12];
        nonce[11] = counter;
        let mut text = plain.to_vec();
        let nonce = aead::Nonce::assume_unique_for_key(nonce);
        key.seal_in_place_append_tag(nonce, aead::Aad::from(h), &mut text)
            .unwrap();
        text
    }
    let prologue = Context::new(Leg::Member, &MeetingId([1; 16]).0).prologue(QUIC_VERSION);
    let ck = hash(&[MEMBER_PROTOCOL.as_bytes()]);
    let h = hash(&[&ck, &prologue]);
    let mixed = hkdf(&ck, &psk.0, 3);
    let h = hash(&[&h, &mixed[1]]);
    let h = hash(&[&h, &[0; 32]]);
    let mixed = hkdf(&mixed[0], &[0; 32], 2);
    let kem = {
        use snow::{params::KemChoice, resolvers::CryptoResolver};
        let resolver = Resolver::new(&mut Random::from_seed([7; 32]));
        let mut kem = resolver.resolve_kem(&KemChoice::Kyber1024).unwrap();
        kem.generate(&mut *resolver.resolve_rng().unwrap());
        kem.pubkey().to_vec()
    };
    let e1 = seal(&mixed[1], 0, &h, &kem);
    let h = hash(&[&h, &e1]);
    let payload = seal(&mixed[1], 1, &h, b"");
    [&[0; 32][..], &e1, &payload].concat()
}

#[test]
fn no_length_of_message_or_payload_panics() {
    let psk = Psk([5; 32]);
    let m1_len = 32 + PUBLIC_LEN + 16 + 16;
    let (mut initiator, mut responder) = pair(Leg::Member, &psk);
    let m1 = initiator.write(b"").unwrap();
    assert_eq!(m1.len(), m1_len);
    responder.read(&m1).unwrap();
    let m2 = responder.write(b"").unwrap();
    assert_eq!(m2.len(), 32 + CIPHERTEXT_LEN + 16 + 48 + 16);
    // Cut short or grown, of every length about those at which snow's buffer checks are off.
    for len in (0..32).chain(1_100..1_400).chain([65_535, 65_536, 70_000]) {
        for leg in [Leg::Member, Leg::Relay] {
            let (mut initiator, mut responder) = pair(leg, &psk);
            let mut message = m1.clone();
            message.resize(len, 0);
            assert_eq!(
                responder.read(&message).is_ok(),
                leg == Leg::Member && len == m1_len
            );
            initiator.write(b"").unwrap();
            let mut message = m2.clone();
            message.resize(len, 0);
            assert!(initiator.read(&message).is_err() || len == m2.len());
        }
    }
    for len in [0, 1, 1_200, 60_000, 64_000, 64_303, 64_304, 65_535, 70_000] {
        let (mut initiator, _) = pair(Leg::Member, &psk);
        assert_eq!(initiator.write(&vec![0; len]).is_ok(), len + m1_len <= 65_535);
    }
}

#[test]
fn the_remote_static_is_not_shown_after_a_failed_message_2() {
    let (mut initiator, mut responder) = pair(Leg::Member, &Psk([5; 32]));
    responder.read(&initiator.write(b"").unwrap()).unwrap();
    let mut m2 = responder.write(b"payload").unwrap();
    // The static key decrypts, the payload does not.
    *m2.last_mut().unwrap() ^= 1;
    assert_eq!(initiator.read(&m2).unwrap_err(), HandshakeError::Decrypt);
    assert_eq!(initiator.remote_static(), None);
    assert!(initiator.split().is_err());
    assert!(initiator.write(b"").is_err());
}

#[test]
fn another_key_prologue_or_leg_fails_at_message_1() {
    let (mut initiator, _) = pair(Leg::Member, &Psk([5; 32]));
    let m1 = initiator.write(b"").unwrap();
    for (leg, psk) in [
        (Leg::Member, Psk([6; 32])),
        (Leg::Envelope, Psk([5; 32])),
        (Leg::Relay, Psk([5; 32])),
    ] {
        let (_, mut responder) = pair(leg, &psk);
        assert_eq!(responder.read(&m1).unwrap_err(), HandshakeError::Decrypt);
    }
}

#[test]
fn every_flipped_bit_of_a_message_is_noticed() {
    let psk = Psk([5; 32]);
    let (mut initiator, mut responder) = pair(Leg::Member, &psk);
    let m1 = initiator.write(b"payload").unwrap();
    for byte in (0..m1.len()).step_by(7) {
        let (_, mut responder) = pair(Leg::Member, &psk);
        let mut changed = m1.clone();
        changed[byte] ^= 0x10;
        assert!(responder.read(&changed).is_err());
    }
    responder.read(&m1).unwrap();
    let m2 = responder.write(b"payload").unwrap();
    for byte in (0..m2.len()).step_by(7) {
        let (mut initiator, _) = pair(Leg::Member, &psk);
        initiator.write(b"payload").unwrap();
        let mut changed = m2.clone();
        changed[byte] ^= 0x10;
        assert!(initiator.read(&changed).is_err());
    }
}
