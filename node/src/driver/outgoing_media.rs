//! Media on the way into a connection: what it does not take at once waits, and what waits too long is dropped.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use quinn::{Connection, SendDatagramError};
use subrosa_proto::quic::MediaQueue;
use tokio::sync::Notify;

use super::clock::Clock;

/// See the module.
#[derive(Debug)]
pub(super) struct OutgoingMedia {
    connection: Connection,
    clock: Clock,
    waiting: Mutex<MediaQueue>,
    some_waits: Notify,
}

impl OutgoingMedia {
    pub(super) fn new(connection: Connection, clock: Clock) -> Self {
        Self {
            connection,
            clock,
            waiting: Mutex::default(),
            some_waits: Notify::new(),
        }
    }

    /// Sends a datagram, now or soon.
    pub(super) fn send(&self, datagram: Bytes) {
        let mut waiting = self.waiting();
        if waiting.is_empty() && self.connection.datagram_send_buffer_space() >= datagram.len() {
            // What is too large for the path or comes too late is lost, as anywhere.
            let _ = self.connection.send_datagram(datagram);
            return;
        }
        waiting.push(self.clock.timestamp(), datagram);
        drop(waiting);
        self.some_waits.notify_one();
    }

    /// Sends what waits, until the connection ends.
    pub(super) async fn serve(&self) {
        loop {
            tokio::select! {
                _ = self.connection.closed() => return,
                () = self.some_waits.notified() => {}
            }
            while let Some(datagram) = self.next() {
                let sent = self.connection.send_datagram_wait(datagram).await;
                if matches!(sent, Err(SendDatagramError::ConnectionLost(_))) {
                    return;
                }
            }
        }
    }

    fn next(&self) -> Option<Bytes> {
        let now = self.clock.timestamp();
        self.waiting().pop(now).map(|(_, datagram)| datagram)
    }

    fn waiting(&self) -> MutexGuard<'_, MediaQueue> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
