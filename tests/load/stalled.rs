//! Listeners that do not keep up, beside others in the same room.

use std::time::{Duration, Instant};

use quinn_proto::ConnectionHandle;
use serde_json::json;
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    wire::relay_message::RelayRequest,
};
use subrosa_tests::{
    port::{BUFFER_BYTES, Port},
    relay_client::media_packet,
};

use crate::{holds, relay::Relay};

const ROOM: RoomId = RoomId([0x57; 16]);
const TRACK: TrackAlias = TrackAlias([0x57; 8]);
/// Frames per second: those of four who speak at once.
const RATE: f64 = 200.0;
const LISTENERS: usize = 20;
const DURING: Duration = Duration::from_secs(20);
/// How seldom the slow one looks.
const SLOW: Duration = Duration::from_millis(400);
/// What waits for a listener is bounded: memory must not grow by more than this.
const GROWTH_BYTES_MAX: u64 = 4 << 20;

struct Room {
    speaker: Port,
    handle: ConnectionHandle,
    listeners: Port,
    buffer: Vec<u8>,
    start: Instant,
}

/// What the good listeners heard.
struct Heard {
    published: u64,
    frames: u64,
    p50_ms: f64,
    p99_ms: f64,
}

fn enter(port: &mut Port, relay: &Relay, seed: u64) -> ConnectionHandle {
    let handle = port.dial(&relay.address, seed);
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

fn listen(port: &mut Port, relay: &Relay, seed: u64) {
    let handle = enter(port, relay, seed);
    let subscribe = RelayRequest::Subscribe {
        room: ROOM,
        track: TRACK,
    };
    port.ask(handle, &subscribe);
}

impl Room {
    fn open(relay: &Relay) -> Self {
        let mut speaker = Port::new(1);
        let handle = enter(&mut speaker, relay, 1);
        speaker.ask(
            handle,
            &RelayRequest::Announce {
                room: ROOM,
                track: TRACK,
            },
        );
        let mut room = Self {
            speaker,
            handle,
            listeners: Port::new(2),
            buffer: vec![0; BUFFER_BYTES],
            start: Instant::now(),
        };
        room.speaker.turn(&mut room.buffer, room.start, None);
        for seed in 0..LISTENERS as u64 {
            listen(&mut room.listeners, relay, 100 + seed);
        }
        room
    }

    /// Speech for a while; `meanwhile` is what others do.
    fn speak(&mut self, mut meanwhile: impl FnMut(&mut [u8])) -> Heard {
        let (begun, before) = (Instant::now(), self.listeners.frames);
        let (mut published, mut delays) = (0, Vec::new());
        while begun.elapsed() < DURING + Duration::from_millis(200) {
            let due = (begun.elapsed().min(DURING).as_secs_f64() * RATE) as u64;
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
    fn print(&self, name: &str, resident: u64) {
        println!(
            "{}",
            json!({
                "figure": "beside_stalled", "run": name, "published": self.published, "delivered": self.frames,
                "wanted": self.published * LISTENERS as u64, "delay_ms_p50": self.p50_ms, "delay_ms_p99": self.p99_ms,
                "resident_bytes": resident,
            })
        );
    }

    fn is_whole(&self) -> bool {
        self.frames == self.published * LISTENERS as u64
    }
}

/// The room alone, and then with the two; whether the others noticed nothing.
pub(crate) fn run() -> bool {
    let relay = Relay::start();
    let mut room = Room::open(&relay);
    room.speak(|_| {});
    let alone = room.speak(|_| {});
    let resident = relay.resident_bytes();
    alone.print("alone", resident);

    let mut stalled = Port::new(3);
    listen(&mut stalled, &relay, 200);
    let mut buffer = vec![0; BUFFER_BYTES];
    stalled.turn(&mut buffer, room.start, None);
    let mut slow = Port::new(4);
    listen(&mut slow, &relay, 201);
    let (start, before) = (room.start, relay.metrics());
    let mut looked = Instant::now();
    let beside = room.speak(|buffer| {
        if looked.elapsed() > SLOW {
            looked = Instant::now();
            slow.timeouts();
            slow.turn(buffer, start, None);
        }
    });
    let after = relay.metrics();
    let grown = relay.resident_bytes().saturating_sub(resident);
    beside.print("beside a stalled and a slow listener", resident + grown);
    println!(
        "the slow one got {} of {}, dropped by the relay: {:?}",
        slow.frames,
        beside.published,
        after.drops(&before)
    );
    [
        holds(
            "everybody else hears every frame",
            alone.is_whole() && beside.is_whole(),
        ),
        holds(
            &format!("delay p99 {:.2} ms, {:.2} alone", beside.p99_ms, alone.p99_ms),
            beside.p99_ms <= 1.5 * alone.p99_ms + 1.0,
        ),
        holds(
            &format!("memory grew by {:.1} kB", grown as f64 / 1e3),
            grown <= GROWTH_BYTES_MAX,
        ),
    ]
    .into_iter()
    .all(|held| held)
}
