//! Stream objects: one group of a track on one stream, forwarded as it comes.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::{
    ids::{RoomId, TrackAlias},
    relay::{
        limits::STREAMS_PER_SESSION_MAX,
        machine::{Relay, RelayOutput},
        room::Index,
        session::SessionId,
    },
    time::Now,
    wire::{
        relay_message::RefusalCode,
        stream_object::{STREAM_BYTES_MAX, STREAM_HEADER_BYTES, StreamHeader},
    },
};

/// A stream toward a listener, as the relay numbers them; never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardId(pub u64);

#[derive(Debug, Default)]
pub(super) struct Streams {
    /// By sender and the driver's number of its stream.
    incoming: BTreeMap<(SessionId, u64), Incoming>,
    next: u64,
}

impl Streams {
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.incoming.is_empty()
    }
}

#[derive(Debug)]
struct Incoming {
    /// The sender is in the room as long as this stream is known, so the index stays valid.
    room: Index,
    room_id: RoomId,
    track: TrackAlias,
    bytes: u64,
    forwards: Vec<(SessionId, ForwardId)>,
}

impl Relay {
    /// A client opened a stream and its header is whole. `stream` is the driver's number of it.
    pub fn handle_stream_object(&mut self, now: Now, sender: SessionId, stream: u64, header: StreamHeader) {
        let stop = RelayOutput::StreamStop {
            session: sender,
            stream,
        };
        let announced = self
            .session_ref(sender)
            .and_then(|s| s.announced.get(&header.track).copied());
        let Some(track) = announced.filter(|a| a.room == header.room).map(|a| a.track) else {
            self.stats.streams_dropped += 1;
            self.refuse_media(now, sender, header.track, RefusalCode::NotAnnounced);
            return self.output.push_back(stop);
        };
        let (open, clients) = self
            .session_ref(sender)
            .map_or((0, 1), |s| (s.streams, s.clients()));
        let listeners: Vec<SessionId> = self.tracks[track]
            .listeners
            .iter()
            .copied()
            .filter(|&l| l != sender)
            .collect();
        if listeners.is_empty() || open >= STREAMS_PER_SESSION_MAX * clients {
            self.stats.streams_dropped += 1;
            return self.output.push_back(stop);
        }
        let room = self.tracks[track].room;
        if let Err((_, code)) = self.charge(now, sender, room, false, (STREAM_HEADER_BYTES, listeners.len()))
        {
            self.stats.streams_dropped += listeners.len() as u64;
            self.refuse_media(now, sender, header.track, code);
            return self.output.push_back(stop);
        }
        let mut forwards = Vec::with_capacity(listeners.len());
        for listener in listeners {
            let id = ForwardId(self.streams.next);
            self.streams.next += 1;
            forwards.push((listener, id));
            self.stats.streams_forwarded += 1;
            self.stats.forward_bytes(STREAM_HEADER_BYTES as u64);
            self.output.push_back(RelayOutput::StreamOpen {
                session: listener,
                stream: id,
                header,
            });
        }
        if let Some(session) = self.session(sender) {
            session.streams += 1;
        }
        let bytes = STREAM_HEADER_BYTES as u64;
        self.streams.incoming.insert(
            (sender, stream),
            Incoming {
                room,
                room_id: header.room,
                track: header.track,
                bytes,
                forwards,
            },
        );
    }

    /// The next bytes of such a stream. A group beyond its bound or beyond a quota is cut off for everybody.
    pub fn handle_stream_data(&mut self, now: Now, sender: SessionId, stream: u64, bytes: &Bytes) {
        let Some(incoming) = self.streams.incoming.get_mut(&(sender, stream)) else {
            return;
        };
        incoming.bytes += bytes.len() as u64;
        let (room, track, total) = (incoming.room, incoming.track, incoming.bytes);
        let listeners = incoming.forwards.len();
        if total > STREAM_BYTES_MAX || listeners == 0 {
            return self.cut_stream(sender, stream);
        }
        if let Err((_, code)) = self.charge(now, sender, room, false, (bytes.len(), listeners)) {
            self.refuse_media(now, sender, track, code);
            return self.cut_stream(sender, stream);
        }
        let Some(incoming) = self.streams.incoming.get(&(sender, stream)) else {
            return;
        };
        for &(session, id) in &incoming.forwards {
            self.stats.forward_bytes(bytes.len() as u64);
            self.output.push_back(RelayOutput::StreamData {
                session,
                stream: id,
                bytes: bytes.clone(),
            });
        }
    }

    /// The sender finished the stream (`whole`) or reset it.
    pub fn handle_stream_end(&mut self, sender: SessionId, stream: u64, whole: bool) {
        let Some(incoming) = self.forget_stream(sender, stream) else {
            return;
        };
        for (session, stream) in incoming.forwards {
            self.output.push_back(if whole {
                RelayOutput::StreamFinish { session, stream }
            } else {
                RelayOutput::StreamReset { session, stream }
            });
        }
    }

    /// A listener's stream ended early: it stopped it, is too slow, or takes no more streams.
    pub fn handle_forward_ended(&mut self, listener: SessionId, stream: ForwardId) {
        self.stats.streams_dropped += 1;
        for incoming in self.streams.incoming.values_mut() {
            incoming.forwards.retain(|&forward| forward != (listener, stream));
        }
    }

    fn cut_stream(&mut self, sender: SessionId, stream: u64) {
        let Some(incoming) = self.forget_stream(sender, stream) else {
            return;
        };
        for (session, stream) in incoming.forwards {
            self.stats.streams_dropped += 1;
            self.output
                .push_back(RelayOutput::StreamReset { session, stream });
        }
        self.output.push_back(RelayOutput::StreamStop {
            session: sender,
            stream,
        });
    }

    fn forget_stream(&mut self, sender: SessionId, stream: u64) -> Option<Incoming> {
        let incoming = self.streams.incoming.remove(&(sender, stream))?;
        if let Some(session) = self.session(sender) {
            session.streams = session.streams.saturating_sub(1);
        }
        Some(incoming)
    }

    /// The sender withdrew a track: its open groups end.
    pub(super) fn cut_streams_of_track(&mut self, sender: SessionId, track: TrackAlias) {
        let of_sender = self.streams.incoming.range((sender, 0)..=(sender, u64::MAX));
        let open: Vec<u64> = of_sender
            .filter(|(_, i)| i.track == track)
            .map(|(&(_, stream), _)| stream)
            .collect();
        for stream in open {
            self.cut_stream(sender, stream);
        }
    }

    /// A listener unsubscribed: its share of the open groups ends.
    pub(super) fn stop_forwards(&mut self, listener: SessionId, room: RoomId, track: TrackAlias) {
        let output = &mut self.output;
        let of_track = |i: &&mut Incoming| i.track == track && i.room_id == room;
        for incoming in self.streams.incoming.values_mut().filter(of_track) {
            incoming.forwards.retain(|&(session, stream)| {
                if session == listener {
                    output.push_back(RelayOutput::StreamReset { session, stream });
                }
                session != listener
            });
        }
    }

    /// A session ended: its own streams are reset for their listeners, and it listens no more.
    pub(super) fn end_streams_of(&mut self, id: SessionId) {
        let own: Vec<u64> = self
            .streams
            .incoming
            .range((id, 0)..=(id, u64::MAX))
            .map(|(&(_, stream), _)| stream)
            .collect();
        for stream in own {
            self.handle_stream_end(id, stream, false);
        }
        for incoming in self.streams.incoming.values_mut() {
            incoming.forwards.retain(|&(listener, _)| listener != id);
        }
    }
}
