//! What members say to each other. Whatever decodes is canonical and within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::net::SocketAddr;

use subrosa_fuzz::canonical;
use subrosa_proto::{
    meeting::{
        admission::{KNOCK_ADDRESSES_MAX, Knock},
        charge::CHARGE_MAX,
        conversation::{
            files::message::CHUNK_BYTES,
            message::{ConversationMessage, ITEMS_MAX, MARKS_MAX},
            ranges::Ranges,
        },
        credential::SignedCredential,
        name::NAME_BYTES_MAX,
        operation::{OPERATION_BYTES_MAX, PARENTS_MAX, SEQ_MAX},
    },
    mesh::route_planner,
    wire::{
        control_message::{
            ADDRESSES_MAX, ControlMessage, FORMER_SECRETS_MAX, HEADS_MAX, OPERATIONS_MAX, PEERS_MAX,
            RELAYS_MAX, RoomSecretGrant, TICKET_BYTES_MAX, WireAddress,
        },
        door_message::{CREDENTIAL_BYTES_MAX, DoorMessage, PASSPHRASE_MESSAGE_BYTES_MAX, REFUSAL_WORDS_MAX},
        forwarding_message::{ForwardingMessage, NEIGHBOURS_MAX, TAKEN_MAX},
    },
};

fuzz_target!(|data: &[u8]| {
    let Some(message) = canonical::<ControlMessage>(data) else {
        return;
    };
    assert_eq!(message.encode(), data);
    match message {
        ControlMessage::Hello(hello) => {
            assert!(hello.name.as_str().len() <= NAME_BYTES_MAX);
            assert!(hello.addresses.len() <= ADDRESSES_MAX && hello.relays.len() <= RELAYS_MAX);
            addresses(&hello.addresses);
            // The participant makes a knock of it.
            let stated: Vec<SocketAddr> = hello.addresses.iter().map(|address| (*address).into()).collect();
            let direct = !stated.is_empty();
            assert!(stated.len() <= KNOCK_ADDRESSES_MAX && Knock::new(hello.name, stated, direct).is_ok());
        }
        ControlMessage::Operations(operations) => {
            assert!(operations.len() <= OPERATIONS_MAX);
            for signed in operations.iter() {
                let operation = signed.operation();
                assert!(signed.body().len() <= OPERATION_BYTES_MAX && operation.seq < SEQ_MAX);
                assert!(
                    operation.parents.len() <= PARENTS_MAX && operation.parents.is_sorted_by(|a, b| a < b)
                );
                let _ = signed.verify();
                let _ = format!("{signed:?}");
            }
        }
        ControlMessage::Heads(heads) | ControlMessage::WantOperations(heads) => {
            assert!(heads.len() <= HEADS_MAX);
        }
        ControlMessage::Welcome(welcome) => {
            assert!(welcome.former.len() <= FORMER_SECRETS_MAX);
            granted(&welcome.grant);
        }
        ControlMessage::RoomSecret(grant) => granted(&grant),
        ControlMessage::Peers(hints) => {
            assert!(hints.len() <= PEERS_MAX);
            for hint in hints.iter() {
                addresses(&hint.addresses);
            }
        }
        ControlMessage::Key(message) => {
            let _ = message.statement.verify(&message.signature);
        }
        ControlMessage::Conversation(message) => conversation(*message),
        ControlMessage::Charge(operations) => {
            assert!(operations.len() <= CHARGE_MAX);
            for signed in operations.iter() {
                let _ = (signed.verify(), signed.hash());
            }
        }
        ControlMessage::WantPeers(members) => assert!(members.len() <= PEERS_MAX),
        ControlMessage::Door(message) => door(&message),
        ControlMessage::Forwarding(message) => forwarding(&message),
        ControlMessage::Report(report) => assert!((0.0..=1.0).contains(&report.loss())),
        _ => {}
    }
});

fn door(message: &DoorMessage) {
    // Secrets do not print.
    assert!(format!("{message:?}").chars().all(char::is_alphabetic));
    match message {
        DoorMessage::Credential(bytes) => {
            assert!(bytes.len() <= CREDENTIAL_BYTES_MAX);
            let _ = SignedCredential::from_bytes(bytes).map(|signed| signed.statement().is_ok());
        }
        DoorMessage::Refused(_, words) => {
            assert!(words.len() <= REFUSAL_WORDS_MAX && !words.chars().any(char::is_control));
        }
        DoorMessage::PassphraseStart(bytes)
        | DoorMessage::PassphraseAnswer(bytes)
        | DoorMessage::PassphraseProof(bytes)
        | DoorMessage::PassphraseRecord(bytes) => assert!(bytes.len() <= PASSPHRASE_MESSAGE_BYTES_MAX),
        _ => {}
    }
}

fn forwarding(message: &ForwardingMessage) {
    match message {
        ForwardingMessage::Offer(offer) => {
            assert!(offer.neighbours.len() <= NEIGHBOURS_MAX && offer.taken.len() <= TAKEN_MAX);
        }
        ForwardingMessage::Route(parents) => assert!(parents.len() <= route_planner::PARENTS_MAX),
        _ => {}
    }
}

fn granted(grant: &RoomSecretGrant) {
    let is_line = |ticket: &str| ticket.len() <= TICKET_BYTES_MAX && !ticket.chars().any(char::is_control);
    assert!(grant.ticket.as_ref().is_none_or(|ticket| is_line(ticket)));
}

fn conversation(message: ConversationMessage) {
    match message {
        ConversationMessage::Items(items) => {
            assert!(items.len() <= ITEMS_MAX);
            for signed in items.iter() {
                let _ = (
                    signed.hash(),
                    signed.verify(&signed.item.meeting),
                    format!("{signed:?}"),
                );
            }
        }
        ConversationMessage::Digest(digest) => {
            assert!(digest.marks.len() <= MARKS_MAX);
            for mark in digest.marks.iter() {
                let _ = Ranges::from_told(&mark.has);
            }
        }
        ConversationMessage::Chunk(chunk) => assert!(chunk.bytes.len() <= CHUNK_BYTES),
        _ => {}
    }
}

fn addresses(addresses: &[WireAddress]) {
    assert!(addresses.len() <= ADDRESSES_MAX);
    for &address in addresses {
        // An address that a peer wrote may be IPv4 dressed up as IPv6; turning it over once settles its form.
        let settled = WireAddress::from(SocketAddr::from(address));
        assert_eq!(WireAddress::from(SocketAddr::from(settled)), settled);
    }
}
