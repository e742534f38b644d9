//! What is read at the door and from the disk: credentials, the passphrase's and the code's messages, kept records.

use subrosa_fuzz::{MEETING, UNIX, identity, member};
use subrosa_proto::{
    ids::OperationHash,
    meeting::{
        code_words::{CodeMessage, CodeWords, Redemption},
        credential::{Organisation, SignedRevocations},
        kept::KeptRecord,
        operation::SignedOperation,
        passphrase::{ExchangeContext, Passphrase, Proving, Record},
    },
    random::Random,
    wire::{bounded::BoundedText, codec, control_message::PeerHint},
};

use super::{spoken::credential, write, write_for};

/// Writes them.
pub fn write_all(operations: &[SignedOperation]) -> std::io::Result<()> {
    credentials()?;
    passphrases()?;
    codes()?;
    kept(operations)
}

fn credentials() -> std::io::Result<()> {
    let target = "credential";
    let signed = credential();
    let organisation = Organisation {
        name: "Example".parse().expect("a name"),
        root: identity(12).public(),
    };
    let list = SignedRevocations::sign(3, UNIX, vec![1, 7, 300], identity(12)).expect("in order");
    write_for(target, 0, "credential", &signed.to_bytes())?;
    write_for(target, 0, "organisation", &codec::encode(&organisation))?;
    write_for(target, 0, "list", &codec::encode(&list))?;
    write_for(target, 1, "credential_text", signed.to_text().as_bytes())?;
    write_for(target, 1, "organisation_text", organisation.to_text().as_bytes())?;
    write_for(target, 1, "list_text", list.to_text().as_bytes())?;
    write_for(target, 2, "credential_payload", &signed.to_bytes())?;
    write_for(target, 2, "list_payload", &codec::encode(&list))?;
    let statement = signed.statement().expect("good");
    write_for(target, 3, "statement", &codec::encode(&statement))?;
    write_for(
        target,
        4,
        "list_body",
        &codec::encode(list.verify().expect("good")),
    )?;
    steps(target, 5)
}

/// Steps for a machine.
fn steps(target: &str, selector: u8) -> std::io::Result<()> {
    let mut random = Random::from_seed([1; 32]).fork(target);
    for number in 0..6_usize {
        let mut bytes = vec![0; 60 + 40 * number];
        random.fill(&mut bytes);
        write_for(target, selector, &format!("steps{number}"), &bytes)?;
    }
    Ok(())
}

fn passphrases() -> std::io::Result<()> {
    let target = "passphrase";
    let mut random = Random::from_seed([2; 32]);
    let passphrase = Passphrase::new("correct horse").expect("long enough");
    let record = Record::create(&passphrase, &mut random);
    let (_, start) = Proving::start(passphrase, &mut random);
    write_for(target, 0, "record", &[&record.to_bytes()[..], &start].concat())?;
    write_for(target, 0, "start", &start)?;
    write_for(target, 1, "typed", "  correct horse ".as_bytes())?;
    let context = ExchangeContext::new("fuzz-v1", &[7; 16], &member(1).0, &[2; 32], &[1; 32]);
    let (_, answer) = record.answer(&start, context, &mut random).expect("well-formed");
    write_for(target, 2, "answer", &answer)?;
    steps(target, 3)
}

fn codes() -> std::io::Result<()> {
    let target = "code_words";
    let words = CodeWords::parse("abandon ability able about").expect("words");
    write_for(target, 1, "typed", b"Abandon ability-ABLE  about")?;
    let bytes = || vec![1; 96].try_into().expect("fits");
    let messages = [
        (
            "start",
            Redemption::start(words, &mut Random::from_seed([3; 32])).1,
        ),
        ("answer", CodeMessage::Answer(bytes())),
        ("proof", CodeMessage::Proof(bytes())),
        ("ticket", CodeMessage::Ticket(BoundedText::cut("subrosa:AQ"))),
        ("gone", CodeMessage::Gone),
    ];
    for (name, message) in messages {
        write_for(target, 0, name, &message.encode())?;
    }
    steps(target, 2)
}

fn kept(operations: &[SignedOperation]) -> std::io::Result<()> {
    let target = "kept_records";
    let records = [
        (
            "operation",
            KeptRecord::Operation(Box::new(operations[0].clone())),
        ),
        (
            "room_secret",
            KeptRecord::RoomSecret {
                operation: OperationHash([6; 32]),
                secret: [3; 32],
            },
        ),
        (
            "peer",
            KeptRecord::Peer(PeerHint {
                member: member(1),
                addresses: vec![super::address()].try_into().expect("one"),
            }),
        ),
        (
            "passphrase",
            KeptRecord::Passphrase(vec![1; 320].try_into().expect("fits")),
        ),
    ];
    for (name, record) in records {
        write(target, name, &record.encode())?;
    }
    debug_assert_eq!(operations[0].operation().meeting, MEETING);
    Ok(())
}
