//! Every variant of what is said at the door, in the conversation and between those in charge.

use subrosa_fuzz::{MEETING, UNIX, identity, member};
use subrosa_proto::{
    ids::{OperationHash, StreamId},
    meeting::{
        admission::RefusalReason,
        conversation::{
            files::message::{FileAck, FileChunk, FileControl, FileId, FileOffer},
            item::{FeedId, Item, ItemBody, ItemHash, Poll, SignedItem},
            message::{ConversationMessage, Digest, Direct, DirectBody, Mark},
            ranges::Ranges,
            reactions::Reaction,
            text::{ChatText, OptionText, Question},
        },
        credential::{Credential, Organisation, SignedCredential},
        operation::SignedOperation,
    },
    time::UnixSeconds,
    wire::{
        bounded::BoundedText, control_message::ControlMessage, door_message::DoorMessage,
        moderation::Moderation,
    },
};

/// A credential that the organisation of identity 12 gave to member 1.
pub fn credential() -> SignedCredential {
    let organisation = Organisation {
        name: "Example".parse().expect("a name"),
        root: identity(12).public(),
    };
    let credential = Credential {
        organisation,
        member: member(1),
        name: super::ana(),
        serial: 7,
        not_before: UNIX,
        not_after: UnixSeconds(UNIX.0 + 3_600),
    };
    SignedCredential::sign(credential, identity(12))
}

fn door() -> Vec<(&'static str, DoorMessage)> {
    let bytes = || vec![1; 96].try_into().expect("fits");
    vec![
        (
            "credential",
            DoorMessage::Credential(credential().to_bytes().try_into().expect("fits")),
        ),
        (
            "refused",
            DoorMessage::Refused(RefusalReason::ByHost, BoundedText::cut("not today")),
        ),
        (
            "back_to_lobby",
            DoorMessage::BackToLobby {
                epoch: 1,
                secret: [3; 32],
            },
        ),
        ("turned_away", DoorMessage::TurnedAway(member(1))),
        ("passphrase_wanted", DoorMessage::PassphraseWanted),
        ("passphrase_start", DoorMessage::PassphraseStart(bytes())),
        ("passphrase_answer", DoorMessage::PassphraseAnswer(bytes())),
        ("passphrase_proof", DoorMessage::PassphraseProof(bytes())),
        ("passphrase_record", DoorMessage::PassphraseRecord(bytes())),
        ("passphrase_unlocked", DoorMessage::PassphraseUnlocked),
    ]
}

fn item(seq: u64, body: ItemBody) -> SignedItem {
    let item = Item {
        meeting: MEETING,
        feed: FeedId {
            author: member(1),
            instance: 7,
        },
        seq,
        lamport: seq,
        sent: UNIX,
        parents: Vec::new().try_into().expect("none"),
        heads: vec![OperationHash([6; 32])].try_into().expect("one"),
        body,
    };
    SignedItem::sign(identity(1), item)
}

fn items() -> Vec<SignedItem> {
    let poll = Poll {
        question: Question::new("Tea?").expect("a text"),
        options: ["yes", "no"]
            .map(|text| OptionText::new(text).expect("a text"))
            .to_vec()
            .try_into()
            .expect("two"),
        multiple: false,
    };
    let bodies = [
        ItemBody::Say(ChatText::new("hello").expect("a text")),
        ItemBody::Hand(true),
        ItemBody::LowerHand(ItemHash([1; 32])),
        ItemBody::OpenPoll(poll),
        ItemBody::Vote {
            poll: ItemHash([1; 32]),
            choices: 1,
        },
        ItemBody::ClosePoll {
            poll: ItemHash([1; 32]),
            counted: vec![ItemHash([2; 32])].try_into().expect("one"),
        },
    ];
    (1..).zip(bodies).map(|(seq, body)| item(seq, body)).collect()
}

fn bodies() -> Vec<(&'static str, DirectBody)> {
    let id = FileId([4; 16]);
    let offer = FileOffer {
        id,
        name: BoundedText::cut("notes.txt"),
        size: 12,
        hash: [5; 32],
    };
    vec![
        ("nothing", DirectBody::Nothing),
        (
            "private",
            DirectBody::Private {
                lamport: 1,
                sent: UNIX,
                text: ChatText::new("psst").expect("a text"),
            },
        ),
        ("reaction", DirectBody::Reaction(Reaction::Clap)),
        ("offer", DirectBody::File(FileControl::Offer(offer))),
        ("accept", DirectBody::File(FileControl::Accept { id, from: 0 })),
        ("decline", DirectBody::File(FileControl::Decline(id))),
        ("cancel", DirectBody::File(FileControl::Cancel(id))),
        ("done", DirectBody::File(FileControl::Done { id, good: true })),
    ]
}

fn conversation() -> Vec<(String, ConversationMessage)> {
    let id = FileId([4; 16]);
    let feed = FeedId {
        author: member(1),
        instance: 7,
    };
    let mut has = Ranges::default();
    has.insert(1);
    has.insert(3);
    let mark = Mark {
        feed,
        has: has.to_told(),
    };
    let mut messages = vec![
        (
            "items".to_owned(),
            ConversationMessage::Items(items().try_into().expect("few")),
        ),
        (
            "digest".to_owned(),
            ConversationMessage::Digest(Digest {
                first: feed,
                last: feed,
                marks: vec![mark].try_into().expect("one"),
            }),
        ),
        (
            "ack".to_owned(),
            ConversationMessage::DirectAck { instance: 7, upto: 1 },
        ),
        (
            "chunk".to_owned(),
            ConversationMessage::Chunk(FileChunk {
                id,
                offset: 0,
                bytes: vec![1; 12].try_into().expect("fits"),
            }),
        ),
        (
            "chunk_ack".to_owned(),
            ConversationMessage::ChunkAck(FileAck { id, upto: 12 }),
        ),
    ];
    for (name, body) in bodies() {
        let direct = Direct {
            instance: 7,
            base: 1,
            seq: 1,
            body,
        };
        messages.push((format!("direct_{name}"), ConversationMessage::Direct(direct)));
    }
    messages
}

/// Writes them.
pub fn write_all(operations: Vec<SignedOperation>) -> std::io::Result<()> {
    let target = "control_message";
    for (name, message) in door() {
        let bytes = ControlMessage::Door(message).encode();
        super::write(target, &format!("door_{name}"), &bytes)?;
    }
    for (name, message) in conversation() {
        let bytes = ControlMessage::Conversation(Box::new(message)).encode();
        super::write(target, &format!("conversation_{name}"), &bytes)?;
    }
    let others = [
        ("moderation_mute", ControlMessage::Moderation(Moderation::Mute)),
        (
            "moderation_ask",
            ControlMessage::Moderation(Moderation::AskToSpeak),
        ),
        (
            "want_peers",
            ControlMessage::WantPeers(vec![member(1), member(2)].try_into().expect("two")),
        ),
        ("unsubscribe", ControlMessage::Unsubscribe(StreamId::AUDIO)),
        ("pong", ControlMessage::Pong(7)),
        ("moved", ControlMessage::Moved(OperationHash([6; 32]))),
        (
            "charge",
            ControlMessage::Charge(
                operations
                    .into_iter()
                    .take(4)
                    .collect::<Vec<_>>()
                    .try_into()
                    .expect("four"),
            ),
        ),
    ];
    for (name, message) in others {
        super::write(target, name, &message.encode())?;
    }
    Ok(())
}
