//! Files from member to member: offered, accepted, sent in pieces, checked.
//!
//! Everything is decided here; the driver reads and writes what it is told ([`FileJob`]) and says what came of it. A
//! receiver writes nothing before it accepted, and never more than it accepted.

mod incoming;
pub mod message;
pub mod name;
pub mod outcome;
mod outgoing;
pub mod window;

use std::collections::{BTreeMap, VecDeque};

pub use self::message::FileId;
use self::{
    incoming::Incoming,
    message::{FileAck, FileChunk, FileControl},
    outgoing::Outgoing,
};
use super::{
    message::ConversationMessage,
    rate::{Bucket, Rate},
};
use crate::{ids::MemberId, random::Random, time::Timestamp};

/// The largest file that is offered or accepted: 2 GiB.
pub const FILE_BYTES_MAX: u64 = 2 * 1_024 * 1_024 * 1_024;
/// Files that one member has offered and that were neither taken nor declined.
pub const OFFERS_PER_MEMBER_MAX: usize = 8;
/// Files that are offered to this member or on their way to it.
pub const INCOMING_MAX: usize = 64;
/// Files that this member offers.
pub const OUTGOING_MAX: usize = 16;
/// Receivers who are served at a time; others wait for their turn.
pub const UPLOADS_MAX: usize = 4;
/// Pieces over relays, to all receivers together: half of the envelope bytes that a relay grants a session, so that keys
/// and roster never wait.
pub const RELAYED_RATE: Rate = Rate {
    burst: 3,
    every: std::time::Duration::from_millis(90),
};

/// What the driver does with files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileJob {
    /// Read these bytes of a file that is offered; answer with `Files::handle_read`.
    Read {
        /// Which.
        id: FileId,
        /// For whom.
        to: MemberId,
        /// The driver's handle.
        source: u64,
        /// Where.
        offset: u64,
        /// How many.
        len: usize,
    },
    /// This file is not needed any more.
    Release {
        /// The driver's handle.
        source: u64,
    },
    /// Open the unfinished file for this hash, make it if it is missing, cut it to `size`; answer with
    /// `Files::handle_opened`.
    Open {
        /// Which.
        id: FileId,
        /// A safe name for the end.
        name: String,
        /// Bytes.
        size: u64,
        /// BLAKE3; names the unfinished file.
        hash: [u8; 32],
    },
    /// Append; answer with `Files::handle_written`.
    Write {
        /// Which.
        id: FileId,
        /// Where; always the end so far.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// Hash what was written; answer with `Files::handle_hashed`.
    Hash {
        /// Which.
        id: FileId,
    },
    /// It is good: give it its name; answer with `Files::handle_kept`.
    Keep {
        /// Which.
        id: FileId,
    },
    /// Close it, and keep the unfinished file for another attempt or delete it.
    Close {
        /// Which.
        id: FileId,
        /// Delete.
        delete: bool,
    },
}

/// What people are told about files.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileEvent {
    /// Somebody offers a file.
    Offered {
        /// Which.
        id: FileId,
        /// Who.
        from: MemberId,
        /// A safe name.
        name: String,
        /// Bytes.
        size: u64,
    },
    /// This member's offer is out.
    Offering {
        /// Which.
        id: FileId,
        /// To whom; everybody if none.
        to: Option<MemberId>,
        /// The name.
        name: String,
        /// Bytes.
        size: u64,
    },
    /// Somebody wants it.
    Accepted {
        /// Which.
        id: FileId,
        /// Who.
        by: MemberId,
    },
    /// Somebody does not.
    Declined {
        /// Which.
        id: FileId,
        /// Who.
        by: MemberId,
    },
    /// How far it has come; twice a second at most.
    Progress {
        /// Which.
        id: FileId,
        /// The other side.
        peer: MemberId,
        /// Bytes that are there.
        done: u64,
        /// Bytes in all.
        size: u64,
    },
    /// It is here, and good.
    Received {
        /// Which.
        id: FileId,
        /// From whom.
        from: MemberId,
        /// Where the driver put it.
        path: String,
    },
    /// It is there, and good.
    Delivered {
        /// Which.
        id: FileId,
        /// To whom.
        to: MemberId,
    },
    /// It ended otherwise.
    Ended {
        /// Which.
        id: FileId,
        /// The other side.
        peer: MemberId,
        /// Why.
        why: FileEnd,
    },
}

/// Why a transfer ended without its file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileEnd {
    /// By this member's own wish.
    #[error("cancelled")]
    Cancelled,
    /// By the other side's wish.
    #[error("cancelled by the other side")]
    CancelledByPeer,
    /// What came is not what was offered.
    #[error("what came is not what was offered: its BLAKE3 hash is another")]
    Mismatch,
    /// The file at the sender became shorter or unreadable.
    #[error("the file changed or cannot be read: {0}")]
    Source(String),
    /// The receiver's disk.
    #[error("it cannot be written: {0}")]
    Storage(String),
    /// The other side left the meeting.
    #[error("the other side left the meeting")]
    Gone,
}

/// See the module.
pub struct Files {
    outgoing: BTreeMap<FileId, Outgoing>,
    incoming: BTreeMap<FileId, Incoming>,
    relayed: Bucket,
    relayed_at: Option<Timestamp>,
    pub(super) jobs: VecDeque<FileJob>,
    pub(super) events: VecDeque<FileEvent>,
    /// What goes to one person, in its row.
    pub(super) controls: VecDeque<(MemberId, FileControl)>,
    pub(super) transmit: VecDeque<(MemberId, ConversationMessage)>,
    random: Random,
}

impl Files {
    /// Without any.
    #[must_use]
    pub fn new(now: Timestamp, random: Random) -> Self {
        Self {
            outgoing: BTreeMap::new(),
            incoming: BTreeMap::new(),
            relayed: Bucket::new(RELAYED_RATE, now),
            relayed_at: None,
            jobs: VecDeque::new(),
            events: VecDeque::new(),
            controls: VecDeque::new(),
            transmit: VecDeque::new(),
            random,
        }
    }

    /// What somebody says about a file.
    pub(super) fn handle_control(&mut self, now: Timestamp, from: MemberId, control: FileControl) {
        match control {
            FileControl::Offer(offer) => self.handle_offer(from, &offer),
            FileControl::Accept { id, from: offset } => self.handle_accept(now, from, id, offset),
            FileControl::Decline(id) => self.handle_decline(from, id),
            FileControl::Cancel(id) => self.handle_cancel(from, id),
            FileControl::Done { id, good } => self.handle_done(from, id, good),
        }
    }

    /// Stops a file, in whichever direction it goes; whether there was one.
    pub(super) fn cancel(&mut self, id: FileId) -> bool {
        self.cancel_outgoing(id) || self.cancel_incoming(id)
    }

    /// There is a new way to `member`.
    pub(super) fn reopen(&mut self, now: Timestamp, member: &MemberId) {
        for upload in self
            .outgoing
            .values_mut()
            .filter_map(|file| file.receivers.get_mut(member))
        {
            upload.restart(now);
        }
    }

    /// `member` is out of the meeting.
    pub(super) fn forget(&mut self, member: &MemberId) {
        self.forget_receiver(member);
        self.forget_sender(member);
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let uploads = self.outgoing.values().flat_map(|file| file.receivers.values());
        let stalls = uploads.filter_map(outgoing::Upload::poll_timeout);
        stalls.chain(self.relayed_at).min()
    }

    pub(super) fn handle_timeout(&mut self, now: Timestamp) {
        if self.relayed_at.is_some_and(|at| at <= now) {
            self.relayed_at = None;
        }
        for file in self.outgoing.values_mut() {
            for upload in file.receivers.values_mut() {
                upload.handle_timeout(now);
            }
        }
    }

    /// How many files are offered, on their way out, and on their way in.
    #[must_use]
    pub fn len(&self) -> usize {
        self.outgoing.len() + self.incoming.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn send_chunk(&mut self, to: MemberId, chunk: FileChunk) {
        self.transmit.push_back((to, ConversationMessage::Chunk(chunk)));
    }

    fn send_ack(&mut self, to: MemberId, ack: FileAck) {
        self.transmit.push_back((to, ConversationMessage::ChunkAck(ack)));
    }
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Files")
            .field("outgoing", &self.outgoing.len())
            .field("incoming", &self.incoming.len())
            .finish_non_exhaustive()
    }
}
