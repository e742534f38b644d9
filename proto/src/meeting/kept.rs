//! What the founder's node keeps on disk, so that it can come back to its own meeting though nobody else is there.
//!
//! Records are written in order, each before anything that follows from it is told to anybody: a host that forgot an
//! operation of its own and numbered another alike would equivocate (`proto/spec/roster.md`, "Restart").

use bincode::{Decode, Encode};

use super::{checkpoint::Checkpoint, operation::SignedOperation};
use crate::{
    ids::OperationHash,
    wire::{
        codec::{self, DecodeError},
        control_message::PeerHint,
        door_message::PassphraseBytes,
    },
};

/// One record.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub enum KeptRecord {
    /// An operation of the log; parents come before children.
    Operation(Box<SignedOperation>),
    /// The room secret of an epoch.
    RoomSecret {
        /// The operation that began the epoch.
        operation: OperationHash,
        /// The secret.
        secret: [u8; 32],
    },
    /// Where a member was last to be found.
    Peer(PeerHint),
    /// What is needed to check the meeting's passphrase.
    Passphrase(PassphraseBytes),
    /// What the log begins with; first of all.
    Checkpoint(Box<Checkpoint>),
}

impl KeptRecord {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode_long(self)
    }

    /// Reads one record.
    ///
    /// # Errors
    /// [`DecodeError`] for anything but one canonical record.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        codec::decode_long(bytes)
    }
}

impl std::fmt::Debug for KeptRecord {
    /// Secrets do not print.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Operation(operation) => write!(f, "Operation({operation:?})"),
            Self::RoomSecret { operation, .. } => write!(f, "RoomSecret({operation:?})"),
            Self::Peer(hint) => write!(f, "Peer({:?})", hint.member),
            Self::Passphrase(_) => f.write_str("Passphrase"),
            Self::Checkpoint(checkpoint) => write!(f, "Checkpoint({:?})", checkpoint.operation),
        }
    }
}
