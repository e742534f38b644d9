//! A relay that is not reached: used by the link of another one, until there is a link of its own.

use std::{collections::BTreeSet, time::Duration};

use super::{RelaySession, State};
use crate::{
    ids::{LinkId, PolicyHash, RelayId, RoomId, TrackAlias},
    policy::permit::Permit,
    time::{Now, Timestamp},
};

/// The pause between dials while the relay is reached through another one.
pub(super) const RETRY_THROUGH: Duration = Duration::from_secs(10);
/// Without a link for so long, another relay may lead there. Reason: a handshake at a round trip of 300 ms ends before.
const THROUGH_AFTER: Duration = Duration::from_secs(1);
/// A relay that did not lead there is not asked again for so long.
const THROUGH_RETRY: Duration = Duration::from_secs(10);
/// The former way is left no sooner after the rooms are entered by the new one: what is under way arrives.
const LEAVE_AFTER: Duration = Duration::from_millis(500);
/// And no later, whatever is still wanted by it.
const LEAVE_WITHIN: Duration = Duration::from_secs(2);

/// Another relay's link, by which this one is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Through {
    relay: RelayId,
    link: LinkId,
    /// What allows the use of that relay.
    permit: Permit,
    /// From that relay to this one.
    rtt: Option<Duration>,
    draining: bool,
}

impl Through {
    /// The link, if the permit holds.
    pub(super) fn link(&self, now: Now, policy: PolicyHash) -> Option<LinkId> {
        self.permit.is_valid(now.unix, policy).then_some(self.link)
    }
}

/// The way through another relay, as long as the rooms are not entered on a link of this one's own, and members there do not
/// ask for this node's tracks by that link.
#[derive(Debug)]
pub(super) struct Leaving {
    through: Through,
    rooms: Vec<RoomId>,
    /// What was wanted by it.
    wanted: BTreeSet<(RoomId, TrackAlias)>,
    /// Since when all rooms are entered.
    entered: Option<Timestamp>,
}

impl RelaySession {
    /// Whether there is no way to the relay, and another one may lead there.
    #[must_use]
    pub fn wants_way(&self, now: Timestamp) -> bool {
        let linked = matches!(self.state, State::Up { .. });
        !linked && self.through.is_none() && now - self.down_since >= THROUGH_AFTER
    }

    /// Whether `relay` may lead there: it has not failed to do so lately.
    #[must_use]
    pub fn may_go_through(&self, now: Timestamp, relay: RelayId) -> bool {
        let failed = self.not_through.get(&relay);
        relay != self.relay() && failed.is_none_or(|until| *until <= now)
    }

    /// Uses the relay by the link of another one, which `permit` allows.
    pub fn go_through(&mut self, relay: RelayId, link: LinkId, permit: Permit) {
        self.through = Some(Through {
            relay,
            link,
            permit,
            rtt: None,
            draining: false,
        });
        self.start_anew();
        self.enter_all();
    }

    /// The relay by whose link this one is used.
    #[must_use]
    pub fn through(&self) -> Option<RelayId> {
        self.through.map(|through| through.relay)
    }

    /// Whether another relay leads there, and does not only try to.
    pub(super) fn is_reached_through(&self) -> bool {
        self.through.is_some_and(|through| through.rtt.is_some())
    }

    /// Whether media of this relay's rooms may come by the link of `relay`.
    #[must_use]
    pub fn comes_by(&self, relay: RelayId) -> bool {
        let leaving = self.leaving.as_ref().map(|leaving| leaving.through.relay);
        self.through() == Some(relay) || leaving == Some(relay)
    }

    /// By which link an announced track is wanted: its own, or another relay's; as [`RelaySession::link`] allows.
    #[must_use]
    pub fn link_for(&self, now: Now, policy: PolicyHash, room: RoomId, track: TrackAlias) -> Option<LinkId> {
        if self.is_wanted(room, track) {
            return self.link(now, policy);
        }
        // The way of before serves until the members have asked by the new one.
        let leaving = self.leaving.as_ref()?;
        let permitted = self.permit.is_valid(now.unix, policy) && leaving.wanted.contains(&(room, track));
        leaving.through.link(now, policy).filter(|_| permitted)
    }

    /// What the other relay says of the way from it to this one.
    pub fn handle_through(&mut self, rtt: Option<Duration>, draining: bool) {
        if let Some(through) = &mut self.through {
            (through.rtt, through.draining) = (rtt, draining);
        }
    }

    /// From the other relay to this one: the round-trip time, once known, and whether this one ends soon.
    #[must_use]
    pub fn beyond(&self) -> (Option<Duration>, bool) {
        self.through
            .map_or((None, false), |through| (through.rtt, through.draining))
    }

    /// The link of `relay` is gone, or it leads there no more; whether that was the way.
    pub fn lose_through(&mut self, now: Timestamp, relay: RelayId) -> bool {
        if self
            .leaving
            .as_ref()
            .is_some_and(|leaving| leaving.through.relay == relay)
        {
            self.leaving = None;
        }
        let Some(through) = self.through.take_if(|through| through.relay == relay) else {
            return false;
        };
        self.not_through.retain(|_, until| *until > now);
        self.not_through.insert(through.relay, now + THROUGH_RETRY);
        self.down_since = now;
        if through.rtt.is_some() {
            self.unreached_since = now;
        }
        self.start_anew();
        true
    }

    /// A link of its own is up: the other relay's serves until that one does.
    pub(super) fn begin_to_leave(&mut self) {
        let Some(through) = self.through.take() else {
            return;
        };
        let rooms = self.rooms.iter();
        let wanted = rooms.flat_map(|(id, room)| room.wanted.iter().map(|track| (*id, *track)));
        self.leaving = Some(Leaving {
            through,
            wanted: wanted.collect(),
            rooms: self.rooms.keys().copied().collect(),
            entered: None,
        });
    }

    /// The link of its own is gone before it took over: the way of before serves on.
    pub(super) fn stay_through(&mut self) {
        self.through = self.leaving.take().map(|leaving| leaving.through);
    }

    /// The relay is used no more: the link of another one, and the rooms to be left on it.
    #[must_use]
    pub fn into_leave(self) -> Option<(LinkId, Vec<RoomId>)> {
        let rooms = self.rooms.into_keys().collect();
        let through = self.through.map(|through| (through.link, rooms));
        through.or_else(|| self.leaving.map(|leaving| (leaving.through.link, leaving.rooms)))
    }

    /// The way through another relay that is needed no more: its link, and the rooms to be left on it.
    pub fn poll_leave(&mut self, now: Timestamp) -> Option<(LinkId, Vec<RoomId>)> {
        let leaving = self.leaving.as_mut()?;
        if self.rooms.values().any(|room| !room.joined) {
            return None;
        }
        let entered = *leaving.entered.get_or_insert(now);
        let is_wanted = |(id, track): &(RoomId, TrackAlias)| {
            let room = self.rooms.get(id);
            room.is_none_or(|room| room.wanted.contains(track))
        };
        let taken_over = leaving.wanted.iter().all(is_wanted);
        let patience = if taken_over { LEAVE_AFTER } else { LEAVE_WITHIN };
        if now - entered >= patience {
            let leaving = self.leaving.take()?;
            return Some((leaving.through.link, leaving.rooms));
        }
        None
    }
}

#[cfg(test)]
#[path = "through_tests.rs"]
mod tests;
