//! A short code of words that stands for a ticket, good once, to be read over the phone (`proto/spec/code-words.md`).
//!
//! Four words of the BIP-39 list. The first says only which offer is meant (and opens the port while the offer stands); the
//! other three, 33 bits, are proven by the exchange of [`super::passphrase`], to which one answer is given and no more.

use std::time::Duration;

use aws_lc_rs::digest;
use bincode::{Decode, Encode};

use super::passphrase::{Checking, ExchangeContext, Passphrase, Proving, Record, WrongPassphrase};
use crate::{
    ids::{MeetingId, MemberId},
    noise::Psk,
    random::Random,
    time::Timestamp,
    wire::{
        bounded::BoundedText,
        codec::{self, DecodeError},
        control_message::TICKET_BYTES_MAX,
        door_message::PassphraseBytes,
    },
};

/// How long an offer stands. Reason: a phone call; while it stands, whoever guesses its first word finds the port.
pub const OFFER_LIFE: Duration = Duration::from_secs(600);
/// Words of a code.
pub const WORDS: usize = 4;
const LIST_WORDS: u64 = 2_048;
const PURPOSE: &str = "subrosa-code-v1";

/// The words of a code.
#[derive(Clone, PartialEq, Eq)]
pub struct CodeWords([u16; WORDS]);

/// Why a text is no code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// Another number of words.
    #[error("a code has {WORDS} words, this one has {0}")]
    Count(usize),
    /// A word that is not in the list.
    #[error("`{word}` is not a word of a code{}", .nearest.map_or_else(String::new, |near| format!("; perhaps `{near}`")))]
    Unknown {
        /// The word.
        word: String,
        /// One that begins alike.
        nearest: Option<&'static str>,
    },
}

fn list() -> &'static [&'static str; 2_048] {
    bip39::Language::English.word_list()
}

impl CodeWords {
    /// Fresh words.
    #[must_use]
    pub fn generate(random: &mut Random) -> Self {
        // 2⁶⁴ is a multiple of 2,048: no word is likelier than another.
        Self(std::array::from_fn(|_| {
            u16::try_from(random.next_u64() % LIST_WORDS).expect("below 2,048")
        }))
    }

    /// Reads words as people type them: any case, separated by hyphens or white space.
    ///
    /// # Errors
    /// [`CodeError`].
    pub fn parse(text: &str) -> Result<Self, CodeError> {
        let words: Vec<String> = text
            .split(|c: char| c == '-' || c.is_whitespace())
            .filter(|word| !word.is_empty())
            .map(str::to_lowercase)
            .collect();
        if words.len() != WORDS {
            return Err(CodeError::Count(words.len()));
        }
        let mut numbers = [0; WORDS];
        for (number, word) in numbers.iter_mut().zip(words) {
            let Ok(found) = list().binary_search(&word.as_str()) else {
                // The first four letters tell all words apart; the first three are mostly enough to recognise one.
                let beginning: String = word.chars().take(3).collect();
                let nearest = list().iter().find(|known| known.starts_with(&beginning)).copied();
                return Err(CodeError::Unknown { word, nearest });
            };
            *number = u16::try_from(found).expect("below 2,048");
        }
        Ok(Self(numbers))
    }

    /// What stands in for the meeting in the handshake: of the first word only.
    #[must_use]
    pub fn meeting(&self) -> MeetingId {
        let mut id = [0; 16];
        id.copy_from_slice(&self.derive("meeting")[..16]);
        MeetingId(id)
    }

    /// The key that opens the port: of the first word only, so no secret to speak of.
    #[must_use]
    pub fn psk(&self) -> Psk {
        Psk(self.derive("psk"))
    }

    fn derive(&self, label: &str) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"subrosa-code-v1\0");
        hash.update(label.as_bytes());
        hash.update(&self.0[0].to_be_bytes());
        let mut out = [0; 32];
        out.copy_from_slice(hash.finish().as_ref());
        out
    }

    /// The secret part.
    fn secret(&self) -> Passphrase {
        let words: Vec<&str> = self.0[1..]
            .iter()
            .map(|&word| list()[usize::from(word)])
            .collect();
        Passphrase::new(&words.join("-")).expect("three words of three to eight letters")
    }

    fn context(&self, guest: MemberId, door: MemberId, binding: &[u8; 32]) -> ExchangeContext {
        ExchangeContext::new(PURPOSE, &self.meeting().0, &guest.0, &door.0, binding)
    }
}

impl std::fmt::Display for CodeWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words: Vec<&str> = self.0.iter().map(|&word| list()[usize::from(word)]).collect();
        f.write_str(&words.join("-"))
    }
}

impl std::fmt::Debug for CodeWords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CodeWords(..)")
    }
}

/// What the two sides say on a link that the first word opened.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum CodeMessage {
    /// The guest's first message.
    Start(PassphraseBytes),
    /// The answer; the offer is spent.
    Answer(PassphraseBytes),
    /// The guest's proof.
    Proof(PassphraseBytes),
    /// The ticket.
    Ticket(BoundedText<TICKET_BYTES_MAX>),
    /// The offer is spent, has run out, or the words are wrong.
    Gone,
}

impl CodeMessage {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode(self)
    }

    /// Reads one frame.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but one canonical message.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode(bytes)
    }
}

impl std::fmt::Debug for CodeMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Start(_) => "Start",
            Self::Answer(_) => "Answer",
            Self::Proof(_) => "Proof",
            Self::Ticket(_) => "Ticket",
            Self::Gone => "Gone",
        })
    }
}

/// An offer: one answer will be given for it.
#[derive(Debug)]
pub struct CodeOffer {
    words: CodeWords,
    record: Record,
    until: Timestamp,
}

impl CodeOffer {
    /// Offers under fresh words. Costs one Argon2id.
    #[must_use]
    pub fn new(now: Timestamp, random: &mut Random) -> Self {
        let words = CodeWords::generate(random);
        Self {
            record: Record::create(&words.secret(), random),
            words,
            until: now + OFFER_LIFE,
        }
    }

    /// The words to read out.
    #[must_use]
    pub fn words(&self) -> &CodeWords {
        &self.words
    }

    /// When it runs out.
    #[must_use]
    pub fn until(&self) -> Timestamp {
        self.until
    }

    /// Gives the one answer; the offer is spent, whatever comes of it.
    ///
    /// # Errors
    /// [`WrongPassphrase`] if the message is malformed.
    pub fn answer(
        self,
        start: &[u8],
        (guest, door): (MemberId, MemberId),
        binding: &[u8; 32],
        random: &mut Random,
    ) -> Result<(Checking, Vec<u8>), WrongPassphrase> {
        let context = self.words.context(guest, door, binding);
        self.record.answer(start, context, random)
    }
}

/// The guest's side.
#[derive(Debug)]
pub struct Redemption {
    words: CodeWords,
    proving: Proving,
}

impl Redemption {
    /// Begins; gives the first message.
    #[must_use]
    pub fn start(words: CodeWords, random: &mut Random) -> (Self, CodeMessage) {
        let (proving, start) = Proving::start(words.secret(), random);
        let start = CodeMessage::Start(start.try_into().unwrap_or_default());
        (Self { words, proving }, start)
    }

    /// Reads the answer; gives the proof. What comes over the same link after that is from whoever offered the words.
    ///
    /// # Errors
    /// [`WrongPassphrase`]: the words are wrong, or somebody else answered.
    pub fn finish(
        self,
        answer: &[u8],
        (guest, door): (MemberId, MemberId),
        binding: &[u8; 32],
        random: &mut Random,
    ) -> Result<CodeMessage, WrongPassphrase> {
        let context = self.words.context(guest, door, binding);
        let (proof, _) = self.proving.finish(answer, &context, random)?;
        Ok(CodeMessage::Proof(proof.try_into().unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn random(seed: u8) -> Random {
        Random::from_seed([seed; 32])
    }

    #[test]
    fn words_round_trip_however_they_are_typed() {
        let words = CodeWords::generate(&mut random(1));
        let text = words.to_string();
        assert_eq!(text.split('-').count(), WORDS);
        assert_eq!(CodeWords::parse(&text), Ok(words.clone()));
        let typed = format!("  {} ", text.to_uppercase().replace('-', "  "));
        assert_eq!(CodeWords::parse(&typed), Ok(words));
    }

    #[test]
    fn mistakes_are_named() {
        assert_eq!(CodeWords::parse("abandon ability"), Err(CodeError::Count(2)));
        let error = CodeWords::parse("abandon ability able abouut").unwrap_err();
        assert!(error.to_string().contains("perhaps `about`"), "{error}");
    }

    #[test]
    fn the_key_of_the_port_tells_nothing_of_the_secret_words() {
        let a = CodeWords::parse("abandon ability able about").unwrap();
        let b = CodeWords::parse("abandon above absent absorb").unwrap();
        assert_eq!((a.psk(), a.meeting()), (b.psk(), b.meeting()));
        assert_ne!(a.secret(), b.secret());
    }

    #[test]
    fn the_right_words_redeem_an_offer_and_others_spend_it() {
        let ids = (MemberId([1; 32]), MemberId([2; 32]));
        let binding = [3; 32];
        for right in [true, false] {
            let offer = CodeOffer::new(Timestamp::ZERO, &mut random(1));
            let words = if right {
                offer.words().clone()
            } else {
                CodeWords::parse("abandon above absent absorb").unwrap()
            };
            let (redemption, start) = Redemption::start(words, &mut random(2));
            let CodeMessage::Start(start) = start else {
                panic!()
            };
            let (checking, answer) = offer.answer(&start, ids, &binding, &mut random(3)).unwrap();
            let proof = redemption.finish(&answer, ids, &binding, &mut random(4));
            match proof {
                Ok(CodeMessage::Proof(proof)) => assert!(right && checking.finish(&proof).is_ok()),
                _ => assert!(!right),
            }
        }
    }

    proptest! {
        #[test]
        fn what_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(message) = CodeMessage::decode(&bytes) {
                prop_assert_eq!(message.encode(), bytes);
            }
        }
    }
}
