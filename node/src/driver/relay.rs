//! The relay's driver: one thread, one UDP socket, quinn-proto connections and the pure `Relay` machine.
//!
//! Fan-out is where a relay's time goes, so this driver works on quinn-proto directly instead of on quinn's tasks: no
//! lock, wake-up or task switch for each listener. One turn of the event loop (`event_loop.rs`) receives what the
//! socket holds, lets the machine decide, and then sends for each listener once, so that frames which arrived together
//! share packets and system calls (segmentation offload).

mod data_dir;
mod descriptor_chain;
mod discovery;
mod event_loop;
mod handshakes;
mod node;
mod observe;
mod socket;
mod tcp;
mod timers;
mod upstreams;

use std::{
    collections::BTreeSet,
    io,
    net::{SocketAddr, TcpListener, UdpSocket},
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;
use quinn_proto::{EndpointConfig, ServerConfig};
use subrosa_proto::{
    ids::RelayId,
    relay::{Access, Relay, RelayConfig, RelayLimits, RelayStats, TokenUsage},
    wire::{
        bounded::BoundedVec,
        relay_message::{DescriptorBytes, REDIRECT_MAX},
    },
};
use tokio::sync::{mpsc, oneshot, watch};

use self::upstreams::Dialler;
use crate::relay_config::HandshakeLimits;

pub use node::{RelayNode, RelayStartError, Reloaded};
pub use subrosa_proto::quic::{MediaWindow, relay_transport};

/// Commands that wait for the event loop; the handle's methods wait beyond that.
const COMMANDS_MAX: usize = 64;

/// What the driver counts beside the machine's [`RelayStats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverStats {
    /// UDP datagrams received, and packets over TCP.
    pub datagrams_received: u64,
    /// UDP datagrams sent, and packets over TCP.
    pub datagrams_sent: u64,
    /// Bytes of both received: zero if nobody ever sent anything to the port.
    pub udp_bytes_received: u64,
    /// Bytes of both sent.
    pub udp_bytes_sent: u64,
    /// System calls that sent them.
    pub sends: u64,
    /// Datagrams that the operating system refused to send.
    pub send_failures: u64,
    /// Handshakes begun.
    pub handshakes_started: u64,
    /// Handshakes finished.
    pub handshakes_finished: u64,
    /// Dialling clients that were asked to prove their address first.
    pub retries: u64,
    /// Dialling clients that were ignored because too many dialled at once.
    pub handshakes_shed: u64,
    /// Dialling clients that were turned away because more came per second than may.
    pub handshakes_refused: u64,
    /// Handshakes begun that did not finish.
    pub handshakes_failed: u64,
    /// Connections now, half-open ones included.
    pub connections: u64,
    /// TCP streams now, those without a session included.
    pub tcp_streams: u64,
    /// Sessions now whose packets come over TCP.
    pub tcp_sessions: u64,
    /// TCP streams accepted.
    pub tcp_streams_accepted: u64,
    /// TCP streams closed at once, because there were too many.
    pub tcp_streams_refused: u64,
    /// Packets that a TCP stream did not take in time.
    pub tcp_packets_dropped: u64,
    /// Load of the event loop in thousandths of its time.
    pub load_permille: u16,
}

/// Both kinds of counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayReport {
    /// The machine's.
    pub relay: RelayStats,
    /// The driver's.
    pub driver: DriverStats,
}

/// Where a relay listens.
#[derive(Debug)]
pub struct RelaySockets {
    /// For everybody whose network lets UDP through.
    pub udp: UdpSocket,
    /// For the others.
    pub tcp: Vec<TcpListener>,
}

/// What the driver itself decides by; the rest is the machine's.
#[derive(Clone, Debug, Default)]
pub struct DriverPolicy {
    /// Addresses that need no token.
    pub listed: Vec<IpNet>,
    /// How fast sessions may come.
    pub handshakes: HandshakeLimits,
    /// Whether clients' addresses are logged. The descriptor says so.
    pub log_addresses: bool,
}

/// What an operator may change while the relay runs.
#[derive(Clone, Debug)]
pub struct Reconfiguration {
    /// Quotas.
    pub limits: RelayLimits,
    /// Who may use it.
    pub access: Access,
    /// Relays to which clients are redirected.
    pub alternates: BoundedVec<DescriptorBytes, REDIRECT_MAX>,
    /// Relays of the cascade.
    pub cascade: BTreeSet<RelayId>,
    /// See [`DriverPolicy`].
    pub policy: DriverPolicy,
}

/// What is left of a driver that has ended.
#[derive(Debug)]
struct Last {
    report: RelayReport,
    token_usage: Vec<TokenUsage>,
}

/// What the driver is told while it runs.
pub(crate) enum Command {
    Report(oneshot::Sender<RelayReport>),
    TokenUsage(oneshot::Sender<Vec<TokenUsage>>),
    SetDescriptor(DescriptorBytes),
    Reconfigure(Box<Reconfiguration>),
    Drain(Duration),
    Shutdown,
}

/// A running relay. Dropping the handle stops it at once; [`shutdown`](Self::shutdown) waits for that.
#[derive(Debug)]
pub struct RelayDriver {
    commands: mpsc::Sender<Command>,
    ended: watch::Receiver<Option<Arc<Last>>>,
    local_addr: SocketAddr,
}

impl RelayDriver {
    /// Starts a relay's event loop on its own thread. `server` decides the handshake; its transport parameters are
    /// replaced by [`relay_transport`].
    ///
    /// # Errors
    /// What the operating system says about the socket or the thread.
    pub fn start(
        socket: UdpSocket,
        endpoint: EndpointConfig,
        server: ServerConfig,
        relay: RelayConfig,
    ) -> io::Result<Self> {
        // Whoever drives a relay without settings has its own ideas of how many may come.
        let handshakes = HandshakeLimits {
            per_second: u32::MAX,
            per_address_block: u32::MAX,
        };
        let policy = DriverPolicy {
            handshakes,
            ..DriverPolicy::default()
        };
        let sockets = RelaySockets {
            udp: socket,
            tcp: Vec::new(),
        };
        Self::start_with(sockets, endpoint, server, relay, policy, None)
    }

    /// As [`start`](Self::start), with the driver's own part of the settings, and what it takes to dial other relays.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub(crate) fn start_with(
        sockets: RelaySockets,
        endpoint: EndpointConfig,
        mut server: ServerConfig,
        relay: RelayConfig,
        policy: DriverPolicy,
        dialler: Option<Dialler>,
    ) -> io::Result<Self> {
        server.transport_config(Arc::new(relay_transport()));
        // A relay's clients move between networks; their sessions move with them.
        server.migration(true);
        let local_addr = sockets.udp.local_addr()?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let (end, ended) = watch::channel(None);
        let sessions_max = relay.limits.sessions_max;
        let relay = Relay::new(relay);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let socket = {
            let _guard = runtime.enter();
            socket::RelaySocket::new(
                sockets.udp,
                sockets.tcp,
                event_loop::connections_max(sessions_max),
            )?
        };
        std::thread::Builder::new().name("relay".into()).spawn(move || {
            let mut event_loop =
                event_loop::EventLoop::new(socket, endpoint, server, relay, sessions_max, policy, dialler);
            runtime.block_on(event_loop.run(inbox));
            let (report, token_usage) = event_loop.last_words();
            let _ = end.send(Some(Arc::new(Last { report, token_usage })));
        })?;
        Ok(Self {
            commands,
            ended,
            local_addr,
        })
    }

    /// The bound address.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The counters; the last ones once the relay has ended.
    pub async fn report(&self) -> RelayReport {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::Report(reply)).await.is_ok()
            && let Ok(report) = answer.await
        {
            return report;
        }
        self.ended().await;
        let last = self.ended.borrow().clone();
        last.map(|last| last.report.clone()).unwrap_or_default()
    }

    /// What tokens have used.
    pub async fn token_usage(&self) -> Vec<TokenUsage> {
        let (reply, answer) = oneshot::channel();
        if self.commands.send(Command::TokenUsage(reply)).await.is_ok()
            && let Ok(usage) = answer.await
        {
            return usage;
        }
        self.ended().await;
        let last = self.ended.borrow().clone();
        last.map(|last| last.token_usage.clone()).unwrap_or_default()
    }

    /// Puts other settings in force. Sessions that they still allow lose nothing.
    pub async fn reconfigure(&self, settings: Reconfiguration) {
        let _ = self.commands.send(Command::Reconfigure(Box::new(settings))).await;
    }

    /// Replaces the descriptor, and tells every session.
    pub async fn set_descriptor(&self, descriptor: DescriptorBytes) {
        let _ = self.commands.send(Command::SetDescriptor(descriptor)).await;
    }

    /// Tells everybody that the relay ends, accepts nothing new, closes who is still there after `within`, and ends
    /// when nobody is left.
    pub async fn drain(&self, within: Duration) {
        let _ = self.commands.send(Command::Drain(within)).await;
    }

    /// Closes every session and waits until the event loop has ended.
    pub async fn shutdown(&self) {
        let _ = self.commands.send(Command::Shutdown).await;
        self.ended().await;
    }

    /// Whether the event loop has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        // A thread that panicked left nothing, and is gone all the same.
        self.ended.borrow().is_some() || self.ended.has_changed().is_err()
    }

    /// Waits until the event loop has ended, after a drain or a shutdown.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        let _ = ended.wait_for(Option::is_some).await;
    }
}
