//! Participants' connections: as the node dials, accepts and serves them.

use std::{net::SocketAddr, time::Instant};

use quinn_proto::{Connection, ConnectionHandle, Incoming, Transmit};
use subrosa_proto::{
    ids::{MemberId, RelayId},
    meeting::participant::{BINDING_LABEL, DialId, DialTarget, LinkPeer},
    noise::{
        Leg, PeerIdentity,
        client::{self, MemberDial, RelayDial},
    },
};

use super::{
    machine::{Ends, QuicLink},
    member_link::{Happened, MemberLink, State},
};
use crate::{
    network::Place,
    transport::Handle,
    world::{Occurrence, World},
};

impl World<'_> {
    /// A participant dials all addresses at once; the first handshake that finishes is kept.
    pub(super) fn connect_participant(&mut self, from: usize, dial: DialId, target: &DialTarget) {
        let (found, _) = self.find_target(from, target);
        self.checkers
            .dialled(self.now, from, found.first().map(|(place, _)| *place));
        let mut attempts = 0;
        match target {
            DialTarget::Member {
                member,
                addresses,
                meeting,
                psk,
                ..
            } => {
                for address in addresses {
                    let (identity, place) = (self.nodes[from].identity.clone(), Place::Node(from));
                    let at = self.instant(place);
                    let machine = self.machine(place);
                    machine.filter.dials(psk);
                    let config = client::member(MemberDial {
                        identity,
                        meeting: *meeting,
                        psk: psk.clone(),
                        expected: Some(*member),
                        clock: machine.clock(),
                        random: machine.random.fork("dial"),
                    });
                    let connected = machine.connect(at, config, *address);
                    attempts += usize::from(self.begin_dial(from, Some(dial), at, connected));
                }
            }
            DialTarget::Relay {
                permit,
                static_key,
                addresses,
                ..
            } => {
                for (address, relay) in addresses.iter().zip(std::iter::repeat(permit.relay())) {
                    let begun = relay.is_some_and(|relay| {
                        self.connect_to_relay(from, Some(dial), relay, *static_key, *address)
                    });
                    attempts += usize::from(begun);
                }
            }
        }
        let run = self.nodes[from].run;
        if attempts == 0 {
            self.queue.plan(self.now, Occurrence::DialFailed(from, run, dial));
        } else {
            self.machine(Place::Node(from)).dials.insert(dial, attempts);
        }
    }

    /// Dials a relay as the pseudonym for it.
    pub(super) fn connect_to_relay(
        &mut self,
        from: usize,
        dial: Option<DialId>,
        relay: RelayId,
        static_key: [u8; 32],
        address: SocketAddr,
    ) -> bool {
        let at = self.instant(Place::Node(from));
        let machine = self.machine(Place::Node(from));
        let config = client::relay(RelayDial {
            relay,
            static_key,
            identity: machine.pseudonym(relay),
            clock: machine.clock(),
            random: machine.random.fork("dial"),
        });
        let connected = machine.connect(at, config, address);
        self.begin_dial(from, dial, at, connected)
    }

    fn begin_dial(
        &mut self,
        from: usize,
        dial: Option<DialId>,
        at: Instant,
        connected: Option<(usize, Connection)>,
    ) -> bool {
        let Some((number, connection)) = connected else {
            return false;
        };
        let place = Place::Node(from);
        let machine = self.machine(place);
        let link = MemberLink::new(connection, true, dial, at + machine.options.dial_timeout);
        let link = QuicLink::new(Ends::Member(Box::new(link)));
        machine.links.insert(number, link);
        self.quic.touch(place, number, true);
        true
    }

    /// Somebody who may knocks; what to answer outside of a connection.
    pub(super) fn accept_member(
        &mut self,
        index: usize,
        incoming: Incoming,
        at: Instant,
        response: &mut Vec<u8>,
    ) -> Option<Transmit> {
        let (place, is_spy) = (Place::Node(index), self.nodes[index].is_spy);
        let machine = self.machine(place);
        if is_spy || machine.handshaking >= machine.options.handshakes_max {
            machine.endpoint.ignore(incoming);
            return None;
        }
        let validated = incoming.remote_address_validated();
        // The one that comes counts, as in the node's accept loop.
        if machine.handshaking + 1 > machine.options.retry_above && !validated {
            return machine.endpoint.retry(incoming, response).ok();
        }
        match machine.endpoint.accept(incoming, at, response, None) {
            Ok((ConnectionHandle(number), connection)) => {
                machine.handshaking += 1;
                let link = MemberLink::new(connection, false, None, at + machine.options.handshake_timeout);
                let link = QuicLink::new(Ends::Member(Box::new(link)));
                machine.links.insert(number, link);
                self.quic.touch(place, number, true);
                None
            }
            Err(error) => error.response,
        }
    }

    /// Hands on what a connection has to say, and sends what it has to send.
    pub(super) fn serve_member(&mut self, index: usize, number: usize) {
        let place = Place::Node(index);
        let (at, unix) = (self.instant(place), self.own_now(place).unix);
        let Some(machine) = self.quic.machines.get_mut(&place) else {
            return;
        };
        machine.set_clock(unix);
        let Some(link) = machine.links.get_mut(&number) else {
            return;
        };
        let (mut drained, mut happened) = (false, Vec::new());
        if std::mem::take(&mut link.woken) {
            while let Some(event) = link.connection().poll_endpoint_events() {
                drained |= event.is_drained();
                let back = machine.endpoint.handle_event(ConnectionHandle(number), event);
                if let Some(event) = back {
                    link.connection().handle_event(event);
                }
            }
            if let Ends::Member(link) = &mut link.ends {
                link.collect(at, &mut happened);
            }
        }
        for event in happened {
            self.member_event(index, number, at, event);
        }
        let now = self.own_now(place).monotonic;
        if let Some(link) = self.quic.link(place, number) {
            link.touched = false;
            if let Ends::Member(link) = &mut link.ends {
                link.write_control(at);
                link.write_media(now);
            }
        }
        self.transmit(place, number);
        // What was sent made room for what waits.
        while self
            .quic
            .member_link(place, number)
            .is_some_and(|link| link.write_media(now))
        {
            self.transmit(place, number);
        }
        self.bury_closed(index, number, drained);
        self.plan_connection(place, number);
    }

    /// A connection that was closed on this side, or whose last packet may have come, is no link any more.
    fn bury_closed(&mut self, index: usize, number: usize, drained: bool) {
        let place = Place::Node(index);
        let closed = self
            .quic
            .member_link(place, number)
            .is_some_and(|link| link.connection.is_closed());
        if closed || drained {
            self.member_lost(index, number);
        }
        if drained && let Some(machine) = self.quic.machines.get_mut(&place) {
            machine.links.remove(&number);
        }
    }

    fn member_event(&mut self, index: usize, number: usize, at: Instant, event: Happened) {
        let place = Place::Node(index);
        let state = self.quic.member_link(place, number).map(|link| link.state);
        match (event, state) {
            (Happened::Connected, Some(State::Handshaking)) => self.member_up(index, number, at),
            (Happened::Control(bytes), Some(State::Up(link))) if !self.nodes[index].is_spy => {
                self.control_came(place, Handle::Link(link), &bytes);
            }
            (Happened::Datagram(bytes), Some(State::Up(link))) if !self.nodes[index].is_spy => {
                self.datagram_came(place, Handle::Link(link), &bytes);
            }
            (Happened::Lost, Some(_)) => self.member_lost(index, number),
            _ => {}
        }
    }

    /// A handshake finished: a link, unless another address was faster.
    fn member_up(&mut self, index: usize, number: usize, at: Instant) {
        let place = Place::Node(index);
        let end = Self::end_of(number);
        let Some(machine) = self.quic.machines.get_mut(&place) else {
            return;
        };
        let key_update_at = at + machine.options.key_update_interval;
        let Some(entry) = machine.links.get_mut(&number) else {
            return;
        };
        let Ends::Member(link) = &mut entry.ends else {
            return;
        };
        let peer = link.connection.crypto_session().peer_identity();
        let peer = peer.and_then(|peer| peer.downcast::<PeerIdentity>().ok());
        let late = link
            .dial
            .is_some_and(|dial| machine.dials.remove(&dial).is_none());
        let Some(peer) = peer.filter(|_| !late) else {
            link.end(at);
            return;
        };
        if link.dialled {
            entry.key_update_at = Some(key_update_at);
        } else {
            machine.handshaking -= 1;
        }
        let mut binding = [0; 32];
        let session = link.connection.crypto_session();
        let bound = session
            .export_keying_material(&mut binding, BINDING_LABEL, &[])
            .is_ok();
        let (dial, remote) = (link.dial, link.connection.remote_address());
        link.leads_to_member = peer.leg != Leg::Relay;
        let other = match peer.leg {
            Leg::Relay => LinkPeer::Relay(RelayId(peer.key)),
            _ => LinkPeer::Member(MemberId(peer.key)),
        };
        let id = self.nodes[index].new_link(end);
        link.establish(id);
        // The other addresses are given up.
        for (other, entry) in &mut machine.links {
            if let Ends::Member(link) = &mut entry.ends
                && dial.is_some()
                && link.dial == dial
                && *other != number
                && link.state == State::Handshaking
            {
                link.state = State::Over;
                link.end(at);
                if !std::mem::replace(&mut entry.touched, true) {
                    self.quic.touched.push_back((place, *other));
                }
            }
        }
        if bound {
            self.bind_link(index, id, binding);
        }
        self.link_up(index, id, dial, other, peer.psk, remote);
    }

    /// A connection is gone: whoever waits for it is told.
    fn member_lost(&mut self, index: usize, number: usize) {
        let place = Place::Node(index);
        let Some(machine) = self.quic.machines.get_mut(&place) else {
            return;
        };
        let Some(QuicLink {
            ends: Ends::Member(link),
            ..
        }) = machine.links.get_mut(&number)
        else {
            return;
        };
        match std::mem::replace(&mut link.state, State::Over) {
            State::Up(id) => {
                self.trace
                    .note(self.now, index as u32, "down", &id.0.to_le_bytes());
                self.link_down(index, id);
            }
            State::Handshaking => {
                if !link.dialled {
                    machine.handshaking -= 1;
                }
                if let Some(dial) = link.dial
                    && let Some(left) = machine.dials.get_mut(&dial)
                {
                    *left -= 1;
                    if *left == 0 {
                        machine.dials.remove(&dial);
                        let run = self.nodes[index].run;
                        self.fail_dial(index, run, dial);
                    }
                }
            }
            State::Over => {}
        }
    }

    /// A handshake or a farewell that takes too long ends.
    pub(super) fn member_deadline(&mut self, index: usize, number: usize, at: Instant) {
        if let Some(link) = self.quic.member_link(Place::Node(index), number)
            && link.deadline.is_some_and(|due| due <= at)
        {
            link.deadline = None;
            if !link.connection.is_closed() {
                link.end(at);
            }
        }
    }
}
