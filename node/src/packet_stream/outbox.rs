//! Packets that wait for a TCP stream.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use bytes::Bytes;
use subrosa_proto::{packet_stream::PacketQueue, time::Timestamp};
use tokio::sync::Notify;

/// A [`PacketQueue`] that its writer waits for.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<PacketQueue>,
    began: Instant,
    filled: Notify,
}

impl Outbox {
    pub(crate) fn new() -> Self {
        Self {
            queue: Mutex::new(PacketQueue::new()),
            began: Instant::now(),
            filled: Notify::new(),
        }
    }

    fn queue(&self) -> MutexGuard<'_, PacketQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.began.elapsed()
    }

    /// Queues the packets of one send; the last may be shorter than `segment`.
    pub(crate) fn push(&self, contents: &[u8], segment: Option<usize>) {
        let now = self.now();
        let mut queue = self.queue();
        for packet in contents.chunks(segment.unwrap_or(contents.len()).max(1)) {
            queue.push(now, Bytes::copy_from_slice(packet));
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// The next packet that is still worth sending. Cancel-safe.
    pub(crate) async fn next(&self) -> Bytes {
        loop {
            let packet = self.queue().pop(self.now());
            if let Some(packet) = packet {
                return packet;
            }
            self.filled.notified().await;
        }
    }

    /// Packets dropped so far.
    pub(crate) fn dropped(&self) -> u64 {
        self.queue().dropped()
    }
}
