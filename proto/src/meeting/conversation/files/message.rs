//! What members tell each other about files (`proto/spec/file-transfer.md`).

use bincode::{Decode, Encode};
use data_encoding::HEXLOWER;

use crate::wire::bounded::{BoundedBytes, BoundedText};

/// Bytes of a file that travel in one message. Reason: fits an envelope, beside everything that goes with it.
pub const CHUNK_BYTES: usize = 12 * 1_024;
/// Bytes of an offered file's name.
pub const FILE_NAME_BYTES_MAX: usize = 255;

/// One offer of one file: 16 bytes that the sender drew.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct FileId(pub [u8; 16]);

impl std::fmt::Debug for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FileId({})", HEXLOWER.encode(&self.0[..4]))
    }
}

impl std::fmt::Display for FileId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl std::str::FromStr for FileId {
    type Err = data_encoding::DecodeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = HEXLOWER.decode(text.as_bytes())?;
        let bytes = bytes.try_into().map_err(|_| data_encoding::DecodeError {
            position: text.len(),
            kind: data_encoding::DecodeKind::Length,
        })?;
        Ok(Self(bytes))
    }
}

/// A file as it is offered. The name is the sender's: receivers make it safe before it names anything.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileOffer {
    /// Which offer.
    pub id: FileId,
    /// How the sender calls it.
    pub name: BoundedText<FILE_NAME_BYTES_MAX>,
    /// Bytes.
    pub size: u64,
    /// BLAKE3 of the content.
    pub hash: [u8; 32],
}

/// About a file, in the row of messages to one person.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum FileControl {
    /// Do you want it?
    Offer(FileOffer),
    /// Yes; send it from this byte on.
    Accept {
        /// Which.
        id: FileId,
        /// Bytes that are here already, from an attempt before.
        from: u64,
    },
    /// No.
    Decline(FileId),
    /// No longer, from either side.
    Cancel(FileId),
    /// It is here as a whole, and was good or was not what the hash says.
    Done {
        /// Which.
        id: FileId,
        /// Whether the hash is right.
        good: bool,
    },
}

/// Some bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileChunk {
    /// Which.
    pub id: FileId,
    /// Where they begin.
    pub offset: u64,
    /// The bytes; at least one.
    pub bytes: BoundedBytes<CHUNK_BYTES>,
}

/// How far a file has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct FileAck {
    /// Which.
    pub id: FileId,
    /// All bytes below are written; [`UNKNOWN`] if the receiver knows nothing of this file.
    pub upto: u64,
}

/// See [`FileAck::upto`]: the receiver has forgotten the offer, and wants it again.
pub const UNKNOWN: u64 = u64::MAX;
