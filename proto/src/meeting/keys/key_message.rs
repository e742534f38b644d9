//! The messages between a publisher and its recipients (`proto/spec/keys.md`).

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::recipients::{RecipientList, RecipientsRoot, decode_ascending};
use crate::{
    identity::{self, BadSignature, Identity, Signature},
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    sframe::{
        KeyId,
        key_schedule::{BASE_KEY_BYTES, Secret},
    },
    wire::codec,
};

/// Most roster heads in a key statement; the same bound as an operation's parents.
pub const HEADS_MAX: usize = 8;

const STATEMENT_DOMAIN: &str = "subrosa-key-statement-v1";

/// The roster's heads that a statement rests on: at most [`HEADS_MAX`], ascending, each once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads(BTreeSet<OperationHash>);

impl Heads {
    /// `None` if there are more than [`HEADS_MAX`].
    #[must_use]
    pub fn new(heads: &[OperationHash]) -> Option<Self> {
        let heads: BTreeSet<_> = heads.iter().copied().collect();
        (heads.len() <= HEADS_MAX).then_some(Self(heads))
    }

    /// The heads in ascending order.
    #[must_use]
    pub fn to_vec(&self) -> Vec<OperationHash> {
        self.0.iter().copied().collect()
    }
}

impl Encode for Heads {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for Heads {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Ok(Self(decode_ascending(decoder, HEADS_MAX)?))
    }
}
bincode::impl_borrow_decode!(Heads);

/// What a publisher says about one key, in the same words to every recipient, and signs. Two different statements by
/// one publisher about one (instance, key) prove that it equivocates.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyStatement {
    /// The meeting.
    pub meeting: MeetingId,
    /// The publisher, whose signature stands under this.
    pub publisher: MemberId,
    /// Random, drawn when the publisher started: tells a restarted publisher's generations from its former ones.
    pub instance: u64,
    /// The key.
    pub key: KeyId,
    /// [`KeyStatement::commit`] to the secret.
    pub commitment: [u8; 32],
    /// The recipients when the generation started. Bound into every key of the generation.
    pub first_recipients: RecipientsRoot,
    /// The recipients of this step.
    pub recipients: RecipientsRoot,
    /// The policy. Bound into every key of the generation.
    pub policy: PolicyHash,
    /// The roster that the publisher saw when it chose the recipients.
    pub heads: Heads,
}

impl KeyStatement {
    /// `SHA-256("subrosa-key-commitment-v1" ‖ 0 ‖ secret)`: binds, and hides because the secret has 512 random bits.
    #[must_use]
    pub fn commit(secret: &Secret) -> [u8; 32] {
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(b"subrosa-key-commitment-v1\0");
        hash.update(secret.as_bytes());
        let mut commitment = [0; 32];
        commitment.copy_from_slice(hash.finish().as_ref());
        commitment
    }

    /// The publisher's signature over the canonical encoding.
    #[must_use]
    pub fn sign(&self, publisher: &Identity) -> Signature {
        publisher.sign(STATEMENT_DOMAIN, &codec::encode(self))
    }

    /// Whether `signature` is the publisher's under this statement.
    ///
    /// # Errors
    /// [`BadSignature`] if it is not.
    pub fn verify(&self, signature: &Signature) -> Result<(), BadSignature> {
        identity::verify(
            &self.publisher.0,
            STATEMENT_DOMAIN,
            &codec::encode(self),
            signature,
        )
    }
}

/// A secret on the wire: 64 bytes. Erased on drop; its `Debug` shows nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainSecret(pub Secret);

impl Encode for ChainSecret {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.as_bytes().encode(encoder)
    }
}

impl<C> Decode<C> for ChainSecret {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        <[u8; BASE_KEY_BYTES]>::decode(decoder).map(|bytes| Self(Secret::from_bytes(bytes)))
    }
}
bincode::impl_borrow_decode!(ChainSecret);

/// Gives one recipient a publisher's key. Travels only over the pairwise channel; whoever encodes it erases the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyMessage {
    /// The same for all recipients.
    pub statement: KeyStatement,
    /// [`KeyStatement::sign`].
    pub signature: Signature,
    /// The generation's chain at the step that the statement names.
    pub secret: ChainSecret,
    /// The members behind [`KeyStatement::recipients`]; absent if this recipient acknowledged that root before.
    pub recipients: Option<RecipientList>,
}

/// Says that a recipient accepted a key. Who says so is known from the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct KeyAck {
    /// [`KeyStatement::instance`].
    pub instance: u64,
    /// [`KeyStatement::key`].
    pub key: KeyId,
}
