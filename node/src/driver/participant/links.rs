//! The loop's links: from handle to connection, and what they tell the participant.

use std::{collections::HashMap, net::SocketAddr};

use subrosa_proto::{
    ids::{LinkId, MemberId, RelayId},
    meeting::participant::{BINDING_LABEL, DialId, LinkPeer},
    noise::Leg,
};
use tokio::sync::mpsc;

use super::{
    Driver,
    return_to_udp::{RelayLeg, ReturnToUdp},
};
use crate::{
    driver::{
        clock::Clock,
        link::{Link, LinkEvent, Side},
    },
    quic::endpoint::Authenticated,
};

/// See the module.
pub(super) struct Links {
    open: HashMap<LinkId, Link>,
    next: u64,
    events: mpsc::Sender<LinkEvent>,
    clock: Clock,
    /// Links whose tasks have not ended yet.
    running: usize,
}

impl Links {
    pub(super) fn new(events: mpsc::Sender<LinkEvent>, clock: Clock) -> Self {
        Self {
            open: HashMap::new(),
            next: 0,
            events,
            clock,
            running: 0,
        }
    }

    /// Takes a connection in.
    fn add(&mut self, side: Side, authenticated: Authenticated) -> LinkId {
        let id = LinkId(self.next);
        self.next += 1;
        self.running += 1;
        self.open.insert(
            id,
            Link::start(id, side, authenticated, self.clock, self.events.clone()),
        );
        id
    }

    pub(super) fn send_control(&self, link: LinkId, bytes: Vec<u8>) {
        if let Some(link) = self.open.get(&link) {
            link.send_control(bytes);
        }
    }

    pub(super) fn send_datagram(&self, link: LinkId, bytes: Vec<u8>) {
        if let Some(link) = self.open.get(&link) {
            link.send_datagram(bytes);
        }
    }

    /// Closes after what is queued.
    pub(super) fn close(&mut self, link: LinkId) {
        self.open.remove(&link);
    }

    pub(super) fn close_all(&mut self) {
        self.open.clear();
    }

    /// The link's tasks have ended. Whether it was open until then.
    fn handle_down(&mut self, link: LinkId) {
        self.running = self.running.saturating_sub(1);
        self.open.remove(&link);
    }

    /// Waits until every link's tasks have ended.
    pub(super) async fn ended(&mut self, events: &mut mpsc::Receiver<LinkEvent>) {
        while self.running > 0 {
            match events.recv().await {
                Some(LinkEvent::Down(_)) => self.running -= 1,
                Some(_) => {}
                None => return,
            }
        }
    }
}

impl Driver {
    pub(super) fn handle_link_event(&mut self, event: LinkEvent) {
        let now = self.clock.now();
        match event {
            LinkEvent::Control(link, bytes) => self.participant.handle_control(now, link, &bytes),
            LinkEvent::Datagram(link, bytes) => self.participant.handle_datagram(now, link, &bytes),
            LinkEvent::BackOnUdp(link) => self.forget_tcp(link),
            LinkEvent::Down(link) => {
                self.links.handle_down(link);
                self.forget_tcp(link);
                self.participant.handle_link_down(now, link);
            }
        }
    }

    pub(super) fn handle_accepted(&mut self, authenticated: Authenticated) {
        self.take_in(None, Side::Accepted, authenticated, None);
    }

    /// A link is no longer over TCP; routes are shown anew.
    fn forget_tcp(&mut self, link: LinkId) {
        for (member, paths, rtt) in self.transports.remove(link) {
            self.tell_route(member, &paths, rtt);
        }
    }

    /// Hands an authenticated connection to the participant.
    pub(super) fn take_in(
        &mut self,
        dial: Option<DialId>,
        side: Side,
        mut authenticated: Authenticated,
        leg: Option<RelayLeg>,
    ) {
        let peer = match authenticated.peer.leg {
            Leg::Relay => LinkPeer::Relay(RelayId(authenticated.peer.key)),
            _ => LinkPeer::Member(MemberId(authenticated.peer.key)),
        };
        tracing::debug!(node = %self.participant.id(), "link up");
        let remote = authenticated.connection.remote_address();
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        let psk = authenticated.peer.psk;
        let mut binding = [0; 32];
        let bound = authenticated
            .connection
            .export_keying_material(&mut binding, BINDING_LABEL, &[])
            .is_ok();
        let (detour, connection) = (authenticated.take_detour(), authenticated.connection.clone());
        let link = self.links.add(side, authenticated);
        if let (Some(detour), Some(leg), Ok(local)) = (detour, leg, self.endpoint.local_addr()) {
            self.transports.add(link, leg.relay);
            let events = self.links.events.clone();
            let back = ReturnToUdp {
                link,
                leg,
                connection,
                detour,
                local,
                events,
            };
            tokio::spawn(back.run());
        }
        if bound {
            self.participant.set_link_binding(link, binding);
        }
        self.participant
            .handle_link_up(self.clock.now(), dial, link, peer, psk, remote);
    }
}
