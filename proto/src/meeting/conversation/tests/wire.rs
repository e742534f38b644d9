//! Round trip, canonical form and bounds of what the conversation sends.

use proptest::prelude::*;

use super::super::{
    files::message::{CHUNK_BYTES, FileAck, FileChunk, FileControl, FileId, FileOffer},
    item::{COUNTED_MAX, FeedId, ITEM_BYTES_MAX, Item, ItemBody, ItemError, ItemHash, Poll, SignedItem},
    message::{ConversationMessage, Digest, Direct, DirectBody, Mark},
    ranges::Range,
    reactions::Reaction,
    text::{ChatText, OptionText, Question},
};
use super::world::MEETING;
use crate::{
    channel::pairwise::MESSAGE_BYTES_MAX,
    identity::Identity,
    ids::{MemberId, OperationHash},
    time::UnixSeconds,
    wire::{bounded::BoundedText, codec, control_message::ControlMessage},
};

fn hash() -> impl Strategy<Value = ItemHash> {
    any::<[u8; 32]>().prop_map(ItemHash)
}

fn sorted(max: usize) -> impl Strategy<Value = Vec<ItemHash>> {
    proptest::collection::btree_set(hash(), 0..max).prop_map(|set| set.into_iter().collect())
}

fn body() -> impl Strategy<Value = ItemBody> {
    let poll = (any::<bool>(), 2_usize..=10).prop_map(|(multiple, count)| {
        let options: Vec<OptionText> = (0..count)
            .map(|n| OptionText::new(&format!("option {n}")).unwrap())
            .collect();
        ItemBody::OpenPoll(Poll {
            question: Question::new("why?").unwrap(),
            options: options.try_into().unwrap(),
            multiple,
        })
    });
    prop_oneof![
        "[a-z]{1,50}(\n[a-z]{1,50})?".prop_map(|text| ItemBody::Say(ChatText::new(&text).unwrap())),
        any::<bool>().prop_map(ItemBody::Hand),
        hash().prop_map(ItemBody::LowerHand),
        poll,
        (hash(), 0_u16..1_024).prop_map(|(poll, choices)| ItemBody::Vote { poll, choices }),
        (hash(), sorted(9)).prop_map(|(poll, counted)| ItemBody::ClosePoll {
            poll,
            counted: counted.try_into().unwrap()
        }),
    ]
}

fn identity() -> Identity {
    Identity::from_seed(&[5; 32])
}

fn item() -> impl Strategy<Value = Item> {
    (1_u64..1_000, 1_u64..1_000, sorted(9), body()).prop_map(|(seq, lamport, parents, body)| Item {
        meeting: MEETING,
        feed: FeedId {
            author: identity().member_id(),
            instance: 3,
        },
        seq,
        lamport,
        sent: UnixSeconds(7),
        parents: parents[..parents.len().min(8)].to_vec().try_into().unwrap(),
        heads: vec![OperationHash([1; 32])].try_into().unwrap(),
        body,
    })
}

fn message() -> impl Strategy<Value = ConversationMessage> {
    let items = item().prop_map(|item| {
        let signed = SignedItem::sign(&identity(), item);
        ConversationMessage::Items(vec![signed].try_into().unwrap())
    });
    let feed = (any::<[u8; 32]>(), any::<u64>()).prop_map(|(author, instance)| FeedId {
        author: MemberId(author),
        instance,
    });
    let digest = (feed.clone(), feed, 1_u64..9).prop_map(|(first, last, n)| {
        let mark = Mark {
            feed: first,
            has: vec![Range {
                first: n,
                last: n + 1,
            }]
            .try_into()
            .unwrap(),
        };
        ConversationMessage::Digest(Digest {
            first,
            last,
            marks: vec![mark].try_into().unwrap(),
        })
    });
    let offer = ("[a-z./\\\\]{0,60}", any::<u64>(), any::<[u8; 32]>()).prop_map(|(name, size, hash)| {
        DirectBody::File(FileControl::Offer(FileOffer {
            id: FileId([4; 16]),
            name: BoundedText::exact(&name).unwrap(),
            size,
            hash,
        }))
    });
    let direct = prop_oneof![
        Just(DirectBody::Nothing),
        "[a-z]{1,90}".prop_map(|text| DirectBody::Private {
            lamport: 4,
            sent: UnixSeconds(9),
            text: ChatText::new(&text).unwrap()
        }),
        proptest::sample::select(&Reaction::ALL[..]).prop_map(DirectBody::Reaction),
        offer,
        any::<u64>().prop_map(|from| DirectBody::File(FileControl::Accept {
            id: FileId([1; 16]),
            from
        })),
    ];
    let direct = (direct, any::<[u64; 3]>()).prop_map(|(body, [instance, base, seq])| {
        ConversationMessage::Direct(Direct {
            instance,
            base,
            seq,
            body,
        })
    });
    let chunk = (any::<u64>(), proptest::collection::vec(any::<u8>(), 0..300)).prop_map(|(offset, bytes)| {
        ConversationMessage::Chunk(FileChunk {
            id: FileId([2; 16]),
            offset,
            bytes: bytes.try_into().unwrap(),
        })
    });
    prop_oneof![
        items,
        digest,
        direct,
        chunk,
        any::<[u64; 2]>().prop_map(|[instance, upto]| ConversationMessage::DirectAck { instance, upto }),
        any::<u64>().prop_map(|upto| ConversationMessage::ChunkAck(FileAck {
            id: FileId([3; 16]),
            upto
        })),
    ]
}

proptest! {
    #[test]
    fn messages_round_trip_inside_control_messages(message in message()) {
        let control = ControlMessage::Conversation(Box::new(message));
        let bytes = control.encode();
        prop_assert!(ControlMessage::decode(&bytes).unwrap() == control);
        prop_assert!(ControlMessage::decode(&bytes[..bytes.len() - 1]).is_err());
    }

    #[test]
    fn whatever_is_read_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(message) = codec::decode::<ConversationMessage>(&bytes) {
            prop_assert_eq!(codec::encode(&message), bytes);
        }
    }

    #[test]
    fn a_signature_holds_for_every_byte_of_its_item(item in item(), place: usize, bit in 0_u8..8) {
        let signed = SignedItem::sign(&identity(), item);
        prop_assert_eq!(signed.verify(&MEETING), Ok(()));
        let mut bytes = codec::encode(&signed);
        let place = place % bytes.len();
        bytes[place] ^= 1 << bit;
        if let Ok(forged) = codec::decode::<SignedItem>(&bytes) {
            prop_assert!(forged.verify(&MEETING).is_err());
        }
    }
}

/// The longest of everything fits an envelope.
#[test]
fn the_longest_messages_fit_an_envelope() {
    let counted: Vec<ItemHash> = (0..COUNTED_MAX)
        .map(|n| {
            let mut hash = [0xFF; 32];
            hash[..2].copy_from_slice(&(n as u16).to_be_bytes());
            ItemHash(hash)
        })
        .collect();
    let full = |body| {
        SignedItem::sign(
            &identity(),
            Item {
                meeting: MEETING,
                feed: FeedId {
                    author: identity().member_id(),
                    instance: u64::MAX,
                },
                seq: 1 << 60,
                lamport: 1 << 60,
                sent: UnixSeconds(u64::MAX),
                parents: counted[..8].to_vec().try_into().unwrap(),
                heads: vec![OperationHash([9; 32]); 8].try_into().unwrap(),
                body,
            },
        )
    };
    let close = full(ItemBody::ClosePoll {
        poll: ItemHash([1; 32]),
        counted: counted.clone().try_into().unwrap(),
    });
    let say = full(ItemBody::Say(ChatText::new(&"x".repeat(4_000)).unwrap()));
    for signed in [close, say] {
        assert_eq!(signed.verify(&MEETING), Ok(()));
        assert!(codec::encode(&signed.item).len() <= ITEM_BYTES_MAX);
        let message = ConversationMessage::Items(vec![signed].try_into().unwrap());
        assert!(ControlMessage::Conversation(Box::new(message)).encode().len() <= MESSAGE_BYTES_MAX);
    }
    let chunk = ConversationMessage::Chunk(FileChunk {
        id: FileId([1; 16]),
        offset: u64::MAX,
        bytes: vec![0; CHUNK_BYTES].try_into().unwrap(),
    });
    let ranges = vec![
        Range {
            first: u64::MAX,
            last: u64::MAX
        };
        8
    ];
    let feed = FeedId {
        author: MemberId([1; 32]),
        instance: u64::MAX,
    };
    let mark = Mark {
        feed,
        has: ranges.try_into().unwrap(),
    };
    let digest = ConversationMessage::Digest(Digest {
        first: feed,
        last: feed,
        marks: vec![mark; super::super::message::MARKS_MAX].try_into().unwrap(),
    });
    for message in [chunk, digest] {
        let bytes = ControlMessage::Conversation(Box::new(message)).encode().len();
        assert!(bytes <= MESSAGE_BYTES_MAX, "{bytes}");
    }
}

#[test]
fn items_that_break_a_rule_of_their_form_are_refused() {
    let good = Item {
        meeting: MEETING,
        feed: FeedId {
            author: identity().member_id(),
            instance: 1,
        },
        seq: 1,
        lamport: 1,
        sent: UnixSeconds(0),
        parents: Vec::new().try_into().unwrap(),
        heads: vec![OperationHash([1; 32])].try_into().unwrap(),
        body: ItemBody::Hand(true),
    };
    let twice = vec![OptionText::new("a").unwrap(); 2];
    let poll = Poll {
        question: Question::new("?").unwrap(),
        options: twice.try_into().unwrap(),
        multiple: false,
    };
    let wrong: [Item; 6] = [
        Item {
            seq: 0,
            ..good.clone()
        },
        Item {
            lamport: u64::MAX,
            ..good.clone()
        },
        Item {
            heads: Vec::new().try_into().unwrap(),
            ..good.clone()
        },
        Item {
            parents: vec![ItemHash([2; 32]), ItemHash([1; 32])].try_into().unwrap(),
            ..good.clone()
        },
        Item {
            body: ItemBody::OpenPoll(poll),
            ..good.clone()
        },
        Item {
            body: ItemBody::Vote {
                poll: ItemHash([0; 32]),
                choices: 1 << 10,
            },
            ..good.clone()
        },
    ];
    for item in wrong {
        let signed = SignedItem::sign(&identity(), item);
        assert_eq!(signed.verify(&MEETING), Err(ItemError::Form), "{signed:?}");
    }
    let other = SignedItem::sign(&Identity::from_seed(&[6; 32]), good);
    assert_eq!(other.verify(&MEETING), Err(ItemError::Signature));
}
