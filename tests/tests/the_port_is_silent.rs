//! A stranger who sends to a node's port learns nothing, not even that somebody listens.

use std::{net::UdpSocket, thread, time::Duration};

use subrosa_proto::{noise::QUIC_VERSION, random::Random};

use crate::support::{
    Scratch,
    member::{Member, Options},
    peer::{Peer, PeerOptions},
    proxy::Proxy,
};

const SHOTS: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_port_is_silent_to_ten_thousand_random_and_replayed_initials() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::silent());
    let ticket = host.ticket();
    let listen = host.wait_for("ready").event["listen"]
        .as_str()
        .and_then(|text| text.parse().ok())
        .expect("an address");
    let proxy = Proxy::start(Some(listen));
    let mut guest = Peer::join(
        "guest",
        &ticket,
        PeerOptions {
            reroute: [(listen, proxy.address())].into(),
            ..PeerOptions::default()
        },
    );
    guest
        .run_until("joining", |peer| peer.participant.is_member())
        .await;
    let passed = proxy.passed();
    let initials: Vec<Vec<u8>> = passed
        .iter()
        .filter(|passed| passed.inward && passed.bytes[0] & 0xF0 == 0xC0)
        .map(|passed| passed.bytes.clone())
        .collect();
    assert!(initials.len() >= 2, "m1 spans two Initials");
    assert!(
        passed.iter().any(|passed| !passed.inward),
        "the join was answered"
    );

    let answered = tokio::task::spawn_blocking(move || bombard(listen, &initials))
        .await
        .expect("no panic");
    assert_eq!(answered, 0, "datagrams that came back");

    // The port still works for those whom it knows, and the first guest is still there.
    let second = Member::join(&home, "second", &ticket, &Options::silent());
    let (second, joined) = tokio::task::spawn_blocking(move || {
        let joined = second.wait_joined();
        (second, joined)
    })
    .await
    .expect("no panic");
    assert_eq!(joined.event["self"], second.id());
    guest.run_for(Duration::from_millis(500)).await;
    assert!(guest.participant.is_member());
}

/// Sends from fresh sockets; how many datagrams came back.
fn bombard(target: std::net::SocketAddr, initials: &[Vec<u8>]) -> usize {
    let mut random = Random::from_seed([0x71; 32]);
    let sockets: Vec<UdpSocket> = (0..50)
        .map(|_| {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
            socket.set_nonblocking(true).expect("a socket");
            socket
        })
        .collect();
    let mut answers = 0;
    let mut buffer = [0; 2_048];
    for shot in 0..SHOTS {
        let socket = &sockets[shot % sockets.len()];
        let datagram = match shot % 4 {
            0 => initials[shot / 4 % initials.len()].clone(),
            1 => altered(&initials[shot / 4 % initials.len()], &mut random),
            2 => random_initial(&mut random, QUIC_VERSION),
            _ if shot % 8 == 3 => {
                // The version that the whole Internet speaks, and one that nobody does.
                let version = if shot % 16 == 3 { 1 } else { 0x1A2A_3A4A };
                random_initial(&mut random, version)
            }
            _ => {
                let length = 1 + random.next_u64() as usize % 1_400;
                let mut bytes = vec![0; length];
                random.fill(&mut bytes);
                bytes
            }
        };
        // A full send buffer loses a packet, as networks do; it is sent again.
        while socket.send_to(&datagram, target).is_err() {
            thread::sleep(Duration::from_millis(1));
        }
        if shot % 50 == 49 {
            thread::sleep(Duration::from_millis(2));
            answers += count(&sockets, &mut buffer);
        }
    }
    thread::sleep(Duration::from_secs(2));
    answers + count(&sockets, &mut buffer)
}

fn count(sockets: &[UdpSocket], buffer: &mut [u8]) -> usize {
    sockets
        .iter()
        .map(|socket| std::iter::from_fn(|| socket.recv(buffer).ok()).count())
        .sum()
}

/// A recorded Initial with one bit changed.
fn altered(initial: &[u8], random: &mut Random) -> Vec<u8> {
    let mut copy = initial.to_vec();
    let place = random.next_u64() as usize % (copy.len() * 8);
    copy[place / 8] ^= 1 << (place % 8);
    copy
}

/// The form of an Initial, full of noise (RFC 9000 §17.2.2).
fn random_initial(random: &mut Random, version: u32) -> Vec<u8> {
    let mut bytes = vec![0; 1_200];
    random.fill(&mut bytes);
    bytes[0] = 0xC0 | (bytes[0] & 0x0F);
    bytes[1..5].copy_from_slice(&version.to_be_bytes());
    bytes[5] = 16;
    bytes[22] = 8;
    bytes[31] = 0;
    bytes[32..34].copy_from_slice(&(0x4000_u16 | (1_200 - 34)).to_be_bytes());
    bytes
}
