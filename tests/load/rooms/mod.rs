//! Many rooms that talk.

mod phase;

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

use crate::{Options, holds, relay::Relay};
pub(crate) use phase::Phase;

/// Frames per second of an open microphone, and bytes of each with its headers.
const FRAMES_PER_SECOND: f64 = 50.0;
const FRAME_BYTES: usize = 160;
/// How long somebody's microphone stays open before somebody else's is.
const TURN: Duration = Duration::from_secs(5);
const MINUTE: Duration = Duration::from_secs(60);
const PROBE: Duration = Duration::from_secs(5);
const OVERLOAD: Duration = Duration::from_secs(30);
/// More than a relay forwards on one core when each frame goes to few.
const PROBE_RATE: f64 = 300_000.0;
/// What is under way when a phase ends has arrived after this.
const LAST_ARRIVALS: Duration = Duration::from_millis(300);
/// A frame that leaves the load later than this after it was due counts as late: with three voices, half the time to the next one's.
const LATE: Duration = Duration::from_millis(3);
/// Share of the frames that may be missing in calm minutes: the machine is shared, and a load that is late overflows its socket.
const MISSING_SHARE_MAX: f64 = 0.001;
/// Growth of the relay's memory after the first minute that is not called drift.
const DRIFT_BYTES_MAX: u64 = 8 << 20;

struct Room {
    /// One for all members, or one for each.
    ports: Vec<Port>,
    /// With the number of each one's port.
    members: Vec<(usize, ConnectionHandle)>,
    /// The first of those whose microphone is open.
    first_unmuted: usize,
}

/// Where members come from.
#[derive(Clone, Copy)]
enum Sockets {
    OnePerRoom,
    OnePerMember,
}

struct Rooms {
    rooms: Vec<Room>,
    unmuted: usize,
    buffer: Vec<u8>,
    start: Instant,
}

fn track(member: usize) -> TrackAlias {
    TrackAlias((member as u64 + 1).to_le_bytes())
}

fn room_id(number: usize) -> RoomId {
    let mut id = [0x6c; 16];
    id[..8].copy_from_slice(&(number as u64).to_le_bytes());
    RoomId(id)
}

impl Rooms {
    /// All members come in, those of a room from one socket, or each from its own.
    fn open(relay: &RelayAddress, options: &Options, sockets: Sockets) -> Self {
        let mut rooms = Self {
            rooms: Vec::new(),
            unmuted: options.unmuted,
            buffer: vec![0; BUFFER_BYTES],
            start: Instant::now(),
        };
        for number in 0..options.rooms {
            let count = match sockets {
                Sockets::OnePerRoom => 1,
                Sockets::OnePerMember => options.members,
            };
            rooms.rooms.push(Room {
                ports: (0..count).map(|port| Port::new((number + port) as u8)).collect(),
                members: Vec::new(),
                first_unmuted: 0,
            });
            let room = rooms.rooms.last_mut().expect("one was pushed");
            for member in 0..options.members {
                let port = member % count;
                let seed = (number * 1_000 + member) as u64;
                room.members.push((port, room.ports[port].dial(relay, seed)));
            }
            rooms.turns(Duration::from_millis(20));
        }
        rooms.turns_until_connected();
        rooms.each_asks(|room, member| {
            vec![
                RelayRequest::Join {
                    room,
                    alias: Alias((member as u64 + 1).to_le_bytes()),
                    token: None,
                },
                RelayRequest::Announce {
                    room,
                    track: track(member),
                },
            ]
        });
        rooms.each_asks(|room, member| {
            let others = (0..options.members).filter(|other| *other != member);
            let subscribe = |other| RelayRequest::Subscribe {
                room,
                track: track(other),
            };
            others.map(subscribe).collect()
        });
        rooms
    }

    fn turns_until_connected(&mut self) {
        let limit = Instant::now() + Duration::from_secs(60);
        let connected = |port: &Port| port.clients.values().all(|client| client.connected);
        while !self.rooms.iter().flat_map(|room| &room.ports).all(connected) {
            assert!(
                Instant::now() < limit,
                "not all sessions come about within a minute"
            );
            self.turns(Duration::from_millis(50));
        }
    }

    fn each_asks(&mut self, asks: impl Fn(RoomId, usize) -> Vec<RelayRequest>) {
        for number in 0..self.rooms.len() {
            let room = &mut self.rooms[number];
            for (member, (port, handle)) in room.members.clone().into_iter().enumerate() {
                for request in asks(room_id(number), member) {
                    room.ports[port].ask(handle, &request);
                }
            }
            self.turns(Duration::from_millis(5));
        }
        self.turns(Duration::from_secs(1));
    }

    fn turns(&mut self, during: Duration) {
        let until = Instant::now() + during;
        while Instant::now() < until {
            for port in self.rooms.iter_mut().flat_map(|room| &mut room.ports) {
                port.timeouts();
                port.turn(&mut self.buffer, self.start, None);
            }
        }
    }

    fn heard(&self) -> u64 {
        let ports = self.rooms.iter().flat_map(|room| &room.ports);
        ports.map(|port| port.frames).sum()
    }

    /// The `n`th of the frames that are due: of each room in turn, then of the next with an open microphone.
    fn publish(&mut self, n: u64) {
        let count = self.rooms.len() as u64;
        let room = &mut self.rooms[(n % count) as usize];
        let speaker = (n / count) as usize % self.unmuted;
        let member = (room.first_unmuted + speaker) % room.members.len();
        let (port, handle) = room.members[member];
        let port = &mut room.ports[port];
        let mut payload = [0; FRAME_BYTES - 10];
        payload[..8].copy_from_slice(&(self.start.elapsed().as_nanos() as u64).to_le_bytes());
        let client = port.clients.get_mut(&handle).expect("a member");
        let frame = media_packet(track(member), &payload);
        let sent = client.connection.datagrams().send(frame, true);
        sent.expect("a frame that fits QUIC's smallest packet");
        port.touch(handle);
    }

    /// Sends `rate` frames per second in all for a while.
    fn phase(&mut self, relay: &Relay, rate: f64, during: Duration) -> Phase {
        let (before, cpu, heard) = (relay.metrics(), relay.cpu(), self.heard());
        let begun = Instant::now();
        let mut delays = Vec::new();
        let (mut due_sent, mut published, mut late) = (0_u64, 0_u64, 0_u64);
        let (mut timeouts_at, mut turn_at) = (begun, begun);
        while begun.elapsed() < during {
            let due = (begun.elapsed().as_secs_f64() * rate) as u64;
            // A load that fell behind does not make up for it in one burst.
            due_sent = due_sent.max(due.saturating_sub(rate as u64 / 50));
            while due_sent < due {
                self.publish(due_sent);
                let after = begun.elapsed().as_secs_f64() - (due_sent + 1) as f64 / rate;
                late += u64::from(after > LATE.as_secs_f64());
                due_sent += 1;
                published += 1;
            }
            for port in self.rooms.iter_mut().flat_map(|room| &mut room.ports) {
                port.turn(&mut self.buffer, self.start, Some(&mut delays));
            }
            if timeouts_at.elapsed() > Duration::from_millis(5) {
                timeouts_at = Instant::now();
                let ports = self.rooms.iter_mut().flat_map(|room| &mut room.ports);
                ports.for_each(Port::timeouts);
            }
            if turn_at.elapsed() > TURN {
                turn_at = Instant::now();
                for room in &mut self.rooms {
                    room.first_unmuted = (room.first_unmuted + 1) % room.members.len();
                }
            }
        }
        let (wall, cpu) = (begun.elapsed(), relay.cpu().saturating_sub(cpu));
        self.turns(LAST_ARRIVALS);
        delays.sort_unstable();
        Phase {
            published,
            late,
            delivered: self.heard() - heard,
            wall,
            cpu,
            delays_us: delays,
            before,
            after: relay.metrics(),
            resident: relay.resident_bytes(),
        }
    }
}

/// The whole run; whether everything held.
pub(crate) fn run(options: &Options) -> bool {
    let relay = Relay::start();
    let mut rooms = Rooms::open(&relay.address, options, Sockets::OnePerRoom);
    println!(
        "| phase | in/s | forwarded/s | CPU | per CPU-second | missing | dropped | queue p99 ms < | p50 / p99 ms | MB |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let members = options.members;
    let rate = (options.rooms * options.unmuted) as f64 * FRAMES_PER_SECOND;
    let minutes = (options.minutes.ceil() as usize).max(1);
    let minute = MINUTE.min(Duration::from_secs_f64(options.minutes * 60.0));
    let mut calm = Vec::new();
    for number in 1..=minutes {
        let phase = rooms.phase(&relay, rate, minute);
        phase.print(&format!("minute {number}"), members);
        calm.push(phase);
    }
    let probe = rooms.phase(&relay, PROBE_RATE, PROBE);
    probe.print("as much as comes", members);
    rooms.phase(&relay, rate, PROBE);
    let capacity = probe.forwarded_per_second() / (members - 1) as f64;
    let over = rooms.phase(&relay, capacity * 3.0, OVERLOAD);
    over.print("3x that", members);
    rooms.turns(Duration::from_secs(2));
    let after = rooms.phase(&relay, rate, minute);
    after.print("as before", members);
    verdict(&calm, &probe, &over, &after, members)
}

/// What `run` does in its calm minutes, for one room whose members come from a socket each; the phase.
pub(crate) fn one_room(relay: &Relay, members: usize, unmuted: usize, during: Duration) -> Phase {
    let options = Options {
        run: String::new(),
        minutes: 0.0,
        rooms: 1,
        members,
        unmuted,
    };
    let mut rooms = Rooms::open(&relay.address, &options, Sockets::OnePerMember);
    rooms.phase(relay, unmuted as f64 * FRAMES_PER_SECOND, during)
}

fn verdict(calm: &[Phase], probe: &Phase, over: &Phase, after: &Phase, members: usize) -> bool {
    let worst = |phases: &[Phase], of: fn(&Phase, usize) -> f64| {
        phases.iter().map(|phase| of(phase, members)).fold(0.0, f64::max)
    };
    let missing = worst(calm, Phase::missing_share);
    let grown = calm[calm.len() - 1].resident.saturating_sub(calm[0].resident);
    let all_sessions = after.after.get("sessions") == calm[0].after.get("sessions");
    [
        holds(
            &format!("calm: in the worst minute {:.4} % are missing", missing * 100.0),
            missing <= MISSING_SHARE_MAX,
        ),
        holds(
            &format!(
                "memory grew by {:.1} MB after the first minute",
                grown as f64 / 1e6
            ),
            grown <= DRIFT_BYTES_MAX,
        ),
        holds(
            &format!(
                "3x overload forwards {:.2} of what came through before",
                over.forwarded_per_second() / probe.forwarded_per_second()
            ),
            over.forwarded_per_second() >= 0.7 * probe.forwarded_per_second(),
        ),
        holds(
            &format!(
                "afterwards {:.4} % are missing",
                after.missing_share(members) * 100.0
            ),
            after.missing_share(members) <= MISSING_SHARE_MAX,
        ),
        holds("no session was lost", all_sessions),
    ]
    .into_iter()
    .all(|held| held)
}
