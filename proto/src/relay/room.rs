//! Rooms and tracks: opaque ids and who is there.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::{
    ids::{Alias, RelayId, RoomId, TrackAlias},
    relay::{rate_limiter::RateLimiter, session::SessionId},
    wire::relay_message::TokenBytes,
};

/// Index of a room or track in its slab; never leaves the relay.
pub(super) type Index = usize;

/// A room: members by alias, tracks by alias.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    /// Sessions of each alias; none is empty.
    pub(super) members: BTreeMap<Alias, Vec<SessionId>>,
    /// Sessions in the room, one for each alias that a relay stands for.
    pub(super) sessions: usize,
    pub(super) tracks: BTreeMap<TrackAlias, Index>,
    /// Bytes forwarded to listeners.
    pub(super) media: RateLimiter,
    /// The room is another relay's.
    pub(super) mirror: Option<Mirror>,
}

/// A room of another relay, as clients of this one see it.
#[derive(Debug)]
pub(super) struct Mirror {
    pub(super) relay: RelayId,
    /// Who is in the room at the other relay, without this one's clients.
    pub(super) remote: BTreeSet<Alias>,
    /// Clients whose Join the other relay has not answered, in the order of asking.
    pub(super) joining: VecDeque<Joining>,
}

/// A client on its way into a room of another relay.
#[derive(Debug)]
pub(super) struct Joining {
    /// `None`: it went meanwhile.
    pub(super) session: Option<SessionId>,
    pub(super) alias: Alias,
    pub(super) token: Option<TokenBytes>,
    /// Whether the other relay was asked.
    pub(super) asked: bool,
}

/// A track: who sends it and who wants it. Exists while somebody does either.
#[derive(Debug)]
pub(super) struct Track {
    pub(super) room: Index,
    pub(super) alias: TrackAlias,
    pub(super) announcers: Vec<SessionId>,
    pub(super) listeners: Vec<SessionId>,
}

impl Track {
    /// Whether the announcer has somebody to send to: a listener that is not itself.
    pub(super) fn wanted_from(&self, announcer: SessionId) -> bool {
        self.listeners.iter().any(|&listener| listener != announcer)
    }
}
