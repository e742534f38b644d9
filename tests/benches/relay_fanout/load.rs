//! The load: publishers and listeners of their tracks.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::Bytes;
use quinn_proto::ConnectionHandle;
use serde_json::Value;
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    wire::relay_message::RelayRequest,
};
use subrosa_tests::{
    port::{BUFFER_BYTES, Port},
    relay_client::{RelayAddress, media_packet},
};

use crate::{figures::Fanout, process::Child};

const ROOM: RoomId = RoomId([3; 16]);
/// Listeners that share a socket of the load.
const PER_SOCKET: usize = 10;
/// How long the last listener, or all, may take to hear a frame before it counts as lost.
const LOST_AFTER: Duration = Duration::from_millis(100);
/// How long the set-up may take until everybody hears everybody.
const SETTLE_MAX: Duration = Duration::from_secs(20);

/// Publishers, each with a track, and listeners of all tracks.
pub(crate) struct Load {
    /// The publishers', then the listeners'; the last listener has the last port to itself.
    ports: Vec<Port>,
    publishers: Vec<ConnectionHandle>,
    listeners: usize,
    bytes: usize,
    buffer: Vec<u8>,
    start: Instant,
}

fn track(i: usize) -> TrackAlias {
    TrackAlias((i as u64).to_le_bytes())
}

fn join(alias: usize) -> RelayRequest {
    RelayRequest::Join {
        room: ROOM,
        alias: Alias((alias as u64).to_le_bytes()),
        token: None,
    }
}

impl Load {
    /// Connects everybody, and returns when each listener has heard each publisher.
    pub(crate) fn connect(relay: RelayAddress, publishers: usize, listeners: usize, bytes: usize) -> Self {
        let listener_ports = (listeners - 1).div_ceil(PER_SOCKET) + 1;
        let mut ports: Vec<Port> = (0..=listener_ports).map(|i| Port::new(i as u8)).collect();
        let handles: Vec<_> = (0..publishers).map(|i| ports[0].dial(&relay, i as u64)).collect();
        let mut load = Self {
            ports,
            publishers: handles,
            listeners,
            bytes,
            buffer: vec![0; BUFFER_BYTES],
            start: Instant::now(),
        };
        let mut listening = Vec::new();
        for i in 0..listeners {
            let last = i + 1 == listeners;
            let port = if last { listener_ports } else { 1 + i / PER_SOCKET };
            listening.push((port, load.ports[port].dial(&relay, 1_000 + i as u64)));
            load.turns(Duration::from_millis(5));
        }
        load.turns_until("everybody is connected", |load| {
            let mut clients = load.ports.iter().flat_map(|port| port.clients.values());
            clients.all(|client| client.connected)
        });
        for (i, handle) in load.publishers.clone().into_iter().enumerate() {
            let announce = RelayRequest::Announce {
                room: ROOM,
                track: track(i),
            };
            load.ports[0].ask(handle, &join(i));
            load.ports[0].ask(handle, &announce);
        }
        for (i, &(port, handle)) in listening.iter().enumerate() {
            load.ports[port].ask(handle, &join(1_000 + i));
            for t in 0..publishers {
                let subscribe = RelayRequest::Subscribe {
                    room: ROOM,
                    track: track(t),
                };
                load.ports[port].ask(handle, &subscribe);
            }
            load.turns(Duration::from_millis(2));
        }
        load.settle();
        load
    }

    /// One frame of each publisher at a time, until all listeners heard all of them: a run must not measure a set-up that
    /// is still under way.
    fn settle(&mut self) {
        let begun = Instant::now();
        loop {
            let before = self.heard();
            for i in 0..self.publishers.len() {
                self.publish(i);
            }
            self.turns(Duration::from_millis(250));
            let (heard, wanted) = (
                self.heard() - before,
                (self.publishers.len() * self.listeners) as u64,
            );
            if heard == wanted {
                return;
            }
            assert!(
                begun.elapsed() < SETTLE_MAX,
                "listeners heard {heard} frames of {wanted}: not everybody hears everybody"
            );
        }
    }

    fn turns_until(&mut self, what: &str, reached: impl Fn(&Self) -> bool) {
        let limit = Instant::now() + SETTLE_MAX;
        while !reached(self) {
            assert!(Instant::now() < limit, "it takes too long until {what}");
            self.turns(Duration::from_millis(10));
        }
    }

    fn turns(&mut self, during: Duration) {
        let until = Instant::now() + during;
        while Instant::now() < until {
            for port in &mut self.ports {
                port.timeouts();
                port.turn(&mut self.buffer, self.start, None);
            }
        }
    }

    /// Sends `rate` frames per second in turn from all publishers, and counts.
    pub(crate) fn run(&mut self, child: &mut Child, rate: f64, during: Duration) -> Fanout {
        let mark = Mark::set(self, child);
        let mut delays = Vec::new();
        let mut due_sent = 0_u64;
        let mut published = 0_u64;
        let mut last_timeouts = mark.begun;
        while mark.begun.elapsed() < during {
            let due = (mark.begun.elapsed().as_secs_f64() * rate) as u64;
            // A load that fell behind does not make up for it in one burst.
            due_sent = due_sent.max(due.saturating_sub(400));
            while due_sent < due {
                self.publish(due_sent as usize);
                due_sent += 1;
                published += 1;
            }
            for port in &mut self.ports {
                port.turn(&mut self.buffer, self.start, Some(&mut delays));
            }
            if last_timeouts.elapsed() > Duration::from_millis(1) {
                last_timeouts = Instant::now();
                for port in &mut self.ports {
                    port.timeouts();
                }
            }
        }
        mark.measure(self, child, published, delays)
    }

    /// Sends a frame only when everybody has heard the one before, so that no two frames ever share a datagram. The delays
    /// are those of the listener that is served last, whose socket is looked at before all others.
    pub(crate) fn run_one_by_one(&mut self, child: &mut Child, during: Duration) -> Fanout {
        let mark = Mark::set(self, child);
        let mut delays = Vec::new();
        let mut published = 0;
        while mark.begun.elapsed() < during {
            let (heard, last) = (self.heard(), self.last_port().frames);
            self.publish(published as usize);
            published += 1;
            self.ports[0].turn(&mut self.buffer, self.start, None);
            let sent = Instant::now();
            while self.last_port().frames == last && sent.elapsed() < LOST_AFTER {
                let port = self.ports.last_mut().expect("ports");
                port.turn(&mut self.buffer, self.start, Some(&mut delays));
            }
            while self.heard() < heard + self.listeners as u64 && sent.elapsed() < LOST_AFTER {
                for port in &mut self.ports {
                    port.turn(&mut self.buffer, self.start, None);
                }
            }
            for port in &mut self.ports {
                port.timeouts();
            }
        }
        mark.measure(self, child, published, delays)
    }

    fn last_port(&self) -> &Port {
        self.ports.last().expect("ports")
    }

    fn heard(&self) -> u64 {
        self.ports.iter().map(|p| p.frames).sum()
    }

    fn publish(&mut self, i: usize) {
        let i = i % self.publishers.len();
        let handle = self.publishers[i];
        let mut payload = vec![0; self.bytes - 10];
        payload[..8].copy_from_slice(&(self.start.elapsed().as_nanos() as u64).to_le_bytes());
        let frame: Bytes = media_packet(track(i), &payload);
        let client = self.ports[0].clients.get_mut(&handle).expect("a publisher");
        // The oldest goes if the connection is behind; anything else is a mistake of this bench.
        let sent = client.connection.datagrams().send(frame, true);
        sent.expect("a frame that fits QUIC's smallest packet");
        self.ports[0].touch(handle);
    }
}

/// Where all counters stood when a run began.
struct Mark {
    report: Value,
    cpu: Duration,
    heard: u64,
    begun: Instant,
}

impl Mark {
    fn set(load: &Load, child: &mut Child) -> Self {
        Self {
            report: child.report(load.sessions()),
            cpu: child.cpu(),
            heard: load.heard(),
            begun: Instant::now(),
        }
    }

    fn measure(self, load: &mut Load, child: &mut Child, published: u64, mut delays: Vec<u32>) -> Fanout {
        let cpu = child
            .cpu()
            .checked_sub(self.cpu)
            .expect("a process's CPU time grows");
        let wall = self.begun.elapsed();
        load.turns(LOST_AFTER);
        let after = child.report(load.sessions());
        delays.sort_unstable();
        let diff = |key: &str| {
            let value = |report: &Value| report[key].as_u64().expect("a counter");
            value(&after)
                .checked_sub(value(&self.report))
                .expect("a counter grows")
        };
        Fanout {
            published,
            received: diff("received"),
            forwarded: diff("forwarded"),
            packets: diff("packets"),
            sends: diff("sends"),
            delivered: load.heard() - self.heard,
            drops: drops(&self.report, &after),
            cpu,
            wall,
            delays_us: delays,
        }
    }
}

impl Load {
    fn sessions(&self) -> usize {
        self.publishers.len() + self.listeners
    }
}

/// Frames dropped in between, by reason.
fn drops(before: &Value, after: &Value) -> BTreeMap<String, u64> {
    let after = after["drops"].as_object().cloned().unwrap_or_default();
    let counts = after.into_iter().map(|(reason, count)| {
        let earlier = before["drops"][&reason].as_u64().unwrap_or(0);
        (reason, count.as_u64().unwrap_or(0) - earlier)
    });
    counts.filter(|(_, count)| *count > 0).collect()
}
