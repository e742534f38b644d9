//! Links to other relays, for clients that do not reach them: dialled when a client asks, closed when none needs them.
//!
//! Two operators agree on a cascade by listing each other's relay. A link goes one way: this relay is the other one's
//! client. Its clients' rooms there are mirrored here (`mirror.rs`). A mirrored room cannot be entered by a relay, so that
//! there is one step and no loop.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    ids::{RelayId, RoomId},
    mesh::link::LinkMonitor,
    policy::SignedDescriptor,
    relay::{
        machine::{CloseReason, Relay, RelayOutput},
        session::{AddressBlock, Leg, Origin, Session, SessionId, Upstream},
    },
    time::{Now, Timestamp},
    wire::{
        framing,
        relay_message::{DescriptorBytes, Refusable, RefusalCode, RelayNotice, RelayRequest},
    },
};

/// Relays of a cascade. Reason: an agreement between operators; each costs a link.
pub const CASCADE_RELAYS_MAX: usize = 64;
/// For how many clients a relay may ask: its session's quotas are so many times a client's.
pub const CASCADE_CLIENTS_MAX: usize = 64;
/// A link on which nothing came for so long is given up, and clients look for another way. Reason: eight pings.
const UPSTREAM_SILENCE_MAX: Duration = Duration::from_secs(2);
/// Clients are told another round-trip time when it differs by more than one part in so many.
const RTT_TOLD_PART: u32 = 4;

/// Links to other relays.
#[derive(Debug, Default)]
pub(super) struct Cascade {
    allowed: BTreeSet<RelayId>,
    links: BTreeMap<RelayId, UpstreamLink>,
}

/// One of them.
#[derive(Debug)]
struct UpstreamLink {
    /// What the relay said of itself last.
    descriptor: DescriptorBytes,
    /// `None` while it is dialled.
    up: Option<(SessionId, LinkMonitor)>,
    rooms: BTreeSet<RoomId>,
    draining: bool,
    rtt_told: Option<u32>,
}

impl UpstreamLink {
    /// What clients are told.
    fn notice(&mut self) -> RelayNotice {
        self.rtt_told = self.rtt_us();
        RelayNotice::Through {
            descriptor: self.descriptor.clone(),
            rtt_us: self.rtt_told,
            draining: self.draining,
        }
    }

    fn rtt_us(&self) -> Option<u32> {
        let rtt = self.up.as_ref()?.1.rtt()?;
        Some(u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX))
    }

    /// Whether the round-trip time is another than clients know.
    fn rtt_is_news(&self) -> bool {
        match (self.rtt_us(), self.rtt_told) {
            (Some(now), Some(told)) => now.abs_diff(told) > told / RTT_TOLD_PART,
            (now, told) => now != told,
        }
    }
}

impl Cascade {
    pub(super) fn new(allowed: BTreeSet<RelayId>) -> Self {
        let mut cascade = Self::default();
        cascade.allow(allowed);
        cascade
    }

    fn allow(&mut self, allowed: BTreeSet<RelayId>) {
        self.allowed = allowed.into_iter().take(CASCADE_RELAYS_MAX).collect();
    }

    /// Whether the operator listed it.
    pub(super) fn allows(&self, relay: RelayId) -> bool {
        self.allowed.contains(&relay)
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.links.is_empty()
    }

    /// Links that are up.
    pub(super) fn up(&self) -> usize {
        self.links.values().filter(|link| link.up.is_some()).count()
    }

    /// Rooms that are other relays'.
    pub(super) fn rooms(&self) -> usize {
        self.links.values().map(|link| link.rooms.len()).sum()
    }

    /// The link is gone; the rooms that went through it.
    fn forget(&mut self, relay: RelayId) -> BTreeSet<RoomId> {
        self.links
            .remove(&relay)
            .map(|link| link.rooms)
            .unwrap_or_default()
    }

    /// Rooms of one relay.
    pub(super) fn rooms_of(&self, relay: RelayId) -> Vec<RoomId> {
        let rooms = self.links.get(&relay).map(|link| &link.rooms);
        rooms.into_iter().flatten().copied().collect()
    }

    /// All of them.
    pub(super) fn all_rooms(&self) -> Vec<RoomId> {
        self.links
            .values()
            .flat_map(|link| &link.rooms)
            .copied()
            .collect()
    }

    /// The session with a relay, once it is up.
    pub(super) fn session(&self, relay: RelayId) -> Option<SessionId> {
        Some(self.links.get(&relay)?.up.as_ref()?.0)
    }

    pub(super) fn poll_timeout(&self) -> Option<Timestamp> {
        let monitors = self.links.values().filter_map(|link| link.up.as_ref());
        monitors.map(|(_, monitor)| monitor.poll_timeout()).min()
    }
}

impl Relay {
    /// Replaces the relays of the cascade. Links to others, and sessions of others, end.
    pub fn set_cascade(&mut self, allowed: BTreeSet<RelayId>) {
        self.cascade.allow(allowed);
        // Those that are still dialled are not wanted when they answer.
        let links = self.cascade.links.keys().copied();
        let not_listed: Vec<RelayId> = links.filter(|&relay| !self.cascade.allows(relay)).collect();
        for relay in not_listed {
            self.handle_upstream_failed(relay);
        }
        for id in self.session_ids() {
            let Some(session) = self.session_ref(id) else {
                continue;
            };
            let (Leg::Downstream(relay) | Leg::Upstream(Upstream { relay, .. })) = session.leg else {
                continue;
            };
            if !self.cascade.allows(relay) {
                self.close(id, CloseReason::Unneeded);
            }
        }
    }

    /// The relay whose room a client wants to enter: its link, which is dialled if there is none.
    pub(super) fn upstream_for(
        &mut self,
        now: Now,
        bytes: &DescriptorBytes,
    ) -> Result<RelayId, (RefusalCode, String)> {
        let unreadable = |_| {
            (
                RefusalCode::Malformed,
                "that relay's descriptor does not verify".to_owned(),
            )
        };
        let signed = SignedDescriptor::from_bytes(bytes).map_err(unreadable)?;
        let relay = signed.unverified().relay;
        if relay == self.access.relay || !self.cascade.allows(relay) {
            let detail = "this relay does not carry to that one".to_owned();
            return Err((RefusalCode::NotCascaded, detail));
        }
        if self.cascade.links.contains_key(&relay) {
            return Ok(relay);
        }
        let verified = signed.verify(now.unix).map_err(unreadable)?;
        self.output.push_back(RelayOutput::Dial {
            relay,
            static_key: verified.static_key,
            addresses: verified.addresses.clone(),
        });
        let link = UpstreamLink {
            descriptor: bytes.clone(),
            up: None,
            rooms: BTreeSet::new(),
            draining: false,
            rtt_told: None,
        };
        self.cascade.links.insert(relay, link);
        Ok(relay)
    }

    /// A dialled relay answered, and proved to be that one. The session's number is the driver's, as for clients.
    pub fn handle_upstream_up(&mut self, now: Now, relay: RelayId, id: SessionId) {
        self.handle_session_down(now, id);
        let slot = id.0 as usize;
        if self.sessions.len() <= slot {
            self.sessions.resize_with(slot + 1, || None);
        }
        let leg = Leg::Upstream(Upstream {
            relay,
            told: BTreeSet::new(),
        });
        // It counts in no block: nothing that this relay asked for is held against anybody.
        let origin = Origin::from(AddressBlock(u64::MAX));
        self.sessions[slot] = Some(Box::new(Session::new(now.monotonic, origin, leg, &self.limits)));
        let dialled = |link: &&mut UpstreamLink| link.up.is_none() && !link.rooms.is_empty();
        let Some(link) = self.cascade.links.get_mut(&relay).filter(dialled) else {
            // Whoever wanted it went meanwhile.
            self.handle_upstream_failed(relay);
            return self.close(id, CloseReason::Unneeded);
        };
        link.up = Some((id, LinkMonitor::new(now.monotonic)));
        for room in self.cascade.rooms_of(relay) {
            self.ask_to_join(room);
        }
    }

    /// A dialled relay did not answer.
    pub fn handle_upstream_failed(&mut self, relay: RelayId) {
        if self
            .cascade
            .links
            .get(&relay)
            .is_some_and(|link| link.up.is_none())
        {
            let rooms = self.cascade.forget(relay);
            self.dismiss(&rooms);
        }
    }

    /// The connection to another relay ended.
    pub(super) fn upstream_ended(&mut self, id: SessionId, relay: RelayId) {
        // The link goes first, so that nothing is asked of it any more.
        let rooms = if self.cascade.session(relay) == Some(id) {
            self.cascade.forget(relay)
        } else {
            BTreeSet::new()
        };
        self.drop_tracks_of_upstream(id, None);
        self.dismiss(&rooms);
    }

    /// Clients in these rooms look for another way.
    fn dismiss(&mut self, rooms: &BTreeSet<RoomId>) {
        for &room in rooms {
            for client in self.clients_in_mirror(room) {
                self.leave_room(client, room);
                let detail = "that relay cannot be reached from this one";
                self.refuse(client, Refusable::Join(room), RefusalCode::UpstreamLost, detail);
            }
            self.abandon_mirror(room);
        }
    }

    /// A room is another relay's, or is no longer used.
    pub(super) fn note_mirror(&mut self, relay: RelayId, room: RoomId, used: bool) {
        let Some(link) = self.cascade.links.get_mut(&relay) else {
            return;
        };
        if used {
            link.rooms.insert(room);
            return;
        }
        link.rooms.remove(&room);
        if link.rooms.is_empty()
            && let Some((session, _)) = &link.up
        {
            let session = *session;
            self.cascade.links.remove(&relay);
            self.close(session, CloseReason::Unneeded);
        }
    }

    /// Pings that are due; links on which nothing comes are given up.
    pub(super) fn watch_upstreams(&mut self, now: Timestamp) {
        let (mut pings, mut silent) = (Vec::new(), Vec::new());
        for link in self.cascade.links.values_mut() {
            if let Some((session, monitor)) = &mut link.up {
                if monitor.silent_for(now) > UPSTREAM_SILENCE_MAX {
                    silent.push(*session);
                } else if let Some(nonce) = monitor.poll_ping(now) {
                    pings.push((*session, nonce));
                }
            }
        }
        for (session, nonce) in pings {
            self.ask(session, &RelayRequest::Ping { nonce });
        }
        for session in silent {
            self.close(session, CloseReason::Unneeded);
            if let Some(relay) = self.session_ref(session).and_then(Session::upstream) {
                self.upstream_ended(session, relay);
            }
        }
    }

    /// Something came from another relay; `answers` if it is the answer to a ping.
    pub(super) fn note_heard(&mut self, now: Timestamp, relay: RelayId, answers: Option<u64>) {
        let Some(link) = self.cascade.links.get_mut(&relay) else {
            return;
        };
        if let Some((_, monitor)) = &mut link.up {
            match answers {
                Some(nonce) => monitor.handle_pong(now, nonce),
                None => monitor.handle_heard(now),
            }
        }
        if link.rtt_is_news() {
            self.tell_through(relay);
        }
    }

    /// What the other relay says of itself, and whether it ends.
    pub(super) fn note_upstream_state(&mut self, relay: RelayId, descriptor: Option<DescriptorBytes>) {
        let Some(link) = self.cascade.links.get_mut(&relay) else {
            return;
        };
        match descriptor {
            Some(descriptor) if descriptor == link.descriptor => return,
            // Clients verify and judge it; it only has to be about that relay.
            Some(descriptor) => match SignedDescriptor::from_bytes(&descriptor) {
                Ok(signed) if signed.unverified().relay == relay => link.descriptor = descriptor,
                _ => return,
            },
            None => link.draining = true,
        }
        self.tell_through(relay);
    }

    /// Tells all clients in a relay's rooms how it stands.
    fn tell_through(&mut self, relay: RelayId) {
        let rooms = self.cascade.rooms_of(relay);
        let clients: BTreeSet<SessionId> = rooms
            .iter()
            .flat_map(|room| self.clients_in_mirror(*room))
            .collect();
        for client in clients {
            self.tell_client_through(relay, client);
        }
    }

    /// Tells one client.
    pub(super) fn tell_client_through(&mut self, relay: RelayId, client: SessionId) {
        if let Some(link) = self.cascade.links.get_mut(&relay) {
            let notice = link.notice();
            self.notify(client, &notice);
        }
    }

    /// Queues a request to another relay.
    pub(super) fn ask(&mut self, id: SessionId, request: &RelayRequest) {
        self.queue_control(id, framing::frame(&request.encode()));
    }

    /// Another relay is asked for what an announcer here is told; of everything else it needs no word.
    pub(super) fn ask_instead(&mut self, id: SessionId, notice: &RelayNotice) {
        match *notice {
            RelayNotice::Subscribe { room, track } => {
                self.ask(id, &RelayRequest::Subscribe { room, track });
            }
            RelayNotice::Unsubscribe { room, track } => {
                self.ask(id, &RelayRequest::Unsubscribe { room, track });
            }
            _ => {}
        }
    }
}
