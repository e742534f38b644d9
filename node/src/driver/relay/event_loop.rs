//! The relay's event loop.
//!
//! One turn: receive what the socket holds (bounded) → connections → the machine → each touched connection transmits
//! once. A frame for an idle relay leaves in the turn in which it came; under load a turn gathers what arrived together.

use std::{
    collections::{BTreeSet, VecDeque},
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use quinn_proto::{
    ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig, Incoming, ServerConfig, Transmit, VarInt,
};
use subrosa_proto::{
    quic::{HALF_OPEN_MAX, LinkState, RelayLink},
    relay::{CloseReason, Relay, RelayOutput, TokenUsage},
    time::{Now, Timestamp, UnixSeconds},
};
use tokio::sync::mpsc;

use super::{
    Command, DriverPolicy, DriverStats, Reconfiguration, RelayReport,
    handshakes::Doorstep,
    socket::{Received, RelaySocket},
    tcp::is_name,
    timers::Timers,
    upstreams::{Dialler, Upstreams},
};

/// Batches received in one turn, so that sending is never far behind.
const BATCHES_PER_TURN: usize = 4;
/// Dialling clients that wait for their turn; further ones are ignored, and dial again by themselves.
const INCOMING_MAX: usize = 256;
/// Connections beyond the sessions and the half-open ones: those being told that there is no place, and those draining.
const SPARE_CONNECTIONS: usize = 256;
/// How often the load is measured and told to the machine.
const LOAD_INTERVAL: Duration = Duration::from_millis(20);
/// How much of the past the load remembers.
const LOAD_MEMORY: Duration = Duration::from_millis(80);
/// How often the machine is called even if nothing happens (the calendar month).
const IDLE_TURN: Duration = Duration::from_secs(30);

pub(super) struct EventLoop {
    pub(super) socket: RelaySocket,
    pub(super) endpoint: Endpoint,
    pub(super) relay: Relay,
    /// By connection handle, which is also the session's number.
    pub(super) links: Vec<Option<Box<RelayLink>>>,
    pub(super) connections_max: usize,
    pub(super) handshaking: usize,
    /// Handshakes under way, and some that ended, oldest first.
    pub(super) half_open: VecDeque<(ConnectionHandle, Instant)>,
    pub(super) incoming: VecDeque<Incoming>,
    pub(super) timers: Timers,
    pub(super) touched: Vec<ConnectionHandle>,
    pub(super) to_transmit: Vec<ConnectionHandle>,
    pub(super) received: Vec<Received>,
    pub(super) transmit_buffer: Vec<u8>,
    /// A send that found the kernel's buffer full.
    pub(super) blocked: Option<(Transmit, Vec<u8>)>,
    /// Links to other relays.
    pub(super) upstreams: Upstreams,
    /// Who may dial, and how often.
    pub(super) doorstep: Doorstep,
    pub(super) policy: DriverPolicy,
    pub(super) started: Instant,
    load: LoadMeter,
    pub(super) stats: DriverStats,
    pub(super) ending: bool,
}

/// Connections that may be, and TCP streams.
pub(super) fn connections_max(sessions_max: usize) -> usize {
    sessions_max + HALF_OPEN_MAX + SPARE_CONNECTIONS
}

/// How much of its time the event loop works.
struct LoadMeter {
    since: Instant,
    busy: Duration,
}

impl EventLoop {
    pub(super) fn new(
        socket: RelaySocket,
        endpoint: EndpointConfig,
        server: ServerConfig,
        relay: Relay,
        sessions_max: usize,
        policy: DriverPolicy,
        dialler: Option<Dialler>,
    ) -> Self {
        let started = Instant::now();
        Self {
            socket,
            endpoint: Endpoint::new(Arc::new(endpoint), Some(Arc::new(server)), true, None),
            relay,
            links: Vec::new(),
            connections_max: connections_max(sessions_max),
            handshaking: 0,
            half_open: VecDeque::new(),
            incoming: VecDeque::new(),
            timers: Timers::default(),
            touched: Vec::new(),
            to_transmit: Vec::new(),
            received: Vec::new(),
            transmit_buffer: Vec::new(),
            blocked: None,
            upstreams: Upstreams::new(dialler),
            doorstep: Doorstep::new(policy.handshakes),
            policy,
            started,
            load: LoadMeter {
                since: started,
                busy: Duration::ZERO,
            },
            stats: DriverStats::default(),
            ending: false,
        }
    }

    pub(super) async fn run(&mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            let wake = self.next_wake();
            let blocked = self.blocked.is_some();
            let idle = self.incoming.is_empty();
            tokio::select! {
                biased;
                command = commands.recv(), if !self.ending => match command {
                    Some(command) => self.handle_command(command),
                    None => self.handle_command(Command::Shutdown),
                },
                result = self.socket.writable(), if blocked => {
                    if result.is_err() { break }
                }
                result = self.socket.readable(), if !blocked => {
                    if result.is_err() { break }
                }
                () = sleep_until(wake), if idle => {}
                () = std::future::ready(()), if !idle => {}
            }
            let at = Instant::now();
            self.turn(at);
            self.measure_load(at);
            if (self.ending || self.relay.is_drained()) && self.links.iter().flatten().next().is_none() {
                break;
            }
        }
    }

    fn next_wake(&mut self) -> Instant {
        let now = Instant::now();
        let machine = self
            .relay
            .poll_timeout()
            .map(|at| self.started + Duration::from_micros(at.as_micros()));
        let dials = self.upstreams.next();
        let sweep = self.socket.tcp().and_then(|tcp| tcp.sweep_due());
        [self.timers.next(), machine, dials, sweep, Some(now + IDLE_TURN)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(now)
    }

    pub(super) fn clock(&self, at: Instant) -> Now {
        let monotonic = u64::try_from((at - self.started).as_micros()).unwrap_or(u64::MAX);
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| d.as_secs());
        Now {
            monotonic: Timestamp::from_micros(monotonic),
            unix: UnixSeconds(unix),
        }
    }

    fn turn(&mut self, at: Instant) {
        let now = self.clock(at);
        if !self.send_blocked() {
            return;
        }
        for _ in 0..BATCHES_PER_TURN {
            if self.receive(at).is_err() {
                break;
            }
        }
        self.begin_handshakes(now, at);
        self.watch_dials(at);
        self.sweep_tcp(at);
        while let Some(handle) = self.timers.expired(at) {
            self.handle_timer(at, handle);
        }
        let mut touched = std::mem::take(&mut self.touched);
        for handle in touched.drain(..) {
            self.handle_link(now, at, handle);
        }
        self.touched = touched;
        if self.relay.poll_timeout().is_some_and(|due| due <= now.monotonic) {
            self.relay.handle_timeout(now);
        }
        self.carry_out(at);
        while let Some(session) = self.relay.poll_ready(now) {
            self.queue(ConnectionHandle(session.0 as usize));
        }
        let mut to_transmit = std::mem::take(&mut self.to_transmit);
        for handle in to_transmit.drain(..) {
            self.transmit(now, at, handle);
        }
        // Connections that could not be served because the kernel's buffer is full were queued anew.
        to_transmit.append(&mut self.to_transmit);
        self.to_transmit = to_transmit;
    }

    /// A connection's entry in the timers came. Most often its deadline moved on since, and nothing is due.
    fn handle_timer(&mut self, at: Instant, handle: ConnectionHandle) {
        let Some(link) = self.links.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        link.timer = None;
        match link.deadline() {
            Some(deadline) if deadline > at => self.timers.set_earlier(&mut link.timer, deadline, handle),
            Some(_) => {
                link.connection.handle_timeout(at);
                touch(&mut self.touched, link, handle);
            }
            None => {}
        }
    }

    /// Receives a batch and hands it to the connections.
    fn receive(&mut self, at: Instant) -> io::Result<()> {
        let mut received = std::mem::take(&mut self.received);
        let result = self.socket.receive(&mut received);
        for datagram in received.drain(..) {
            self.stats.datagrams_received += 1;
            let mut response = Vec::new();
            let Received { from, to, ecn, data } = datagram;
            self.stats.udp_bytes_received += data.len() as u64;
            match self.endpoint.handle(at, from, to, ecn, data, &mut response) {
                Some(DatagramEvent::ConnectionEvent(handle, event)) => {
                    if let Some(link) = self.links.get_mut(handle.0).and_then(Option::as_mut) {
                        link.connection.handle_event(event);
                        touch(&mut self.touched, link, handle);
                    }
                }
                Some(DatagramEvent::NewConnection(incoming)) => {
                    if self.incoming.len() < INCOMING_MAX && !self.ending {
                        self.incoming.push_back(incoming);
                    } else {
                        self.stats.handshakes_shed += 1;
                        self.endpoint.ignore(incoming);
                    }
                }
                Some(DatagramEvent::Response(transmit)) => self.respond(&transmit, &response),
                None => {}
            }
        }
        self.received = received;
        result
    }

    /// Connection → endpoint → connection, and connection → machine.
    fn handle_link(&mut self, now: Now, at: Instant, handle: ConnectionHandle) {
        let Some(link) = self.links.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        link.touched = false;
        let before = link.state;
        let mut drained = false;
        while let Some(event) = link.connection.poll_endpoint_events() {
            drained |= event.is_drained();
            if let Some(event) = self.endpoint.handle_event(handle, event) {
                link.connection.handle_event(event);
            }
        }
        link.handle_events(now, at, &mut self.relay);
        if link.upstream.is_some() {
            let (was, is) = (before, link.state);
            if was == LinkState::Handshaking && is != was {
                self.dial_ended(now, at, handle, is == LinkState::Up);
            }
        } else if before == LinkState::Handshaking && link.state != LinkState::Handshaking {
            self.handshaking -= 1;
            let up = link.state == LinkState::Up;
            self.stats.handshakes_finished += u64::from(up);
            self.stats.handshakes_failed += u64::from(!up);
            if let Some(tcp) = self.socket.tcp().filter(|_| up) {
                tcp.note_session(link.connection.remote_address(), at);
            }
            if up && self.policy.log_addresses {
                let address = self.socket.client_address(link.connection.remote_address());
                tracing::info!(%address, "session");
            }
        }
        let Some(link) = self.links.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        if drained {
            if link.state == LinkState::Up {
                self.relay.handle_session_down(now, link.session);
            } else if link.upstream.is_some() {
                self.dial_ended(now, at, handle, false);
            } else if link.state == LinkState::Handshaking {
                self.handshaking -= 1;
                self.stats.handshakes_failed += 1;
            }
            if let Some(link) = self.links[handle.0].take() {
                self.timers.remove(link.timer, handle);
            }
            return;
        }
        // An acknowledgement may have made room, and may want an answer.
        link.stuck = false;
        link.thorough = true;
        if link.state == LinkState::Up {
            self.relay.handle_writable(link.session);
        }
        self.queue(handle);
    }

    /// Does what the machine asks for.
    fn carry_out(&mut self, at: Instant) {
        while let Some(output) = self.relay.poll_output() {
            let session = match &output {
                RelayOutput::Close { session, .. }
                | RelayOutput::StreamOpen { session, .. }
                | RelayOutput::StreamData { session, .. }
                | RelayOutput::StreamFinish { session, .. }
                | RelayOutput::StreamReset { session, .. }
                | RelayOutput::StreamStop { session, .. } => *session,
                RelayOutput::Dial {
                    relay,
                    static_key,
                    addresses,
                } => {
                    self.dial(at, *relay, *static_key, addresses);
                    continue;
                }
            };
            let Some(link) = self.links.get_mut(session.0 as usize).and_then(Option::as_mut) else {
                continue;
            };
            let RelayLink {
                connection, forwards, ..
            } = &mut **link;
            match output {
                RelayOutput::Close { reason, .. } => link.begin_closing(at, reason),
                RelayOutput::StreamOpen { stream, header, .. } => {
                    if !forwards.open(connection, stream, &header) {
                        self.relay.handle_forward_ended(session, stream);
                    }
                }
                RelayOutput::StreamData { stream, bytes, .. } => {
                    if !forwards.push(connection, stream, bytes) {
                        self.relay.handle_forward_ended(session, stream);
                    }
                }
                RelayOutput::StreamFinish { stream, .. } => forwards.finish(connection, stream),
                RelayOutput::StreamReset { stream, .. } => forwards.reset(connection, stream),
                RelayOutput::StreamStop { stream, .. } => link.stop_incoming(stream),
                // Above.
                RelayOutput::Dial { .. } => {}
            }
            self.queue(ConnectionHandle(session.0 as usize));
        }
    }

    fn queue(&mut self, handle: ConnectionHandle) {
        if let Some(link) = self.links.get_mut(handle.0).and_then(Option::as_mut)
            && !link.queued
        {
            link.queued = true;
            self.to_transmit.push(handle);
        }
    }

    /// Feeds a connection and sends what it has.
    fn transmit(&mut self, now: Now, at: Instant, handle: ConnectionHandle) {
        let Some(link) = self.links.get_mut(handle.0).and_then(Option::as_mut) else {
            return;
        };
        if self.blocked.is_some() {
            self.to_transmit.push(handle);
            return;
        }
        link.queued = false;
        let segments = self.socket.segments_max();
        loop {
            link.feed(now, at, &mut self.relay);
            let mut sent = false;
            self.transmit_buffer.clear();
            while let Some(transmit) = link
                .connection
                .poll_transmit(at, segments, &mut self.transmit_buffer)
            {
                sent = true;
                let contents = &self.transmit_buffer[..transmit.size];
                self.stats.sends += 1;
                self.stats.udp_bytes_sent += transmit.size as u64;
                self.stats.datagrams_sent += transmit
                    .segment_size
                    .map_or(1, |segment| transmit.size.div_ceil(segment))
                    as u64;
                if let Err(error) = self.socket.send(&transmit, contents) {
                    if error.kind() == io::ErrorKind::WouldBlock {
                        self.blocked = Some((transmit, contents.to_vec()));
                        link.queued = true;
                        self.to_transmit.push(handle);
                        return;
                    }
                    self.stats.send_failures += 1;
                }
                self.transmit_buffer.clear();
                if !link.thorough && !link.has_media() {
                    // Asking QUIC once more costs a quarter of its work for a packet, and would give nothing.
                    break;
                }
            }
            // What the machine still holds goes next, unless the connection is held back.
            if !sent || link.stuck || self.relay.queued_bytes(link.session) == 0 {
                break;
            }
        }
        link.stuck = self.relay.queued_bytes(link.session) > 0;
        link.thorough = false;
        if link.state == LinkState::Up && link.connection.is_closed() {
            // Closed from this side: no event says so.
            link.state = LinkState::Lost;
            self.relay.handle_session_down(now, link.session);
        }
        if let Some(deadline) = link.deadline() {
            self.timers.set_earlier(&mut link.timer, deadline, handle);
        }
    }

    /// The TCP streams that carry a session.
    fn streams_in_use(&self) -> BTreeSet<SocketAddr> {
        let up = self
            .links
            .iter()
            .flatten()
            .filter(|link| link.state == LinkState::Up);
        up.map(|link| link.connection.remote_address())
            .filter(|address| is_name(*address))
            .collect()
    }

    fn sweep_tcp(&mut self, at: Instant) {
        let due = self.socket.tcp().and_then(|tcp| tcp.sweep_due());
        if due.is_none_or(|due| due > at) {
            return;
        }
        let in_use = self.streams_in_use();
        if let Some(tcp) = self.socket.tcp() {
            tcp.sweep(at, &in_use);
        }
    }

    /// Sends what found the kernel's buffer full; `false` if it still does.
    fn send_blocked(&mut self) -> bool {
        if let Some((transmit, contents)) = self.blocked.take()
            && let Err(error) = self.socket.send(&transmit, &contents)
            && error.kind() == io::ErrorKind::WouldBlock
        {
            self.blocked = Some((transmit, contents));
            return false;
        }
        true
    }

    /// Answers outside of connections are not worth keeping: who asked asks again.
    pub(super) fn respond(&mut self, transmit: &Transmit, response: &[u8]) {
        self.stats.sends += 1;
        self.stats.datagrams_sent += 1;
        self.stats.udp_bytes_sent += transmit.size as u64;
        if self.socket.send(transmit, &response[..transmit.size]).is_err() {
            self.stats.send_failures += 1;
        }
    }

    fn measure_load(&mut self, turn_began: Instant) {
        let now = Instant::now();
        self.load.busy += now - turn_began;
        let passed = now - self.load.since;
        if passed >= LOAD_INTERVAL {
            let permille = self.load.busy.as_micros() * 1_000 / passed.as_micros().max(1);
            let permille = permille.min(1_000);
            // Smoothed over four intervals, so that one burst does not open the gather window.
            let weight = passed.as_micros().min(LOAD_MEMORY.as_micros());
            let rest = LOAD_MEMORY.as_micros() - weight;
            let smoothed =
                (u128::from(self.stats.load_permille) * rest + permille * weight) / LOAD_MEMORY.as_micros();
            self.stats.load_permille = u16::try_from(smoothed).unwrap_or(1_000);
            self.relay.handle_load(self.stats.load_permille);
            self.load = LoadMeter {
                since: now,
                busy: Duration::ZERO,
            };
        }
    }

    fn report(&mut self) -> RelayReport {
        self.stats.connections = self.endpoint.open_connections() as u64;
        if let Some(tcp) = self.socket.tcp().map(|tcp| tcp.stats()) {
            self.stats.tcp_streams = tcp.open;
            self.stats.tcp_streams_accepted = tcp.accepted;
            self.stats.tcp_streams_refused = tcp.refused;
            self.stats.tcp_packets_dropped = tcp.packets_dropped;
            self.stats.tcp_sessions = self.streams_in_use().len() as u64;
        }
        RelayReport {
            relay: self.relay.stats(),
            driver: self.stats,
        }
    }

    /// The final counts, to be written down.
    pub(super) fn last_words(&mut self) -> (RelayReport, Vec<TokenUsage>) {
        (self.report(), self.relay.token_usage())
    }

    fn handle_command(&mut self, command: Command) {
        let at = Instant::now();
        match command {
            Command::Report(reply) => {
                let _ = reply.send(self.report());
            }
            Command::TokenUsage(reply) => {
                let _ = reply.send(self.relay.token_usage());
            }
            Command::Reconfigure(settings) => self.reconfigure(at, *settings),
            Command::SetDescriptor(descriptor) => self.relay.set_descriptor(descriptor),
            Command::Drain(within) => self.relay.drain(self.clock(at), within),
            Command::Shutdown => self.shut_down(at),
        }
    }

    fn reconfigure(&mut self, at: Instant, settings: Reconfiguration) {
        let now = self.clock(at);
        self.connections_max = connections_max(settings.limits.sessions_max);
        if let Some(tcp) = self.socket.tcp() {
            tcp.set_max(self.connections_max);
        }
        self.doorstep
            .set_limits(settings.policy.handshakes, now.monotonic);
        self.policy = settings.policy;
        self.relay.set_alternates(settings.alternates);
        self.relay.set_limits(now, settings.limits);
        // Listed addresses first: who needs no token any more must not be sent away for having none.
        for link in self.links.iter().flatten() {
            if link.state == LinkState::Up {
                let address = self.socket.client_address(link.connection.remote_address());
                let listed = self.policy.lists(address.ip());
                self.relay.note_listed(link.session, listed);
            }
        }
        self.relay.set_access(settings.access);
        self.relay.set_cascade(settings.cascade);
    }

    fn shut_down(&mut self, at: Instant) {
        self.ending = true;
        while let Some(incoming) = self.incoming.pop_front() {
            self.endpoint.ignore(incoming);
        }
        for (index, slot) in self.links.iter_mut().enumerate() {
            if let Some(link) = slot {
                let code = VarInt::from_u32(CloseReason::Drained as u32);
                link.connection.close(at, code, bytes::Bytes::new());
                touch(&mut self.touched, link, ConnectionHandle(index));
            }
        }
    }
}

pub(super) fn touch(touched: &mut Vec<ConnectionHandle>, link: &mut RelayLink, handle: ConnectionHandle) {
    if !link.touched {
        link.touched = true;
        touched.push(handle);
    }
}

async fn sleep_until(at: Instant) {
    tokio::time::sleep_until(at.into()).await;
}
