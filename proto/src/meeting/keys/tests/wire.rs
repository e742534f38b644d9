//! Key messages and acknowledgements on the wire.

use proptest::{collection::btree_set, prelude::*};

use super::{super::*, *};
use crate::{
    identity::Signature,
    sframe::{KeyId, key_schedule::Secret},
    wire::codec,
};

prop_compose! {
    fn any_message()(
        meeting: [u8; 16], publisher: [u8; 32], instance: u64, key in 0..1_u64 << 36, hashes: [[u8; 32]; 4],
        heads in btree_set(any::<[u8; 32]>(), 0..=8), signature: [u8; 64], secret: [u8; 64],
        recipients in proptest::option::of(btree_set(any::<[u8; 32]>(), 0..=256)),
    ) -> KeyMessage {
        let heads: Vec<_> = heads.into_iter().map(OperationHash).collect();
        KeyMessage {
            statement: KeyStatement {
                meeting: MeetingId(meeting),
                publisher: MemberId(publisher),
                instance,
                key: KeyId::try_from(key).unwrap(),
                commitment: hashes[0],
                first_recipients: RecipientsRoot(hashes[1]),
                recipients: RecipientsRoot(hashes[2]),
                policy: PolicyHash(hashes[3]),
                heads: key_message::Heads::new(&heads).unwrap(),
            },
            signature: Signature(signature),
            secret: key_message::ChainSecret(Secret::from_bytes(secret)),
            recipients: recipients
                .map(|ids| RecipientList::new(ids.into_iter().map(MemberId).collect()).unwrap()),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn key_messages_round_trip(message in any_message()) {
        let bytes = codec::encode(&message);
        prop_assert!(bytes.len() <= 9_000);
        prop_assert_eq!(codec::decode::<KeyMessage>(&bytes), Ok(message));
    }

    #[test]
    fn whatever_decodes_encodes_to_the_same_bytes(
        message in any_message(), index: proptest::sample::Index, byte: u8, cut: proptest::sample::Index,
    ) {
        let mut bytes = codec::encode(&message);
        prop_assert!(codec::decode::<KeyMessage>(&bytes[..cut.index(bytes.len())]).is_err());
        let index = index.index(bytes.len());
        bytes[index] = byte;
        if let Ok(decoded) = codec::decode::<KeyMessage>(&bytes) {
            prop_assert_eq!(codec::encode(&decoded), bytes);
        }
    }

    #[test]
    fn acknowledgements_round_trip(instance: u64, key in 0..1_u64 << 36) {
        let ack = KeyAck { instance, key: KeyId::try_from(key).unwrap() };
        prop_assert_eq!(codec::decode::<KeyAck>(&codec::encode(&ack)), Ok(ack));
    }

    #[test]
    fn arbitrary_bytes_do_not_panic(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let _ = codec::decode::<KeyMessage>(&bytes);
        if let Ok(ack) = codec::decode::<KeyAck>(&bytes) {
            prop_assert_eq!(codec::encode(&ack), bytes);
        }
    }
}

#[test]
fn sets_beyond_their_bounds_or_out_of_order_are_refused() {
    let ids = |count: u16| -> Vec<MemberId> {
        let id = |n: u16| {
            let mut id = [0; 32];
            id[..2].copy_from_slice(&n.to_be_bytes());
            MemberId(id)
        };
        (0..count).map(id).collect()
    };
    let mut list = ids(256);
    assert!(codec::decode::<RecipientList>(&codec::encode(&list)).is_ok());
    assert!(codec::decode::<RecipientList>(&codec::encode(&ids(257))).is_err());
    list.swap(3, 4);
    assert!(codec::decode::<RecipientList>(&codec::encode(&list)).is_err());
    list[3] = list[4];
    assert!(codec::decode::<RecipientList>(&codec::encode(&list)).is_err());
    let heads: Vec<_> = ids(9).iter().map(|id| OperationHash(id.0)).collect();
    assert!(codec::decode::<key_message::Heads>(&codec::encode(&heads)).is_err());
    assert!(codec::decode::<key_message::Heads>(&codec::encode(&heads[..8].to_vec())).is_ok());
    assert!(codec::decode::<KeyId>(&codec::encode(&(1_u64 << 36))).is_err());
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let message = World::new([1]).last_message_to(1);
    let text = format!("{message:?}");
    let bytes = message.secret.0.as_bytes();
    assert!(
        text.contains("Secret(..)") && !text.contains(&format!("{}, {}, {}", bytes[0], bytes[1], bytes[2]))
    );
}
