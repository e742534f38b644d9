//! The same handshake inside envelopes: a channel between two members that relays and forwarders carry blindly
//! (`proto/spec/pairwise-channel.md`).
//!
//! Three messages, then [`Session`]s on both sides. A handshake that fails is over; the initiator starts another.

use super::{
    HandshakeError, Leg, Psk, QUIC_VERSION,
    binding::Context,
    exchange::{Accept, Dial, InitiatorExchange, ResponderExchange},
    key_schedule::Role,
};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    random::Random,
    time::UnixSeconds,
};

mod replay_window;
mod session;

pub use self::session::{OVERHEAD_BYTES, PLAINTEXT_BYTES_MAX, Session};

/// The longest handshake message, in bytes (message 2 has about 1,330).
pub const HANDSHAKE_BYTES_MAX: usize = 2_048;

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
    /// The binding of the peer's key to its identity does not verify, or is not valid at this time.
    #[error("the peer's identity binding is not valid now")]
    Binding,
    /// Longer than a session seals or opens.
    #[error("the message is too long")]
    TooLong,
    /// The session has sealed as many messages as its keys may.
    #[error("the session's keys are used up")]
    Exhausted,
}

impl From<HandshakeError> for PairwiseError {
    fn from(error: HandshakeError) -> Self {
        match error {
            HandshakeError::WrongIdentity | HandshakeError::NotAdmitted => Self::WrongIdentity,
            HandshakeError::BadBinding | HandshakeError::BindingExpired => Self::Binding,
            HandshakeError::Malformed | HandshakeError::Decrypt | HandshakeError::TransportParameters => {
                Self::Decrypt
            }
        }
    }
}

fn bounded(message: &[u8]) -> Result<&[u8], PairwiseError> {
    if message.len() > HANDSHAKE_BYTES_MAX {
        return Err(PairwiseError::TooLong);
    }
    Ok(message)
}

/// The side that starts.
pub struct Initiator(InitiatorExchange);

impl Initiator {
    /// Starts a handshake with a member of `meeting`; gives message 1.
    ///
    /// # Panics
    /// Never: message 1 depends on our own keys only.
    #[must_use]
    pub fn new(
        identity: &Identity,
        meeting: MeetingId,
        psk: &Psk,
        expected: Option<MemberId>,
        random: &mut Random,
    ) -> (Self, Vec<u8>) {
        let dial = Dial {
            identity,
            context: Context::new(Leg::Envelope, &meeting.0),
            version: QUIC_VERSION,
            psk: Some(psk),
            remote_static: None,
            expected: expected.map(|member| member.0),
        };
        let (exchange, m1) =
            InitiatorExchange::start(&dial, &[], random).expect("message 1 of XX uses no key of the peer");
        (Self(exchange), m1)
    }

    /// Reads message 2; gives the session, message 3 and the peer.
    ///
    /// # Errors
    /// Any [`PairwiseError`]; the handshake is over then and a new one must be started.
    pub fn read_m2(self, now: UnixSeconds, m2: &[u8]) -> Result<(Session, Vec<u8>, MemberId), PairwiseError> {
        let answered = self.0.answer(bounded(m2)?, now)?;
        let session = Session::new(&answered.final_prk, Role::Initiator);
        Ok((session, answered.m3, MemberId(answered.peer)))
    }
}

/// The side that answers.
pub struct Responder(ResponderExchange);

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
        let accept = Accept::Members(Leg::Envelope, keys);
        let mut exchange = ResponderExchange::read(&accept, identity, QUIC_VERSION, bounded(m1)?, random)?;
        if !exchange.payload.is_empty() {
            return Err(PairwiseError::Decrypt);
        }
        let index = exchange.accept_key.ok_or(PairwiseError::Decrypt)?;
        let (m2, _) = exchange.answer(identity, Vec::new(), now)?;
        Ok((Self(exchange), m2, index))
    }

    /// Reads message 3; gives the session and the peer.
    ///
    /// # Errors
    /// Any [`PairwiseError`].
    pub fn read_m3(self, now: UnixSeconds, m3: &[u8]) -> Result<(Session, MemberId), PairwiseError> {
        let (peer, prk) = self.0.finish(bounded(m3)?, now)?;
        Ok((Session::new(&prk, Role::Responder), MemberId(peer)))
    }
}

#[cfg(test)]
mod tests;
