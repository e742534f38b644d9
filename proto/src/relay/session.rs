//! One client's session at the relay.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;

use crate::{
    ids::{Alias, RelayId, RoomId, TrackAlias},
    relay::{
        cascade::CASCADE_CLIENTS_MAX, limits::RelayLimits, listener_queue::ListenerQueue,
        machine::CloseReason, rate_limiter::RateLimiter, room::Index, token::TokenId,
    },
    time::Timestamp,
};

/// A session, as the driver numbers its connections: small numbers, since the relay keeps a table of them. A number may
/// be used again after `handle_session_down`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionId(pub u32);

/// The address block (say, an IPv4 /24 or IPv6 /48) that a session came from, as an opaque number: the relay's state
/// holds no addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddressBlock(pub u64);

/// Where a session comes from, as far as that matters to a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its address block.
    pub block: AddressBlock,
    /// Whether its address is one of those that the operator listed: such a session needs no token.
    pub listed: bool,
    /// Who it proved to be: a member's pseudonym, or a relay. Kept only if the operator listed it.
    pub identity: Option<RelayId>,
}

impl From<AddressBlock> for Origin {
    fn from(block: AddressBlock) -> Self {
        Self {
            block,
            listed: false,
            identity: None,
        }
    }
}

/// A subscription or announcement of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TrackRef {
    pub(super) room: RoomId,
    pub(super) track: Index,
}

#[derive(Debug)]
pub(super) struct Session {
    pub(super) block: AddressBlock,
    pub(super) listed: bool,
    /// The token that it showed and that is valid here.
    pub(super) token: Option<TokenId>,
    /// Tokens that it showed in vain.
    pub(super) bad_tokens: u8,
    /// Rooms, and the aliases in each: one, or those of a relay's clients.
    pub(super) rooms: BTreeMap<RoomId, BTreeSet<Alias>>,
    pub(super) announced: BTreeMap<TrackAlias, TrackRef>,
    pub(super) subscribed: BTreeMap<(RoomId, TrackAlias), Index>,
    pub(super) media: RateLimiter,
    pub(super) requests: RateLimiter,
    pub(super) envelopes: RateLimiter,
    pub(super) envelope_bytes: RateLimiter,
    /// Media for this session as a listener.
    pub(super) queue: ListenerQueue,
    /// Framed notices for this session, and their bytes.
    pub(super) control: VecDeque<Bytes>,
    pub(super) control_bytes: usize,
    /// When this session was last told that its media were dropped.
    pub(super) media_refused: Option<Timestamp>,
    /// Whether it is in the ready list.
    pub(super) ready: bool,
    /// Whether it is in the gather list.
    pub(super) gathering: bool,
    /// Set when the relay asked the driver to close it; it is then served no more.
    pub(super) closing: Option<CloseReason>,
    pub(super) streams: usize,
    /// Whether it counts toward the quotas: a refused one does not.
    pub(super) admitted: bool,
    /// See [`Leg`].
    pub(super) leg: Leg,
}

/// Whom a session is with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Leg {
    /// A member's node.
    Client,
    /// Another relay, which stands for clients of its own: its operator and ours agreed.
    Downstream(RelayId),
    /// Another relay, whose client this one is.
    Upstream(Upstream),
}

/// What this relay has told another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upstream {
    pub(super) relay: RelayId,
    /// Tracks that its rooms were told that this relay's clients send.
    pub(super) told: BTreeSet<(RoomId, TrackAlias)>,
}

impl Session {
    /// A session with a client, or with a relay that may ask for as many as [`CASCADE_CLIENTS_MAX`].
    pub(super) fn new(now: Timestamp, origin: Origin, leg: Leg, limits: &RelayLimits) -> Self {
        let clients = if leg == Leg::Client {
            1
        } else {
            CASCADE_CLIENTS_MAX
        };
        let share = clients as u64;
        let requests = u64::from(limits.requests_per_second) * share;
        let envelopes = u64::from(limits.envelopes_per_second) * share;
        let envelope_bytes = u64::from(limits.envelope_bytes_per_second) * share;
        Self {
            block: origin.block,
            listed: origin.listed,
            token: None,
            bad_tokens: 0,
            rooms: BTreeMap::new(),
            announced: BTreeMap::new(),
            subscribed: BTreeMap::new(),
            media: RateLimiter::media(limits.session_media.times(clients), now),
            requests: RateLimiter::new(requests, requests * 20, now),
            envelopes: RateLimiter::new(envelopes, envelopes * 10, now),
            envelope_bytes: RateLimiter::new(envelope_bytes, envelope_bytes * 8, now),
            queue: ListenerQueue::default(),
            control: VecDeque::new(),
            control_bytes: 0,
            media_refused: None,
            ready: false,
            gathering: false,
            closing: None,
            streams: 0,
            admitted: false,
            leg,
        }
    }

    /// The alias of a client; the first of those that a relay stands for.
    pub(super) fn alias_in(&self, room: &RoomId) -> Option<Alias> {
        self.rooms.get(room)?.first().copied()
    }

    /// For how many clients it may ask: its quotas are theirs together.
    pub(super) fn clients(&self) -> usize {
        match self.leg {
            Leg::Client => 1,
            Leg::Downstream(_) | Leg::Upstream(_) => CASCADE_CLIENTS_MAX,
        }
    }

    /// The relay whose client this one is on this session.
    pub(super) fn upstream(&self) -> Option<RelayId> {
        match &self.leg {
            Leg::Upstream(upstream) => Some(upstream.relay),
            Leg::Client | Leg::Downstream(_) => None,
        }
    }

    /// Whether it is with a relay that stands for its clients.
    pub(super) fn is_downstream(&self) -> bool {
        matches!(self.leg, Leg::Downstream(_))
    }
}
