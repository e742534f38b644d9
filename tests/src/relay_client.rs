//! A client of a relay for tests and benchmarks: real socket, real handshake, raw protocol.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use quinn::TransportConfig;
use subrosa_node::driver::relay::{MediaWindow, RelayDriver};
use subrosa_proto::{
    identity::Identity,
    ids::{Alias, RelayId, RoomId, TrackAlias},
    noise::{self, client::RelayDial, server::RelayAccept},
    random::Random,
    relay::RelayConfig,
    time::UnixSeconds,
    wire::{
        framing::{self, FrameReader},
        media_packet::{MediaHeader, MediaKind},
        relay_message::{RelayNotice, RelayRequest},
    },
};

/// The system's wall clock, as noise takes it.
#[must_use]
pub fn clock() -> noise::Clock {
    Arc::new(|| {
        UnixSeconds(
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .map_or(0, |d| d.as_secs()),
        )
    })
}

/// Where and who a relay under test is.
#[derive(Clone, Copy, Debug)]
pub struct RelayAddress {
    /// Its socket.
    pub addr: SocketAddr,
    /// Its identity.
    pub relay: RelayId,
    /// Its static key.
    pub static_key: [u8; 32],
}

const RELAY_SEED: [u8; 32] = [0x51; 32];
const RELAY_SECRET: [u8; 32] = [0x52; 32];

impl RelayAddress {
    /// The relay that [`start_relay`] starts, at `addr`.
    #[must_use]
    pub fn at(addr: SocketAddr) -> Self {
        Self {
            addr,
            relay: Identity::from_seed(&RELAY_SEED).relay_id(),
            static_key: noise::server::static_public(&RELAY_SECRET),
        }
    }
}

/// Starts a relay's driver on a free port of the loopback interface, with fixed keys.
///
/// # Panics
/// If the system has no socket to give.
#[must_use]
pub fn start_relay(config: RelayConfig) -> (RelayDriver, RelayAddress) {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let mut random = Random::from_seed([0x53; 32]);
    let endpoint = noise::endpoint_config(&mut random);
    let server = noise::server::relay(RelayAccept {
        identity: Identity::from_seed(&RELAY_SEED),
        static_secret: RELAY_SECRET.into(),
        clock: clock(),
        random,
    });
    let driver = RelayDriver::start(socket, endpoint, server, config).expect("the relay starts");
    let address = RelayAddress::at(driver.local_addr());
    (driver, address)
}

/// Transport parameters of a test client.
#[must_use]
pub fn client_transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    transport
        .keep_alive_interval(Some(Duration::from_secs(3)))
        .datagram_receive_buffer_size(Some(4 * 1024 * 1024))
        .congestion_controller_factory(Arc::new(MediaWindow::default()));
    transport
}

/// The configuration that dials `relay` under a fresh identity made from `seed`.
#[must_use]
pub fn dial_config(relay: &RelayAddress, seed: u64) -> quinn::ClientConfig {
    let mut bytes = [0x54; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let mut random = Random::from_seed(bytes);
    let identity = Identity::from_seed(&random.bytes::<32>());
    let dial = RelayDial {
        relay: relay.relay,
        static_key: relay.static_key,
        identity,
        clock: clock(),
        random,
    };
    noise::client::relay(dial)
}

/// A client's UDP endpoint on the loopback interface, inside a tokio runtime.
///
/// # Panics
/// If the system has no socket to give.
#[must_use]
pub fn client_endpoint(seed: u64) -> quinn::Endpoint {
    let mut bytes = [0x55; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let config = noise::endpoint_config(&mut Random::from_seed(bytes));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    quinn::Endpoint::new(config, None, socket, Arc::new(quinn::TokioRuntime)).expect("a client's endpoint")
}

/// A session at a relay.
pub struct RelayClient {
    /// Keeps the socket.
    pub endpoint: quinn::Endpoint,
    /// Datagrams go over it.
    pub connection: quinn::Connection,
    control: quinn::SendStream,
    answers: quinn::RecvStream,
    reader: FrameReader,
}

impl RelayClient {
    /// Dials; fails as the connection fails.
    ///
    /// # Errors
    /// Why there is no connection.
    ///
    /// # Panics
    /// If the configuration is no good.
    pub async fn dial(relay: &RelayAddress, seed: u64) -> Result<Self, quinn::ConnectionError> {
        let endpoint = client_endpoint(seed);
        let mut config = dial_config(relay, seed);
        config.transport_config(Arc::new(client_transport()));
        let connection = endpoint
            .connect_with(config, relay.addr, "relay")
            .expect("a good configuration")
            .await?;
        let (control, answers) = connection.open_bi().await?;
        Ok(Self {
            endpoint,
            connection,
            control,
            answers,
            reader: FrameReader::new(),
        })
    }

    /// Sends a request.
    ///
    /// # Panics
    /// If the connection is gone.
    pub async fn ask(&mut self, request: &RelayRequest) {
        self.control
            .write_all(&framing::frame(&request.encode()))
            .await
            .expect("the relay takes requests");
    }

    /// The next notice; `None` when the relay ended the stream or the connection.
    ///
    /// # Panics
    /// If the relay sends something that is not a notice.
    pub async fn notice(&mut self) -> Option<RelayNotice> {
        loop {
            if let Some(frame) = self.reader.next_frame().expect("frames") {
                return Some(RelayNotice::decode(&frame).expect("a notice"));
            }
            let chunk = self.answers.read_chunk(64 * 1024, true).await.ok()??;
            self.reader.push(&chunk.bytes);
        }
    }

    /// The next notice that `wanted` accepts; others are skipped.
    ///
    /// # Panics
    /// If there is none within 5 s.
    pub async fn notice_where(&mut self, wanted: impl Fn(&RelayNotice) -> bool) -> RelayNotice {
        let search = async {
            loop {
                let notice = self.notice().await.expect("the relay still speaks");
                if wanted(&notice) {
                    return notice;
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(5), search)
            .await
            .expect("the notice comes within 5 s")
    }

    /// Joins a room and waits for the answer.
    pub async fn join(&mut self, room: RoomId, alias: Alias) -> RelayNotice {
        self.ask(&RelayRequest::Join {
            room,
            alias,
            token: None,
        })
        .await;
        self.notice_where(|n| matches!(n, RelayNotice::Joined { .. } | RelayNotice::Refused { .. }))
            .await
    }

    /// Sends a request and waits until the relay has handled it.
    pub async fn ask_and_wait(&mut self, request: &RelayRequest) {
        self.ask(request).await;
        self.ask(&RelayRequest::Ping { nonce: 77 }).await;
        self.notice_where(|n| matches!(n, RelayNotice::Pong { nonce: 77 }))
            .await;
    }
}

/// A media packet with `payload` behind the clear header.
#[must_use]
pub fn media_packet(track: TrackAlias, payload: &[u8]) -> Bytes {
    let mut packet = Vec::with_capacity(payload.len() + 10);
    MediaHeader {
        kind: MediaKind::Audio,
        layer: 0,
        track,
    }
    .write(&mut packet);
    packet.extend_from_slice(payload);
    packet.into()
}
