//! UDP datagrams on their way through the modelled network.

use std::net::{IpAddr, SocketAddr};

use bytes::BytesMut;
use quinn_proto::{ConnectionHandle, DatagramEvent};
use subrosa_proto::noise::token::Verdict;

use crate::{
    network::Place,
    world::{Occurrence, World},
};

/// What is larger does not pass: Ethernet's 1,500 bytes less IPv4's and UDP's headers.
const DATAGRAM_BYTES_MAX: usize = 1_472;

/// A datagram on its way.
pub(crate) struct Udp {
    /// At whose access link or NAT it comes.
    pub(crate) to: Place,
    /// Where it seems to come from.
    from: SocketAddr,
    /// Where it was sent.
    address: SocketAddr,
    bytes: Vec<u8>,
}

impl World<'_> {
    /// The machine that an address leads to, or its NAT. Addresses are made from numbers (`world/node.rs`, `world/relay_site.rs`).
    pub(super) fn machine_at(&self, address: SocketAddr) -> Option<Place> {
        let IpAddr::V4(ip) = address.ip() else { return None };
        let [_, net, high, low] = ip.octets();
        let index = usize::from(u16::from_be_bytes([high, low])).checked_sub(1)?;
        if net == 1
            && let Some(site) = self.relays.get(index)
            && site.descriptor.addresses.contains(&address)
        {
            return Some(Place::Relay(index));
        }
        let node = self.nodes.get(index)?;
        node.is_at(address).then_some(Place::Node(index))
    }

    /// A machine sends a datagram.
    pub(super) fn send_udp(&mut self, from: Place, to: SocketAddr, bytes: Vec<u8>) {
        let now = self.own_now(from);
        let source = match from {
            Place::Node(index) => {
                if let Some(machine) = self.quic.machines.get_mut(&from) {
                    machine.filter.sent(now, to, &bytes);
                }
                self.nodes[index].sends_to(to)
            }
            Place::Relay(index) => self.relays[index].descriptor.addresses[0],
        };
        let Some(there) = self.machine_at(to) else {
            return;
        };
        if bytes.len() > DATAGRAM_BYTES_MAX || !self.network.is_joined(from, there) {
            return;
        }
        if let Some(at) = self.network.datagram(self.now, from, there, bytes.len()) {
            let udp = Udp {
                to: there,
                from: source,
                address: to,
                bytes,
            };
            if let Some(again) = self.network.repeated(self.now, from, there) {
                let bytes = udp.bytes.clone();
                self.plan_udp(again, Udp { bytes, ..udp });
            }
            self.plan_udp(at, udp);
        }
    }

    fn plan_udp(&mut self, at: subrosa_proto::time::Timestamp, udp: Udp) {
        let occurrence = if self.network.queues_at(udp.to) {
            Occurrence::UdpAtAccess(Box::new(udp))
        } else {
            Occurrence::Udp(Box::new(udp))
        };
        self.queue.plan(at, occurrence);
    }

    /// A datagram comes to an access link: it waits its turn there, or is dropped.
    pub(crate) fn udp_passes_access(&mut self, udp: Box<Udp>) {
        if let Some(at) = self.network.arrive(self.now, udp.to, udp.bytes.len(), false) {
            self.queue.plan(at, Occurrence::Udp(udp));
        }
    }

    /// A datagram comes to a machine, or to its NAT.
    pub(crate) fn udp_arrives(&mut self, udp: &Udp) {
        let runs = match udp.to {
            Place::Node(index) => {
                let node = &self.nodes[index];
                if !node.is_at(udp.address) || !node.lets_in(udp.from, udp.address) {
                    return;
                }
                node.participant.is_some()
            }
            Place::Relay(index) => self.relays[index].relay.is_some(),
        };
        self.network.received(udp.to, udp.bytes.len());
        self.count_at_relay(udp.to, udp.bytes.len());
        if runs {
            let whom = match udp.to {
                Place::Node(index) => index,
                Place::Relay(index) => self.nodes.len() + index,
            };
            self.trace
                .wire(self.now, u32::try_from(whom).unwrap_or(u32::MAX), &udp.bytes);
            self.take_udp(udp);
        }
    }

    fn take_udp(&mut self, udp: &Udp) {
        let (place, now, at) = (udp.to, self.own_now(udp.to), self.instant(udp.to));
        let machine = self.machine(place);
        if let Place::Node(_) = place {
            match machine.filter.admits(now, udp.from, &udp.bytes) {
                Verdict::Admit => {}
                // No machine here sends probes: that they arrive is not modelled.
                Verdict::Drop(_) | Verdict::Probe(_) => return,
                Verdict::OtherVersion(notice) => {
                    self.send_udp(place, udp.from, notice);
                    return;
                }
            }
        }
        let mut response = Vec::new();
        let bytes = BytesMut::from(udp.bytes.as_slice());
        let event = machine
            .endpoint
            .handle(at, udp.from, None, None, bytes, &mut response);
        match event {
            Some(DatagramEvent::ConnectionEvent(ConnectionHandle(number), event)) => {
                if let Some(link) = machine.links.get_mut(&number) {
                    link.connection().handle_event(event);
                    self.quic.touch(place, number, true);
                }
            }
            Some(DatagramEvent::NewConnection(incoming)) => {
                let transmit = match place {
                    Place::Node(index) => self.accept_member(index, incoming, at, &mut response),
                    Place::Relay(index) => self.accept_client(index, incoming, at, &mut response),
                };
                if let Some(transmit) = transmit {
                    response.truncate(transmit.size);
                    self.send_udp(place, transmit.destination, response);
                }
            }
            Some(DatagramEvent::Response(transmit)) => {
                response.truncate(transmit.size);
                self.send_udp(place, transmit.destination, response);
            }
            None => {}
        }
    }

    /// Sends what a connection has to send now.
    pub(super) fn transmit(&mut self, place: Place, number: usize) {
        let at = self.instant(place);
        while let Some(link) = self.quic.link(place, number) {
            let mut buffer = Vec::with_capacity(DATAGRAM_BYTES_MAX);
            let Some(transmit) = link.connection().poll_transmit(at, 1, &mut buffer) else {
                break;
            };
            buffer.truncate(transmit.size);
            self.send_udp(place, transmit.destination, buffer);
        }
    }
}
