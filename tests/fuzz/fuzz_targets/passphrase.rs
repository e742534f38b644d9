//! The passphrase's exchange: records, and both sides of the exchange with a hostile other side, under the gate that counts
//! guesses. Nobody is let through without the passphrase, no exchange counts in another context, and the gate locks.
#![no_main]

use std::{collections::BTreeSet, sync::OnceLock, time::Duration};

use arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{damage, member, random, some_bytes};
use subrosa_proto::{
    ids::MemberId,
    meeting::{
        passphrase::{ExchangeContext, PASSPHRASE_BYTES_MAX, Passphrase, Proving, Record},
        passphrase_gate::{GUESSES_MAX, PassphraseGate},
    },
    random::Random,
    time::Timestamp,
    wire::door_message::PASSPHRASE_MESSAGE_BYTES_MAX,
};

const RIGHT: &str = "correct horse";

fuzz_target!(|data: &[u8]| {
    let Some((selector, rest)) = data.split_first() else {
        return;
    };
    match selector % 4 {
        0 => record(rest, random(data)),
        1 => {
            let text = String::from_utf8_lossy(rest);
            let usable = Passphrase::new(&text).is_ok();
            assert!(!usable || text.trim().len() <= PASSPHRASE_BYTES_MAX);
        }
        2 => hostile_door(rest, random(data)),
        _ => drop(gate(&mut Unstructured::new(rest), random(data))),
    }
});

fn good() -> &'static Record {
    static RECORD: OnceLock<Record> = OnceLock::new();
    RECORD.get_or_init(|| Record::create(&passphrase(RIGHT), &mut Random::from_seed([4; 32])))
}

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(text).expect("long enough")
}

fn context(guest: MemberId, channel: u8) -> ExchangeContext {
    ExchangeContext::new("fuzz-v1", &[7; 16], &guest.0, &[2; 32], &[channel; 32])
}

/// A record from the disk or from somebody in charge, and then somebody's first message.
fn record(data: &[u8], mut random: Random) {
    let (record, start) = data.split_at(data.len().min(320));
    if let Some(record) = Record::from_bytes(record) {
        assert!(
            Record::from_bytes(&record.to_bytes()).is_some(),
            "unreadable to ourselves"
        );
        let answered = record.answer(start, context(member(1), 1), &mut random);
        if let Ok((checking, answer)) = answered {
            assert!(answer.len() <= PASSPHRASE_MESSAGE_BYTES_MAX);
            assert!(checking.finish(start).is_err());
        }
    }
    if let Ok((checking, answer)) = good().answer(data, context(member(1), 1), &mut random) {
        assert!(answer.len() <= PASSPHRASE_MESSAGE_BYTES_MAX);
        assert!(checking.finish(data).is_err(), "let in without the passphrase");
    }
}

/// A guest who knows the passphrase, and a door that does not.
fn hostile_door(data: &[u8], mut random: Random) {
    let (proving, start) = Proving::start(passphrase(RIGHT), &mut random);
    assert!(start.len() <= PASSPHRASE_MESSAGE_BYTES_MAX);
    let proof = proving.finish(data, &context(member(1), 1), &mut random);
    assert!(proof.is_err(), "proven to a door without the record");
}

/// Guests of all kinds before one door.
fn gate(u: &mut Unstructured<'_>, mut random: Random) -> Result<()> {
    let mut gate = PassphraseGate::default();
    gate.set(good().clone());
    let mut let_in = BTreeSet::new();
    let mut now = Timestamp::ZERO;
    // Guesses since the door was unlocked that were not proven right.
    let mut wrong: u16 = 0;
    for _ in 0..24 {
        if u.is_empty() {
            break;
        }
        now = now + Duration::from_millis(u.int_in_range(0..=600_000)?);
        let who = member(u.int_in_range(0..=7)?);
        if u.ratio(1, 12)? {
            gate.unlock();
            wrong = 0;
        }
        if u.ratio(1, 8)? {
            assert!(gate.finish(member(9), some_bytes(u, 64)?).is_err());
        }
        let knows = u.ratio(1, 3)?;
        let (proving, mut start) =
            Proving::start(passphrase(if knows { RIGHT } else { "wrong" }), &mut random);
        let start_changed = u.ratio(1, 4)? && damage(u, &mut start)?;
        let address = u.arbitrary::<Option<[u8; 4]>>()?.map(Into::into);
        let started = gate.start(now, who, address, (&start, context(who, 1)), &mut random);
        assert!(
            wrong < u16::from(GUESSES_MAX) || started.is_err(),
            "one guess too many"
        );
        wrong += u16::from(started.is_ok());
        let Ok(mut answer) = started else { continue };
        let answer_changed = u.ratio(1, 4)? && damage(u, &mut answer)?;
        let same_channel = u.ratio(3, 4)?;
        let proof = proving.finish(&answer, &context(who, u8::from(same_channel)), &mut random);
        let honest = knows && !start_changed && !answer_changed && same_channel;
        assert_eq!(
            proof.is_ok(),
            honest,
            "the guest learns whether its guess was right"
        );
        let Ok((mut proof, _)) = proof else { continue };
        let proof_changed = u.ratio(1, 4)? && damage(u, &mut proof)?;
        let verdict = gate.finish(who, &proof);
        assert_eq!(verdict.is_ok(), !proof_changed);
        if verdict.is_ok() {
            wrong -= 1;
            let_in.insert(who);
        }
    }
    for number in 0..8 {
        assert_eq!(gate.wants(&member(number)), !let_in.contains(&member(number)));
    }
    Ok(())
}
