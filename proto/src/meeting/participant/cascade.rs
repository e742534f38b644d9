//! Relays that this node does not reach: used through another one that carries to them.

use std::{collections::BTreeMap, time::Duration};

use super::{Output, Participant};
use crate::{
    ids::{LinkId, RelayId, RoomId},
    mesh::relay_session::RelaySession,
    policy::{permit::Permit, signed_descriptor::SignedDescriptor},
    time::{Now, Timestamp},
    wire::relay_message::{RelayNotice, RelayRequest},
};

impl Participant {
    /// Looks for a way to relays without a link: the nearest relay that lets this node in and has not failed to lead there.
    /// Both are permitted, each with its own permit.
    pub(super) fn choose_ways_through(&mut self, now: Now) {
        let monotonic = now.monotonic;
        let mut chosen: Vec<(RelayId, RelayId, LinkId, Permit)> = Vec::new();
        for (far, session) in self
            .relays
            .iter()
            .filter(|(_, session)| session.wants_way(monotonic))
        {
            let near = self
                .ways_in(now)
                .filter(|(near, ..)| session.may_go_through(monotonic, *near));
            if let Some((near, link, permit, _)) = near.min_by_key(|(near, .., rtt)| (*rtt, *near)) {
                chosen.push((*far, near, link, permit));
            }
        }
        for (far, near, link, permit) in chosen {
            if let Some(session) = self.relays.get_mut(&far) {
                session.go_through(near, link, permit);
            }
        }
    }

    /// Relays with a link of their own that work, with their round-trip times.
    fn ways_in(&self, now: Now) -> impl Iterator<Item = (RelayId, LinkId, Permit, Duration)> + '_ {
        let policy = self.judge.policy().hash();
        self.relays.iter().filter_map(move |(relay, session)| {
            let link = session.any_link()?;
            let works = session.link(now, policy) == Some(link)
                && session.has_joined()
                && !session.is_doubtful(now.monotonic);
            let rtt = session.rtt().unwrap_or(Duration::MAX);
            works.then_some((*relay, link, *session.permit(), rtt))
        })
    }

    /// Whose a notice is that came by the link of `relay`: of a relay that is used through it, if it names one of that
    /// one's rooms.
    pub(super) fn speaker_of(&self, relay: RelayId, notice: &RelayNotice) -> RelayId {
        let room = notice.room().and_then(|room| self.rooms.by_id.get(&room));
        let far = room.map(|room| room.relay).filter(|far| {
            let session = self.relays.get(far);
            session.is_some_and(|session| session.through() == Some(relay))
        });
        far.unwrap_or(relay)
    }

    /// What `relay` says of one that is used through it. Its descriptor is judged as if it had told it itself.
    pub(super) fn handle_through(
        &mut self,
        now: Now,
        relay: RelayId,
        descriptor: &[u8],
        rtt_us: Option<u32>,
        draining: bool,
    ) {
        let far = SignedDescriptor::from_bytes(descriptor).map(|signed| signed.unverified().relay);
        let Ok(far) = far else { return };
        let Some(session) = self.relays.get_mut(&far).filter(|s| s.through() == Some(relay)) else {
            return;
        };
        let rtt = rtt_us.map(|us| Duration::from_micros(us.into()));
        session.handle_through(rtt, draining);
        if session.descriptor().signed().to_bytes() != descriptor {
            self.handle_own_descriptor(now, far, descriptor);
        }
    }

    /// Relays that are used through another one, and through which.
    pub(super) fn ways_through(&self) -> BTreeMap<RelayId, RelayId> {
        let ways = self.relays.iter();
        ways.filter_map(|(far, session)| Some((*far, session.through()?)))
            .collect()
    }

    /// Members are told when those change: what they send this node passes the other relay too.
    pub(super) fn tell_ways(&mut self) {
        let ways = self.ways_through();
        if self.told_ways != ways {
            self.told_ways = ways;
            self.say_hello_to_all();
        }
    }

    /// Whether a relay that carries for somebody else is one that the policy permits.
    pub(super) fn is_permitted(&self, now: Now, relay: RelayId) -> bool {
        let descriptor = self.descriptors.get(relay, now.unix);
        descriptor.is_some_and(|descriptor| {
            self.judge
                .permit(descriptor, &self.gathering.book, now.unix)
                .is_ok()
        })
    }

    /// The link of `relay` is gone: those that were used through it are not reached.
    pub(super) fn lose_ways_through(&mut self, now: Timestamp, relay: RelayId) {
        let mut lost = Vec::new();
        for (far, session) in &mut self.relays {
            if session.lose_through(now, relay) {
                lost.push(*far);
            }
        }
        self.channels.retain(|key, _| !lost.contains(&key.relay));
    }

    /// Leaves ways through other relays that are needed no more.
    pub(super) fn leave_ways_through(&mut self, now: Timestamp) {
        let sessions = self.relays.values_mut();
        let ways: Vec<_> = sessions.filter_map(|session| session.poll_leave(now)).collect();
        for (link, rooms) in ways {
            self.leave_rooms(link, &rooms);
        }
    }

    /// Leaves rooms of a relay on another one's link.
    pub(super) fn leave_rooms(&mut self, link: LinkId, rooms: &[RoomId]) {
        if !self.relay_links.contains_key(&link) {
            return;
        }
        for &room in rooms {
            let bytes = RelayRequest::Leave { room }.encode();
            self.outputs.push_back(Output::Control { link, bytes });
        }
    }

    /// The round-trip time to a relay, by whatever way, and whether something on it is doubtful.
    pub(super) fn way_to(&self, now: Timestamp, session: &RelaySession) -> (Option<Duration>, bool) {
        let Some(near) = session.through().filter(|_| session.any_link().is_none()) else {
            return (session.rtt(), session.is_doubtful(now));
        };
        let (beyond, draining) = session.beyond();
        let near = self.relays.get(&near);
        let rtt = near.and_then(RelaySession::rtt).zip(beyond).map(|(a, b)| a + b);
        let doubtful = near.is_none_or(|near| near.is_doubtful(now));
        (rtt, draining || doubtful)
    }

    /// Whether something on the way to a relay is doubtful.
    pub(super) fn is_way_doubtful(&self, now: Timestamp, relay: RelayId) -> bool {
        let session = self.relays.get(&relay);
        session.is_none_or(|session| self.way_to(now, session).1)
    }
}
