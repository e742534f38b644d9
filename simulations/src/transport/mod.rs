//! What carries links between machines. A scenario runs on either: `modelled` knows handshakes, frames and datagrams by their times
//! and sizes only; `quic` runs quinn-proto with our Noise session, so every byte is there.
//!
//! Both pass the same network, and hand what arrives to machines through the same methods of `World`.

mod modelled;
mod pipe;
mod quic;

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use subrosa_proto::{
    ids::{LinkId, RelayId},
    meeting::participant::{DialId, DialTarget, LinkPeer},
    noise::{Psk, PskId},
};

pub(crate) use self::{
    modelled::{Modelled, Packet},
    pipe::{Handle, Pipe, PipeId},
    quic::{Quic, QuicState, Udp},
};
use crate::{network::Place, world::World};

/// Which.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum TransportKind {
    /// Handshakes take their round trips, control frames arrive in order, datagrams as they come.
    #[default]
    Modelled,
    /// quinn-proto and Noise, byte for byte.
    Quic,
}

impl TransportKind {
    /// The transport.
    pub(crate) fn transport(self) -> &'static dyn Transport {
        match self {
            Self::Modelled => &Modelled,
            Self::Quic => &Quic,
        }
    }
}

/// One of a pipe's two ends: 0 dialled, 1 accepted.
pub(crate) type Side = usize;

/// How a transport calls an end of a link: a pipe and its side, or at one machine a connection's number and 0.
pub(crate) type LinkEnd = (PipeId, Side);

/// What a world asks of what carries its links. State is the world's, as machines, network and time are.
pub(crate) trait Transport: Send + Sync {
    /// A participant wants a link.
    fn dial(&self, world: &mut World<'_>, from: usize, dial: DialId, target: &DialTarget);
    /// A relay wants a link to another one.
    fn dial_upstream(
        &self,
        world: &mut World<'_>,
        from: usize,
        relay: RelayId,
        static_key: [u8; 32],
        addresses: &[SocketAddr],
    );
    /// A machine at fault dials a relay that its policy refuses.
    fn dial_refused_relay(&self, world: &mut World<'_>, from: usize, relay: usize);
    /// A participant sends a control frame: in order, and it arrives unless the link ends.
    fn send_control(&self, world: &mut World<'_>, at: Place, end: LinkEnd, bytes: Vec<u8>);
    /// A machine sends a datagram.
    fn send_datagram(&self, world: &mut World<'_>, at: Place, end: LinkEnd, bytes: Vec<u8>);
    /// A participant closes a link after what it sent.
    fn close(&self, world: &mut World<'_>, at: Place, end: LinkEnd);
    /// Whether a participant is at the other end.
    fn leads_to_member(&self, world: &World<'_>, at: Place, end: LinkEnd) -> bool;
    /// Other keys open a participant's port, or it turns others away.
    fn doors_changed(&self, world: &mut World<'_>, index: usize, keys: &[Psk]);
    /// A machine's process ended.
    fn ended(&self, world: &mut World<'_>, place: Place);
    /// The network was parted.
    fn parted(&self, world: &mut World<'_>);
    /// It is whole again.
    fn healed(&self, world: &mut World<'_>);
    /// A participant's machine has another address.
    fn moved(&self, world: &mut World<'_>, index: usize);
    /// A device sleeps for longer than links live in silence.
    fn overslept(&self, world: &mut World<'_>, index: usize);
    /// It is awake again.
    fn woke(&self, world: &mut World<'_>, index: usize);
    /// Does what a relay asks for, and sends what waits for its clients.
    fn drain_relay(&self, world: &mut World<'_>, index: usize);
    /// Sends what machines handed over, once everything that happens at a moment has happened.
    fn flush(&self, _world: &mut World<'_>) {}
}

impl World<'_> {
    /// The machines that a dial can reach, each with the address, and the key that it shows.
    fn find_target(&self, from: usize, target: &DialTarget) -> (Vec<(Place, SocketAddr)>, Option<PskId>) {
        match target {
            DialTarget::Member {
                member,
                addresses,
                psk,
                ..
            } => {
                let index = self.ids.get(member).copied().filter(|index| *index != from);
                let at = addresses.iter().filter_map(|address| {
                    let index = index.filter(|index| self.nodes[*index].is_at(*address))?;
                    Some((Place::Node(index), *address))
                });
                (at.collect(), Some(psk.id()))
            }
            DialTarget::Relay {
                permit, addresses, ..
            } => {
                let found = self.relays.iter().position(|site| {
                    permit.relay() == Some(site.id) && site.descriptor.addresses == *addresses
                });
                let at = found.map(|index| (Place::Relay(index), addresses[0]));
                (at.into_iter().collect(), None)
            }
        }
    }

    /// A link that comes up next has this binding, which both its ends export.
    fn bind_link(&mut self, index: usize, link: LinkId, binding: [u8; 32]) {
        let node = &mut self.nodes[index];
        if let Some(participant) = node.participant.as_mut().filter(|_| !node.is_spy) {
            participant.set_link_binding(link, binding);
        }
    }

    /// A participant's link is up.
    fn link_up(
        &mut self,
        index: usize,
        link: LinkId,
        dial: Option<DialId>,
        peer: LinkPeer,
        psk: Option<PskId>,
        remote: SocketAddr,
    ) {
        let node = &mut self.nodes[index];
        let now = node.now(self.now);
        if let Some(participant) = node.participant.as_mut().filter(|_| !node.is_spy) {
            participant.handle_link_up(now, dial, link, peer, psk, remote);
        }
        self.trace
            .note(self.now, index as u32, "up", &link.0.to_le_bytes());
        self.drain_node(index);
    }

    /// A participant's link is gone.
    fn link_down(&mut self, index: usize, link: LinkId) {
        let node = &mut self.nodes[index];
        node.links.remove(&link);
        let now = node.now(self.now);
        if let Some(participant) = node.participant.as_mut().filter(|_| !node.is_spy) {
            participant.handle_link_down(now, link);
            self.drain_node(index);
        }
    }

    /// A dial is given up. The participant ignores it for a dial that it no longer knows: one that came up.
    pub(crate) fn fail_dial(&mut self, index: usize, run: u32, dial: DialId) {
        let node = &mut self.nodes[index];
        let now = node.now(self.now);
        if node.run != run || node.is_spy {
            return;
        }
        if let Some(participant) = &mut node.participant {
            participant.handle_dial_failed(now, dial);
            self.drain_node(index);
        }
    }

    /// Another relay did not answer in time; the machine ignores it if it did.
    pub(crate) fn fail_upstream(&mut self, index: usize, run: u32, relay: RelayId) {
        let site = &mut self.relays[index];
        if site.run != run {
            return;
        }
        if let Some(machine) = &mut site.relay {
            machine.handle_upstream_failed(relay);
            self.drain_relay(index);
        }
    }

    /// A control frame came to a machine.
    fn control_came(&mut self, place: Place, handle: Handle, bytes: &[u8]) {
        match (place, handle) {
            (Place::Node(index), Handle::Link(_)) if self.ignores_control(index, bytes) => {}
            (Place::Node(index), Handle::Link(link)) => {
                let node = &mut self.nodes[index];
                let now = node.now(self.now);
                if let Some(participant) = &mut node.participant {
                    participant.handle_control(now, link, bytes);
                }
                self.keep_operations(index, bytes);
                self.trace.note(self.now, index as u32, "control", bytes);
                self.drain_node(index);
            }
            (Place::Relay(index), Handle::Session(session)) => {
                if let Some(relay) = &mut self.relays[index].relay {
                    relay.handle_request(Self::relay_now(self.now), session, bytes);
                }
                self.drain_relay(index);
            }
            _ => {}
        }
    }

    /// A datagram came to a machine.
    fn datagram_came(&mut self, place: Place, handle: Handle, bytes: &[u8]) {
        match (place, handle) {
            (Place::Node(index), Handle::Link(_)) if self.loses_datagram(index) => {}
            (Place::Node(index), Handle::Link(link)) => {
                let node = &mut self.nodes[index];
                let now = node.now(self.now);
                if let Some(participant) = &mut node.participant {
                    participant.handle_datagram(now, link, bytes);
                }
                self.trace.note(self.now, index as u32, "datagram", bytes);
                self.forward_unasked(index, link, bytes);
                self.drain_node(index);
            }
            (Place::Relay(index), Handle::Session(session)) => {
                let mut packet = bytes.to_vec();
                if self.relays[index].tampers
                    && let Some(last) = packet.last_mut()
                {
                    *last ^= 1;
                }
                if let Some(relay) = &mut self.relays[index].relay {
                    relay.handle_datagram(Self::relay_now(self.now), session, &packet.into());
                }
                self.drain_relay(index);
            }
            _ => {}
        }
    }

    /// What comes to a relay is counted, and judged.
    fn count_at_relay(&mut self, place: Place, bytes: usize) {
        let Place::Relay(index) = place else { return };
        let site = &mut self.relays[index];
        site.packets += 1;
        site.bytes += bytes as u64;
        self.checkers.packet_to_relay(self.now, index);
    }
}
