//! Sessions that do nothing: what they cost a relay.

use std::time::{Duration, Instant};

use subrosa_proto::{
    ids::{Alias, RoomId},
    wire::relay_message::RelayRequest,
};
use subrosa_tests::relay_client::RelayAddress;

use crate::port::{BUFFER_BYTES, Port};

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
            buffer: vec![0; BUFFER_BYTES],
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
