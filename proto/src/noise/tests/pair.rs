//! Two bare quinn-proto endpoints and a wire between them, in virtual time.

use std::{
    collections::{BTreeMap, VecDeque},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn_proto::{
    ClientConfig, Connection, ConnectionError, ConnectionHandle, DatagramEvent, Endpoint, EndpointConfig,
    Event, Incoming, ServerConfig, Transmit,
};

use crate::{
    noise::{
        PeerIdentity,
        token::{InitialFilter, Verdict},
    },
    time::{Now, Timestamp, UnixSeconds},
};

/// What both sides take for wall-clock time at the start.
pub(super) const UNIX: UnixSeconds = UnixSeconds(1_795_293_120);

/// One way.
pub(super) const LATENCY: Duration = Duration::from_millis(50);

/// An endpoint with its connections and what happened to them.
pub(super) struct Side {
    pub(super) addr: SocketAddr,
    pub(super) endpoint: Endpoint,
    pub(super) filter: Option<InitialFilter>,
    pub(super) connections: BTreeMap<ConnectionHandle, Connection>,
    pub(super) connected_at: Option<Duration>,
    pub(super) lost: Option<ConnectionError>,
    pub(super) datagrams: VecDeque<Vec<u8>>,
    /// Whether to answer the first Initial of each connection with Retry.
    pub(super) retry: bool,
    pub(super) retries: usize,
    /// Everything that was sent.
    pub(super) sent: Vec<Vec<u8>>,
}

impl Side {
    pub(super) fn new(port: u16, config: EndpointConfig, server: Option<ServerConfig>) -> Self {
        Self {
            addr: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            endpoint: Endpoint::new(Arc::new(config), server.map(Arc::new), true, None),
            filter: None,
            connections: BTreeMap::new(),
            connected_at: None,
            lost: None,
            datagrams: VecDeque::new(),
            retry: false,
            retries: 0,
            sent: Vec::new(),
        }
    }

    /// Its only connection.
    pub(super) fn connection(&mut self) -> &mut Connection {
        self.connections.values_mut().next().expect("a connection")
    }

    pub(super) fn identity(&mut self) -> Option<PeerIdentity> {
        let identity = self.connection().crypto_session().peer_identity()?;
        Some(*identity.downcast::<PeerIdentity>().expect("ours"))
    }

    pub(super) fn export(&mut self) -> Option<[u8; 32]> {
        let mut out = [0; 32];
        let session = self.connection().crypto_session();
        session
            .export_keying_material(&mut out, b"label", b"context")
            .ok()?;
        Some(out)
    }
}

/// The wire and its time.
pub(super) struct Pair {
    pub(super) client: Side,
    pub(super) server: Side,
    start: Instant,
    pub(super) elapsed: Duration,
    wire: Vec<(Duration, SocketAddr, SocketAddr, Vec<u8>)>,
    /// Whether each of the server's datagrams with a long header arrives once with a bit changed before it arrives.
    pub(super) corrupt: bool,
    /// Which of the server's datagrams, counted from 0, comes so late that the next ones overtake it.
    pub(super) late: Option<usize>,
}

impl Pair {
    // quinn-proto wants an `Instant`; nothing but a clock makes the first.
    #[allow(clippy::disallowed_methods)]
    pub(super) fn instant() -> Instant {
        Instant::now()
    }

    pub(super) fn instant_now(&self) -> Instant {
        self.start + self.elapsed
    }

    pub(super) fn new(client: Side, server: Side) -> Self {
        Self {
            client,
            server,
            start: Self::instant(),
            elapsed: Duration::ZERO,
            wire: Vec::new(),
            corrupt: false,
            late: None,
        }
    }

    pub(super) fn now(&self) -> Now {
        Now {
            monotonic: Timestamp::ZERO + self.elapsed,
            unix: UNIX,
        }
    }

    pub(super) fn connect(&mut self, config: ClientConfig) {
        let now = self.start + self.elapsed;
        let remote = self.server.addr;
        let (handle, connection) = self.client.endpoint.connect(now, config, remote, "_").unwrap();
        self.client.connections.insert(handle, connection);
    }

    /// Hands `datagram` to the server as if from `from`; what it sends back at once goes to the wire.
    pub(super) fn inject(&mut self, from: SocketAddr, datagram: &[u8]) {
        let (now, server) = (self.now(), self.server.addr);
        receive(
            &mut self.server,
            self.start + self.elapsed,
            now,
            from,
            datagram,
            &mut |to, bytes| {
                self.wire.push((self.elapsed + LATENCY, to, server, bytes));
            },
        );
    }

    /// Runs until `done` or for `limit` of virtual time.
    pub(super) fn run(&mut self, limit: Duration, mut done: impl FnMut(&mut Self) -> bool) -> bool {
        let end = self.elapsed + limit;
        loop {
            self.transmit();
            if done(self) {
                return true;
            }
            let timers = [&mut self.client, &mut self.server]
                .into_iter()
                .flat_map(|side| side.connections.values_mut().filter_map(Connection::poll_timeout))
                .map(|at| at.saturating_duration_since(self.start))
                .min();
            let arrival = self.wire.iter().map(|(at, ..)| *at).min();
            let Some(next) = timers.into_iter().chain(arrival).min().filter(|at| *at <= end) else {
                self.elapsed = end;
                return done(self);
            };
            self.elapsed = next.max(self.elapsed);
            self.deliver();
            let now = self.start + self.elapsed;
            for side in [&mut self.client, &mut self.server] {
                for connection in side.connections.values_mut() {
                    if connection.poll_timeout().is_some_and(|at| at <= now) {
                        connection.handle_timeout(now);
                    }
                }
            }
        }
    }

    fn deliver(&mut self) {
        let (due, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.wire)
            .into_iter()
            .partition(|(at, ..)| *at <= self.elapsed);
        self.wire = later;
        let now = self.now();
        for (_, to, from, bytes) in due {
            let side = if to == self.client.addr {
                &mut self.client
            } else if to == self.server.addr {
                &mut self.server
            } else {
                continue;
            };
            receive(
                side,
                self.start + self.elapsed,
                now,
                from,
                &bytes,
                &mut |back, bytes| {
                    self.wire.push((self.elapsed + LATENCY, back, to, bytes));
                },
            );
        }
    }

    fn transmit(&mut self) {
        let now = self.now();
        let instant = self.start + self.elapsed;
        let server = self.server.addr;
        for side in [&mut self.client, &mut self.server] {
            let from = side.addr;
            for (to, bytes) in drive(side, instant, self.elapsed) {
                if let Some(filter) = &mut side.filter {
                    filter.sent(now, to, &bytes);
                }
                side.sent.push(bytes.clone());
                if self.corrupt && bytes[0] & 0x80 != 0 && to != server {
                    let mut changed = bytes.clone();
                    let last = changed.len() - 1;
                    changed[last] ^= 1;
                    self.wire.push((self.elapsed + LATENCY, to, from, changed));
                }
                let is_late = to != server && self.late == Some(side.sent.len() - 1);
                let latency = if is_late { LATENCY * 5 / 4 } else { LATENCY };
                self.wire.push((self.elapsed + latency, to, from, bytes));
            }
        }
    }
}

/// Gives a datagram to `side`; immediate answers go to `answer` with their destination.
fn receive(
    side: &mut Side,
    instant: Instant,
    now: Now,
    from: SocketAddr,
    datagram: &[u8],
    answer: &mut dyn FnMut(SocketAddr, Vec<u8>),
) {
    let mut reply = |side: &mut Side, to: SocketAddr, bytes: Vec<u8>| {
        side.sent.push(bytes.clone());
        answer(to, bytes);
    };
    if let Some(filter) = &mut side.filter {
        match filter.admits(now, from, datagram) {
            Verdict::Admit => {}
            Verdict::Drop(_) => return,
            Verdict::OtherVersion(notice) => return reply(side, from, notice),
            Verdict::Probe(_) => return,
        }
    }
    let mut buffer = Vec::new();
    let event = side
        .endpoint
        .handle(instant, from, None, None, BytesMut::from(datagram), &mut buffer);
    let response: Option<Transmit> = match event {
        None => None,
        Some(DatagramEvent::ConnectionEvent(handle, event)) => {
            if let Some(connection) = side.connections.get_mut(&handle) {
                connection.handle_event(event);
            }
            None
        }
        Some(DatagramEvent::NewConnection(incoming)) => accept(side, instant, incoming, &mut buffer),
        Some(DatagramEvent::Response(transmit)) => Some(transmit),
    };
    if let Some(transmit) = response {
        let bytes = buffer[..transmit.size].to_vec();
        if let Some(filter) = &mut side.filter {
            filter.sent(now, transmit.destination, &bytes);
        }
        reply(side, transmit.destination, bytes);
    }
}

fn accept(side: &mut Side, instant: Instant, incoming: Incoming, buffer: &mut Vec<u8>) -> Option<Transmit> {
    buffer.clear();
    if side.retry && !incoming.remote_address_validated() {
        side.retries += 1;
        return Some(side.endpoint.retry(incoming, buffer).expect("the first Initial"));
    }
    match side.endpoint.accept(incoming, instant, buffer, None) {
        Ok((handle, connection)) => {
            side.connections.insert(handle, connection);
            None
        }
        Err(error) => {
            side.lost = Some(error.cause);
            error.response
        }
    }
}

/// Drains what the connections of `side` want; gives what they send.
fn drive(side: &mut Side, instant: Instant, elapsed: Duration) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut out = Vec::new();
    let mut gone = Vec::new();
    for (&handle, connection) in &mut side.connections {
        loop {
            let mut buffer = Vec::new();
            let Some(transmit) = connection.poll_transmit(instant, 1, &mut buffer) else {
                break;
            };
            out.push((transmit.destination, buffer[..transmit.size].to_vec()));
        }
        while let Some(event) = connection.poll_endpoint_events() {
            if event.is_drained() {
                gone.push(handle);
            }
            if let Some(event) = side.endpoint.handle_event(handle, event) {
                connection.handle_event(event);
            }
        }
        while let Some(event) = connection.poll() {
            match event {
                Event::Connected => side.connected_at = Some(elapsed),
                Event::ConnectionLost { reason } => side.lost = Some(reason),
                Event::DatagramReceived => {
                    while let Some(datagram) = connection.datagrams().recv() {
                        side.datagrams.push_back(datagram.to_vec());
                    }
                }
                _ => {}
            }
        }
    }
    for handle in gone {
        side.connections.remove(&handle);
    }
    out
}
