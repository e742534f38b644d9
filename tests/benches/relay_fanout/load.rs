//! The load: publishers and listeners on quinn-proto in one busy loop, so that one core of load can saturate one core of
//! relay.

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use quinn_proto::{
    AckFrequencyConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, Event, StreamEvent,
    StreamId, TransportConfig, VarInt,
    congestion::{Controller, ControllerFactory},
};
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    noise,
    random::Random,
    wire::{framing, relay_message::RelayRequest},
};
use subrosa_tests::relay_client::{RelayAddress, dial_config, media_packet};

use crate::process::Child;

const ROOM: RoomId = RoomId([3; 16]);
const RECEIVE_BYTES: usize = 64 * 1024;
/// Listeners that share a socket of the load.
const PER_SOCKET: usize = 10;

/// One run's figures, of the relay and of its listeners.
pub(crate) struct Fanout {
    pub(crate) offered: f64,
    pub(crate) received: u64,
    pub(crate) forwarded: u64,
    pub(crate) packets: u64,
    pub(crate) sends: u64,
    pub(crate) delivered: u64,
    pub(crate) drops: serde_json::Value,
    pub(crate) cpu: Duration,
    pub(crate) wall: Duration,
    delays_us: Vec<u32>,
}

impl Fanout {
    pub(crate) fn forwarded_per_second(&self) -> f64 {
        self.forwarded as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn per_cpu_second(&self) -> f64 {
        self.forwarded as f64 / self.cpu.as_secs_f64()
    }

    /// A quantile of the time from a publisher's send to a listener's receipt, both in this process.
    pub(crate) fn delay_ms(&self, quantile: f64) -> f64 {
        let at = (self.delays_us.len() as f64 * quantile) as usize;
        f64::from(self.delays_us.get(at).copied().unwrap_or(0)) / 1_000.0
    }
}

/// A congestion window that never closes: the publishers' overload must reach the relay.
struct Unlimited;

impl ControllerFactory for Unlimited {
    fn build(self: Arc<Self>, _: Instant, _: u16) -> Box<dyn Controller> {
        Box::new(Self)
    }
}

impl Controller for Unlimited {
    fn on_congestion_event(&mut self, _: Instant, _: Instant, _: bool, _: u64) {}
    fn on_mtu_update(&mut self, _: u16) {}
    fn window(&self) -> u64 {
        1 << 40
    }
    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self)
    }
    fn initial_window(&self) -> u64 {
        1 << 40
    }
    fn into_any(self: Box<Self>) -> Box<dyn std::any::Any> {
        self
    }
}

fn transport() -> TransportConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(30));
    let mut config = TransportConfig::default();
    config
        .keep_alive_interval(Some(Duration::from_secs(3)))
        .datagram_receive_buffer_size(Some(4 * 1024 * 1024))
        .datagram_send_buffer_size(256 * 1024)
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(Unlimited));
    config
}

struct Client {
    connection: Connection,
    control: Option<StreamId>,
    connected: bool,
    touched: bool,
}

/// A socket with its endpoint and connections.
struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    endpoint: Endpoint,
    clients: BTreeMap<ConnectionHandle, Client>,
    touched: Vec<ConnectionHandle>,
    frames: u64,
}

impl Port {
    fn new(seed: u8) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        let state = UdpSocketState::new((&socket).into()).expect("socket options");
        let _ = state.set_recv_buffer_size((&socket).into(), 1 << 20);
        let _ = state.set_send_buffer_size((&socket).into(), 4 << 20);
        let config = noise::endpoint_config(&mut Random::from_seed([seed; 32]));
        let endpoint = Endpoint::new(Arc::new(config), None, true, None);
        Self {
            socket,
            state,
            endpoint,
            clients: BTreeMap::new(),
            touched: Vec::new(),
            frames: 0,
        }
    }

    fn dial(&mut self, relay: &RelayAddress, seed: u64) -> ConnectionHandle {
        let mut config = dial_config(relay, seed);
        config.transport_config(Arc::new(transport()));
        let dialled = self.endpoint.connect(Instant::now(), config, relay.addr, "relay");
        let (handle, connection) = dialled.expect("a good configuration");
        let client = Client {
            connection,
            control: None,
            connected: false,
            touched: true,
        };
        self.clients.insert(handle, client);
        self.touched.push(handle);
        handle
    }

    fn touch(&mut self, handle: ConnectionHandle) {
        if let Some(client) = self.clients.get_mut(&handle)
            && !client.touched
        {
            client.touched = true;
            self.touched.push(handle);
        }
    }

    fn ask(&mut self, handle: ConnectionHandle, request: &RelayRequest) {
        let client = self.clients.get_mut(&handle).expect("a client");
        let Client {
            connection, control, ..
        } = client;
        let id = *control.get_or_insert_with(|| connection.streams().open(Dir::Bi).expect("one stream"));
        let frame = framing::frame(&request.encode());
        let written = connection
            .send_stream(id)
            .write(&frame)
            .expect("the relay takes requests");
        assert_eq!(written, frame.len());
        self.touch(handle);
    }

    /// Receives, handles, answers. Frames' send times go to `delays`.
    fn turn(&mut self, buffer: &mut [u8], start: Instant, delays: Option<&mut Vec<u32>>) {
        let now = Instant::now();
        self.receive(now, buffer);
        let mut delays = delays;
        let mut touched = std::mem::take(&mut self.touched);
        for handle in touched.drain(..) {
            let Some(client) = self.clients.get_mut(&handle) else {
                continue;
            };
            client.touched = false;
            while let Some(event) = client.connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(handle, event) {
                    client.connection.handle_event(event);
                }
            }
            while let Some(event) = client.connection.poll() {
                match event {
                    Event::Connected => client.connected = true,
                    Event::ConnectionLost { reason } => panic!("a session ended: {reason}"),
                    Event::Stream(StreamEvent::Readable { id }) => {
                        let mut stream = client.connection.recv_stream(id);
                        if let Ok(mut chunks) = stream.read(true) {
                            while let Ok(Some(_)) = chunks.next(usize::MAX) {}
                            let _ = chunks.finalize();
                        }
                    }
                    _ => {}
                }
            }
            while let Some(frame) = client.connection.datagrams().recv() {
                self.frames += 1;
                if let Some(delays) = delays.as_deref_mut()
                    && let Some(sent) = frame.get(10..18).and_then(|b| b.try_into().ok())
                {
                    let passed = (now - start).as_nanos() as u64 - u64::from_le_bytes(sent);
                    delays.push((passed / 1_000) as u32);
                }
            }
            send_all(&self.socket, &self.state, &mut client.connection, now);
        }
        self.touched = touched;
    }

    fn receive(&mut self, now: Instant, buffer: &mut [u8]) {
        let mut metas = [RecvMeta::default(); BATCH_SIZE];
        let mut chunks = buffer.chunks_exact_mut(RECEIVE_BYTES);
        let mut slices: [IoSliceMut<'_>; BATCH_SIZE] =
            std::array::from_fn(|_| IoSliceMut::new(chunks.next().expect("a buffer")));
        let Ok(count) = self.state.recv((&self.socket).into(), &mut slices, &mut metas) else {
            return;
        };
        for (meta, slice) in metas.iter().zip(&slices).take(count) {
            let mut data = BytesMut::from(&slice[..meta.len]);
            while !data.is_empty() {
                let datagram = data.split_to(meta.stride.min(data.len()));
                let ecn = meta
                    .ecn
                    .and_then(|e| quinn_proto::EcnCodepoint::from_bits(e as u8));
                let mut response = Vec::new();
                let event = self
                    .endpoint
                    .handle(now, meta.addr, None, ecn, datagram, &mut response);
                if let Some(DatagramEvent::ConnectionEvent(handle, event)) = event
                    && let Some(client) = self.clients.get_mut(&handle)
                {
                    client.connection.handle_event(event);
                    if !client.touched {
                        client.touched = true;
                        self.touched.push(handle);
                    }
                }
            }
        }
    }

    fn timeouts(&mut self) {
        let now = Instant::now();
        for (&handle, client) in &mut self.clients {
            if client.connection.poll_timeout().is_some_and(|at| at <= now) {
                client.connection.handle_timeout(now);
                if !client.touched {
                    client.touched = true;
                    self.touched.push(handle);
                }
            }
        }
    }
}

fn send_all(socket: &UdpSocket, state: &UdpSocketState, connection: &mut Connection, now: Instant) {
    let mut buffer = Vec::new();
    while let Some(transmit) = connection.poll_transmit(now, 10, &mut buffer) {
        let udp = Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(|e| EcnCodepoint::from_bits(e as u8)),
            contents: &buffer[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: None,
        };
        let _ = state.send(socket.into(), &udp);
        buffer.clear();
    }
}

/// Publishers, each with a track, and listeners of all tracks.
pub(crate) struct Load {
    ports: Vec<Port>,
    publishers: Vec<ConnectionHandle>,
    bytes: usize,
    buffer: Vec<u8>,
    start: Instant,
}

fn track(i: usize) -> TrackAlias {
    TrackAlias((i as u64).to_le_bytes())
}

impl Load {
    pub(crate) fn connect(relay: RelayAddress, publishers: usize, listeners: usize, bytes: usize) -> Self {
        let mut ports: Vec<Port> = (0..=listeners.div_ceil(PER_SOCKET))
            .map(|i| Port::new(i as u8))
            .collect();
        let handles: Vec<_> = (0..publishers).map(|i| ports[0].dial(&relay, i as u64)).collect();
        let buffer = vec![0; RECEIVE_BYTES * BATCH_SIZE];
        let mut load = Self {
            ports,
            publishers: handles,
            bytes,
            buffer,
            start: Instant::now(),
        };
        let mut listening = Vec::new();
        for i in 0..listeners {
            let port = 1 + i / PER_SOCKET;
            listening.push((port, load.ports[port].dial(&relay, 1_000 + i as u64)));
            load.turns(Duration::from_millis(5));
        }
        load.turns_until_connected();
        for (i, &handle) in load.publishers.clone().iter().enumerate() {
            let alias = Alias((i as u64).to_le_bytes());
            load.ports[0].ask(
                handle,
                &RelayRequest::Join {
                    room: ROOM,
                    alias,
                    token: None,
                },
            );
            load.ports[0].ask(
                handle,
                &RelayRequest::Announce {
                    room: ROOM,
                    track: track(i),
                },
            );
        }
        for (i, &(port, handle)) in listening.iter().enumerate() {
            let alias = Alias((1_000 + i as u64).to_le_bytes());
            load.ports[port].ask(
                handle,
                &RelayRequest::Join {
                    room: ROOM,
                    alias,
                    token: None,
                },
            );
            for t in 0..publishers {
                load.ports[port].ask(
                    handle,
                    &RelayRequest::Subscribe {
                        room: ROOM,
                        track: track(t),
                    },
                );
            }
            load.turns(Duration::from_millis(2));
        }
        load.turns(Duration::from_millis(500));
        load
    }

    fn turns_until_connected(&mut self) {
        let limit = Instant::now() + Duration::from_secs(20);
        while self
            .ports
            .iter()
            .any(|p| p.clients.values().any(|c| !c.connected))
        {
            assert!(Instant::now() < limit, "not everybody is connected");
            self.turns(Duration::from_millis(10));
        }
    }

    fn turns(&mut self, during: Duration) {
        let until = Instant::now() + during;
        while Instant::now() < until {
            for port in &mut self.ports {
                port.timeouts();
                port.turn(&mut self.buffer, self.start, None);
            }
        }
    }

    /// Sends `rate` frames per second in turn from all publishers, and counts.
    pub(crate) fn run(&mut self, child: &mut Child, rate: f64, during: Duration) -> Fanout {
        let before = child.report();
        let (cpu, begun, heard) = (child.cpu(), Instant::now(), self.heard());
        let mut delays = Vec::new();
        let mut sent = 0_u64;
        let mut last_timeouts = begun;
        while begun.elapsed() < during {
            let due = (begun.elapsed().as_secs_f64() * rate) as u64;
            // A load that fell behind does not make up for it in one burst.
            sent = sent.max(due.saturating_sub(400));
            while sent < due {
                self.publish(sent as usize);
                sent += 1;
            }
            for port in &mut self.ports {
                port.turn(&mut self.buffer, self.start, Some(&mut delays));
            }
            if last_timeouts.elapsed() > Duration::from_millis(1) {
                last_timeouts = Instant::now();
                for port in &mut self.ports {
                    port.timeouts();
                }
            }
        }
        let (cpu, wall) = (child.cpu() - cpu, begun.elapsed());
        self.turns(Duration::from_millis(100));
        let after = child.report();
        delays.sort_unstable();
        let diff = |key: &str| after[key].as_u64().unwrap_or(0) - before[key].as_u64().unwrap_or(0);
        Fanout {
            offered: rate,
            received: diff("received"),
            forwarded: diff("forwarded"),
            packets: diff("packets"),
            sends: diff("sends"),
            delivered: self.heard() - heard,
            drops: after,
            cpu,
            wall,
            delays_us: delays,
        }
    }

    fn heard(&self) -> u64 {
        self.ports.iter().map(|p| p.frames).sum()
    }

    fn publish(&mut self, i: usize) {
        let i = i % self.publishers.len();
        let handle = self.publishers[i];
        let mut payload = vec![0; self.bytes - 10];
        payload[..8].copy_from_slice(&(self.start.elapsed().as_nanos() as u64).to_le_bytes());
        let frame: Bytes = media_packet(track(i), &payload);
        let client = self.ports[0].clients.get_mut(&handle).expect("a publisher");
        let _ = client.connection.datagrams().send(frame, true);
        self.ports[0].touch(handle);
    }
}

/// Sessions that joined a room and do nothing more.
pub(crate) struct IdleSessions {
    relay: RelayAddress,
    port: Port,
    buffer: Vec<u8>,
    start: Instant,
}

impl IdleSessions {
    pub(crate) fn new(relay: RelayAddress) -> Self {
        Self {
            relay,
            port: Port::new(99),
            buffer: vec![0; RECEIVE_BYTES * BATCH_SIZE],
            start: Instant::now(),
        }
    }

    /// Adds sessions, ten to a room, and lets them settle.
    pub(crate) fn grow_to(&mut self, sessions: usize) {
        for i in self.port.clients.len()..sessions {
            let handle = self.port.dial(&self.relay, 10_000 + i as u64);
            let limit = Instant::now() + Duration::from_secs(10);
            while !self.port.clients[&handle].connected {
                assert!(Instant::now() < limit, "the relay does not answer");
                self.turn();
            }
            let mut room = [0; 16];
            room[..8].copy_from_slice(&(i as u64 / 10).to_le_bytes());
            let alias = Alias((i as u64).to_le_bytes());
            self.port.ask(
                handle,
                &RelayRequest::Join {
                    room: RoomId(room),
                    alias,
                    token: None,
                },
            );
            self.turn();
        }
        let settled = Instant::now() + Duration::from_secs(2);
        while Instant::now() < settled {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.port.timeouts();
        self.port.turn(&mut self.buffer, self.start, None);
    }
}
