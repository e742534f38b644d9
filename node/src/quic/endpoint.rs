//! QUIC endpoints for members and relays: dialling, accepting, limits.

use std::{
    net::{SocketAddr, UdpSocket},
    sync::{Arc, Mutex, PoisonError},
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use quinn::{Runtime, TokioRuntime, TransportConfig, VarInt};
use subrosa_proto::{
    identity::Identity,
    ids::{MeetingId, MemberId, RelayId},
    noise::{
        self, Clock, Psk, Unadmitted,
        client::{self, MemberDial, RelayDial},
        server::{self, MemberAccept, RelayAccept},
        token::InitialFilter,
    },
    random::Random,
    time::{Now, Timestamp, UnixSeconds},
};
use tokio::{
    net::TcpStream,
    sync::{Mutex as AsyncMutex, mpsc},
    task::AbortHandle,
    time::timeout,
};

use super::{
    accept,
    fallback::FallbackSocket,
    socket::{DropCounts, HeardProbe, SilentPort, SilentSocket},
};
pub use super::{authenticated::Authenticated, dial_error::DialError};
pub use subrosa_proto::quic::EndpointOptions;

/// Binds a UDP socket. An unspecified IPv6 address takes IPv4 as well.
///
/// # Errors
/// What the operating system says: the port is in use, the address is not ours.
pub fn bind(addr: SocketAddr) -> std::io::Result<UdpSocket> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(!addr.ip().is_unspecified())?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// The operating system's wall clock.
fn wall_clock() -> Clock {
    Arc::new(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        UnixSeconds(since.map_or(0, |since| since.as_secs()))
    })
}

/// A generator seeded by the operating system.
fn system_random() -> std::io::Result<Random> {
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| std::io::Error::other("the system gives no randomness"))?;
    Ok(Random::from_seed(seed))
}

/// A QUIC endpoint on one UDP socket. Dials as well as accepts; both ends of its connections are known.
pub struct Endpoint {
    inner: quinn::Endpoint,
    fallback: Arc<FallbackSocket>,
    pub(super) socket: Arc<SilentSocket>,
    port: Arc<SilentPort>,
    pub(super) identity: Identity,
    pub(super) clock: Clock,
    random: Mutex<Random>,
    pub(super) options: EndpointOptions,
    transport: Arc<TransportConfig>,
    accepted: AsyncMutex<mpsc::Receiver<Authenticated>>,
    pub(super) probes: AsyncMutex<mpsc::Receiver<HeardProbe>>,
    accepting: AbortHandle,
    is_relay: bool,
}

impl Endpoint {
    /// A member's endpoint. `keys` (at most [`noise::ACCEPT_KEYS_MAX`]) open its port; without any nobody can dial in. Call
    /// it inside a tokio runtime.
    ///
    /// # Errors
    /// What the operating system says about the socket or about randomness.
    pub fn member(
        socket: UdpSocket,
        identity: Identity,
        keys: &[(MeetingId, Psk)],
        options: &EndpointOptions,
    ) -> std::io::Result<Self> {
        let mut random = system_random()?;
        let config = server::member(MemberAccept {
            identity: identity.clone(),
            keys: keys.to_vec(),
            unadmitted: Unadmitted::default(),
            clock: wall_clock(),
            random: random.fork("accept"),
        });
        let filter = InitialFilter::member(&psks(keys));
        Self::start(socket, identity, config, filter, random, options, false)
    }

    /// A relay's endpoint; `static_secret` is the secret half of its descriptor's static key. Call it inside a tokio runtime.
    ///
    /// # Errors
    /// What the operating system says about the socket or about randomness.
    pub fn relay(
        socket: UdpSocket,
        identity: Identity,
        static_secret: &[u8; 32],
        options: &EndpointOptions,
    ) -> std::io::Result<Self> {
        let mut random = system_random()?;
        let config = server::relay(RelayAccept {
            identity: identity.clone(),
            static_secret: (*static_secret).into(),
            clock: wall_clock(),
            random: random.fork("accept"),
        });
        Self::start(
            socket,
            identity,
            config,
            InitialFilter::relay(),
            random,
            options,
            true,
        )
    }

    fn start(
        socket: UdpSocket,
        identity: Identity,
        server: quinn::ServerConfig,
        filter: InitialFilter,
        mut random: Random,
        options: &EndpointOptions,
        is_relay: bool,
    ) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        let (clock, started) = (wall_clock(), Instant::now());
        let unix = Arc::clone(&clock);
        let (port, probes) = SilentPort::new(filter, move || Now {
            monotonic: Timestamp::ZERO + started.elapsed(),
            unix: unix(),
        });
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime);
        let fallback = FallbackSocket::new(runtime.wrap_udp_socket(socket)?);
        // Over TCP, too, only those get in who may.
        let socket = SilentSocket::new(fallback.clone(), Arc::clone(&port));
        let transport = options.transport();
        let inner = quinn::Endpoint::new_with_abstract_socket(
            noise::endpoint_config(&mut random),
            Some(options.bounded(server)),
            socket.clone(),
            runtime,
        )?;
        let (accepting, accepted) = accept::start(inner.clone(), options);
        Ok(Self {
            inner,
            fallback,
            socket,
            port,
            identity,
            clock,
            random: Mutex::new(random),
            options: options.clone(),
            transport,
            accepted: AsyncMutex::new(accepted),
            probes: AsyncMutex::new(probes),
            accepting,
            is_relay,
        })
    }

    pub(super) fn fork(&self, label: &str) -> Random {
        self.random
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fork(label)
    }

    /// Replaces the keys that open a member's port, for new connections; those that exist stay. Does nothing on a relay.
    pub fn set_accept_keys(&self, keys: &[(MeetingId, Psk)]) {
        self.set_doors(keys, &Unadmitted::default());
    }

    /// As [`Endpoint::set_accept_keys`]; those of `unadmitted` are turned away inside the handshake.
    pub fn set_doors(&self, keys: &[(MeetingId, Psk)], unadmitted: &Unadmitted) {
        if self.is_relay {
            return;
        }
        let config = server::member(MemberAccept {
            identity: self.identity.clone(),
            keys: keys.to_vec(),
            unadmitted: unadmitted.clone(),
            clock: Arc::clone(&self.clock),
            random: self.fork("accept"),
        });
        self.inner.set_server_config(Some(self.options.bounded(config)));
        self.port.set_keys(&psks(keys));
    }

    /// Dials a member of `meeting` under `psk`, as ourselves.
    ///
    /// # Errors
    /// [`DialError`]; a port that does not know the key stays silent, which is [`DialError::NoAnswer`].
    pub async fn connect_member(
        &self,
        addr: SocketAddr,
        meeting: MeetingId,
        psk: &Psk,
        expected: Option<MemberId>,
    ) -> Result<Authenticated, DialError> {
        self.port.dials(psk);
        let config = client::member(MemberDial {
            identity: self.identity.clone(),
            meeting,
            psk: psk.clone(),
            expected,
            clock: Arc::clone(&self.clock),
            random: self.fork("dial"),
        });
        self.connect(addr, config).await
    }

    /// Dials a relay as `identity`, which should be fresh for each (meeting, relay).
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect_relay(
        &self,
        addr: SocketAddr,
        relay: RelayId,
        static_key: [u8; 32],
        identity: &Identity,
    ) -> Result<Authenticated, DialError> {
        let config = client::relay(RelayDial {
            relay,
            static_key,
            identity: identity.clone(),
            clock: Arc::clone(&self.clock),
            random: self.fork("dial"),
        });
        self.connect(addr, config).await
    }

    /// Opens a TCP stream to a relay, for [`Endpoint::connect_relay_over`].
    ///
    /// # Errors
    /// [`DialError::NoAnswer`] or [`DialError::Tcp`].
    pub async fn open_stream(&self, tcp: SocketAddr) -> Result<TcpStream, DialError> {
        let opened = timeout(self.options.dial_timeout, TcpStream::connect(tcp)).await;
        opened
            .map_err(|_| DialError::NoAnswer)?
            .map_err(|error| DialError::Tcp(error.kind()))
    }

    /// As [`Endpoint::connect_relay`], with the packets on a TCP stream. What anybody sends to `addr` takes that stream as long as
    /// the connection holds it ([`Authenticated::take_detour`]), so no other dial to `addr` may be under way.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect_relay_over(
        &self,
        stream: TcpStream,
        addr: SocketAddr,
        relay: RelayId,
        static_key: [u8; 32],
        identity: &Identity,
    ) -> Result<Authenticated, DialError> {
        let detour = self.fallback.detour(addr, stream);
        let detour = detour.map_err(|error| DialError::Tcp(error.kind()))?;
        tokio::select! {
            dialled = self.connect_relay(addr, relay, static_key, identity) => Ok(dialled?.with_detour(detour)),
            () = detour.ended() => Err(DialError::Tcp(std::io::ErrorKind::ConnectionReset)),
        }
    }

    async fn connect(
        &self,
        addr: SocketAddr,
        mut config: quinn::ClientConfig,
    ) -> Result<Authenticated, DialError> {
        config.transport_config(Arc::clone(&self.transport));
        // The name is TLS's; Noise has none.
        let connecting = self
            .inner
            .connect_with(config, addr, "subrosa")
            .map_err(DialError::Start)?;
        let connection = timeout(self.options.dial_timeout, connecting)
            .await
            .map_err(|_| DialError::NoAnswer)??;
        let authenticated = Authenticated::new(connection).ok_or(DialError::NoAnswer)?;
        Ok(authenticated.with_key_updates(self.options.key_update_interval))
    }

    /// The next authenticated connection that somebody dialled; `None` once the endpoint is closed. Cancel-safe.
    pub async fn accept(&self) -> Option<Authenticated> {
        self.accepted.lock().await.recv().await
    }

    /// The bound address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    /// Datagrams dropped ahead of the endpoint.
    #[must_use]
    pub fn drops(&self) -> DropCounts {
        self.port.drops()
    }

    /// Connections that are open, handshakes included.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.inner.open_connections()
    }

    /// Closes every connection with `code` and `reason`, and accepts no more.
    pub fn close(&self, code: u32, reason: &str) {
        self.inner.close(VarInt::from_u32(code), reason.as_bytes());
    }

    /// Waits until every connection has told its peer that it ended.
    pub async fn wait_idle(&self) {
        self.inner.wait_idle().await;
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn psks(keys: &[(MeetingId, Psk)]) -> Vec<Psk> {
    keys.iter().map(|(_, psk)| psk.clone()).collect()
}

#[cfg(test)]
#[path = "endpoint_tests.rs"]
mod tests;
