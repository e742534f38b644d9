//! The framework's known answers, through our resolver.

use snow::{Builder, HandshakeState, params::NoiseParams};

use super::Vector;
use crate::{noise::resolver::Resolver, random::Random};

fn build(vector: &Vector, initiator: bool) -> HandshakeState {
    let params: NoiseParams = vector.text("protocol").parse().unwrap();
    let positions: Vec<u8> = vector
        .text("protocol")
        .match_indices("psk")
        .map(|(at, _)| vector.text("protocol").as_bytes()[at + 3] - b'0')
        .collect();
    let side = if initiator { "init" } else { "resp" };
    let prologue = vector.bytes("init_prologue").unwrap();
    let ephemeral = vector.bytes(&format!("{side}_ephemeral")).unwrap();
    let local = vector.bytes(&format!("{side}_static"));
    let remote = vector.bytes("init_remote_static").filter(|_| initiator);
    let psks: Vec<[u8; 32]> = vector
        .all("psk")
        .into_iter()
        .map(|psk| psk.try_into().unwrap())
        .collect();
    assert_eq!(psks.len(), positions.len());

    let resolver = Resolver::new(&mut Random::from_seed([0; 32]));
    let mut builder = Builder::with_resolver(params, Box::new(resolver))
        .fixed_ephemeral_key_for_testing_only(&ephemeral)
        .prologue(&prologue)
        .unwrap();
    if let Some(local) = &local {
        builder = builder.local_private_key(local).unwrap();
    }
    if let Some(remote) = &remote {
        builder = builder.remote_public_key(remote).unwrap();
    }
    for (position, psk) in positions.into_iter().zip(&psks) {
        builder = builder.psk(position, psk).unwrap();
    }
    if initiator {
        builder.build_initiator().unwrap()
    } else {
        builder.build_responder().unwrap()
    }
}

#[test]
fn the_frameworks_known_answers_hold_through_our_resolver() {
    let vectors = Vector::read(include_str!("../../../../tests/vectors/noise/framework.txt"));
    assert_eq!(vectors.len(), 7);
    for vector in vectors {
        let (mut sender, mut receiver) = (build(&vector, true), build(&vector, false));
        for (payload, ciphertext) in vector.all("payload").iter().zip(vector.all("ciphertext")) {
            let mut message = vec![0; 65_535];
            let written = sender.write_message(payload, &mut message).unwrap();
            assert_eq!(&message[..written], &ciphertext, "{}", vector.text("protocol"));
            let mut read = vec![0; 65_535];
            let len = receiver.read_message(&ciphertext, &mut read).unwrap();
            assert_eq!(&read[..len], payload);
            std::mem::swap(&mut sender, &mut receiver);
        }
        assert!(sender.is_handshake_finished());
        if let Some(hash) = vector.bytes("handshake_hash") {
            assert_eq!(sender.get_handshake_hash(), hash);
        }
    }
}
