use std::time::Duration;

use bytes::Bytes;
use subrosa_proto::noise::{Leg, PeerIdentity, QUIC_VERSION, token};

use super::*;

const MEETING: MeetingId = MeetingId([4; 16]);

fn psk(n: u8) -> Psk {
    Psk([n; 32])
}

fn identity(n: u8) -> Identity {
    Identity::from_seed(&[n; 32])
}

fn socket() -> UdpSocket {
    bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap()
}

fn member(n: u8, keys: &[Psk], options: &EndpointOptions) -> (Endpoint, SocketAddr) {
    let keys: Vec<_> = keys.iter().map(|psk| (MEETING, psk.clone())).collect();
    let endpoint = Endpoint::member(socket(), identity(n), &keys, options).unwrap();
    let addr = endpoint.local_addr().unwrap();
    (endpoint, addr)
}

fn options() -> EndpointOptions {
    EndpointOptions {
        dial_timeout: Duration::from_millis(700),
        ..EndpointOptions::default()
    }
}

async fn echo(a: &Authenticated, b: &Authenticated) {
    for (from, to) in [(a, b), (b, a)] {
        from.connection
            .send_datagram(Bytes::from_static(b"hello"))
            .unwrap();
        assert_eq!(&to.connection.read_datagram().await.unwrap()[..], b"hello");
    }
}

async fn connect(from: &Endpoint, to: &Endpoint, psk: &Psk) -> (Authenticated, Authenticated) {
    let addr = to.local_addr().unwrap();
    let (dialled, accepted) = tokio::join!(from.connect_member(addr, MEETING, psk, None), to.accept());
    (dialled.unwrap(), accepted.unwrap())
}

#[tokio::test]
async fn members_dial_and_exchange_datagrams() {
    let (alice, _) = member(1, &[], &options());
    let (bob, addr) = member(2, &[psk(6), psk(5)], &options());
    let expected = Some(identity(2).member_id());
    let key = psk(5);
    let (a, b) = tokio::join!(alice.connect_member(addr, MEETING, &key, expected), bob.accept());
    let (a, b) = (a.unwrap(), b.unwrap());
    assert_eq!(a.peer.key, identity(2).public());
    assert_eq!(
        b.peer,
        PeerIdentity {
            key: identity(1).public(),
            accept_key: Some(1),
            psk: Some(psk(5).id()),
            leg: Leg::Member,
        }
    );
    echo(&a, &b).await;
    let (mut x, mut y) = ([0; 32], [1; 32]);
    a.connection.export_keying_material(&mut x, b"l", b"c").unwrap();
    b.connection.export_keying_material(&mut y, b"l", b"c").unwrap();
    assert_eq!(x, y);
}

#[tokio::test]
async fn an_ipv6_socket_reaches_both_families() {
    let Ok(dual) = bind("[::]:0".parse().unwrap()) else {
        return; // a machine without IPv6
    };
    let keys = [(MEETING, psk(5))];
    let alice = Endpoint::member(dual, identity(1), &keys, &options()).unwrap();
    let (bob, _) = member(2, &[psk(5)], &options());
    let (a, b) = connect(&alice, &bob, &psk(5)).await;
    echo(&a, &b).await;
    let port = alice.local_addr().unwrap().port();
    let key = psk(5);
    let dial = bob.connect_member(SocketAddr::from(([127, 0, 0, 1], port)), MEETING, &key, None);
    let (b, a) = tokio::join!(dial, alice.accept());
    echo(&a.unwrap(), &b.unwrap()).await;
}

#[tokio::test]
async fn relays_accept_pseudonyms_and_prove_their_key() {
    let relay = Endpoint::relay(socket(), identity(9), &[8; 32], &EndpointOptions::relay()).unwrap();
    let addr = relay.local_addr().unwrap();
    let (alice, _) = member(1, &[], &options());
    let pseudonym = identity(7);
    let key = server::static_public(&[8; 32]);
    let dial = alice.connect_relay(addr, identity(9).relay_id(), key, &pseudonym);
    let (a, r) = tokio::join!(dial, relay.accept());
    let (a, r) = (a.unwrap(), r.unwrap());
    assert_eq!(
        (a.peer.key, r.peer.key),
        (identity(9).public(), pseudonym.public())
    );
    assert_eq!(r.peer.leg, Leg::Relay);
    echo(&a, &r).await;

    let wrong = server::static_public(&[1; 32]);
    let dialled = alice
        .connect_relay(addr, identity(9).relay_id(), wrong, &pseudonym)
        .await;
    assert!(matches!(dialled, Err(DialError::WrongKey)), "{dialled:?}");
    let dialled = alice
        .connect_relay(addr, identity(9).relay_id(), [0; 32], &pseudonym)
        .await;
    assert!(matches!(dialled, Err(DialError::Start(_))), "{dialled:?}");
}

#[tokio::test]
async fn a_wrong_key_meets_silence_and_a_wrong_identity_is_named() {
    let (alice, _) = member(1, &[], &options());
    let (bob, addr) = member(2, &[psk(5)], &options());
    let started = Instant::now();
    let dialled = alice.connect_member(addr, MEETING, &psk(6), None).await;
    assert!(matches!(dialled, Err(DialError::NoAnswer)), "{dialled:?}");
    assert!(started.elapsed() < Duration::from_secs(2));
    assert!(bob.drops().strangers > 0);

    let started = Instant::now();
    let expected = Some(identity(3).member_id());
    let dialled = alice.connect_member(addr, MEETING, &psk(5), expected).await;
    assert!(matches!(dialled, Err(DialError::WrongIdentity)), "{dialled:?}");
    // The right key for another meeting gets past the filter and fails at once.
    let dialled = alice
        .connect_member(addr, MeetingId([9; 16]), &psk(5), None)
        .await;
    assert!(matches!(dialled, Err(DialError::WrongKey)), "{dialled:?}");
    assert!(started.elapsed() < Duration::from_millis(500));
}

#[tokio::test]
async fn keys_change_at_run_time_and_connections_stay() {
    let (alice, _) = member(1, &[], &options());
    let (bob, addr) = member(2, &[psk(5)], &options());
    let (a, b) = connect(&alice, &bob, &psk(5)).await;
    bob.set_accept_keys(&[(MEETING, psk(6))]);
    let dialled = alice.connect_member(addr, MEETING, &psk(5), None).await;
    assert!(matches!(dialled, Err(DialError::NoAnswer)), "{dialled:?}");
    let (_c, d) = connect(&alice, &bob, &psk(6)).await;
    assert_eq!(d.peer.psk, Some(psk(6).id()));
    echo(&a, &b).await;
}

#[tokio::test]
async fn traffic_goes_on_through_key_updates() {
    let options = EndpointOptions {
        key_update_interval: Duration::from_millis(50),
        ..options()
    };
    let (alice, _) = member(1, &[], &options);
    let (bob, _) = member(2, &[psk(5)], &options);
    let (a, b) = connect(&alice, &bob, &psk(5)).await;
    let started = Instant::now();
    while started.elapsed() < Duration::from_millis(400) {
        echo(&a, &b).await;
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let connection = b.connection.clone();
    drop(a);
    let closed = timeout(Duration::from_secs(2), connection.closed()).await;
    assert!(closed.is_ok(), "the updates keep the connection open");
}

#[tokio::test]
async fn under_load_addresses_are_validated_by_retry() {
    let loaded = EndpointOptions {
        retry_above: 0,
        ..options()
    };
    let (alice, _) = member(1, &[], &options());
    let (bob, _) = member(2, &[psk(5)], &loaded);
    let (a, b) = connect(&alice, &bob, &psk(5)).await;
    echo(&a, &b).await;
}

#[tokio::test]
async fn a_version_notice_ends_the_dial_at_once_if_its_sender_knows_the_key() {
    // A node of another version: a filter that takes our Initial for a foreign one, as it does with its own.
    let other = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let addr = other.local_addr().unwrap();
    for (known, expected) in [(true, "OtherVersion"), (false, "NoAnswer")] {
        let (alice, _) = member(1, &[], &options());
        let key = psk(5);
        let dial = alice.connect_member(addr, MEETING, &key, None);
        let answer = async {
            let mut initial = vec![0; 2_000];
            let (len, from) = other.recv_from(&mut initial).await.unwrap();
            initial.truncate(len);
            // As that node sees it, our version is the foreign one.
            initial[1..5].copy_from_slice(&(QUIC_VERSION + 1).to_be_bytes());
            let mut filter = InitialFilter::member(&[psk(5)]);
            let now = Now {
                monotonic: Timestamp::ZERO,
                unix: wall_clock()(),
            };
            let token::Verdict::OtherVersion(mut notice) = filter.admits(now, from, &initial) else {
                panic!("the tag was not recognised");
            };
            if known {
                notice = foreign_notice(&initial, &psk(5), notice.len());
            } else {
                *notice.last_mut().unwrap() ^= 1;
            }
            other.send_to(&notice, from).await.unwrap();
        };
        let (dialled, ()) = tokio::join!(dial, answer);
        assert!(format!("{:?}", dialled.unwrap_err()).starts_with(expected));
        while other.try_recv(&mut [0; 2_000]).is_ok() {}
    }
}

/// A notice that names version + 1 only, with its proof made by the formula of the specification.
fn foreign_notice(initial: &[u8], psk: &Psk, len: usize) -> Vec<u8> {
    use aws_lc_rs::hmac;
    let dcid_len = usize::from(initial[5]);
    let dcid = &initial[6..6 + dcid_len];
    let scid_len = usize::from(initial[6 + dcid_len]);
    let scid = &initial[7 + dcid_len..7 + dcid_len + scid_len];
    let versions = (QUIC_VERSION + 1).to_be_bytes();
    let key = hmac::Key::new(hmac::HMAC_SHA256, &psk.0);
    let key = hmac::sign(&key, b"subrosa-silent-port-v1 notice");
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()));
    for part in [scid, dcid, &versions] {
        mac.update(&(part.len() as u64).to_be_bytes());
        mac.update(part);
    }
    let mut notice = vec![0xc0, 0, 0, 0, 0];
    for cid in [scid, dcid] {
        notice.push(u8::try_from(cid.len()).unwrap());
        notice.extend_from_slice(cid);
    }
    notice.extend_from_slice(&versions);
    notice.extend_from_slice(&mac.sign().as_ref()[..8]);
    assert_eq!(notice.len(), len);
    notice
}

#[tokio::test]
async fn ten_thousand_random_and_replayed_initials_get_no_byte_back() {
    let (alice, _) = member(1, &[], &options());
    let (bob, addr) = member(2, &[psk(5)], &options());
    // A proxy records a true handshake.
    let recorder = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let through = recorder.local_addr().unwrap();
    let mut recorded: Vec<Vec<u8>> = Vec::new();
    let relay = async {
        let (mut client, mut buffer) = (None, vec![0; 2_000]);
        loop {
            let (len, from) = recorder.recv_from(&mut buffer).await.unwrap();
            if from == addr {
                recorder.send_to(&buffer[..len], client.unwrap()).await.unwrap();
            } else {
                client = Some(from);
                recorded.push(buffer[..len].to_vec());
                recorder.send_to(&buffer[..len], addr).await.unwrap();
            }
        }
    };
    let key = psk(5);
    let call = async {
        let dialled = alice.connect_member(through, MEETING, &key, None).await.unwrap();
        bob.accept().await.unwrap();
        dialled.connection.close(0_u32.into(), b"");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    tokio::select! { () = call => {}, () = relay => {} }
    assert!(
        recorded
            .iter()
            .filter(|datagram| datagram[0] & 0xb0 == 0x80)
            .count()
            >= 2
    );

    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut random = Random::from_seed([3; 32]);
    for n in 0..10_000_usize {
        let mut datagram = vec![0; 1_200];
        random.fill(&mut datagram);
        match n % 3 {
            0 => {}
            1 => {
                datagram[0] = 0xc0 | (datagram[0] & 0x0f);
                datagram[1..5].copy_from_slice(&QUIC_VERSION.to_be_bytes());
                let cid_len = if n % 2 == 0 { 8 } else { 16 };
                datagram[5] = cid_len;
                datagram[6 + usize::from(cid_len)] = 8;
            }
            _ => datagram.clone_from(&recorded[n % recorded.len()]),
        }
        stranger.send_to(&datagram, addr).await.unwrap();
        if n % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let mut buffer = [0; 2_000];
    let answer = timeout(Duration::from_millis(500), stranger.recv_from(&mut buffer)).await;
    assert!(answer.is_err(), "the port answered");
    let drops = bob.drops();
    assert!(drops.strangers > 1_000 && drops.replays > 500, "{drops:?}");
    assert_eq!(drops.notices, 0);
    // And it still works.
    let (a, b) = connect(&alice, &bob, &psk(5)).await;
    echo(&a, &b).await;
}
