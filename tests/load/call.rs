//! A room in which somebody speaks and others listen.

use std::time::{Duration, Instant};

use quinn_proto::ConnectionHandle;
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    wire::relay_message::RelayRequest,
};
use subrosa_tests::{
    port::{BUFFER_BYTES, Port},
    relay_client::{RelayAddress, media_packet},
};

const ROOM: RoomId = RoomId([0x57; 16]);
const TRACK: TrackAlias = TrackAlias([0x57; 8]);
/// Frames per second: those of four who speak at once.
const RATE: f64 = 200.0;
const LISTENERS: usize = 20;

/// The room.
pub(crate) struct Call {
    speaker: Port,
    handle: ConnectionHandle,
    listeners: Port,
    buffer: Vec<u8>,
    pub(crate) start: Instant,
}

/// What the good listeners heard.
pub(crate) struct Heard {
    pub(crate) published: u64,
    pub(crate) frames: u64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
}

fn enter(port: &mut Port, relay: &RelayAddress, seed: u64) -> ConnectionHandle {
    let handle = port.dial(relay, seed);
    let limit = Instant::now() + Duration::from_secs(10);
    let mut buffer = vec![0; BUFFER_BYTES];
    while !port.clients[&handle].connected {
        assert!(Instant::now() < limit, "the relay does not answer");
        port.timeouts();
        port.turn(&mut buffer, limit, None);
    }
    let join = RelayRequest::Join {
        room: ROOM,
        alias: Alias(seed.to_le_bytes()),
        token: None,
    };
    port.ask(handle, &join);
    handle
}

/// One more listener, through this socket.
pub(crate) fn listen(port: &mut Port, relay: &RelayAddress, seed: u64) {
    let handle = enter(port, relay, seed);
    let subscribe = RelayRequest::Subscribe {
        room: ROOM,
        track: TRACK,
    };
    port.ask(handle, &subscribe);
}

impl Call {
    /// Everybody comes in, from sockets at `at`.
    pub(crate) fn open(relay: &RelayAddress, at: &str) -> Self {
        let mut speaker = Port::bound(at, 1);
        let handle = enter(&mut speaker, relay, 1);
        speaker.ask(
            handle,
            &RelayRequest::Announce {
                room: ROOM,
                track: TRACK,
            },
        );
        let mut call = Self {
            speaker,
            handle,
            listeners: Port::bound(at, 2),
            buffer: vec![0; BUFFER_BYTES],
            start: Instant::now(),
        };
        call.speaker.turn(&mut call.buffer, call.start, None);
        for seed in 0..LISTENERS as u64 {
            listen(&mut call.listeners, relay, 100 + seed);
        }
        call
    }

    /// Speech for a while; `meanwhile` is what others do.
    pub(crate) fn speak(&mut self, during: Duration, mut meanwhile: impl FnMut(&mut [u8])) -> Heard {
        let (begun, before) = (Instant::now(), self.listeners.frames);
        let (mut published, mut delays) = (0, Vec::new());
        while begun.elapsed() < during + Duration::from_millis(200) {
            let due = (begun.elapsed().min(during).as_secs_f64() * RATE) as u64;
            while published < due {
                let mut payload = [0; 150];
                payload[..8].copy_from_slice(&(self.start.elapsed().as_nanos() as u64).to_le_bytes());
                let client = self.speaker.clients.get_mut(&self.handle).expect("the speaker");
                let frame = media_packet(TRACK, &payload);
                client.connection.datagrams().send(frame, true).expect("it fits");
                self.speaker.touch(self.handle);
                published += 1;
            }
            for port in [&mut self.speaker, &mut self.listeners] {
                port.timeouts();
                port.turn(&mut self.buffer, self.start, Some(&mut delays));
            }
            meanwhile(&mut self.buffer);
        }
        delays.sort_unstable();
        let at = |share: f64| {
            let last = delays.len().saturating_sub(1) as f64;
            delays
                .get((last * share) as usize)
                .map_or(0.0, |us| f64::from(*us) / 1e3)
        };
        Heard {
            published,
            frames: self.listeners.frames - before,
            p50_ms: at(0.5),
            p99_ms: at(0.99),
        }
    }
}

impl Heard {
    /// What should have been heard.
    pub(crate) fn wanted(&self) -> u64 {
        self.published * LISTENERS as u64
    }

    /// Whether every listener heard every frame.
    pub(crate) fn is_whole(&self) -> bool {
        self.frames == self.wanted()
    }
}
