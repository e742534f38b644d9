//! The modelled transport: handshakes by round trips, control frames reliable and in order, datagrams as the network
//! lets them through. Nothing is answered to whoever does not know a key.

use std::{net::SocketAddr, time::Duration};

use subrosa_proto::{
    ids::RelayId,
    meeting::participant::{DialId, DialTarget, LinkPeer},
    noise::{Psk, PskId},
    relay::{AddressBlock, Origin, RelayOutput, SessionId},
    time::Timestamp,
    wire::framing::LENGTH_BYTES,
};

use super::{
    LinkEnd, Side, Transport,
    pipe::{Handle, Pipe, PipeId},
};
use crate::{
    network::Place,
    world::{Knock, Occurrence, World},
};

/// The largest datagram on a modelled path, in bytes.
const DATAGRAM_BYTES_MAX: usize = 1_350;
/// A dial without an answer is given up after so long (as the node's driver does).
const DIAL_TIMEOUT: Duration = Duration::from_secs(3);
/// Message 1 is padded to so much (RFC 9000 §14.1), and an answer takes as much.
const HANDSHAKE_BYTES: usize = 1_200;
/// A CONNECTION_CLOSE frame (RFC 9000 §19.19) with a short reason.
const CLOSE_BYTES: usize = 8;
/// A relay gives up a dial after so long (as in the node's driver, for each address).
const UPSTREAM_TIMEOUT: Duration = Duration::from_secs(2);
/// Message 1 is repeated so often.
const MESSAGE1_INTERVAL: Duration = Duration::from_millis(500);
/// A connection on which nothing comes is dead after so long (as in the node's driver).
const IDLE_TIMEOUT: Duration = Duration::from_secs(5);

/// What one end sends to the other.
pub(crate) enum Packet {
    /// A control frame.
    Control(Vec<u8>),
    /// A datagram.
    Datagram(Vec<u8>),
    /// The last: the pipe is closed.
    Close,
}

impl Packet {
    /// What happens when it has arrived.
    fn delivered(self, id: PipeId, side: Side) -> Occurrence {
        match self {
            Self::Control(bytes) => Occurrence::Control(id, side, bytes),
            Self::Datagram(bytes) => Occurrence::Datagram(id, side, bytes),
            Self::Close => Occurrence::Down(id, side),
        }
    }
}

/// See the module.
pub(crate) struct Modelled;

impl Transport for Modelled {
    fn dial(&self, world: &mut World<'_>, from: usize, dial: DialId, target: &DialTarget) {
        world.knock(from, dial, target);
    }

    fn dial_upstream(
        &self,
        world: &mut World<'_>,
        from: usize,
        relay: RelayId,
        _: [u8; 32],
        addresses: &[SocketAddr],
    ) {
        world.knock_at_relay(from, relay, addresses);
    }

    fn dial_refused_relay(&self, world: &mut World<'_>, from: usize, relay: usize) {
        let knock = Knock {
            from: Place::Node(from),
            run: world.nodes[from].run,
            dial: Some(DialId(u64::MAX)),
            to: Place::Relay(relay),
            psk: None,
            deadline: world.now + DIAL_TIMEOUT,
            source: world.nodes[from].address,
            address: world.relays[relay].descriptor.addresses[0],
            is_one_of_several: false,
        };
        world.queue.plan(world.now, Occurrence::Knock(Box::new(knock)));
    }

    fn send_control(&self, world: &mut World<'_>, _: Place, (pipe, side): LinkEnd, bytes: Vec<u8>) {
        world.pipe_control(pipe, side, bytes);
    }

    fn send_datagram(&self, world: &mut World<'_>, _: Place, (pipe, side): LinkEnd, bytes: Vec<u8>) {
        world.pipe_datagram(pipe, side, bytes);
    }

    fn close(&self, world: &mut World<'_>, _: Place, (pipe, side): LinkEnd) {
        world.close_pipe(pipe, side);
    }

    fn leads_to_member(&self, world: &World<'_>, _: Place, (pipe, side): LinkEnd) -> bool {
        matches!(world.pipes[pipe.0].ends[1 - side].place, Place::Node(_))
    }

    /// Whoever knocks looks at the node's keys itself.
    fn doors_changed(&self, _: &mut World<'_>, _: usize, _: &[Psk]) {}

    fn ended(&self, world: &mut World<'_>, place: Place) {
        world.orphan_pipes(place);
    }

    fn parted(&self, world: &mut World<'_>) {
        world.sever_pipes();
    }

    fn healed(&self, world: &mut World<'_>) {
        world.release_pipes();
    }

    fn moved(&self, world: &mut World<'_>, index: usize) {
        world.drop_pipes(index);
    }

    fn overslept(&self, world: &mut World<'_>, index: usize) {
        world.lose_sleeper(index);
    }

    fn woke(&self, world: &mut World<'_>, index: usize) {
        world.wake_pipes(index);
    }

    fn drain_relay(&self, world: &mut World<'_>, index: usize) {
        world.drain_relay_into_pipes(index);
    }
}

impl World<'_> {
    /// A participant asks for a link.
    fn knock(&mut self, from: usize, dial: DialId, target: &DialTarget) {
        let run = self.nodes[from].run;
        let deadline = self.now + DIAL_TIMEOUT;
        self.queue.plan(deadline, Occurrence::DialFailed(from, run, dial));
        if let DialTarget::Member { addresses, .. } = target {
            for address in addresses {
                // Sent in any case, and opens the NAT on the way.
                self.nodes[from].sends_to(*address);
            }
        }
        let (found, psk) = self.find_target(from, target);
        self.checkers
            .dialled(self.now, from, found.first().map(|(place, _)| *place));
        for &(to, address) in &found {
            let knock = Knock {
                from: Place::Node(from),
                run,
                dial: Some(dial),
                to,
                psk,
                deadline,
                source: self.nodes[from].sends_to(address),
                address,
                is_one_of_several: found.len() > 1,
            };
            let at = self
                .network
                .handshake(self.now, Place::Node(from), to, HANDSHAKE_BYTES);
            self.queue.plan(at, Occurrence::Knock(Box::new(knock)));
        }
    }

    /// A relay asks for a link to another one.
    fn knock_at_relay(&mut self, from: usize, relay: RelayId, addresses: &[SocketAddr]) {
        let run = self.relays[from].run;
        let deadline = self.now + UPSTREAM_TIMEOUT;
        self.queue
            .plan(deadline, Occurrence::UpstreamFailed(from, run, relay));
        let mut sites = self.relays.iter();
        let found = sites.position(|site| site.id == relay && site.descriptor.addresses == addresses);
        if let Some(to) = found {
            let knock = Knock {
                from: Place::Relay(from),
                run,
                dial: None,
                to: Place::Relay(to),
                psk: None,
                deadline,
                source: self.relays[from].descriptor.addresses[0],
                address: addresses[0],
                is_one_of_several: false,
            };
            let here = Place::Relay(from);
            let at = self
                .network
                .handshake(self.now, here, Place::Relay(to), HANDSHAKE_BYTES);
            self.queue.plan(at, Occurrence::Knock(Box::new(knock)));
        }
    }

    /// Message 1 arrives: answered only if the key is known.
    pub(crate) fn answer(&mut self, knock: Box<Knock>) {
        let from = knock.from;
        let (run, caller) = match from {
            Place::Node(index) => (self.nodes[index].run, self.nodes[index].id().0),
            Place::Relay(index) => (self.relays[index].run, self.relays[index].id.0),
        };
        if run != knock.run {
            return;
        }
        let several = knock.dial.filter(|_| knock.is_one_of_several);
        if let (Place::Node(index), Some(dial)) = (from, several)
            && self.nodes[index].answered.contains(&dial)
        {
            return;
        }
        let passes = match knock.to {
            Place::Node(index) => self.nodes[index].lets_in(knock.source, knock.address),
            Place::Relay(_) => true,
        };
        if !passes || !self.network.is_joined(from, knock.to) {
            // Repeated until the dialler gives up.
            let again = self.now + MESSAGE1_INTERVAL;
            if again < knock.deadline {
                self.queue.plan(again, Occurrence::Knock(knock));
            }
            return;
        }
        let run = match knock.to {
            Place::Node(index) => {
                let node = &self.nodes[index];
                let known = knock.psk.is_some_and(|psk| node.accept.contains(&psk));
                let turned_away = node.unadmitted.covers(knock.psk, &caller);
                if !known || turned_away || node.participant.is_none() || node.is_spy {
                    return;
                }
                node.run
            }
            Place::Relay(index) => {
                self.count_at_relay(knock.to, HANDSHAKE_BYTES);
                if self.relays[index].relay.is_none() {
                    return;
                }
                self.relays[index].run
            }
        };
        let id = PipeId(self.pipes.len());
        let network = &mut self.network;
        let dialler_up = network.handshake(self.now, knock.to, from, HANDSHAKE_BYTES);
        let acceptor_up = network.handshake(dialler_up, from, knock.to, HANDSHAKE_BYTES);
        if dialler_up >= knock.deadline {
            return;
        }
        if let (Place::Node(index), Some(dial)) = (from, several) {
            self.nodes[index].answered.insert(dial);
        }
        let mut pipe = Pipe::new((from, knock.run), (knock.to, run), self.now);
        pipe.seen = Some([knock.address, knock.source]);
        pipe.ends[1].ordered_until = acceptor_up;
        self.pipes.push(pipe);
        self.queue
            .plan(dialler_up, Occurrence::Up(id, 0, knock.dial, knock.psk));
        self.queue
            .plan(acceptor_up, Occurrence::Up(id, 1, None, knock.psk));
    }

    /// An end's handshake finished.
    pub(crate) fn bring_up(&mut self, id: PipeId, side: Side, dial: Option<DialId>, psk: Option<PskId>) {
        if !self.is_running(id, side) {
            return;
        }
        let pipe = &self.pipes[id.0];
        if side == 1 && pipe.ends[0].closed {
            return;
        }
        let (here, there) = (pipe.ends[side].place, pipe.ends[1 - side].place);
        let handle = match here {
            Place::Node(index) => {
                let (peer, address) = match there {
                    Place::Node(other) => (
                        LinkPeer::Member(self.nodes[other].id()),
                        self.nodes[other].address,
                    ),
                    Place::Relay(other) => (
                        LinkPeer::Relay(self.relays[other].id),
                        self.relays[other].descriptor.addresses[0],
                    ),
                };
                let remote = pipe.seen.map_or(address, |seen| seen[side]);
                let link = self.nodes[index].new_link((id, side));
                self.pipes[id.0].ends[side].handle = Some(Handle::Link(link));
                // Both ends export the same, and no other pipe does.
                let mut binding = [0; 32];
                binding[..8].copy_from_slice(&(id.0 as u64).to_le_bytes());
                self.bind_link(index, link, binding);
                self.link_up(index, link, dial, peer, psk, remote);
                return;
            }
            Place::Relay(index) => {
                let seen = pipe.seen.map(|seen| seen[side]);
                // Telling others their own address would change nothing.
                let translated = matches!(there, Place::Node(node) if self.nodes[node].nat.is_some());
                let session = self.relays[index].new_session((id, side));
                let origin = match there {
                    Place::Node(node) => AddressBlock(node as u64).into(),
                    Place::Relay(other) => Origin {
                        identity: Some(self.relays[other].id),
                        ..AddressBlock(u64::MAX - other as u64).into()
                    },
                };
                if let Some(relay) = &mut self.relays[index].relay {
                    let now = Self::relay_now(self.now);
                    match origin.identity.filter(|_| side == 0) {
                        Some(other) => relay.handle_upstream_up(now, other, session),
                        None => relay.handle_session_up(now, session, origin),
                    }
                    if let Some(address) = seen.filter(|_| translated) {
                        relay.handle_session_seen_at(session, address);
                    }
                }
                (index, Handle::Session(session))
            }
        };
        self.pipes[id.0].ends[side].handle = Some(handle.1);
        self.drain_relay(handle.0);
    }

    /// One end sends a control frame.
    fn pipe_control(&mut self, id: PipeId, from: Side, bytes: Vec<u8>) {
        let to = 1 - from;
        let pipe = &self.pipes[id.0];
        if pipe.ends[from].closed || pipe.dead {
            return;
        }
        if !self.network.is_joined(pipe.ends[from].place, pipe.ends[to].place) {
            self.pipes[id.0].held.push((to, bytes));
            return;
        }
        let (here, there) = (pipe.ends[from].place, pipe.ends[to].place);
        let at = self.network.reliable(self.now, here, there, bytes.len());
        let at = self.in_order(id, to, at);
        self.plan_arrival(at, id, to, there, Packet::Control(bytes));
    }

    /// When what must not overtake what was sent before it comes to an end, if it could come `at`.
    fn in_order(&mut self, id: PipeId, to: Side, at: Timestamp) -> Timestamp {
        let end = &mut self.pipes[id.0].ends[to];
        end.ordered_until = end.ordered_until.max(at);
        end.ordered_until
    }

    fn plan_arrival(&mut self, at: Timestamp, id: PipeId, to: Side, there: Place, packet: Packet) {
        let queues = self.network.queues_at(there);
        let occurrence = if queues {
            Occurrence::AtAccess(id, to, packet)
        } else {
            packet.delivered(id, to)
        };
        self.queue.plan(at, occurrence);
    }

    /// A packet comes to an access link: it waits its turn there, or is dropped.
    pub(crate) fn pass_access(&mut self, id: PipeId, side: Side, packet: Packet) {
        let place = self.pipes[id.0].ends[side].place;
        let (bytes, reliable) = match &packet {
            Packet::Control(bytes) => (bytes.len(), true),
            Packet::Datagram(bytes) => (bytes.len(), false),
            Packet::Close => (CLOSE_BYTES, true),
        };
        if let Some(at) = self.network.arrive(self.now, place, bytes, reliable) {
            self.queue.plan(at, packet.delivered(id, side));
        }
    }

    /// One end sends a datagram.
    fn pipe_datagram(&mut self, id: PipeId, from: Side, bytes: Vec<u8>) {
        let to = 1 - from;
        let pipe = &self.pipes[id.0];
        let joined = self.network.is_joined(pipe.ends[from].place, pipe.ends[to].place);
        if pipe.ends[from].closed || pipe.dead || !joined {
            return;
        }
        let (here, there) = (pipe.ends[from].place, pipe.ends[to].place);
        if let Some(at) = self.network.datagram(self.now, here, there, bytes.len()) {
            if let Some(again) = self.network.repeated(self.now, here, there) {
                self.plan_arrival(again, id, to, there, Packet::Datagram(bytes.clone()));
            }
            self.plan_arrival(at, id, to, there, Packet::Datagram(bytes));
        }
    }

    pub(crate) fn deliver_control(&mut self, id: PipeId, side: Side, bytes: &[u8]) {
        if let Some((place, handle)) = self.receiver(id, side) {
            self.network.received(place, bytes.len());
            self.count_at_relay(place, bytes.len());
            self.control_came(place, handle, bytes);
        }
    }

    pub(crate) fn deliver_datagram(&mut self, id: PipeId, side: Side, bytes: &[u8]) {
        if let Some((place, handle)) = self.receiver(id, side) {
            self.network.received(place, bytes.len());
            self.count_at_relay(place, bytes.len());
            self.datagram_came(place, handle, bytes);
        }
    }

    /// Who takes what arrives at an end, if it is up.
    fn receiver(&self, id: PipeId, side: Side) -> Option<(Place, Handle)> {
        let end = &self.pipes[id.0].ends[side];
        if end.closed || !self.is_running(id, side) {
            return None;
        }
        if let Place::Node(index) = end.place
            && self.nodes[index].is_spy
        {
            return None;
        }
        Some((end.place, end.handle?))
    }

    /// Whether the process that had this end still runs.
    fn is_running(&self, id: PipeId, side: Side) -> bool {
        let end = &self.pipes[id.0].ends[side];
        match end.place {
            Place::Node(index) => self.nodes[index].run == end.run && self.nodes[index].participant.is_some(),
            Place::Relay(index) => self.relays[index].run == end.run,
        }
    }

    /// One end closes after what it sent has arrived.
    fn close_pipe(&mut self, id: PipeId, side: Side) {
        let ends = &self.pipes[id.0].ends;
        let (here, there) = (ends[side].place, ends[1 - side].place);
        let at = self.network.reliable(self.now, here, there, CLOSE_BYTES);
        if std::mem::replace(&mut self.pipes[id.0].ends[side].closed, true) {
            return;
        }
        if self.network.is_joined(here, there) {
            let at = self.pipes[id.0].ends[1 - side].ordered_until.max(at);
            self.plan_arrival(at, id, 1 - side, there, Packet::Close);
        } else {
            self.queue
                .plan(self.now + IDLE_TIMEOUT, Occurrence::Down(id, 1 - side));
        }
        let handle = self.pipes[id.0].ends[side].handle;
        if let (Place::Node(index), Some(Handle::Link(link))) = (here, handle) {
            self.link_down(index, link);
        }
        if let (Place::Relay(index), Some(Handle::Session(session))) = (here, handle) {
            self.relays[index].sessions.remove(&session);
            if let Some(relay) = &mut self.relays[index].relay {
                relay.handle_session_down(Self::relay_now(self.now), session);
            }
        }
    }

    /// An end learns that the pipe is gone.
    pub(crate) fn bring_down(&mut self, id: PipeId, side: Side) {
        if self.pipes[id.0].ends[side].closed || !self.is_running(id, side) {
            return;
        }
        let end = &mut self.pipes[id.0].ends[side];
        end.closed = true;
        match (end.place, end.handle) {
            (Place::Node(index), Some(Handle::Link(link))) => {
                self.trace
                    .note(self.now, index as u32, "down", &link.0.to_le_bytes());
                self.link_down(index, link);
            }
            (Place::Relay(index), Some(Handle::Session(session))) => {
                self.relays[index].sessions.remove(&session);
                if let Some(relay) = &mut self.relays[index].relay {
                    relay.handle_session_down(Self::relay_now(self.now), session);
                }
                self.drain_relay(index);
            }
            _ => {}
        }
    }

    /// A machine's process ended: the far ends of its pipes find out after the idle timeout.
    fn orphan_pipes(&mut self, place: Place) {
        let at = self.now + IDLE_TIMEOUT;
        for (index, pipe) in self.pipes.iter_mut().enumerate() {
            for side in 0..2 {
                if pipe.ends[side].place == place && !pipe.ends[side].closed {
                    pipe.ends[side].closed = true;
                    self.queue.plan(at, Occurrence::Down(PipeId(index), 1 - side));
                }
            }
        }
    }

    /// Connections across a partition die after the idle timeout, unless it heals before.
    fn sever_pipes(&mut self) {
        let at = self.now + IDLE_TIMEOUT;
        for (index, pipe) in self.pipes.iter().enumerate() {
            let open = pipe.ends.iter().all(|end| !end.closed);
            if open && !self.network.is_joined(pipe.ends[0].place, pipe.ends[1].place) {
                for side in 0..2 {
                    self.queue.plan(at, Occurrence::Down(PipeId(index), side));
                }
            }
        }
    }

    /// What waited for the end of a partition goes on.
    fn release_pipes(&mut self) {
        for index in 0..self.pipes.len() {
            for (to, bytes) in std::mem::take(&mut self.pipes[index].held) {
                self.pipe_control(PipeId(index), 1 - to, bytes);
            }
        }
    }
    /// A machine has another address: its links are dead.
    fn drop_pipes(&mut self, index: usize) {
        for (pipe, _) in self.nodes[index].links.values().copied().collect::<Vec<_>>() {
            self.pipes[pipe.0].dead = true;
            for side in 0..2 {
                self.queue
                    .plan(self.now + IDLE_TIMEOUT, Occurrence::Down(pipe, side));
            }
        }
    }

    /// Nothing was heard of a device for the idle timeout: the others' links to it die.
    fn lose_sleeper(&mut self, index: usize) {
        for (pipe, side) in self.nodes[index].links.values().copied().collect::<Vec<_>>() {
            self.pipes[pipe.0].dead = true;
            self.queue.plan(self.now, Occurrence::Down(pipe, 1 - side));
        }
    }

    /// A device is awake: its own links' timers find out that they are dead.
    fn wake_pipes(&mut self, index: usize) {
        for (pipe, side) in self.nodes[index].links.values().copied().collect::<Vec<_>>() {
            if self.pipes[pipe.0].dead {
                self.bring_down(pipe, side);
            }
        }
        for missed in std::mem::take(&mut self.nodes[index].missed) {
            self.queue.plan(self.now, missed);
        }
        self.release_pipes();
    }

    /// Does what a relay asks for, and sends what waits for its clients.
    fn drain_relay_into_pipes(&mut self, index: usize) {
        let now = Self::relay_now(self.now);
        while let Some(output) = self.relays[index].relay.as_mut().and_then(|r| r.poll_output()) {
            match output {
                RelayOutput::Close { session, .. } => {
                    if let Some(&(pipe, side)) = self.relays[index].sessions.get(&session) {
                        self.flush_session(index, session);
                        self.close_pipe(pipe, side);
                    }
                }
                RelayOutput::Dial { relay, addresses, .. } => self.knock_at_relay(index, relay, &addresses),
                _ => {}
            }
        }
        while let Some(session) = self.relays[index].relay.as_mut().and_then(|r| r.poll_ready(now)) {
            self.flush_session(index, session);
        }
    }

    fn flush_session(&mut self, index: usize, session: SessionId) {
        let now = Self::relay_now(self.now);
        let Some(&end) = self.relays[index].sessions.get(&session) else {
            return;
        };
        while let Some(frame) = self.relays[index]
            .relay
            .as_mut()
            .and_then(|relay| relay.poll_control(session))
        {
            self.pipe_control(end.0, end.1, frame[LENGTH_BYTES..].to_vec());
        }
        while let Some(datagram) = self.relays[index]
            .relay
            .as_mut()
            .and_then(|relay| relay.poll_datagram(now, session, DATAGRAM_BYTES_MAX))
        {
            self.forward(index, end, datagram.to_vec());
        }
    }
}
