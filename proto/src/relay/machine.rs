//! The relay's state, its sessions, drain and timers.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use slab::Slab;

use crate::{
    ids::{RelayId, RoomId},
    relay::{
        access::{Access, TokenBook, TokenUsage},
        cascade::Cascade,
        gather::Gather,
        limits::{CONTROL_BACKLOG_MAX, RelayLimits},
        month::month_of,
        quota::BlockQuota,
        rate_limiter::RateLimiter,
        room::{Index, Room, Track},
        session::{AddressBlock, Session, SessionId},
        stats::RelayStats,
        streams::{ForwardId, Streams},
    },
    time::{Now, Timestamp, UnixSeconds},
    wire::{
        bounded::{BoundedText, BoundedVec},
        framing,
        relay_message::{DescriptorBytes, Load, REDIRECT_MAX, Refusable, RefusalCode, RelayNotice},
        stream_object::StreamHeader,
    },
};

/// What a relay starts with.
#[derive(Clone, Debug, Default)]
pub struct RelayConfig {
    /// Quotas.
    pub limits: RelayLimits,
    /// The relay's encoded signed descriptor, told to each session.
    pub descriptor: DescriptorBytes,
    /// Relays to which clients are redirected when this one is full or drains.
    pub alternates: BoundedVec<DescriptorBytes, REDIRECT_MAX>,
    /// When `month_bytes` was counted.
    pub month_of: UnixSeconds,
    /// Bytes forwarded in that month before the start.
    pub month_bytes: u64,
    /// Who may use it.
    pub access: Access,
    /// What tokens used before the start.
    pub token_usage: Vec<TokenUsage>,
    /// Relays with whose operators the cascade was agreed: their rooms may be entered here, and they may ask for their
    /// clients. At most [`CASCADE_RELAYS_MAX`](super::CASCADE_RELAYS_MAX) count.
    pub cascade: BTreeSet<RelayId>,
}

/// Why the relay wants a session closed; the value is the QUIC application error code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u32)]
pub enum CloseReason {
    /// A quota refuses the session; the `Refused` notice names it.
    Refused = 0x10,
    /// The client does not take its control frames.
    ControlBacklog = 0x11,
    /// The client's control stream is not a series of frames (the driver finds that).
    Malformed = 0x12,
    /// The drain is over.
    Drained = 0x13,
    /// No client needs the link to that other relay any more, or nothing comes from it.
    Unneeded = 0x14,
}

/// What the driver is to do besides sending a listener's queues.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RelayOutput {
    /// Close the connection, after the control frames that wait for it.
    Close {
        /// Which.
        session: SessionId,
        /// Why.
        reason: CloseReason,
    },
    /// Open a unidirectional stream to a listener and write the header.
    StreamOpen {
        /// To whom.
        session: SessionId,
        /// The relay's name for the stream.
        stream: ForwardId,
        /// The header to write; unchanged from the sender's.
        header: StreamHeader,
    },
    /// Write to such a stream.
    StreamData {
        /// To whom.
        session: SessionId,
        /// Which.
        stream: ForwardId,
        /// What.
        bytes: Bytes,
    },
    /// Finish such a stream.
    StreamFinish {
        /// To whom.
        session: SessionId,
        /// Which.
        stream: ForwardId,
    },
    /// Reset such a stream.
    StreamReset {
        /// To whom.
        session: SessionId,
        /// Which.
        stream: ForwardId,
    },
    /// Stop a sender's stream: nobody wants it, or a quota refuses it.
    StreamStop {
        /// Whose.
        session: SessionId,
        /// The driver's number of the incoming stream.
        stream: u64,
    },
    /// Dial another relay, as this one. Answered by [`Relay::handle_upstream_up`] or [`Relay::handle_upstream_failed`].
    Dial {
        /// Which.
        relay: RelayId,
        /// Its static key.
        static_key: [u8; 32],
        /// Where it listens.
        addresses: Vec<SocketAddr>,
    },
}

/// The relay's state machine.
///
/// After any `handle_*` call drain, in this order: [`poll_output`](Self::poll_output) until `None`;
/// [`poll_ready`](Self::poll_ready) until `None`, and for each session it names
/// [`poll_control`](Self::poll_control) and [`poll_datagram`](Self::poll_datagram) as far as the session's connection
/// takes them. A connection that took less is named again after [`handle_writable`](Self::handle_writable). Then sleep
/// until input or [`poll_timeout`](Self::poll_timeout).
#[derive(Debug)]
pub struct Relay {
    pub(super) limits: RelayLimits,
    pub(super) descriptor: DescriptorBytes,
    alternates: BoundedVec<DescriptorBytes, REDIRECT_MAX>,
    pub(super) access: Access,
    pub(super) tokens: TokenBook,
    pub(super) total_media: Option<RateLimiter>,
    /// Media that wait for listeners, in bytes.
    pub(super) queued_bytes: usize,
    /// By `SessionId`.
    pub(super) sessions: Vec<Option<Box<Session>>>,
    /// Sessions that count toward the quotas.
    pub(super) admitted: usize,
    pub(super) rooms: Slab<Room>,
    pub(super) room_by_id: BTreeMap<RoomId, Index>,
    pub(super) tracks: Slab<Track>,
    pub(super) blocks: BTreeMap<AddressBlock, BlockQuota>,
    pub(super) streams: Streams,
    pub(super) gather: Gather,
    pub(super) ready: VecDeque<SessionId>,
    pub(super) output: VecDeque<RelayOutput>,
    pub(super) stats: RelayStats,
    pub(super) cascade: Cascade,
    month: u64,
    /// How much of its time the driver works, in thousandths.
    busy_permille: u16,
    /// When to close what is left.
    drain_until: Option<Timestamp>,
}

impl Relay {
    /// A relay without sessions.
    #[must_use]
    pub fn new(config: RelayConfig) -> Self {
        let limits = config.limits.clamped();
        Self {
            limits,
            descriptor: config.descriptor,
            alternates: config.alternates,
            access: config.access,
            tokens: TokenBook::restored(&config.token_usage),
            total_media: limits
                .total_media
                .map(|rate| RateLimiter::media(rate, Timestamp::ZERO)),
            queued_bytes: 0,
            sessions: Vec::new(),
            admitted: 0,
            rooms: Slab::new(),
            room_by_id: BTreeMap::new(),
            tracks: Slab::new(),
            blocks: BTreeMap::new(),
            streams: Streams::default(),
            gather: Gather::new(limits.gather_window_max),
            ready: VecDeque::new(),
            output: VecDeque::new(),
            stats: RelayStats {
                month_bytes: config.month_bytes,
                ..RelayStats::default()
            },
            cascade: Cascade::new(config.cascade),
            month: month_of(config.month_of),
            busy_permille: 0,
            drain_until: None,
        }
    }

    /// Replaces the descriptor; each session is told.
    pub fn set_descriptor(&mut self, descriptor: DescriptorBytes) {
        self.descriptor = descriptor;
        self.announce_state();
    }

    /// Replaces the relays that clients are redirected to.
    pub fn set_alternates(&mut self, alternates: BoundedVec<DescriptorBytes, REDIRECT_MAX>) {
        self.alternates = alternates;
    }

    /// The counters.
    #[must_use]
    pub fn stats(&self) -> RelayStats {
        RelayStats {
            sessions: self.admitted as u64,
            rooms: self.rooms.len() as u64,
            tracks: self.tracks.len() as u64,
            gather_window_us: u64::try_from(self.gather.window().as_micros()).unwrap_or(u64::MAX),
            draining: self.drain_until.is_some(),
            hibernating: self.month_is_used_up(),
            tokens: self.tokens.in_use() as u64,
            queued_bytes: self.queued_bytes as u64,
            upstreams: self.cascade.up() as u64,
            mirrored_rooms: self.cascade.rooms() as u64,
            ..self.stats.clone()
        }
    }

    /// Ends the relay's service: everybody is told, nothing new is accepted, and who is still there after `within` is
    /// closed.
    pub fn drain(&mut self, now: Now, within: Duration) {
        self.drain_until = Some(now.monotonic + within);
        let deadline_s = u32::try_from(within.as_secs()).unwrap_or(u32::MAX);
        for id in self.session_ids() {
            self.notify(id, &RelayNotice::Draining { deadline_s });
            let rooms: Vec<RoomId> = self
                .session_ref(id)
                .map(|s| s.rooms.keys().copied().collect())
                .unwrap_or_default();
            for room in rooms {
                self.redirect(id, room);
            }
        }
    }

    /// Whether a drain has left nobody to serve.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.drain_until.is_some() && self.sessions.iter().flatten().next().is_none()
    }

    /// Whether nothing of any client is left.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.sessions.iter().all(Option::is_none)
            && self.rooms.is_empty()
            && self.room_by_id.is_empty()
            && self.tracks.is_empty()
            && self.blocks.is_empty()
            && self.streams.is_empty()
            && self.cascade.is_empty()
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drain_until.is_some()
    }

    /// The driver's recent load in thousandths: how much of its time it was not waiting for input. Sets the gather
    /// window.
    pub fn handle_load(&mut self, permille: u16) {
        self.busy_permille = permille;
        self.gather.set_load(permille);
    }

    /// How much of what it can serve is used: of that which is scarcest.
    pub(super) fn load(&self) -> Load {
        if self.is_draining() || self.month_is_used_up() {
            return Load::Full;
        }
        let part = |used: usize, of: usize| (used as u64).saturating_mul(1_000) / (of as u64).max(1);
        let scarcest = [
            part(self.admitted, self.limits.sessions_max),
            part(self.rooms.len(), self.limits.rooms_max),
            part(self.memory_used(), self.limits.memory_bytes_max),
            u64::from(self.busy_permille),
        ];
        Load::from_permille(scarcest.into_iter().max().unwrap_or(0))
    }

    /// To be called at the time that [`poll_timeout`](Self::poll_timeout) gave.
    pub fn handle_timeout(&mut self, now: Now) {
        self.roll_month(now);
        self.expire_tokens(now.monotonic);
        self.release_gathered(now.monotonic);
        self.watch_upstreams(now.monotonic);
        if self.drain_until.is_some_and(|until| until <= now.monotonic) {
            for id in self.session_ids() {
                self.close(id, CloseReason::Drained);
            }
        }
    }

    /// When to call [`handle_timeout`](Self::handle_timeout): the end of the gather window, of the drain, or of a token; a
    /// ping to another relay.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        let drain = self
            .drain_until
            .filter(|_| self.sessions.iter().flatten().any(|s| s.closing.is_none()));
        let upstream = self.cascade.poll_timeout();
        [self.gather.due(), drain, self.tokens.next_expiry(), upstream]
            .into_iter()
            .flatten()
            .min()
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<RelayOutput> {
        self.output.pop_front()
    }

    /// The next framed control frame for a session, to be written to its control stream in full before the next.
    pub fn poll_control(&mut self, id: SessionId) -> Option<Bytes> {
        let session = self.session(id)?;
        let frame = session.control.pop_front()?;
        session.control_bytes -= frame.len();
        if session.control.is_empty() {
            session.control = VecDeque::new();
        }
        Some(frame)
    }

    pub(super) fn roll_month(&mut self, now: Now) {
        let month = month_of(now.unix);
        if month != self.month {
            self.month = month;
            self.stats.month_bytes = 0;
        }
    }

    pub(super) fn month_is_used_up(&self) -> bool {
        self.limits
            .monthly_bytes_max
            .is_some_and(|max| self.stats.month_bytes >= max)
    }

    pub(super) fn session(&mut self, id: SessionId) -> Option<&mut Session> {
        self.sessions.get_mut(id.0 as usize)?.as_deref_mut()
    }

    pub(super) fn session_ref(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(id.0 as usize)?.as_deref()
    }

    pub(super) fn session_ids(&self) -> Vec<SessionId> {
        let occupied = self.sessions.iter().enumerate().filter(|(_, s)| s.is_some());
        occupied.map(|(i, _)| SessionId(i as u32)).collect()
    }

    /// Queues a notice. What an announcer is told about its listeners, another relay is asked for.
    pub(super) fn notify(&mut self, id: SessionId, notice: &RelayNotice) {
        if self.session_ref(id).is_some_and(|s| s.upstream().is_some()) {
            return self.ask_instead(id, notice);
        }
        self.queue_control(id, framing::frame(&notice.encode()));
    }

    /// Queues a control frame that is framed already, so that a broadcast encodes once.
    pub(super) fn queue_control(&mut self, id: SessionId, frame: Bytes) {
        let Some(session) = self.session(id).filter(|s| s.closing.is_none()) else {
            return;
        };
        session.control_bytes += frame.len();
        session.control.push_back(frame);
        let overflow = session.control_bytes > CONTROL_BACKLOG_MAX;
        self.make_ready(id);
        if overflow {
            self.close(id, CloseReason::ControlBacklog);
        }
    }

    /// Queues a typed refusal and counts it.
    pub(super) fn refuse(&mut self, id: SessionId, what: Refusable, code: RefusalCode, detail: &str) {
        *self.stats.refusals.entry(code).or_default() += 1;
        self.notify(
            id,
            &RelayNotice::Refused {
                what,
                code,
                detail: BoundedText::cut(detail),
            },
        );
    }

    /// Queues the alternates, if there are any.
    pub(super) fn redirect(&mut self, id: SessionId, room: RoomId) {
        if !self.alternates.is_empty() {
            let notice = RelayNotice::Redirect {
                room,
                relays: self.alternates.clone(),
            };
            self.notify(id, &notice);
        }
    }

    /// Asks the driver to close a session, once.
    pub(super) fn close(&mut self, id: SessionId, reason: CloseReason) {
        if let Some(session) = self.session(id)
            && session.closing.is_none()
        {
            session.closing = Some(reason);
            self.output.push_back(RelayOutput::Close { session: id, reason });
        }
    }

    pub(super) fn make_ready(&mut self, id: SessionId) {
        if let Some(session) = self
            .sessions
            .get_mut(id.0 as usize)
            .and_then(|s| s.as_deref_mut())
            && !session.ready
        {
            session.ready = true;
            self.ready.push_back(id);
        }
    }
}
