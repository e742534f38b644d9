//! Round trip and canonical form.

use proptest::prelude::*;

use super::*;

fn address() -> impl Strategy<Value = WireAddress> {
    prop_oneof![
        any::<([u8; 4], u16)>().prop_map(|(ip, port)| WireAddress::V4(ip, port)),
        any::<([u8; 16], u16)>().prop_map(|(ip, port)| WireAddress::V6(ip, port)),
    ]
}

fn addresses() -> impl Strategy<Value = Addresses> {
    proptest::collection::vec(address(), 0..=ADDRESSES_MAX).prop_map(|list| list.try_into().unwrap())
}

fn heads() -> impl Strategy<Value = Heads> {
    proptest::collection::vec(any::<[u8; 32]>().prop_map(OperationHash), 0..=HEADS_MAX)
        .prop_map(|list| list.try_into().unwrap())
}

fn message() -> impl Strategy<Value = ControlMessage> {
    let relays = proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..64), 0..=RELAYS_MAX);
    let ways = proptest::collection::vec((any::<[u8; 32]>(), any::<[u8; 32]>()), 0..=RELAYS_MAX);
    let hello = ("[a-zA-Z]{1,20}", addresses(), relays, ways).prop_map(|(name, addresses, relays, ways)| {
        let relays: Vec<_> = relays
            .into_iter()
            .map(|bytes| bytes.try_into().unwrap())
            .collect();
        ControlMessage::Hello(Hello {
            name: Name::new(&name).unwrap(),
            addresses,
            relays: relays.try_into().unwrap(),
            ways: ways
                .into_iter()
                .map(|(far, near)| (RelayId(far), RelayId(near)))
                .collect::<Vec<_>>()
                .try_into()
                .unwrap(),
        })
    });
    let hint = (any::<[u8; 32]>(), addresses()).prop_map(|(member, addresses)| PeerHint {
        member: MemberId(member),
        addresses,
    });
    let grant = (
        any::<[u8; 32]>(),
        any::<[u8; 32]>(),
        proptest::option::of("[a-z]{0,100}"),
    );
    let grant = grant.prop_map(|(operation, secret, ticket)| RoomSecretGrant {
        operation: OperationHash(operation),
        secret,
        ticket: ticket.and_then(|text| BoundedText::exact(&text)),
    });
    let former = (any::<[u8; 32]>(), any::<[u8; 32]>());
    let former = former.prop_map(|(operation, secret)| FormerSecret {
        operation: OperationHash(operation),
        secret,
    });
    let welcome = (
        grant.clone(),
        proptest::collection::vec(former, 0..=FORMER_SECRETS_MAX),
    );
    let welcome = welcome.prop_map(|(grant, former)| Welcome {
        grant,
        former: former.try_into().unwrap(),
    });
    prop_oneof![
        hello,
        Just(ControlMessage::Waiting),
        Just(ControlMessage::WantKey),
        Just(ControlMessage::Refused(RefusalReason::Locked)),
        welcome.prop_map(|welcome| ControlMessage::Welcome(Box::new(welcome))),
        grant.prop_map(ControlMessage::RoomSecret),
        heads().prop_map(ControlMessage::Heads),
        heads().prop_map(ControlMessage::WantOperations),
        any::<[u8; 32]>().prop_map(|hash| ControlMessage::WantRoomSecret(OperationHash(hash))),
        any::<[u8; 32]>().prop_map(|hash| ControlMessage::Moved(OperationHash(hash))),
        proptest::collection::vec(hint, 0..4)
            .prop_map(|list| ControlMessage::Peers(list.try_into().unwrap())),
        proptest::collection::vec(any::<[u8; 32]>().prop_map(MemberId), 0..4)
            .prop_map(|list| ControlMessage::WantPeers(list.try_into().unwrap())),
        (any::<[u8; 32]>(), any::<u64>()).prop_map(|(hash, lacking)| {
            let checkpoint = OperationHash(hash);
            ControlMessage::WantCheckpoint(WantCheckpoint {
                checkpoint,
                known: lacking.is_multiple_of(2).then_some(checkpoint),
                lacking,
            })
        }),
        (
            any::<[u8; 32]>(),
            any::<(u8, u8)>(),
            proptest::collection::vec(any::<u8>(), 0..64)
        )
            .prop_map(|(hash, (number, parts), bytes)| {
                ControlMessage::CheckpointPart(Box::new(CheckpointPart {
                    checkpoint: OperationHash(hash),
                    number,
                    parts,
                    bytes: bytes.try_into().unwrap(),
                }))
            }),
        any::<u8>().prop_map(|stream| ControlMessage::Subscribe(StreamId(stream))),
        any::<u8>().prop_map(|stream| ControlMessage::Unsubscribe(StreamId(stream))),
        any::<u64>().prop_map(ControlMessage::Ping),
        any::<u64>().prop_map(ControlMessage::Pong),
    ]
}

proptest! {
    #[test]
    fn messages_round_trip(message in message()) {
        let bytes = message.encode();
        let read = ControlMessage::decode(&bytes).unwrap();
        prop_assert!(read == message);
        prop_assert_eq!(read.encode(), bytes);
    }

    #[test]
    fn whatever_is_read_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = ControlMessage::decode(&bytes) {
            prop_assert_eq!(message.encode(), bytes);
        }
    }

    #[test]
    fn a_byte_more_or_less_is_refused(message in message(), extra: u8) {
        let mut bytes = message.encode();
        bytes.push(extra);
        prop_assert!(ControlMessage::decode(&bytes).is_err());
        bytes.truncate(bytes.len() - 2);
        prop_assert!(ControlMessage::decode(&bytes).is_err());
    }
}
