//! Whole connections: what holds of them, and how they fail.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use quinn_proto::{ClientConfig, ConnectionError, EndpointConfig, ServerConfig, VarInt};
use zeroize::Zeroizing;

use super::pair::{LATENCY, Pair, Side, UNIX};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    noise::{
        Clock, HandshakeError, Leg, PeerIdentity, Psk,
        client::{self, MemberDial, RelayDial},
        endpoint_config,
        server::{self, MemberAccept, RelayAccept},
    },
    random::Random,
    time::UnixSeconds,
};

pub(super) const MEETING: MeetingId = MeetingId([4; 16]);
const LIMIT: Duration = Duration::from_secs(10);

pub(super) fn random(seed: u8) -> Random {
    Random::from_seed([seed; 32])
}

fn clock(offset: i64) -> Clock {
    Arc::new(move || UnixSeconds(UNIX.0.saturating_add_signed(offset)))
}

pub(super) fn alice() -> Identity {
    Identity::from_seed(&[1; 32])
}

pub(super) fn bob() -> Identity {
    Identity::from_seed(&[2; 32])
}

fn config(seed: u8) -> EndpointConfig {
    endpoint_config(&mut random(seed))
}

pub(super) fn dial(psk: Psk, expected: Option<MemberId>) -> ClientConfig {
    client::member(MemberDial {
        identity: alice(),
        meeting: MEETING,
        psk,
        expected,
        clock: clock(0),
        random: random(3),
    })
}

pub(super) fn accept(keys: Vec<(MeetingId, Psk)>) -> ServerConfig {
    server::member(MemberAccept {
        identity: bob(),
        keys,
        unadmitted: super::super::Unadmitted::default(),
        clock: clock(0),
        random: random(4),
    })
}

pub(super) fn pair(server: ServerConfig) -> Pair {
    let client = Side::new(1, config(1), None);
    Pair::new(client, Side::new(2, config(2), Some(server)))
}

fn member_pair() -> Pair {
    let psk = Psk([5; 32]);
    let mut pair = pair(accept(vec![(MEETING, Psk([6; 32])), (MEETING, psk.clone())]));
    pair.connect(dial(psk, Some(bob().member_id())));
    pair
}

pub(super) fn establish(pair: &mut Pair) {
    let done = |pair: &mut Pair| pair.client.connected_at.is_some() && pair.server.connected_at.is_some();
    assert!(
        pair.run(LIMIT, done),
        "{:?} {:?}",
        pair.client.lost,
        pair.server.lost
    );
}

fn echo(pair: &mut Pair) {
    let ping = Bytes::from_static(b"ping");
    pair.client.connection().datagrams().send(ping, true).unwrap();
    assert!(pair.run(LIMIT, |pair| {
        pair.server.datagrams.pop_front().is_some_and(|d| d == b"ping")
    }));
    let pong = Bytes::from_static(b"pong");
    pair.server.connection().datagrams().send(pong, true).unwrap();
    assert!(pair.run(LIMIT, |pair| {
        pair.client.datagrams.pop_front().is_some_and(|d| d == b"pong")
    }));
}

fn failure(error: Option<&ConnectionError>) -> Option<HandshakeError> {
    match error? {
        ConnectionError::TransportError(error) => HandshakeError::from_transport(error.code),
        ConnectionError::ConnectionClosed(close) => HandshakeError::from_transport(close.error_code),
        _ => None,
    }
}

/// Runs until the client knows that it failed; gives what each side says.
fn fail(pair: &mut Pair) -> (Option<HandshakeError>, Option<HandshakeError>) {
    assert!(pair.run(LIMIT, |pair| pair.client.lost.is_some()));
    pair.run(LATENCY * 4, |pair| pair.server.lost.is_some());
    (
        failure(pair.client.lost.as_ref()),
        failure(pair.server.lost.as_ref()),
    )
}

#[test]
fn members_connect_in_one_round_trip_and_know_each_other() {
    let mut pair = member_pair();
    assert_eq!(pair.client.identity(), None);
    establish(&mut pair);
    assert_eq!(pair.client.connected_at, Some(LATENCY * 2));
    assert_eq!(pair.server.connected_at, Some(LATENCY * 3));
    let psk = Some(Psk([5; 32]).id());
    let expected = PeerIdentity {
        key: bob().public(),
        accept_key: None,
        psk,
        leg: Leg::Member,
    };
    assert_eq!(pair.client.identity(), Some(expected));
    let expected = PeerIdentity {
        key: alice().public(),
        accept_key: Some(1),
        psk,
        leg: Leg::Member,
    };
    assert_eq!(pair.server.identity(), Some(expected));
    echo(&mut pair);
}

#[test]
fn identity_and_exporter_are_there_only_after_the_handshake_and_agree() {
    let mut pair = member_pair();
    let mut steps = 0;
    pair.run(LIMIT, |pair| {
        steps += 1;
        if pair.client.connected_at.is_none() {
            assert!(pair.client.identity().is_none() && pair.client.export().is_none());
        }
        if pair.server.connected_at.is_none() && !pair.server.connections.is_empty() {
            assert!(pair.server.identity().is_none() && pair.server.export().is_none());
        }
        pair.server.connected_at.is_some()
    });
    assert!(steps > 3);
    let (a, b) = (pair.client.export(), pair.server.export());
    assert!(a.is_some());
    assert_eq!(a, b);
    let mut long = vec![0; crate::noise::EXPORT_BYTES_MAX + 1];
    let session = pair.client.connection().crypto_session();
    assert!(session.export_keying_material(&mut long, b"", b"").is_err());
}

#[test]
fn equal_seeds_give_equal_bytes() {
    let run = || {
        let mut pair = member_pair();
        establish(&mut pair);
        (pair.client.sent, pair.server.sent)
    };
    assert_eq!(run(), run());
}

fn relay_pair(static_key: [u8; 32], relay: &Identity) -> Pair {
    let mut pair = pair(server::relay(RelayAccept {
        identity: bob(),
        static_secret: Zeroizing::new([8; 32]),
        clock: clock(0),
        random: random(4),
    }));
    pair.connect(client::relay(RelayDial {
        relay: relay.relay_id(),
        static_key,
        identity: alice(),
        clock: clock(0),
        random: random(3),
    }));
    pair
}

#[test]
fn relays_connect_and_pseudonyms_are_known() {
    let mut pair = relay_pair(server::static_public(&[8; 32]), &bob());
    establish(&mut pair);
    let identity = pair.server.identity().unwrap();
    assert_eq!((identity.key, identity.leg), (alice().public(), Leg::Relay));
    assert_eq!((identity.accept_key, identity.psk), (None, None));
    assert_eq!(pair.client.identity().unwrap().key, bob().public());
    echo(&mut pair);
}

#[test]
fn a_relay_with_another_key_or_identity_is_refused() {
    for (key, relay) in [
        (server::static_public(&[9; 32]), bob()),
        (server::static_public(&[8; 32]), alice()),
    ] {
        let mut pair = relay_pair(key, &relay);
        let errors = fail(&mut pair);
        assert_eq!(
            errors,
            (Some(HandshakeError::Decrypt), Some(HandshakeError::Decrypt))
        );
    }
}

#[test]
fn dialling_a_static_key_of_small_order_fails_at_once() {
    let mut client = Side::new(1, config(1), None);
    let dial = client::relay(RelayDial {
        relay: bob().relay_id(),
        static_key: [0; 32],
        identity: alice(),
        clock: clock(0),
        random: random(3),
    });
    let (addr, now) = (client.addr, Pair::instant());
    assert!(client.endpoint.connect(now, dial, addr, "_").is_err());
}

#[test]
fn a_wrong_key_fails_within_a_round_trip() {
    let mut pair = pair(accept(vec![(MEETING, Psk([6; 32]))]));
    pair.connect(dial(Psk([5; 32]), None));
    let errors = fail(&mut pair);
    assert_eq!(
        errors,
        (Some(HandshakeError::Decrypt), Some(HandshakeError::Decrypt))
    );
    assert!(pair.elapsed <= LATENCY * 6);
}

#[test]
fn another_meeting_under_the_same_key_is_refused() {
    let mut pair = pair(accept(vec![(MeetingId([9; 16]), Psk([5; 32]))]));
    pair.connect(dial(Psk([5; 32]), None));
    assert_eq!(fail(&mut pair).0, Some(HandshakeError::Decrypt));
}

#[test]
fn somebody_else_than_expected_is_refused() {
    let psk = Psk([5; 32]);
    let mut pair = pair(accept(vec![(MEETING, psk.clone())]));
    pair.connect(dial(psk, Some(alice().member_id())));
    let errors = fail(&mut pair);
    assert_eq!(
        errors,
        (
            Some(HandshakeError::WrongIdentity),
            Some(HandshakeError::WrongIdentity)
        )
    );
    assert!(pair.server.connected_at.is_none());
}

#[test]
fn clocks_that_are_a_day_apart_are_named() {
    let psk = Psk([5; 32]);
    let mut pair = pair(accept(vec![(MEETING, psk.clone())]));
    pair.connect(client::member(MemberDial {
        identity: alice(),
        meeting: MEETING,
        psk,
        expected: None,
        clock: clock(24 * 3_600),
        random: random(3),
    }));
    assert_eq!(fail(&mut pair).0, Some(HandshakeError::BindingExpired));
}

#[test]
fn only_eight_keys_are_tried() {
    let psk = Psk([5; 32]);
    for (position, fits) in [(7, true), (8, false)] {
        let mut keys: Vec<_> = (100..110).map(|n| (MEETING, Psk([n; 32]))).collect();
        keys[position] = (MEETING, psk.clone());
        let mut pair = pair(accept(keys));
        pair.connect(dial(psk.clone(), None));
        assert_eq!(
            pair.run(Duration::from_secs(1), |pair| pair.client.connected_at.is_some()),
            fits
        );
    }
}

#[test]
fn keys_update_on_either_side_and_traffic_goes_on() {
    let mut pair = member_pair();
    establish(&mut pair);
    for _ in 0..3 {
        pair.client.connection().force_key_update();
        echo(&mut pair);
        pair.run(Duration::from_secs(1), |_| false);
        pair.server.connection().force_key_update();
        echo(&mut pair);
        pair.run(Duration::from_secs(1), |_| false);
    }
    assert!(pair.client.lost.is_none() && pair.server.lost.is_none());
}

#[test]
fn retry_costs_one_round_trip() {
    let mut pair = member_pair();
    pair.server.retry = true;
    establish(&mut pair);
    assert!(pair.server.retries > 0);
    assert_eq!(pair.client.connected_at, Some(LATENCY * 4));
    echo(&mut pair);
}

#[test]
fn a_changed_handshake_packet_changes_nothing() {
    // Each of the server's first datagrams once with a bit changed, before the true one.
    let mut pair = member_pair();
    pair.corrupt = true;
    establish(&mut pair);
    echo(&mut pair);
}

#[test]
fn closing_reaches_the_other_side() {
    let mut pair = member_pair();
    establish(&mut pair);
    let now = pair.instant_now();
    let reason = Bytes::from_static(b"bye");
    pair.client.connection().close(now, VarInt::from_u32(7), reason);
    assert!(pair.run(LIMIT, |pair| pair.server.lost.is_some()));
    assert!(matches!(
        &pair.server.lost,
        Some(ConnectionError::ApplicationClosed(close)) if close.error_code == VarInt::from_u32(7)
    ));
}

/// The confirmation comes before the keys that open it, and is thrown away: it must come again.
#[test]
fn a_handshake_survives_datagrams_that_overtake_one_another() {
    for late in 0..3 {
        let mut pair = member_pair();
        pair.late = Some(late);
        establish(&mut pair);
        echo(&mut pair);
    }
}
