//! Rooms and tracks: opaque ids and who is there.

use std::collections::BTreeMap;

use crate::{
    ids::{Alias, RoomId, TrackAlias},
    relay::{rate_limiter::RateLimiter, session::SessionId},
};

/// Index of a room or track in its slab; never leaves the relay.
pub(super) type Index = usize;

/// A room: members by alias, tracks by alias.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) id: RoomId,
    /// Sessions of each alias; none is empty.
    pub(super) members: BTreeMap<Alias, Vec<SessionId>>,
    /// Sessions in the room.
    pub(super) sessions: usize,
    pub(super) tracks: BTreeMap<TrackAlias, Index>,
    /// Bytes forwarded to listeners.
    pub(super) media: RateLimiter,
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
