//! What is said at the door beside the greeting itself (`proto/spec/admission.md`): part of
//! [`ControlMessage`](super::control_message::ControlMessage).

use bincode::{Decode, Encode};

use super::bounded::{BoundedBytes, BoundedText};
use crate::{ids::MemberId, meeting::admission::RefusalReason};

/// Bytes of the words that go with a refusal: a sentence or two.
pub const REFUSAL_WORDS_MAX: usize = 200;
/// Bytes of an encoded organisation credential.
pub const CREDENTIAL_BYTES_MAX: usize = 1_024;
/// Bytes of one message of the passphrase's exchange: the longest (the answer) has 320.
pub const PASSPHRASE_MESSAGE_BYTES_MAX: usize = 512;

/// The words that go with a refusal.
pub type RefusalWords = BoundedText<REFUSAL_WORDS_MAX>;
/// A message of the passphrase's exchange, as its library encodes it.
pub type PassphraseBytes = BoundedBytes<PASSPHRASE_MESSAGE_BYTES_MAX>;

/// One message.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum DoorMessage {
    /// Before the greeting: which organisation certifies the sender.
    Credential(BoundedBytes<CREDENTIAL_BYTES_MAX>),
    /// No, and why, in the words of whoever decided.
    Refused(RefusalReason, RefusalWords),
    /// To a member that is about to be sent back to the lobby: the key of the lobby that it will find.
    BackToLobby {
        /// The number of the epoch that the removal begins.
        epoch: u32,
        /// The secret of the ticket of that epoch.
        secret: [u8; 32],
    },
    /// Between those in charge: the sender turned this person away.
    TurnedAway(MemberId),
    /// Say the passphrase first.
    PassphraseWanted,
    /// The guest's first message of the exchange.
    PassphraseStart(PassphraseBytes),
    /// The door's answer.
    PassphraseAnswer(PassphraseBytes),
    /// The guest's proof.
    PassphraseProof(PassphraseBytes),
    /// To somebody in charge: what is needed to check the passphrase.
    PassphraseRecord(PassphraseBytes),
    /// To somebody in charge: checks are allowed again.
    PassphraseUnlocked,
}

impl std::fmt::Debug for DoorMessage {
    /// The kind only: several hold secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Credential(_) => "Credential",
            Self::Refused(..) => "Refused",
            Self::BackToLobby { .. } => "BackToLobby",
            Self::TurnedAway(_) => "TurnedAway",
            Self::PassphraseWanted => "PassphraseWanted",
            Self::PassphraseStart(_) => "PassphraseStart",
            Self::PassphraseAnswer(_) => "PassphraseAnswer",
            Self::PassphraseProof(_) => "PassphraseProof",
            Self::PassphraseRecord(_) => "PassphraseRecord",
            Self::PassphraseUnlocked => "PassphraseUnlocked",
        })
    }
}
