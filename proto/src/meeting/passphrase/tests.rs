//! Right, wrong, and carried over.

use proptest::prelude::*;

use super::*;

fn random(seed: u8) -> Random {
    Random::from_seed([seed; 32])
}

fn words(text: &str) -> Passphrase {
    Passphrase::new(text).unwrap()
}

fn context(channel: u8) -> ExchangeContext {
    ExchangeContext::new("test-v1", &[1; 16], &[2; 32], &[3; 32], &[channel; 32])
}

/// What each side ends with.
fn exchange(
    record: &Record,
    guess: &str,
    guest: &ExchangeContext,
    door: ExchangeContext,
) -> Result<(), WrongPassphrase> {
    let (proving, start) = Proving::start(words(guess), &mut random(4));
    let (checking, answer) = record.answer(&start, door, &mut random(5))?;
    let (proof, ours) = proving.finish(&answer, guest, &mut random(6))?;
    let theirs = checking.finish(&proof)?;
    assert_eq!(ours, theirs);
    Ok(())
}

#[test]
fn the_right_passphrase_proves_itself_and_others_do_not() {
    let record = Record::create(&words("correct horse"), &mut random(1));
    assert_eq!(
        exchange(&record, " correct horse\n", &context(9), context(9)),
        Ok(())
    );
    for wrong in ["correct horsf", "Correct horse", "horse correct"] {
        assert_eq!(
            exchange(&record, wrong, &context(9), context(9)),
            Err(WrongPassphrase),
            "{wrong}"
        );
    }
}

#[test]
fn an_exchange_that_is_carried_over_to_another_channel_fails() {
    let record = Record::create(&words("correct horse"), &mut random(1));
    assert_eq!(
        exchange(&record, "correct horse", &context(9), context(8)),
        Err(WrongPassphrase)
    );
}

#[test]
fn a_record_survives_its_bytes_and_fits_a_message() {
    let record = Record::create(&words("correct horse"), &mut random(1));
    let bytes = record.to_bytes();
    assert!(bytes.len() <= crate::wire::door_message::PASSPHRASE_MESSAGE_BYTES_MAX);
    let again = Record::from_bytes(&bytes).unwrap();
    assert_eq!(exchange(&again, "correct horse", &context(9), context(9)), Ok(()));
    assert!(Record::from_bytes(&bytes[..bytes.len() - 1]).is_none());
    assert!(!bytes.windows(7).any(|part| part == b"correct"));
}

/// Found by the `passphrase` fuzz target.
#[test]
fn a_message_with_something_after_it_is_refused() {
    let longer = |bytes: &[u8]| [bytes, &[0]].concat();
    let record = Record::create(&words("correct horse"), &mut random(1));
    assert!(Record::from_bytes(&longer(&record.to_bytes())).is_none());
    let begin = || Proving::start(words("correct horse"), &mut random(2));
    let (proving, start) = begin();
    assert!(
        record
            .answer(&longer(&start), context(1), &mut random(3))
            .is_err()
    );
    let (checking, answer) = record.answer(&start, context(1), &mut random(3)).unwrap();
    assert!(
        begin()
            .0
            .finish(&longer(&answer), &context(1), &mut random(4))
            .is_err()
    );
    let (proof, _) = proving.finish(&answer, &context(1), &mut random(4)).unwrap();
    assert!(checking.finish(&longer(&proof)).is_err());
}

#[test]
fn passphrases_have_bounds() {
    for wrong in ["", "   ", "abc", &"x".repeat(257)] {
        assert_eq!(Passphrase::new(wrong), Err(Unusable), "{wrong}");
    }
    assert_eq!(format!("{:?}", words("secret")), "Passphrase(..)");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever a peer sends instead of a message is an error, never a panic.
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let record = Record::create(&words("correct horse"), &mut random(1));
        let (proving, start) = Proving::start(words("correct horse"), &mut random(2));
        prop_assert!(proving.finish(&bytes, &context(1), &mut random(3)).is_err());
        let _ = record.answer(&bytes, context(1), &mut random(3));
        let (checking, _) = record.answer(&start, context(1), &mut random(3)).unwrap();
        prop_assert!(checking.finish(&bytes).is_err());
        let _ = Record::from_bytes(&bytes);
    }
}
