//! The receiver's side: one remote publisher's keys.

use std::collections::BTreeSet;

use super::key_message::{KeyAck, KeyMessage};
use crate::{
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    sframe::{KeyId, MediaContext},
    time::Timestamp,
};

/// The roster, as the receiver's own log has it.
pub trait RosterAtHeads {
    /// The members at `heads`; `None` if some operation that they rest on is missing here.
    fn members_at(&self, heads: &[OperationHash]) -> Option<BTreeSet<MemberId>>;
    /// The policy of the meeting, as this member sees it.
    fn policy_hash(&self) -> PolicyHash;
}

/// Why a key message was not accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFault {
    /// These receive the key, or send it, and are no members in the roster that the message rests on. Stop sending
    /// to the publisher and name them.
    #[error("{} would hear the meeting and are not in its roster", .0.len())]
    Ghost(BTreeSet<MemberId>),
    /// The publisher follows another policy.
    #[error("the publisher follows another policy")]
    PolicyMismatch {
        /// The publisher's.
        theirs: PolicyHash,
    },
    /// Fetch the operations up to these heads, then hand the message in again.
    #[error("the roster operations that the key rests on are missing")]
    NeedOperations(Vec<OperationHash>),
    /// Another meeting, or signed by another than the far end of the channel.
    #[error("the key message is for another meeting or from another publisher")]
    Foreign,
    /// We are not among the recipients that it names.
    #[error("this member is not among the key's recipients")]
    NotAddressed,
    /// The list of recipients is absent, and the root is not the one accepted before; or list and root differ.
    #[error("the recipients do not match their root")]
    RecipientsUnknown,
    /// The signature or the commitment does not hold.
    #[error("signature or commitment of the key message do not hold")]
    Forged,
    /// The publisher gave another secret or other recipients under the same key id before.
    #[error("the publisher contradicts an earlier key message")]
    Equivocation,
    /// The key belongs to a former run of the publisher, or to a generation that has ended.
    #[error("the key message is outdated")]
    Outdated,
}

/// Which frame was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The key that sealed it.
    pub key: KeyId,
    /// Its number under that key and stream.
    pub counter: u64,
}

/// Why a frame was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// No key message gave this key, or its time is over.
    #[error("no key for this frame")]
    UnknownKey,
    /// A frame with this number was opened before, or the number is too old to tell.
    #[error("the frame was received before")]
    Replay,
    /// Some byte differs from what the publisher sealed.
    #[error("the frame is not authentic")]
    BadTag,
    /// No SFrame header of this version.
    #[error("the frame is malformed")]
    Malformed,
    /// The context names another meeting or another sender.
    #[error("the frame's context is not this publisher's")]
    ForeignContext,
}

/// Opens one remote member's frames.
#[derive(Debug)]
pub struct Receiver {
    meeting: MeetingId,
    publisher: MemberId,
    own: MemberId,
}

impl Receiver {
    /// For frames of `publisher`, received by `own`.
    #[must_use]
    pub fn new(meeting: MeetingId, publisher: MemberId, own: MemberId) -> Self {
        Self {
            meeting,
            publisher,
            own,
        }
    }

    /// The publisher's run whose keys are held; `None` before the first key message.
    #[must_use]
    pub fn instance(&self) -> Option<u64> {
        todo!()
    }

    /// Takes a key that arrived over the channel from this publisher.
    ///
    /// # Errors
    /// [`KeyFault`]; the keys stay as they were.
    pub fn handle_key_message(
        &mut self,
        _now: Timestamp,
        _message: &KeyMessage,
        _roster: &dyn RosterAtHeads,
    ) -> Result<KeyAck, KeyFault> {
        todo!()
    }

    /// Appends the plaintext of `sframe` to `out`.
    ///
    /// # Errors
    /// [`OpenError`]; `out` is as before.
    pub fn open(
        &mut self,
        _now: Timestamp,
        _context: &MediaContext,
        _sframe: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Opened, OpenError> {
        todo!()
    }

    /// When the next key has to be erased.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        todo!()
    }

    /// Erases keys whose time is over.
    pub fn handle_timeout(&mut self, _now: Timestamp) {
        todo!()
    }
}
