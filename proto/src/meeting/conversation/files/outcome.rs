//! What the driver answers when it was asked to do something with a file.

use super::FileId;
use crate::ids::MemberId;

/// What came of a [`super::FileJob`]; errors are sentences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileOutcome {
    /// Of [`super::FileJob::Read`].
    Read {
        /// Which file.
        id: FileId,
        /// For whom.
        to: MemberId,
        /// From where.
        offset: u64,
        /// The bytes: as many as were asked for.
        read: Result<Vec<u8>, String>,
    },
    /// Of [`super::FileJob::Open`].
    Opened {
        /// Which file.
        id: FileId,
        /// Bytes that are there.
        have: Result<u64, String>,
    },
    /// Of [`super::FileJob::Write`].
    Written {
        /// Which file.
        id: FileId,
        /// All below is written.
        upto: Result<u64, String>,
    },
    /// Of [`super::FileJob::Hash`].
    Hashed {
        /// Which file.
        id: FileId,
        /// BLAKE3.
        hash: Result<[u8; 32], String>,
    },
    /// Of [`super::FileJob::Keep`].
    Kept {
        /// Which file.
        id: FileId,
        /// Where it is now.
        path: Result<String, String>,
    },
}
