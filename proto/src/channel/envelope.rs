//! What members put into envelopes: the steps of a pairwise handshake, then sealed messages
//! (`proto/spec/pairwise-channel.md`). Relays carry them and cannot read them.

use bincode::{Decode, Encode};

use crate::wire::{bounded::BoundedBytes, relay_message::ENVELOPE_BYTES_MAX};

/// Bytes of an envelope that its own fields may take.
const OVERHEAD_BYTES: usize = 64;
/// The largest sealed or handshake message in an envelope.
pub const CONTENT_BYTES_MAX: usize = ENVELOPE_BYTES_MAX - OVERHEAD_BYTES;

/// Names one attempt to establish a channel, so that steps of an older attempt are told apart; 8 random bytes.
pub type AttemptId = [u8; 8];

/// The content of one envelope.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum EnvelopeContent {
    /// Noise message 1, from the side that starts.
    Message1(AttemptId, BoundedBytes<CONTENT_BYTES_MAX>),
    /// Noise message 2, the answer.
    Message2(AttemptId, BoundedBytes<CONTENT_BYTES_MAX>),
    /// Noise message 3.
    Message3(AttemptId, BoundedBytes<CONTENT_BYTES_MAX>),
    /// A sealed control message.
    Sealed(AttemptId, BoundedBytes<CONTENT_BYTES_MAX>),
}
