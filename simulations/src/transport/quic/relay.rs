//! A relay's connections: `proto::quic::RelayLink`, driven as the relay's event loop drives it (`node/src/driver/relay/event_loop.rs`).

use std::{net::SocketAddr, time::Instant};

use bytes::Bytes;
use quinn_proto::{ConnectionHandle, EndpointEvent, Incoming, Transmit};
use subrosa_proto::{
    ids::RelayId,
    noise::client::{self, RelayDial},
    quic::{
        HANDSHAKE_TIMEOUT, LinkState, RETRY_ABOVE, RelayLink, UPSTREAM_DIAL_TIMEOUT,
        UPSTREAM_KEY_UPDATE_INTERVAL,
    },
    relay::{AddressBlock, Origin, RelayOutput, SessionId},
};

use super::machine::{Ends, QuicLink};
use crate::{
    network::Place,
    world::{Occurrence, World, hostile::Mistreated},
};

/// No address is an alias: there is no TCP.
fn is_alias(_: SocketAddr) -> bool {
    false
}

fn session(number: usize) -> SessionId {
    SessionId(u32::try_from(number).unwrap_or(u32::MAX))
}

impl World<'_> {
    fn relay_link(&mut self, index: usize, number: usize) -> Option<&mut RelayLink> {
        match &mut self.quic.link(Place::Relay(index), number)?.ends {
            Ends::Relay(link) => Some(link),
            Ends::Member(_) => None,
        }
    }

    /// Another relay is dialled. Descriptors here have one address.
    pub(super) fn connect_upstream(
        &mut self,
        from: usize,
        relay: RelayId,
        static_key: [u8; 32],
        addresses: &[SocketAddr],
    ) {
        let (place, run) = (Place::Relay(from), self.relays[from].run);
        let (at, identity) = (self.instant(place), self.relays[from].identity.clone());
        let machine = self.machine(place);
        let config = client::relay(RelayDial {
            relay,
            static_key,
            identity,
            clock: machine.clock(),
            random: machine.random.fork("dial"),
        });
        let connected = addresses
            .first()
            .and_then(|address| machine.connect(at, config, *address));
        let Some((number, connection)) = connected else {
            self.queue
                .plan(self.now, Occurrence::UpstreamFailed(from, run, relay));
            return;
        };
        let origin = Origin::from(AddressBlock(u64::MAX));
        let mut link = RelayLink::new(connection, session(number), origin, at, is_alias);
        link.upstream = Some(relay);
        let mut link = QuicLink::new(Ends::Relay(Box::new(link)));
        link.handshake_until = Some(at + UPSTREAM_DIAL_TIMEOUT);
        machine.links.insert(number, link);
        self.quic.touch(place, number, true);
    }

    /// A client knocks; what to answer outside of a connection.
    pub(super) fn accept_client(
        &mut self,
        index: usize,
        incoming: Incoming,
        at: Instant,
        response: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let place = Place::Relay(index);
        // Each machine of the world is in a network of its own.
        let block = match self.machine_at(incoming.remote_address()) {
            Some(Place::Node(node)) => node as u64,
            Some(Place::Relay(relay)) => u64::MAX - relay as u64,
            None => return None,
        };
        let machine = self.machine(place);
        if machine.handshaking >= RETRY_ABOVE && incoming.may_retry() {
            return machine.endpoint.retry(incoming, response).ok();
        }
        match machine.endpoint.accept(incoming, at, response, None) {
            Ok((ConnectionHandle(number), connection)) => {
                machine.handshaking += 1;
                let origin = Origin::from(AddressBlock(block));
                let link = RelayLink::new(connection, session(number), origin, at, is_alias);
                let mut link = QuicLink::new(Ends::Relay(Box::new(link)));
                link.handshake_until = Some(at + HANDSHAKE_TIMEOUT);
                machine.links.insert(number, link);
                self.quic.touch(place, number, true);
                None
            }
            Err(error) => error.response,
        }
    }

    /// Does what the machine asks for; those for whom something waits are served next.
    pub(super) fn carry_out_relay(&mut self, index: usize) {
        let (place, now) = (Place::Relay(index), Self::relay_now(self.now));
        let at = self.instant(place);
        while let Some(output) = self.relays[index].relay.as_mut().and_then(|r| r.poll_output()) {
            match output {
                RelayOutput::Close { session, reason } => {
                    let number = session.0 as usize;
                    if let Some(link) = self.relay_link(index, number) {
                        link.begin_closing(at, reason);
                        self.quic.touch(place, number, false);
                    }
                }
                RelayOutput::Dial {
                    relay,
                    static_key,
                    addresses,
                } => self
                    .transport
                    .dial_upstream(self, index, relay, static_key, &addresses),
                // Nobody sends stream objects here.
                _ => {}
            }
        }
        while let Some(session) = self.relays[index].relay.as_mut().and_then(|r| r.poll_ready(now)) {
            self.quic.touch(place, session.0 as usize, false);
        }
    }

    /// Hands on what a connection has to say, and sends what waits for it.
    pub(super) fn serve_relay(&mut self, index: usize, number: usize) {
        let place = Place::Relay(index);
        let woken = self
            .quic
            .link(place, number)
            .is_some_and(|link| std::mem::take(&mut link.woken));
        if woken && !self.hear_client(index, number) {
            return;
        }
        if let Some(link) = self.quic.link(place, number) {
            link.touched = false;
        }
        self.feed_client(index, number);
        self.plan_connection(place, number);
    }

    /// Connection → endpoint → connection, and connection → machine. Whether the connection is still there.
    fn hear_client(&mut self, index: usize, number: usize) -> bool {
        let (place, now) = (Place::Relay(index), Self::relay_now(self.now));
        let at = self.instant(place);
        let (Some(machine), Some(relay)) = (
            self.quic.machines.get_mut(&place),
            self.relays[index].relay.as_mut(),
        ) else {
            return false;
        };
        machine.set_clock(now.unix);
        let Some(entry) = machine.links.get_mut(&number) else {
            return false;
        };
        let Ends::Relay(link) = &mut entry.ends else {
            return false;
        };
        let (before, mut drained) = (link.state, false);
        while let Some(event) = link.connection.poll_endpoint_events() {
            drained |= event.is_drained();
            let back = machine.endpoint.handle_event(ConnectionHandle(number), event);
            if let Some(event) = back {
                link.connection.handle_event(event);
            }
        }
        link.handle_events(now, at, relay);
        let (upstream, mut failed) = (link.upstream, false);
        if before == LinkState::Handshaking && (link.state != before || drained) {
            entry.handshake_until = None;
            let up = link.state == LinkState::Up;
            match upstream {
                Some(other) if up => {
                    entry.key_update_at = Some(at + UPSTREAM_KEY_UPDATE_INTERVAL);
                    relay.handle_upstream_up(now, other, link.session);
                }
                Some(_) => failed = true,
                None => machine.handshaking -= 1,
            }
        }
        if drained {
            if link.state == LinkState::Up {
                relay.handle_session_down(now, link.session);
            }
            machine.links.remove(&number);
        } else {
            // An acknowledgement may have made room, and may want an answer.
            link.stuck = false;
            link.thorough = true;
            if link.state == LinkState::Up {
                relay.handle_writable(link.session);
            }
        }
        if let Some(other) = upstream.filter(|_| failed) {
            let run = self.relays[index].run;
            self.fail_upstream(index, run, other);
        }
        self.drain_relay(index);
        !drained
    }

    /// Moves what waits in the machine into the connection, and sends it.
    fn feed_client(&mut self, index: usize, number: usize) {
        let place = Place::Relay(index);
        loop {
            if !self.feed_once(index, number) {
                return;
            }
            let before = self.network.traffic(place).up_bytes;
            self.transmit(place, number);
            let sent = self.network.traffic(place).up_bytes != before;
            let (Some(relay), Some(link)) =
                (self.relays[index].relay.as_ref(), self.quic.link(place, number))
            else {
                return;
            };
            let Ends::Relay(link) = &mut link.ends else { return };
            let waits = relay.queued_bytes(link.session) > 0;
            if sent && waits && !link.stuck {
                continue;
            }
            link.stuck = waits;
            link.thorough = false;
            if link.state == LinkState::Up && link.connection.is_closed() {
                // Closed from this side: no event says so.
                link.state = LinkState::Lost;
                let (session, now) = (link.session, Self::relay_now(self.now));
                if let Some(relay) = &mut self.relays[index].relay {
                    relay.handle_session_down(now, session);
                }
                self.drain_relay(index);
            }
            return;
        }
    }

    /// One round of that; a hostile relay mistreats what passes.
    fn feed_once(&mut self, index: usize, number: usize) -> bool {
        let (place, now) = (Place::Relay(index), Self::relay_now(self.now));
        let at = self.instant(place);
        let site = &mut self.relays[index];
        let is_honest = site.habits.is_empty() && !site.tampers;
        let (Some(relay), Some(entry)) = (site.relay.as_mut(), self.quic.link(place, number)) else {
            return false;
        };
        let Ends::Relay(link) = &mut entry.ends else {
            return false;
        };
        if is_honest {
            link.feed(now, at, relay);
            return true;
        }
        let mut passing = Vec::new();
        link.feed_through(now, at, relay, |frame| {
            passing.push(frame.to_vec());
            None
        });
        for mut frame in passing {
            if self.relays[index].tampers
                && let Some(last) = frame.last_mut()
            {
                *last ^= 1;
            }
            let end = Self::end_of(number);
            let Mistreated { at_once, later } = self.mistreat(index, frame);
            for (held, bytes) in later {
                self.queue
                    .plan(self.now + held, Occurrence::Forward(index, end, bytes));
            }
            if let Some(bytes) = at_once
                && let Some(link) = self.relay_link(index, number)
            {
                let _ = link.connection.datagrams().send(Bytes::from(bytes), false);
            }
        }
        true
    }

    /// A handshake that takes too long is forgotten; whoever began it is told nothing. A dial is given up.
    pub(super) fn relay_deadline(&mut self, index: usize, number: usize, at: Instant) {
        let place = Place::Relay(index);
        let Some(machine) = self.quic.machines.get_mut(&place) else {
            return;
        };
        let Some(entry) = machine.links.get_mut(&number) else {
            return;
        };
        let Ends::Relay(link) = &mut entry.ends else {
            return;
        };
        if entry.handshake_until.is_none_or(|due| due > at) || link.state != LinkState::Handshaking {
            return;
        }
        entry.handshake_until = None;
        if let Some(other) = link.upstream {
            link.abandon(at);
            let run = self.relays[index].run;
            self.fail_upstream(index, run, other);
        } else {
            machine
                .endpoint
                .handle_event(ConnectionHandle(number), EndpointEvent::drained());
            machine.links.remove(&number);
            machine.handshaking -= 1;
        }
    }
}
