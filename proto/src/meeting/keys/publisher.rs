//! The publisher's side: generations, ratchet steps, and who was given which.

use std::collections::BTreeSet;

use super::key_message::{KeyAck, KeyMessage};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, OperationHash, PolicyHash},
    random::Random,
    sframe::{KeyId, MediaContext},
    time::Timestamp,
};

/// Why the key that frames are sealed with changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyReason {
    /// The first recipients.
    Start,
    /// Somebody was added.
    Join,
    /// Somebody was removed.
    Removal,
    /// The generation is two minutes old.
    Age,
    /// The generation sealed its share of frames.
    Frames,
    /// The meeting has another policy.
    Policy,
}

/// From now on frames are sealed with this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysChanged {
    /// Generation and step.
    pub key: KeyId,
    /// Why.
    pub reason: KeyReason,
    /// Who has the key.
    pub members: BTreeSet<MemberId>,
}

/// How a frame was sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The key.
    pub key: KeyId,
    /// The frame's number under that key and stream.
    pub counter: u64,
}

/// Why a frame was not sealed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// Nobody is to receive it.
    #[error("nobody holds a key of this publisher")]
    NoRecipients,
    /// The context names another meeting or another sender.
    #[error("the frame's context is not this publisher's")]
    ForeignContext,
    /// More streams than a publisher may have.
    #[error("a publisher has too many streams")]
    TooManyStreams,
}

/// More recipients, or roster heads, than a key message can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many recipients or roster heads for a key message")]
pub struct TooMany;

/// Owns this member's keys.
#[derive(Debug)]
pub struct Publisher {
    identity: Identity,
    meeting: MeetingId,
    policy: PolicyHash,
    random: Random,
}

impl Publisher {
    /// A publisher without recipients. `random` must be seeded with full entropy: keys come from it.
    #[must_use]
    pub fn new(identity: Identity, meeting: MeetingId, policy: PolicyHash, random: Random) -> Self {
        Self {
            identity,
            meeting,
            policy,
            random,
        }
    }

    /// Random number of this run of the publisher, as its key messages carry it.
    #[must_use]
    pub fn instance(&self) -> u64 {
        todo!()
    }

    /// Sets who may decrypt from now on, chosen from the roster at `heads`. Somebody added only: ratchets, active at
    /// once. Somebody gone: a new generation, active when all acknowledged or after [`SWITCH_MAX`].
    ///
    /// # Errors
    /// [`TooMany`]; the recipients stay as they were.
    pub fn set_recipients(
        &mut self,
        _now: Timestamp,
        _recipients: &BTreeSet<MemberId>,
        _heads: &[OperationHash],
    ) -> Result<(), TooMany> {
        todo!()
    }

    /// The meeting has another policy: a new generation, as after a removal.
    pub fn set_policy(&mut self, _now: Timestamp, _policy: PolicyHash) {
        todo!()
    }

    /// `from` accepted a key.
    pub fn handle_ack(&mut self, _now: Timestamp, _from: MemberId, _ack: &KeyAck) {
        todo!()
    }

    /// Gives `member` its keys again, because the channel to it is new or it asked. Nothing if it is no recipient.
    pub fn resend_to(&mut self, _now: Timestamp, _member: MemberId) {
        todo!()
    }

    /// When to call [`Publisher::handle_timeout`] and drain [`Publisher::poll_transmit`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        todo!()
    }

    /// A timer fired (or not yet: early calls do nothing).
    pub fn handle_timeout(&mut self, _now: Timestamp) {
        todo!()
    }

    /// The next key message that is due, and to whom.
    #[must_use]
    pub fn poll_transmit(&mut self, _now: Timestamp) -> Option<(MemberId, KeyMessage)> {
        todo!()
    }

    /// The next change of keys.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<KeysChanged> {
        todo!()
    }

    /// Appends the sealed frame (SFrame header, ciphertext, tag) to `out`.
    ///
    /// # Errors
    /// [`SealError`]; `out` is as before.
    pub fn seal(
        &mut self,
        _now: Timestamp,
        _context: &MediaContext,
        _plaintext: &[u8],
        _out: &mut Vec<u8>,
    ) -> Result<Sealed, SealError> {
        todo!()
    }
}
