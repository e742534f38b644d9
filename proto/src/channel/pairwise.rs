//! The secure channel to one member who is reached at one relay, in one room, under one alias.
//!
//! The side that starts repeats its attempt until it is answered; the other side answers each new attempt and keeps
//! the channel in use until the new one is proven by message 3, so that nobody can close a channel by shouting.

use std::{collections::VecDeque, time::Duration};

use super::envelope::{AttemptId, CONTENT_BYTES_MAX, EnvelopeContent};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    noise::{
        Psk,
        pairwise::{Initiator, Responder, Session},
    },
    random::Random,
    time::Now,
    wire::codec,
};

/// After so long without an answer a new attempt is made.
pub const ATTEMPT_INTERVAL: Duration = Duration::from_millis(1_500);
/// The largest control message that fits a sealed envelope (nonce and tag take the rest).
pub const MESSAGE_BYTES_MAX: usize = CONTENT_BYTES_MAX - 64;
/// Envelopes that may wait to be sent. Reason: they are collected after each input; more means a loop.
const OUT_MAX: usize = 64;

/// What a channel needs from its owner.
pub struct ChannelContext<'a> {
    /// Who we are.
    pub identity: &'a Identity,
    /// The meeting, in the prologue.
    pub meeting: MeetingId,
    /// The key of the room that the envelopes go through.
    pub psk: &'a Psk,
    /// For ephemeral keys.
    pub random: &'a mut Random,
}

/// What came of an envelope.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The channel is open; the peer is proven.
    Opened(MemberId),
    /// A control message from the peer.
    Message(MemberId, Vec<u8>),
}

/// An envelope that is not from the peer, or not for this channel. Counted by the caller, otherwise without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an envelope that does not belong to this channel")]
pub struct Stray;

struct Attempt {
    id: AttemptId,
    initiator: Initiator,
    started: Now,
}

struct Open {
    id: AttemptId,
    session: Session,
    peer: MemberId,
}

/// See the module. Drain order: after each call, [`PairwiseChannel::poll_envelope`] until `None`.
#[derive(Default)]
pub struct PairwiseChannel {
    attempt: Option<Attempt>,
    answered: Option<(AttemptId, Responder)>,
    open: Option<Open>,
    /// The session before: the peer may still send in it. If both sides start at once, each ends with the session that
    /// the other started, and hears the other in this one.
    former: Option<Open>,
    out: VecDeque<Vec<u8>>,
}

impl PairwiseChannel {
    /// Who is at the other end, once proven.
    #[must_use]
    pub fn peer(&self) -> Option<MemberId> {
        self.open.as_ref().map(|open| open.peer)
    }

    /// Keying material under `label` that both ends export alike, once the channel is open.
    #[must_use]
    pub fn binding(&self, label: &[u8]) -> Option<[u8; 32]> {
        let mut binding = [0; 32];
        let open = self.open.as_ref()?;
        open.session.export(label, &[], &mut binding).ok()?;
        Some(binding)
    }

    /// Starts, or starts again if the last attempt is older than [`ATTEMPT_INTERVAL`]. Has no effect on an open channel.
    pub fn start(&mut self, now: Now, expected: Option<MemberId>, context: &mut ChannelContext<'_>) {
        let fresh = |a: &Attempt| now.monotonic - a.started.monotonic < ATTEMPT_INTERVAL;
        if self.open.is_some() || self.attempt.as_ref().is_some_and(fresh) {
            return;
        }
        let (initiator, message) = Initiator::new(
            context.identity,
            context.meeting,
            context.psk,
            expected,
            context.random,
        );
        let id = context.random.bytes();
        self.push(EnvelopeContent::Message1, id, message);
        self.attempt = Some(Attempt {
            id,
            initiator,
            started: now,
        });
    }

    /// Forgets the session, e.g. because the peer came anew; a `start` or the peer's attempt opens another.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    /// Seals a control message; `false` if the channel is not open or cannot take it.
    pub fn send(&mut self, message: &[u8]) -> bool {
        debug_assert!(message.len() <= MESSAGE_BYTES_MAX);
        let Some(open) = &mut self.open else { return false };
        let Ok(sealed) = open.session.seal(message) else {
            self.open = None;
            return false;
        };
        let id = open.id;
        self.push(EnvelopeContent::Sealed, id, sealed);
        true
    }

    /// Takes an envelope's content.
    ///
    /// # Errors
    /// [`Stray`] for whatever is not authentic or belongs to another attempt.
    pub fn handle_envelope(
        &mut self,
        now: Now,
        bytes: &[u8],
        context: &mut ChannelContext<'_>,
    ) -> Result<Option<ChannelEvent>, Stray> {
        match codec::decode(bytes).map_err(|_| Stray)? {
            EnvelopeContent::Message1(id, message) => {
                let keys = [(context.meeting, context.psk.clone())];
                let (responder, answer, _) =
                    Responder::read_m1(context.identity, &keys, now.unix, context.random, &message)
                        .map_err(|_| Stray)?;
                self.push(EnvelopeContent::Message2, id, answer);
                self.answered = Some((id, responder));
                Ok(None)
            }
            EnvelopeContent::Message2(id, message) => {
                let attempt = self.attempt.take_if(|a| a.id == id).ok_or(Stray)?;
                let (session, message3, peer) =
                    attempt.initiator.read_m2(now.unix, &message).map_err(|_| Stray)?;
                self.push(EnvelopeContent::Message3, id, message3);
                self.enter(Open { id, session, peer });
                Ok(Some(ChannelEvent::Opened(peer)))
            }
            EnvelopeContent::Message3(id, message) => {
                let (_, responder) = self
                    .answered
                    .take_if(|(answered, _)| *answered == id)
                    .ok_or(Stray)?;
                let (session, peer) = responder.read_m3(now.unix, &message).map_err(|_| Stray)?;
                self.attempt = None;
                self.enter(Open { id, session, peer });
                Ok(Some(ChannelEvent::Opened(peer)))
            }
            EnvelopeContent::Sealed(id, sealed) => {
                let sessions = self.open.iter_mut().chain(&mut self.former);
                let open = { sessions }.find(|open| open.id == id).ok_or(Stray)?;
                let message = open.session.open(&sealed).map_err(|_| Stray)?;
                Ok(Some(ChannelEvent::Message(open.peer, message)))
            }
        }
    }

    fn enter(&mut self, open: Open) {
        self.former = self
            .open
            .replace(open)
            .filter(|former| Some(former.peer) == self.peer());
    }

    /// The next envelope's content to send to the peer.
    pub fn poll_envelope(&mut self) -> Option<Vec<u8>> {
        self.out.pop_front()
    }

    fn push(
        &mut self,
        kind: fn(AttemptId, crate::wire::bounded::BoundedBytes<CONTENT_BYTES_MAX>) -> EnvelopeContent,
        id: AttemptId,
        bytes: Vec<u8>,
    ) {
        // Handshake messages are below 3 KiB and sealed ones bounded by `MESSAGE_BYTES_MAX`, so they fit.
        if let Ok(bytes) = bytes.try_into()
            && self.out.len() < OUT_MAX
        {
            self.out.push_back(codec::encode(&kind(id, bytes)));
        }
    }
}
