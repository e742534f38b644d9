//! One client's connection: control stream, media datagrams, stream objects.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use super::{forward_streams::ForwardStreams, relay_transport::DATAGRAM_SEND_BUFFER};
use crate::{
    ids::RelayId,
    noise::PeerIdentity,
    relay::{CloseReason, Origin, Relay, SessionId},
    time::Now,
    wire::{
        framing::FrameReader,
        stream_object::{StreamHeader, StreamHeaderError},
    },
};
use bytes::{Buf, Bytes};
use quinn_proto::{Connection, Dir, Event, ReadError, StreamEvent, StreamId, VarInt, WriteError};

/// How long a connection that is to be closed may take to acknowledge its last control frames.
const FAREWELL: Duration = Duration::from_millis(500);
/// Given for a stream object that nobody wants or that a quota refuses.
pub(super) const STREAM_REFUSED: VarInt = VarInt::from_u32(0x20);

/// What quinn-proto reports as free when no datagram waits: it keeps room for one descriptor of a datagram.
const DATAGRAM_SEND_SPACE: usize = DATAGRAM_SEND_BUFFER - size_of::<Bytes>();

/// What a link reports upward after its events were handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkState {
    /// The handshake runs.
    Handshaking,
    /// The machine knows the session.
    Up,
    /// The session is over for the machine; the connection still drains.
    Lost,
}

/// See the module. The driver calls [`Self::handle_events`] when the connection has something to say, [`Self::feed`] before each
/// packet that it asks the connection for.
pub struct RelayLink {
    /// The connection.
    pub connection: Connection,
    /// The machine's name for it.
    pub session: SessionId,
    /// Where it comes from.
    pub origin: Origin,
    /// When its handshake began.
    pub begun: Instant,
    /// How far it is.
    pub state: LinkState,
    /// In the list of connections to transmit for.
    pub queued: bool,
    /// In the list of connections with events to handle.
    pub touched: bool,
    /// The earliest entry in the timers, if any.
    pub timer: Option<Instant>,
    /// Something else than waiting media may have to be sent: ask QUIC until it has nothing left.
    pub thorough: bool,
    /// Media that QUIC could not send is still in its buffer: feed no more until it is gone.
    pub stuck: bool,
    control: Option<StreamId>,
    reader: FrameReader,
    /// The rest of a control frame that the stream did not take whole.
    control_rest: Bytes,
    /// Incoming stream objects whose header is not whole yet (`Some`) or was handed on (`None`).
    incoming: BTreeMap<StreamId, Option<Vec<u8>>>,
    /// Stream objects under way to the client.
    pub forwards: ForwardStreams,
    /// Why it is to be closed, and when at the latest.
    pub closing: Option<(CloseReason, Instant)>,
    /// Where the client was last told that it is seen.
    seen_at: Option<SocketAddr>,
    /// The relay that was dialled; `None` for those who dialled this one.
    pub upstream: Option<RelayId>,
    is_alias: fn(SocketAddr) -> bool,
}

impl RelayLink {
    /// A connection whose handshake begins. `is_alias` tells whether an address is the driver's own name for a client rather than
    /// one that others could send to.
    #[must_use]
    pub fn new(
        connection: Connection,
        session: SessionId,
        origin: Origin,
        begun: Instant,
        is_alias: fn(SocketAddr) -> bool,
    ) -> Self {
        Self {
            connection,
            session,
            origin,
            begun,
            state: LinkState::Handshaking,
            queued: false,
            touched: false,
            timer: None,
            thorough: true,
            stuck: false,
            control: None,
            reader: FrameReader::new(),
            control_rest: Bytes::new(),
            incoming: BTreeMap::new(),
            forwards: ForwardStreams::default(),
            closing: None,
            seen_at: None,
            upstream: None,
            is_alias,
        }
    }

    /// Hands everything that the connection has to say to the machine.
    pub fn handle_events(&mut self, now: Now, at: Instant, relay: &mut Relay) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected if self.upstream.is_some() => {
                    self.state = LinkState::Up;
                    self.open_control();
                }
                Event::Connected => {
                    self.state = LinkState::Up;
                    let peer = self.connection.crypto_session().peer_identity();
                    let peer = peer.and_then(|peer| peer.downcast::<PeerIdentity>().ok());
                    let identity = peer.map(|peer| RelayId(peer.key));
                    let origin = Origin {
                        identity,
                        ..self.origin
                    };
                    relay.handle_session_up(now, self.session, origin);
                    self.tell_address(relay);
                }
                Event::ConnectionLost { .. } => {
                    if self.state == LinkState::Up {
                        relay.handle_session_down(now, self.session);
                    }
                    self.state = LinkState::Lost;
                }
                Event::DatagramReceived => self.read_datagrams(now, relay),
                Event::Stream(event) => self.handle_stream_event(now, at, &event, relay),
                Event::HandshakeDataReady | Event::DatagramsUnblocked => {}
            }
        }
        self.tell_address(relay);
    }

    /// On a link that was dialled, this side opens the control stream, and its requests go first.
    fn open_control(&mut self) {
        self.control = self.connection.streams().open(Dir::Bi);
        if let Some(id) = self.control {
            let _ = self
                .connection
                .send_stream(id)
                .set_priority(i32::from(u8::MAX) + 1);
        }
    }

    /// Gives up a dial that was not answered.
    pub fn abandon(&mut self, at: Instant) {
        self.state = LinkState::Lost;
        self.connection.close(at, VarInt::from_u32(0), Bytes::new());
    }

    /// Tells the client where it is seen, at first and when its path moved.
    fn tell_address(&mut self, relay: &mut Relay) {
        let remote = self.connection.remote_address();
        // Where its TCP stream comes from is no use to a client: nobody can send it UDP there.
        let told = self.upstream.is_some() || self.seen_at == Some(remote) || (self.is_alias)(remote);
        if self.state == LinkState::Up && !told {
            self.seen_at = Some(remote);
            relay.handle_session_seen_at(self.session, remote);
        }
    }

    fn read_datagrams(&mut self, now: Now, relay: &mut Relay) {
        while let Some(packet) = self.connection.datagrams().recv() {
            relay.handle_datagram(now, self.session, &packet);
        }
    }

    fn handle_stream_event(&mut self, now: Now, at: Instant, event: &StreamEvent, relay: &mut Relay) {
        match *event {
            StreamEvent::Opened { dir: Dir::Bi } => {
                if self.control.is_none()
                    && let Some(id) = self.connection.streams().accept(Dir::Bi)
                {
                    self.control = Some(id);
                    // Control goes before every stream object.
                    let _ = self
                        .connection
                        .send_stream(id)
                        .set_priority(i32::from(u8::MAX) + 1);
                    relay.handle_writable(self.session);
                    self.read_control(now, at, relay);
                }
            }
            StreamEvent::Opened { dir: Dir::Uni } => {
                while let Some(id) = self.connection.streams().accept(Dir::Uni) {
                    self.incoming.insert(id, Some(Vec::new()));
                    self.read_object(now, id, relay);
                }
            }
            StreamEvent::Readable { id } if Some(id) == self.control => self.read_control(now, at, relay),
            StreamEvent::Readable { id } => self.read_object(now, id, relay),
            StreamEvent::Writable { id } if Some(id) == self.control => relay.handle_writable(self.session),
            StreamEvent::Writable { id } => self.forwards.write(&mut self.connection, id),
            StreamEvent::Finished { id } if Some(id) == self.control => self.finish_closing(at),
            StreamEvent::Finished { id } | StreamEvent::Stopped { id, .. } => {
                if Some(id) == self.control {
                    self.begin_closing(at, CloseReason::Malformed);
                } else if let Some(forward) = self.forwards.forget(id) {
                    let _ = self.connection.send_stream(id).reset(STREAM_REFUSED);
                    relay.handle_forward_ended(self.session, forward);
                }
            }
            StreamEvent::Available { .. } => {}
        }
    }

    fn read_control(&mut self, now: Now, at: Instant, relay: &mut Relay) {
        let Some(id) = self.control else { return };
        let mut broken = false;
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.reader.push(&chunk.bytes),
                Err(ReadError::Blocked) => break,
                // The client ended its control stream: it leaves, in order or not.
                Ok(None) | Err(ReadError::Reset(_)) => {
                    broken = true;
                    break;
                }
            }
            loop {
                match self.reader.next_frame() {
                    Ok(Some(frame)) => relay.handle_request(now, self.session, &frame),
                    Ok(None) => break,
                    Err(_) => {
                        broken = true;
                        break;
                    }
                }
            }
            if broken {
                break;
            }
        }
        let _ = chunks.finalize();
        if broken {
            self.begin_closing(at, CloseReason::Malformed);
        }
    }

    fn read_object(&mut self, now: Now, id: StreamId, relay: &mut Relay) {
        let Some(state) = self.incoming.get_mut(&id) else {
            return;
        };
        let number = u64::from(id);
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else {
            self.incoming.remove(&id);
            return;
        };
        let mut end = None;
        let mut refused = false;
        loop {
            let bytes = match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => chunk.bytes,
                Ok(None) => {
                    end = Some(true);
                    break;
                }
                Err(ReadError::Blocked) => break,
                Err(ReadError::Reset(_)) => {
                    end = Some(false);
                    break;
                }
            };
            let Some(head) = state else {
                relay.handle_stream_data(now, self.session, number, &bytes);
                continue;
            };
            head.extend_from_slice(&bytes);
            match StreamHeader::parse(head) {
                Ok((header, rest)) => {
                    let rest = Bytes::copy_from_slice(rest);
                    *state = None;
                    relay.handle_stream_object(now, self.session, number, header);
                    if !rest.is_empty() {
                        relay.handle_stream_data(now, self.session, number, &rest);
                    }
                }
                Err(StreamHeaderError::TooShort) => {}
                Err(_) => {
                    refused = true;
                    break;
                }
            }
        }
        let _ = chunks.finalize();
        if refused {
            let _ = self.connection.recv_stream(id).stop(STREAM_REFUSED);
            self.incoming.remove(&id);
        } else if let Some(whole) = end {
            self.incoming.remove(&id);
            relay.handle_stream_end(self.session, number, whole);
        }
    }

    /// Stops a stream object that the machine does not want.
    pub fn stop_incoming(&mut self, number: u64) {
        let Ok(id) = VarInt::from_u64(number).map(StreamId::from) else {
            return;
        };
        if self.incoming.remove(&id).is_some() {
            let _ = self.connection.recv_stream(id).stop(STREAM_REFUSED);
        }
    }

    /// Moves what waits in the machine into the connection, as far as it takes it.
    pub fn feed(&mut self, now: Now, at: Instant, relay: &mut Relay) {
        self.feed_through(now, at, relay, Some);
    }

    /// As [`Self::feed`]; each media frame passes `tap`, which may alter it or keep it (a relay that is hostile, in a simulation).
    pub fn feed_through(
        &mut self,
        now: Now,
        at: Instant,
        relay: &mut Relay,
        tap: impl FnMut(Bytes) -> Option<Bytes>,
    ) {
        self.feed_control(relay);
        if let Some((_, deadline)) = self.closing
            && deadline <= at
        {
            self.finish_closing(at);
        }
        if self.state == LinkState::Up {
            self.feed_media(now, relay, tap);
        }
    }

    fn feed_control(&mut self, relay: &mut Relay) {
        let Some(id) = self.control else { return };
        loop {
            if self.control_rest.is_empty() {
                match relay.poll_control(self.session) {
                    Some(frame) => {
                        self.control_rest = frame;
                        self.thorough = true;
                    }
                    None => break,
                }
            }
            match self.connection.send_stream(id).write(&self.control_rest) {
                Ok(written) => self.control_rest.advance(written),
                Err(WriteError::Blocked) => return,
                Err(_) => {
                    self.control_rest.clear();
                    return;
                }
            }
        }
        if self.closing.is_some() {
            let _ = self.connection.send_stream(id).finish();
        }
    }

    fn feed_media(&mut self, now: Now, relay: &mut Relay, mut tap: impl FnMut(Bytes) -> Option<Bytes>) {
        if self.stuck || relay.queued_bytes(self.session) == 0 {
            return;
        }
        let Some(bytes_max) = self.connection.datagrams().max_size() else {
            return;
        };
        // QUIC's buffer was empty or nearly so; fill it once, and see what leaves.
        while self.connection.datagrams().send_buffer_space() > bytes_max {
            let Some(frame) = relay.poll_datagram(now, self.session, bytes_max) else {
                break;
            };
            let Some(frame) = tap(frame) else { continue };
            if self.connection.datagrams().send(frame, false).is_err() {
                break;
            }
        }
    }

    /// Whether media is left in QUIC's buffer.
    pub fn has_media(&mut self) -> bool {
        self.connection.datagrams().send_buffer_space() < DATAGRAM_SEND_SPACE
    }

    /// The connection is to be closed once the client has its last control frames, or soon in any case.
    pub fn begin_closing(&mut self, at: Instant, reason: CloseReason) {
        if self.closing.is_none() {
            self.closing = Some((reason, at + FAREWELL));
        }
    }

    fn finish_closing(&mut self, at: Instant) {
        if let Some((reason, _)) = self.closing
            && !self.connection.is_closed()
        {
            self.connection
                .close(at, VarInt::from_u32(reason as u32), Bytes::new());
        }
    }

    /// The time of the next call, for whatever reason.
    pub fn deadline(&mut self) -> Option<Instant> {
        let farewell = self
            .closing
            .map(|(_, at)| at)
            .filter(|_| !self.connection.is_closed());
        [self.connection.poll_timeout(), farewell]
            .into_iter()
            .flatten()
            .min()
    }
}
