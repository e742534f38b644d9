//! The same handshake inside envelopes: a channel between two members that relays and forwarders carry blindly
//! (`proto/spec/pairwise-channel.md`).

use std::marker::PhantomData;

use super::Psk;
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    random::Random,
    time::UnixSeconds,
};

/// Why a handshake ended, or a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PairwiseError {
    /// Not authentic, or cut short, or for another key or meeting.
    #[error("the message is not authentic")]
    Decrypt,
    /// Authentic, and received before, or too old to tell.
    #[error("the message was received before, or is too old")]
    Replay,
    /// The peer is somebody else.
    #[error("the peer is not the member that was expected")]
    WrongIdentity,
    /// The binding of the peer's key to its identity is invalid or expired.
    #[error("the peer's identity binding is not valid")]
    Binding,
    /// Longer than a session seals.
    #[error("the message is too long")]
    TooLong,
    /// The session has sealed as many messages as its keys may.
    #[error("the session's keys are used up")]
    Exhausted,
}

/// The side that starts.
pub struct Initiator(PhantomData<()>);

impl Initiator {
    /// Starts a handshake; gives message 1.
    #[must_use]
    pub fn new(
        identity: &Identity,
        meeting: MeetingId,
        psk: &Psk,
        expected: Option<MemberId>,
        random: &mut Random,
    ) -> (Self, Vec<u8>) {
        let _ = (identity, meeting, psk, expected, random);
        todo!()
    }

    /// Reads message 2; gives the session, message 3 and the peer.
    ///
    /// # Errors
    /// Any [`PairwiseError`]; the handshake is over then and a new one must be started.
    pub fn read_m2(self, now: UnixSeconds, m2: &[u8]) -> Result<(Session, Vec<u8>, MemberId), PairwiseError> {
        let _ = (now, m2);
        todo!()
    }
}

/// The side that answers.
pub struct Responder(PhantomData<()>);

impl Responder {
    /// Reads message 1, trying each of `keys` (at most [`super::ACCEPT_KEYS_MAX`]); gives message 2 and the index of
    /// the key that fitted.
    ///
    /// # Errors
    /// [`PairwiseError::Decrypt`] if no key fits.
    pub fn read_m1(
        identity: &Identity,
        keys: &[(MeetingId, Psk)],
        now: UnixSeconds,
        random: &mut Random,
        m1: &[u8],
    ) -> Result<(Self, Vec<u8>, usize), PairwiseError> {
        let _ = (identity, keys, now, random, m1);
        todo!()
    }

    /// Reads message 3; gives the session and the peer.
    ///
    /// # Errors
    /// Any [`PairwiseError`].
    pub fn read_m3(self, now: UnixSeconds, m3: &[u8]) -> Result<(Session, MemberId), PairwiseError> {
        let _ = (now, m3);
        todo!()
    }
}

/// An established channel. Messages may be lost, reordered and repeated by the carrier.
pub struct Session(PhantomData<()>);

impl Session {
    /// Seals one message.
    ///
    /// # Errors
    /// [`PairwiseError::TooLong`], [`PairwiseError::Exhausted`].
    pub fn seal(&mut self, plaintext: &[u8]) -> Result<Vec<u8>, PairwiseError> {
        let _ = plaintext;
        todo!()
    }

    /// Opens one message, each only once.
    ///
    /// # Errors
    /// [`PairwiseError::Decrypt`], [`PairwiseError::Replay`].
    pub fn open(&mut self, sealed: &[u8]) -> Result<Vec<u8>, PairwiseError> {
        let _ = sealed;
        todo!()
    }

    /// Keying material that both sides derive alike; `out` is at most 8,160 bytes.
    pub fn export(&self, label: &[u8], context: &[u8], out: &mut [u8]) {
        let _ = (label, context, out);
        todo!()
    }
}
