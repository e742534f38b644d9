//! Stream objects on their way to one listener.

use std::collections::{BTreeMap, VecDeque};

use super::relay_link::STREAM_REFUSED;
use crate::{relay::ForwardId, wire::stream_object::StreamHeader};
use bytes::Bytes;
use quinn_proto::{Connection, Dir, StreamId, WriteError};

/// Bytes that wait for one listener on one stream. A group beyond is cut off: the listener is too slow for it, and the
/// next group can be decoded without it.
const BACKLOG_MAX: usize = 256 * 1024;

/// See the module.
#[derive(Debug, Default)]
pub struct ForwardStreams {
    open: BTreeMap<StreamId, Forward>,
    by_forward: BTreeMap<ForwardId, StreamId>,
}

#[derive(Debug)]
struct Forward {
    id: ForwardId,
    waiting: VecDeque<Bytes>,
    bytes: usize,
    finished: bool,
}

impl ForwardStreams {
    /// Opens a stream; `false` if the listener takes no more of them.
    pub fn open(&mut self, connection: &mut Connection, id: ForwardId, header: &StreamHeader) -> bool {
        let Some(stream) = connection.streams().open(Dir::Uni) else {
            return false;
        };
        let _ = connection
            .send_stream(stream)
            .set_priority(i32::from(header.priority));
        let head = Bytes::copy_from_slice(&header.encode());
        let forward = Forward {
            id,
            bytes: head.len(),
            waiting: VecDeque::from([head]),
            finished: false,
        };
        self.open.insert(stream, forward);
        self.by_forward.insert(id, stream);
        self.write(connection, stream);
        true
    }

    /// Appends bytes; `false` if the listener is too slow and the stream was reset.
    pub fn push(&mut self, connection: &mut Connection, id: ForwardId, bytes: Bytes) -> bool {
        let Some(&stream) = self.by_forward.get(&id) else {
            return true;
        };
        let Some(forward) = self.open.get_mut(&stream) else {
            return true;
        };
        forward.bytes += bytes.len();
        forward.waiting.push_back(bytes);
        self.write(connection, stream);
        if self.open.get(&stream).is_some_and(|f| f.bytes > BACKLOG_MAX) {
            self.reset(connection, id);
            return false;
        }
        true
    }

    pub fn finish(&mut self, connection: &mut Connection, id: ForwardId) {
        let Some(&stream) = self.by_forward.get(&id) else {
            return;
        };
        if let Some(forward) = self.open.get_mut(&stream) {
            forward.finished = true;
        }
        self.write(connection, stream);
    }

    pub fn reset(&mut self, connection: &mut Connection, id: ForwardId) {
        if let Some(stream) = self.by_forward.remove(&id) {
            self.open.remove(&stream);
            let _ = connection.send_stream(stream).reset(STREAM_REFUSED);
        }
    }

    /// Writes what waits, as far as the stream takes it.
    pub fn write(&mut self, connection: &mut Connection, stream: StreamId) {
        let Some(forward) = self.open.get_mut(&stream) else {
            return;
        };
        while let Some(front) = forward.waiting.front_mut() {
            let mut chunk = [front.clone()];
            match connection.send_stream(stream).write_chunks(&mut chunk) {
                Ok(written) => {
                    forward.bytes -= written.bytes;
                    if written.chunks == 1 {
                        forward.waiting.pop_front();
                    } else {
                        *front = std::mem::take(&mut chunk[0]);
                    }
                }
                Err(WriteError::Blocked) => return,
                // Stopped or closed: an event says so.
                Err(_) => return,
            }
        }
        if forward.finished {
            let _ = connection.send_stream(stream).finish();
            let id = forward.id;
            self.open.remove(&stream);
            self.by_forward.remove(&id);
        }
    }

    /// The stream ended; gives its name if it was not finished.
    pub fn forget(&mut self, stream: StreamId) -> Option<ForwardId> {
        let forward = self.open.remove(&stream)?;
        self.by_forward.remove(&forward.id);
        Some(forward.id)
    }
}
