//! A stranger gets no byte.

use std::{net::SocketAddr, time::Duration};

use super::{
    connections::{MEETING, accept, bob, dial, establish, pair, random},
    pair::Pair,
};
use crate::noise::{Psk, QUIC_VERSION, token::InitialFilter};

fn stranger() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 3))
}

fn silent_pair() -> Pair {
    let psk = Psk([5; 32]);
    let mut pair = pair(accept(vec![(MEETING, psk.clone())]));
    pair.client.filter = Some(InitialFilter::member(&[]));
    pair.server.filter = Some(InitialFilter::member(std::slice::from_ref(&psk)));
    pair.connect(dial(psk, Some(bob().member_id())));
    pair
}

/// A connection with all that the client sent for it, ended and forgotten.
fn recorded(pair: &mut Pair) -> Vec<Vec<u8>> {
    establish(pair);
    let now = pair.instant_now();
    pair.client.connection().close(now, 0_u32.into(), "".into());
    pair.run(Duration::from_secs(30), |pair| pair.server.connections.is_empty());
    assert!(pair.server.connections.is_empty());
    pair.client.sent.clone()
}

#[test]
fn a_key_holder_gets_through_a_silent_port_also_with_retry() {
    for retry in [false, true] {
        let mut pair = silent_pair();
        pair.server.retry = retry;
        establish(&mut pair);
    }
}

#[test]
fn ten_thousand_random_and_replayed_initials_get_no_byte() {
    let mut pair = silent_pair();
    let recorded = recorded(&mut pair);
    pair.server.sent.clear();
    let mut random = random(9);
    for n in 0..10_000_usize {
        let mut datagram = vec![0; 1_200 + n % 200];
        random.fill(&mut datagram);
        match n % 4 {
            // Noise.
            0 => {}
            // A long header of our version with a plausible id.
            1 | 2 => {
                datagram[0] = 0xc0 | (datagram[0] & 0x0f);
                datagram[1..5].copy_from_slice(&QUIC_VERSION.to_be_bytes());
                datagram[5] = if n % 8 == 1 { 16 } else { 8 };
            }
            // A replay, every packet kind in turn, sometimes changed.
            _ => {
                datagram.clone_from(&recorded[n / 4 % recorded.len()]);
                if n % 8 == 3 {
                    let at = n % datagram.len();
                    datagram[at] ^= 1;
                }
            }
        }
        pair.inject(stranger(), &datagram);
    }
    pair.run(Duration::from_secs(10), |_| false);
    assert_eq!(pair.server.sent.len(), 0);
    assert!(pair.server.connections.is_empty());
}

#[test]
fn a_replay_from_the_same_address_later_gets_no_byte() {
    let mut pair = silent_pair();
    let recorded = recorded(&mut pair);
    // While a handshake may still be under way, the client itself may repeat its Initials.
    pair.run(Duration::from_secs(11), |_| false);
    pair.server.sent.clear();
    let client = pair.client.addr;
    for datagram in &recorded {
        pair.inject(client, datagram);
    }
    pair.run(Duration::from_secs(10), |_| false);
    assert_eq!(pair.server.sent.len(), 0);
}

#[test]
fn without_the_filter_short_headers_get_no_reset_either() {
    let mut pair = silent_pair();
    let recorded = recorded(&mut pair);
    pair.server.filter = None;
    pair.server.sent.clear();
    for datagram in recorded.iter().filter(|datagram| datagram[0] & 0x80 == 0) {
        pair.inject(stranger(), datagram);
    }
    let mut random = random(9);
    for _ in 0..1_000 {
        let mut datagram = random.bytes::<100>();
        datagram[0] &= 0x7f;
        pair.inject(stranger(), &datagram);
    }
    assert_eq!(pair.server.sent.len(), 0);
}
