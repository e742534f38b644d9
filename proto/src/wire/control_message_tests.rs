//! Round trip and canonical form.

use proptest::prelude::*;

use super::*;
use crate::{
    mesh::route_planner::Parent,
    wire::forwarding_message::{ForwardRefusal, NEIGHBOURS_MAX, Offer, TAKEN_MAX},
};

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

fn parent() -> impl Strategy<Value = Parent> {
    prop_oneof![
        Just(Parent::Direct),
        any::<[u8; 32]>().prop_map(|relay| Parent::Relay(RelayId(relay))),
        any::<[u8; 32]>().prop_map(|member| Parent::Member(MemberId(member))),
    ]
}

fn forwarding() -> impl Strategy<Value = ForwardingMessage> {
    let id = || any::<[u8; 32]>().prop_map(MemberId);
    let taken = proptest::collection::vec((id(), any::<u32>()), 0..=TAKEN_MAX);
    let neighbours = proptest::collection::vec((id(), any::<u16>()), 0..=NEIGHBOURS_MAX);
    let offer = (any::<u32>(), taken, neighbours).prop_map(|(budget_kbps, taken, neighbours)| Offer {
        budget_kbps,
        taken: taken.try_into().unwrap(),
        neighbours: neighbours.try_into().unwrap(),
    });
    let content =
        || proptest::collection::vec(any::<u8>(), 0..64).prop_map(|bytes| bytes.try_into().unwrap());
    prop_oneof![
        offer.prop_map(ForwardingMessage::Offer),
        proptest::collection::vec(parent(), 0..=2)
            .prop_map(|parents| ForwardingMessage::Route(parents.try_into().unwrap())),
        parent().prop_map(ForwardingMessage::Failed),
        id().prop_map(ForwardingMessage::Subscribe),
        id().prop_map(ForwardingMessage::Unsubscribe),
        (id(), any::<u8>()).prop_map(|(member, depth)| ForwardingMessage::Serving(member, depth)),
        id().prop_map(|member| ForwardingMessage::Refused(member, ForwardRefusal::TooDeep)),
        (id(), content()).prop_map(|(member, bytes)| ForwardingMessage::Carry(member, bytes)),
        (id(), content()).prop_map(|(member, bytes)| ForwardingMessage::Carried(member, bytes)),
    ]
}

fn punch() -> impl Strategy<Value = ControlMessage> {
    let stage = prop_oneof![Just(Stage::Wish), Just(Stage::Ready)];
    let mapping = prop_oneof![
        Just(Mapping::Same),
        Just(Mapping::Unknown),
        Just(Mapping::PerDestination)
    ];
    let seen = proptest::collection::vec(address(), 0..=SEEN_MAX);
    (stage, any::<u8>(), mapping, seen).prop_map(|(stage, search, mapping, seen)| {
        ControlMessage::Punch(Punch {
            stage,
            search,
            mapping,
            seen: seen.try_into().unwrap(),
        })
    })
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
        forwarding().prop_map(|message| ControlMessage::Forwarding(Box::new(message))),
        punch(),
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
