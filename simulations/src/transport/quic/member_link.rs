//! A participant's end of a connection, as `node/src/driver/link.rs` has it: one control stream, which the dialler opens, datagrams,
//! and a farewell that lets the last frames arrive.

use std::{collections::VecDeque, time::Instant};

use bytes::{Buf, Bytes};
use quinn_proto::{
    Connection, Dir, Event, ReadError, SendDatagramError, StreamEvent, StreamId, VarInt, WriteError,
};
use subrosa_proto::{
    ids::LinkId,
    meeting::participant::DialId,
    quic::{CLOSE_PATIENCE, CONTROL_QUEUE_MAX, MediaQueue},
    time::Timestamp,
    wire::framing::{self, FrameReader},
};

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Nobody is told of it yet.
    Handshaking,
    /// The participant's link.
    Up(LinkId),
    /// The participant was told that it is gone, or never knew of it.
    Over,
}

/// What a connection has to say.
pub(super) enum Happened {
    /// The handshake finished.
    Connected,
    /// A control frame came.
    Control(Bytes),
    /// A datagram came.
    Datagram(Bytes),
    /// The connection ended.
    Lost,
}

/// See the module.
pub(super) struct MemberLink {
    pub(super) connection: Connection,
    pub(super) state: State,
    /// The participant's name for the dial; `None` for who was dialled, or if nobody waits for it.
    pub(super) dial: Option<DialId>,
    pub(super) dialled: bool,
    /// A participant is at the other end.
    pub(super) leads_to_member: bool,
    control: Option<StreamId>,
    reader: FrameReader,
    waiting: VecDeque<Bytes>,
    media: MediaQueue,
    /// It is being closed: nothing more is sent.
    closing: bool,
    finished: bool,
    /// The neighbour ended its side of the control stream.
    neighbour_ended: bool,
    /// When the handshake or the farewell has taken too long.
    pub(super) deadline: Option<Instant>,
}

impl MemberLink {
    pub(super) fn new(
        connection: Connection,
        dialled: bool,
        dial: Option<DialId>,
        deadline: Instant,
    ) -> Self {
        Self {
            connection,
            state: State::Handshaking,
            dial,
            dialled,
            leads_to_member: false,
            control: None,
            reader: FrameReader::new(),
            waiting: VecDeque::new(),
            media: MediaQueue::default(),
            closing: false,
            finished: false,
            neighbour_ended: false,
            deadline: Some(deadline),
        }
    }

    /// The link is the participant's from now on.
    pub(super) fn establish(&mut self, link: LinkId) {
        self.state = State::Up(link);
        self.deadline = None;
        if self.dialled {
            self.control = self.connection.streams().open(Dir::Bi);
        }
    }

    /// Queues a control frame. A link whose queue is full is closed: its neighbour does not read.
    pub(super) fn send_control(&mut self, at: Instant, frame: &[u8]) {
        if self.closing {
            return;
        }
        if self.waiting.len() >= CONTROL_QUEUE_MAX {
            self.connection
                .close(at, VarInt::from_u32(2), Bytes::from_static(b"control queue full"));
            return;
        }
        self.waiting.push_back(framing::frame(frame));
    }

    /// Sends a datagram as soon as the connection takes it, unless that is too late.
    pub(super) fn send_datagram(&mut self, now: Timestamp, bytes: Vec<u8>) {
        if !self.closing {
            self.media.push(now, bytes.into());
            self.write_media(now);
        }
    }

    /// Gives the connection what waits, as far as it takes it. Whether it took something.
    pub(super) fn write_media(&mut self, now: Timestamp) -> bool {
        let mut took = false;
        while let Some((since, datagram)) = self.media.pop(now) {
            match self.connection.datagrams().send(datagram, false) {
                Err(SendDatagramError::Blocked(datagram)) => {
                    self.media.put_back((since, datagram));
                    break;
                }
                // What is too large for the path is lost, as anywhere.
                _ => took = true,
            }
        }
        took
    }

    /// Closes after what is queued, or soon in any case.
    pub(super) fn begin_closing(&mut self, at: Instant) {
        if !self.closing {
            self.closing = true;
            self.deadline = Some(at + CLOSE_PATIENCE);
        }
    }

    /// Ends the connection now.
    pub(super) fn end(&mut self, at: Instant) {
        self.connection
            .close(at, VarInt::from_u32(0), Bytes::from_static(b"done"));
    }

    /// What happened on the connection, in order.
    pub(super) fn collect(&mut self, at: Instant, happened: &mut Vec<Happened>) {
        while let Some(event) = self.connection.poll() {
            match event {
                Event::Connected => happened.push(Happened::Connected),
                Event::ConnectionLost { .. } => happened.push(Happened::Lost),
                Event::DatagramReceived => {
                    while let Some(datagram) = self.connection.datagrams().recv() {
                        happened.push(Happened::Datagram(datagram));
                    }
                }
                Event::Stream(StreamEvent::Opened { dir: Dir::Bi }) if self.control.is_none() => {
                    self.control = self.connection.streams().accept(Dir::Bi);
                    self.read_control(at, happened);
                }
                Event::Stream(StreamEvent::Readable { id }) if Some(id) == self.control => {
                    self.read_control(at, happened);
                }
                _ => {}
            }
        }
    }

    fn read_control(&mut self, at: Instant, happened: &mut Vec<Happened>) {
        let Some(id) = self.control else { return };
        let mut stream = self.connection.recv_stream(id);
        let Ok(mut chunks) = stream.read(true) else { return };
        let mut bad = false;
        let ended = loop {
            match chunks.next(usize::MAX) {
                Ok(Some(chunk)) => self.reader.push(&chunk.bytes),
                Ok(None) | Err(ReadError::Reset(_)) => break true,
                Err(ReadError::Blocked) => break false,
            }
            loop {
                match self.reader.next_frame() {
                    Ok(Some(frame)) => happened.push(Happened::Control(frame)),
                    Ok(None) => break,
                    Err(_) => {
                        bad = true;
                        break;
                    }
                }
            }
            if bad {
                break false;
            }
        };
        let _ = chunks.finalize();
        if bad {
            self.connection
                .close(at, VarInt::from_u32(1), Bytes::from_static(b"bad frame"));
        }
        if ended {
            self.neighbour_ended = true;
            if !self.closing {
                // What was still to be said is of no use to whoever has left: an end for an end.
                self.waiting.clear();
                self.begin_closing(at);
            } else if self.finished {
                self.end(at);
            }
        }
    }

    /// Moves what waits into the stream, as far as it takes it.
    pub(super) fn write_control(&mut self, at: Instant) {
        let Some(id) = self.control else { return };
        while let Some(front) = self.waiting.front_mut() {
            match self.connection.send_stream(id).write(front) {
                Ok(written) => {
                    front.advance(written);
                    if front.is_empty() {
                        self.waiting.pop_front();
                    }
                }
                Err(WriteError::Blocked) => return,
                Err(_) => {
                    self.waiting.clear();
                    return;
                }
            }
        }
        if self.closing && !self.finished {
            let ended_first = self.neighbour_ended;
            self.finished = self.connection.send_stream(id).finish().is_ok();
            if self.finished && self.neighbour_ended && !ended_first {
                self.end(at);
            }
        }
    }

    /// When to call again, for whatever reason.
    pub(super) fn next(&mut self) -> Option<Instant> {
        let own = self.deadline.filter(|_| !self.connection.is_closed());
        [self.connection.poll_timeout(), own].into_iter().flatten().min()
    }
}
