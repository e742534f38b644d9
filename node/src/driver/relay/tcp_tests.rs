//! Sessions over TCP against a whole relay, on loopback.

use std::path::{Path, PathBuf};

use subrosa_proto::{
    identity::Identity,
    packet_stream::append,
    policy::Descriptor,
    wire::{
        framing::{self, FrameReader},
        relay_message::{RelayNotice, RelayRequest},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

use super::*;
use crate::{
    driver::relay::RelayNode,
    quic::endpoint::{Authenticated, Endpoint, EndpointOptions, bind},
    relay_config::RelaySettings,
};

struct Scene {
    relay: RelayNode,
    descriptor: Descriptor,
    folder: PathBuf,
}

impl Scene {
    async fn begin(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("subrosa-tcp-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let text = include_str!("../../../../docs/relay.toml");
        let mut settings = RelaySettings::parse(text, Path::new("relay.toml")).unwrap();
        settings.listen = "127.0.0.1:0".parse().unwrap();
        settings.public_addresses.clear();
        settings.listen_tcp = vec!["127.0.0.1:0".parse().unwrap()];
        settings.discovery.enabled = false;
        settings.data_dir = folder.clone();
        let relay = RelayNode::start(settings).await.unwrap();
        let descriptor = relay.descriptor().unverified().clone();
        Self {
            relay,
            descriptor,
            folder,
        }
    }

    fn tcp(&self) -> SocketAddr {
        self.descriptor.tcp_addresses[0]
    }

    async fn dial(&self, endpoint: &Endpoint, static_key: [u8; 32]) -> Option<Authenticated> {
        let (udp, identity) = (self.descriptor.addresses[0], Identity::from_seed(&[8; 32]));
        let stream = endpoint.open_stream(self.tcp()).await.ok()?;
        let dialled = endpoint.connect_relay_over(stream, udp, self.descriptor.relay, static_key, &identity);
        dialled.await.ok()
    }

    async fn end(self) {
        self.relay.shutdown().await;
        let _ = std::fs::remove_dir_all(self.folder);
    }
}

fn endpoint() -> Endpoint {
    let options = EndpointOptions {
        dial_timeout: Duration::from_secs(2),
        ..EndpointOptions::default()
    };
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    Endpoint::member(socket, Identity::from_seed(&[9; 32]), &[], &options).unwrap()
}

/// A control stream: pings, and what the relay says until it answers.
struct Control {
    send: quinn::SendStream,
    recv: quinn::RecvStream,
    reader: FrameReader,
    nonce: u64,
}

impl Control {
    async fn open(session: &Authenticated) -> Self {
        let (send, recv) = session.connection.open_bi().await.unwrap();
        Self {
            send,
            recv,
            reader: FrameReader::new(),
            nonce: 0,
        }
    }

    async fn ping(&mut self) -> Vec<RelayNotice> {
        self.nonce += 1;
        let ping = framing::frame(&RelayRequest::Ping { nonce: self.nonce }.encode());
        self.send.write_all(&ping).await.unwrap();
        let mut said = Vec::new();
        loop {
            while let Some(frame) = self.reader.next_frame().unwrap() {
                let notice = RelayNotice::decode(&frame).unwrap();
                if notice == (RelayNotice::Pong { nonce: self.nonce }) {
                    return said;
                }
                said.push(notice);
            }
            let chunk = timeout(Duration::from_secs(3), self.recv.read_chunk(9_000, true));
            self.reader.push(&chunk.await.unwrap().unwrap().unwrap().bytes);
        }
    }
}

fn observed(said: &[RelayNotice]) -> Option<SocketAddr> {
    said.iter().find_map(|notice| match notice {
        RelayNotice::Observed { address } => Some((*address).into()),
        _ => None,
    })
}

#[tokio::test]
async fn a_session_over_tcp_moves_to_udp_and_back_without_an_end() {
    let scene = Scene::begin("moves").await;
    let endpoint = endpoint();
    let mut session = scene.dial(&endpoint, scene.descriptor.static_key).await.unwrap();
    let detour = session.take_detour().unwrap();
    let mut control = Control::open(&session).await;
    let said = control.ping().await;
    assert!(matches!(said[0], RelayNotice::Welcome { .. }));
    assert_eq!(observed(&said), None, "no UDP address was seen");
    assert_eq!(detour.heard_over_udp(), 0);
    sleep(SWEEP_INTERVAL + Duration::from_millis(300)).await;
    let stats = scene.relay.stats().await.driver;
    assert_eq!((stats.tcp_sessions, stats.tcp_streams), (1, 1));
    assert_eq!(stats.handshakes_finished, 1);

    detour.set_in_force(false);
    let mut seen = observed(&control.ping().await);
    if seen.is_none() {
        seen = observed(&control.ping().await);
    }
    assert_eq!(seen, Some(endpoint.local_addr().unwrap()), "seen over UDP");
    assert!(detour.heard_over_udp() > 0);
    assert_eq!(scene.relay.stats().await.driver.tcp_sessions, 0);

    detour.set_in_force(true);
    let before = detour.heard_over_udp();
    control.ping().await;
    control.ping().await;
    assert_eq!(scene.relay.stats().await.driver.tcp_sessions, 1, "and back");
    let after = detour.heard_over_udp();
    assert!(
        after <= before + 3,
        "only the old path's challenge still comes over UDP"
    );

    drop(detour);
    session.connection.close(0_u32.into(), b"");
    scene.end().await;
}

#[tokio::test]
async fn who_has_not_the_descriptors_key_is_not_answered_by_its_relay() {
    let scene = Scene::begin("key").await;
    let endpoint = endpoint();
    assert!(scene.dial(&endpoint, [3; 32]).await.is_none());
    let stats = scene.relay.stats().await;
    assert_eq!(
        (stats.driver.handshakes_finished, stats.relay.sessions_total),
        (0, 0)
    );
    scene.end().await;
}

#[tokio::test]
async fn a_stranger_learns_nothing_and_is_closed() {
    let scene = Scene::begin("stranger").await;
    for greeting in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x16, 3, 1, 2, 0], &[0, 0]] {
        let mut stream = TcpStream::connect(scene.tcp()).await.unwrap();
        stream.write_all(greeting).await.unwrap();
        let mut answer = Vec::new();
        let ended = timeout(Duration::from_secs(2), stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok(), "closed at once: {greeting:?}");
        assert!(answer.is_empty(), "{answer:?}");
    }
    // Whoever says nothing, or what QUIC drops, is closed when a handshake would have been done.
    let mut garbage = bytes::BytesMut::new();
    append(&mut garbage, &[0xff; 1_200]);
    let began = Instant::now();
    let mut silent = TcpStream::connect(scene.tcp()).await.unwrap();
    let mut babbling = TcpStream::connect(scene.tcp()).await.unwrap();
    babbling.write_all(&garbage).await.unwrap();
    for stream in [&mut silent, &mut babbling] {
        let mut answer = Vec::new();
        let patience = UNUSED_TIMEOUT + SWEEP_INTERVAL * 2;
        let ended = timeout(patience, stream.read_to_end(&mut answer)).await;
        assert!(ended.is_ok() && answer.is_empty(), "{answer:?}");
    }
    assert!(began.elapsed() >= UNUSED_TIMEOUT);
    assert_eq!(scene.relay.stats().await.driver.tcp_streams, 0);
    scene.end().await;
}

#[tokio::test]
async fn streams_without_a_session_are_bounded() {
    let scene = Scene::begin("bounded").await;
    let mut streams = Vec::new();
    for _ in 0..UNUSED_PER_BLOCK_MAX + 8 {
        streams.push(TcpStream::connect(scene.tcp()).await.unwrap());
    }
    // Accepting is the relay's own pace.
    let mut stats = scene.relay.stats().await.driver;
    for _ in 0..100 {
        if stats.tcp_streams_accepted + stats.tcp_streams_refused == streams.len() as u64 {
            break;
        }
        sleep(Duration::from_millis(20)).await;
        stats = scene.relay.stats().await.driver;
    }
    assert_eq!(stats.tcp_streams, UNUSED_PER_BLOCK_MAX as u64);
    assert_eq!(stats.tcp_streams_refused, 8);
    scene.end().await;
}

#[test]
fn names_are_told_from_addresses() {
    for one in [0, 1, u64::MAX] {
        assert_eq!(number(name(one)), Some(one));
    }
    for address in ["[100:0:0:1::1]:1", "[::1]:1", "192.0.2.1:1", "[2001:db8::1]:1"] {
        assert!(!is_name(address.parse().unwrap()), "{address}");
    }
}
