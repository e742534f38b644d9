//! What attackers do, each in a process of its own, until standard input ends.

use std::{
    io::Read,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;
use subrosa_proto::{
    ids::{Alias, RoomId, TrackAlias},
    noise::QUIC_VERSION,
    random::Random,
    wire::relay_message::RelayRequest,
};
use subrosa_tests::{
    port::{BUFFER_BYTES, Manner, Port},
    relay_client::{RelayAddress, media_packet},
};

use super::{
    lan::BLOCKS,
    raw::{Forger, at_rate},
};

/// Spoofed datagrams per second.
const SPOOFED_RATE: f64 = 50_000.0;
/// Real first flights that are sent over and over.
const FLIGHTS: u64 = 500;
/// Handshakes begun per second from real addresses.
const ABANDONED_RATE: f64 = 4_000.0;
/// Sessions that take all they can, and what each announces and sends.
const GREEDY: usize = 100;
const GREEDY_TRACKS: u64 = 32;
const GREEDY_FRAMES_PER_SECOND: f64 = 100.0;
/// Sessions at once that send what is no message.
const RUDE: usize = 50;

fn until_told() -> Arc<AtomicBool> {
    let goes_on = Arc::new(AtomicBool::new(true));
    let flag = Arc::clone(&goes_on);
    std::thread::spawn(move || {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        flag.store(false, Ordering::Relaxed);
    });
    goes_on
}

/// Plays one attack, and prints what it did.
pub(super) fn play(kind: &str, relay: &RelayAddress) {
    let flag = until_told();
    let goes_on = || flag.load(Ordering::Relaxed);
    let done = match kind {
        "random" => random_initials(relay, goes_on),
        "initials" => replayed_initials(relay, goes_on),
        "abandoned" => abandoned(relay, goes_on),
        "greedy" => greedy(relay, goes_on),
        "rude" => rude(relay, goes_on),
        _ => panic!("there is no attack '{kind}'"),
    };
    println!("{done}");
}

/// Initials in form only, from addresses that do not exist.
fn random_initials(relay: &RelayAddress, goes_on: impl Fn() -> bool) -> serde_json::Value {
    let mut forger = Forger::new(relay.addr);
    let mut datagrams = vec![vec![0; 1_200]];
    at_rate(SPOOFED_RATE, goes_on, || {
        let drawn = forger.random().bytes::<32>();
        let datagram = &mut datagrams[0];
        datagram[0] = 0xc0 | drawn[31] & 0x0f;
        datagram[1..5].copy_from_slice(&QUIC_VERSION.to_be_bytes());
        datagram[5] = 8;
        datagram[6..14].copy_from_slice(&drawn[..8]);
        datagram[14] = 0;
        datagram[15] = 0;
        datagram[16..18].copy_from_slice(&(0x4000_u16 | 1_182).to_be_bytes());
        datagram[18..49].copy_from_slice(&drawn[..31]);
        forger.send(&datagrams);
    });
    json!({"datagrams": forger.sent})
}

/// First flights of real clients who know the relay's key, from addresses that do not exist.
fn replayed_initials(relay: &RelayAddress, goes_on: impl Fn() -> bool) -> serde_json::Value {
    let mut port = Port::bound("10.77.100.2:0", 7);
    let flights: Vec<Vec<Vec<u8>>> = (0..FLIGHTS)
        .map(|seed| {
            let handle = port.dial(relay, 70_000 + seed);
            port.flight(handle)
        })
        .collect();
    let mut forger = Forger::new(relay.addr);
    let mut next = 0;
    at_rate(SPOOFED_RATE / flights[0].len() as f64, goes_on, || {
        forger.send(&flights[next % flights.len()]);
        next += 1;
    });
    json!({"datagrams": forger.sent, "clients": next})
}

fn ports(manner: Manner) -> Vec<Port> {
    let bound = |block: u8| {
        let mut port = Port::bound(&format!("10.77.{block}.2:0"), block);
        port.manner = manner;
        port
    };
    BLOCKS.map(bound).collect()
}

fn turn(ports: &mut [Port], buffer: &mut [u8], start: Instant) {
    for port in ports {
        port.timeouts();
        port.turn(buffer, start, None);
    }
}

fn turns(ports: &mut [Port], buffer: &mut [u8], start: Instant, during: Duration) {
    let until = Instant::now() + during;
    while Instant::now() < until {
        turn(ports, buffer, start);
        std::thread::sleep(Duration::from_micros(200));
    }
}

/// Handshakes from real addresses that answer a Retry and then nothing.
fn abandoned(relay: &RelayAddress, goes_on: impl Fn() -> bool) -> serde_json::Value {
    let mut ports = ports(Manner::Abandoning);
    let mut buffer = vec![0; BUFFER_BYTES];
    let (start, mut seed) = (Instant::now(), 0_u64);
    at_rate(ABANDONED_RATE, goes_on, || {
        let count = ports.len();
        let port = &mut ports[seed as usize % count];
        port.dial(relay, 80_000 + seed);
        port.turn(&mut buffer, start, None);
        // Those that had their turn are forgotten, without a word to the relay.
        while port.clients.len() > 64 {
            port.clients.pop_first();
        }
        seed += 1;
    });
    json!({"handshakes_begun": seed})
}

/// Members of a room of their own who send and subscribe to as much as they can.
fn greedy(relay: &RelayAddress, goes_on: impl Fn() -> bool) -> serde_json::Value {
    let room = RoomId([0xee; 16]);
    let track = |member: usize, number: u64| TrackAlias((member as u64 * 1_000 + number).to_le_bytes());
    let mut ports = ports(Manner::Rude);
    let mut buffer = vec![0; BUFFER_BYTES];
    let start = Instant::now();
    let count = ports.len();
    let members: Vec<_> = (0..GREEDY)
        .map(|member| {
            (
                member % count,
                ports[member % count].dial(relay, 90_000 + member as u64),
            )
        })
        .collect();
    turns(&mut ports, &mut buffer, start, Duration::from_secs(1));
    for (member, &(port, handle)) in members.iter().enumerate() {
        let alias = Alias((member as u64).to_le_bytes());
        let mut asks = vec![RelayRequest::Join {
            room,
            alias,
            token: None,
        }];
        asks.extend((0..GREEDY_TRACKS).map(|number| RelayRequest::Announce {
            room,
            track: track(member, number),
        }));
        let all = (0..GREEDY).flat_map(|other| (0..GREEDY_TRACKS).map(move |number| (other, number)));
        asks.extend(all.map(|(other, number)| RelayRequest::Subscribe {
            room,
            track: track(other, number),
        }));
        for ask in &asks {
            if ports[port].clients.contains_key(&handle) && !ports[port].try_ask(handle, ask) {
                break;
            }
        }
        turns(&mut ports, &mut buffer, start, Duration::from_millis(2));
    }
    let mut sent = 0_u64;
    at_rate(1_000.0, goes_on, || {
        let each = (GREEDY as f64 * GREEDY_FRAMES_PER_SECOND / 1_000.0) as u64;
        for _ in 0..each {
            let member = sent as usize % members.len();
            let (port, handle) = members[member];
            if let Some(client) = ports[port].clients.get_mut(&handle) {
                let frame = media_packet(track(member, sent % GREEDY_TRACKS), &[9; 1_000]);
                let _ = client.connection.datagrams().send(frame, true);
                ports[port].touch(handle);
            }
            sent += 1;
        }
        turn(&mut ports, &mut buffer, start);
    });
    let heard: u64 = ports.iter().map(|port| port.frames).sum();
    json!({"frames_sent": sent, "frames_heard": heard, "sessions_ended": ports.iter().map(|port| port.ended).sum::<u64>()})
}

/// Sessions that send frames that are too long, are no message, or make no sense, and come again when they are thrown out.
fn rude(relay: &RelayAddress, goes_on: impl Fn() -> bool) -> serde_json::Value {
    let mut ports = ports(Manner::Rude);
    let mut buffer = vec![0; BUFFER_BYTES];
    let mut random = Random::from_seed([0x72; 32]);
    let (start, mut seed, mut messages) = (Instant::now(), 0_u64, 0_u64);
    at_rate(2_000.0, goes_on, || {
        let count = ports.len();
        let port = &mut ports[seed as usize % count];
        seed += 1;
        if port.clients.len() <= RUDE / count {
            port.dial(relay, 100_000 + seed);
        }
        let handles: Vec<_> = port
            .clients
            .iter()
            .filter(|(_, client)| client.connected)
            .map(|(handle, _)| *handle)
            .collect();
        for handle in handles {
            let drawn = random.bytes::<32>();
            let mut bytes = match drawn[0] % 3 {
                // A length beyond every bound.
                0 => vec![0xff; 8],
                // A whole frame of noise.
                1 => vec![0, 0, 0, 28],
                // An empty frame.
                _ => vec![0; 4],
            };
            bytes.extend_from_slice(&drawn[4..]);
            port.say(handle, &bytes);
            if let Some(client) = port.clients.get_mut(&handle) {
                let _ = client.connection.datagrams().send(drawn.to_vec().into(), true);
            }
            messages += 1;
        }
        port.timeouts();
        port.turn(&mut buffer, start, None);
    });
    json!({"sessions_begun": seed, "messages": messages, "sessions_ended": ports.iter().map(|port| port.ended).sum::<u64>()})
}
