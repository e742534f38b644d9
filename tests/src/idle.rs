//! Sessions that do nothing: what they cost a relay.

use std::time::{Duration, Instant};

use crate::{
    port::{BUFFER_BYTES, Port},
    relay_client::RelayAddress,
};
use subrosa_proto::{
    ids::{Alias, RoomId},
    wire::relay_message::RelayRequest,
};

/// Sessions that joined a room and do nothing more.
pub struct IdleSessions {
    relay: RelayAddress,
    port: Port,
    buffer: Vec<u8>,
    start: Instant,
}

impl IdleSessions {
    /// None yet.
    ///
    /// # Panics
    /// If the system has no socket to give.
    #[must_use]
    pub fn new(relay: RelayAddress) -> Self {
        Self {
            relay,
            port: Port::new(99),
            buffer: vec![0; BUFFER_BYTES],
            start: Instant::now(),
        }
    }

    /// Adds sessions, ten to a room, and lets them settle.
    ///
    /// # Panics
    /// If the relay does not answer.
    pub fn grow_to(&mut self, sessions: usize) {
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
        self.rest(Duration::from_secs(2));
    }

    /// Keeps the sessions for a while.
    pub fn rest(&mut self, during: Duration) {
        let until = Instant::now() + during;
        while Instant::now() < until {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.port.timeouts();
        self.port.turn(&mut self.buffer, self.start, None);
    }
}
