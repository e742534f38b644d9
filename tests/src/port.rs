//! Sockets for load on a relay: quinn-proto clients in a busy loop, so that one core of load can saturate one core of relay.

use std::{
    collections::BTreeMap,
    io::IoSliceMut,
    net::UdpSocket,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use quinn::udp::{BATCH_SIZE, EcnCodepoint, RecvMeta, Transmit, UdpSocketState};
use quinn_proto::{
    AckFrequencyConfig, Connection, ConnectionHandle, DatagramEvent, Dir, Endpoint, Event, StreamEvent,
    StreamId, TransportConfig, VarInt,
};
use subrosa_proto::{
    noise,
    random::Random,
    wire::{framing, relay_message::RelayRequest},
};

use crate::{
    relay_client::{RelayAddress, dial_config},
    unlimited::Unlimited,
};

const RECEIVE_BYTES: usize = 64 * 1024;
/// Bytes that a port's `turn` needs to receive into.
pub const BUFFER_BYTES: usize = RECEIVE_BYTES * BATCH_SIZE;

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

/// One session with a relay.
pub struct Client {
    /// Its connection.
    pub connection: Connection,
    control: Option<StreamId>,
    /// Whether the handshake is done.
    pub connected: bool,
    touched: bool,
}

/// How a port treats the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// By the rules; a session that the relay ends is a fault.
    Honest,
    /// Begins handshakes and takes no answer but a Retry, so that none is ever finished.
    Abandoning,
    /// Expects to be thrown out: sessions that end are forgotten and counted.
    Rude,
}

/// A socket with its endpoint and connections.
pub struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
    endpoint: Endpoint,
    /// By handle.
    pub clients: BTreeMap<ConnectionHandle, Client>,
    touched: Vec<ConnectionHandle>,
    /// Media frames received.
    pub frames: u64,
    /// How it behaves.
    pub manner: Manner,
    /// Sessions that the relay ended.
    pub ended: u64,
}

impl Port {
    /// A socket on the loopback interface.
    ///
    /// # Panics
    /// If the system has no socket to give.
    #[must_use]
    pub fn new(seed: u8) -> Self {
        Self::bound("127.0.0.1:0", seed)
    }

    /// A socket at an address.
    ///
    /// # Panics
    /// If the system has no such socket to give.
    #[must_use]
    pub fn bound(at: &str, seed: u8) -> Self {
        let socket = UdpSocket::bind(at).expect("a free port");
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
            manner: Manner::Honest,
            ended: 0,
        }
    }

    /// Begins a session under an identity made from `seed`.
    ///
    /// # Panics
    /// If the configuration is no good, which is a mistake here.
    pub fn dial(&mut self, relay: &RelayAddress, seed: u64) -> ConnectionHandle {
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

    /// This connection has something to do at the next turn.
    pub fn touch(&mut self, handle: ConnectionHandle) {
        if let Some(client) = self.clients.get_mut(&handle)
            && !client.touched
        {
            client.touched = true;
            self.touched.push(handle);
        }
    }

    /// Asks the relay for something.
    ///
    /// # Panics
    /// If there is no such session, or its stream takes nothing.
    pub fn ask(&mut self, handle: ConnectionHandle, request: &RelayRequest) {
        assert!(self.try_ask(handle, request), "the relay takes requests");
    }

    /// As [`Self::ask`]; whether the stream took it.
    pub fn try_ask(&mut self, handle: ConnectionHandle, request: &RelayRequest) -> bool {
        self.say(handle, &framing::frame(&request.encode()))
    }

    /// Writes these bytes to the session's control stream; whether it took them all.
    pub fn say(&mut self, handle: ConnectionHandle, bytes: &[u8]) -> bool {
        let Some(client) = self.clients.get_mut(&handle) else {
            return false;
        };
        let connection = &mut client.connection;
        if client.control.is_none() {
            client.control = connection.streams().open(Dir::Bi);
        }
        let Some(id) = client.control else { return false };
        let written = connection.send_stream(id).write(bytes);
        self.touch(handle);
        written == Ok(bytes.len())
    }

    /// Receives, handles, answers. The times in microseconds since frames were sent go to `delays`; `start` is what senders count from.
    ///
    /// # Panics
    /// If the relay ends a session and the port is honest.
    pub fn turn(&mut self, buffer: &mut [u8], start: Instant, delays: Option<&mut Vec<u32>>) {
        self.receive(Instant::now(), buffer);
        let now = Instant::now();
        let mut delays = delays;
        let mut touched = std::mem::take(&mut self.touched);
        for handle in touched.drain(..) {
            let Some(client) = self.clients.get_mut(&handle) else {
                continue;
            };
            client.touched = false;
            let mut lost = false;
            while let Some(event) = client.connection.poll_endpoint_events() {
                if let Some(event) = self.endpoint.handle_event(handle, event) {
                    client.connection.handle_event(event);
                }
            }
            while let Some(event) = client.connection.poll() {
                match event {
                    Event::Connected => client.connected = true,
                    Event::ConnectionLost { reason } => {
                        assert!(
                            self.manner != Manner::Honest,
                            "the relay ended a session, or died: {reason}"
                        );
                        lost = true;
                    }
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
            if lost {
                self.clients.remove(&handle);
                self.ended += 1;
            }
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
                if self.manner == Manner::Abandoning && !is_retry(&datagram) {
                    continue;
                }
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

    /// What this connection would send now.
    pub fn flight(&mut self, handle: ConnectionHandle) -> Vec<Vec<u8>> {
        let mut datagrams = Vec::new();
        if let Some(client) = self.clients.get_mut(&handle) {
            let mut buffer = Vec::new();
            while let Some(transmit) = client.connection.poll_transmit(Instant::now(), 1, &mut buffer) {
                datagrams.push(buffer[..transmit.size].to_vec());
                buffer.clear();
            }
        }
        datagrams
    }

    /// Does what is due.
    pub fn timeouts(&mut self) {
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

/// RFC 9000 §17.2.5.
fn is_retry(datagram: &[u8]) -> bool {
    datagram.first().is_some_and(|first| first & 0xf0 == 0xf0)
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
