//! The handle of a node's libp2p services.

use std::{collections::BTreeMap, io, net::SocketAddr, time::Duration};

use libp2p::{Multiaddr, PeerId, Swarm, identity::Keypair, swarm};
use subrosa_proto::{
    discovery::{DhtKey, Request},
    policy::SignedDescriptor,
};
use tokio::sync::{mpsc, oneshot};

use super::{
    address::{is_local, quic, tcp},
    behaviour::Behaviour,
    gate::{Gate, Reach},
    swarm::Task,
    transport,
};

/// Orders that wait for the task; whoever gives more waits or drops.
const ORDERS_MAX: usize = 64;
/// What was found and waits to be looked at. Beyond it things are dropped: they can be found again.
const FOUND_MAX: usize = 256;
/// A connection that nothing uses is closed after so long.
const IDLE_MAX: Duration = Duration::from_secs(60);
/// Connections whose protocol is being agreed, on one peer's streams.
const NEGOTIATING_MAX: usize = 32;

/// What a node is to the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Asks, and answers its neighbours only. Its libp2p identity is fresh for each run.
    Participant,
    /// Serves: stores records, relays circuits, probes addresses. Its identity is the relay's.
    Relay,
}

/// What the services begin with.
#[derive(Debug)]
pub struct ServiceConfig {
    /// See [`Role`].
    pub role: Role,
    /// The Ed25519 seed of the libp2p identity; `None` makes a fresh one.
    pub seed: Option<zeroize::Zeroizing<[u8; 32]>>,
    /// Where TCP listens; port 0 takes a free one.
    pub listen_tcp: Vec<SocketAddr>,
    /// Where QUIC listens.
    pub listen_quic: Vec<SocketAddr>,
    /// Addresses (TCP) at which others reach this node, told to everybody.
    pub public: Vec<SocketAddr>,
    /// Whether to announce and look on the local network (mDNS).
    pub lan: bool,
    /// Nodes to begin with, each with its identity.
    pub bootstrap: Vec<Multiaddr>,
    /// What may be contacted at first.
    pub reach: Reach,
}

/// Why the services do not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// No socket for mDNS.
    #[error("the local network cannot be searched: {0}")]
    Lan(io::Error),
    /// The address cannot be listened on.
    #[error("libp2p cannot listen on {address}: {reason}")]
    Listen {
        /// Which.
        address: Multiaddr,
        /// What the system says.
        reason: String,
    },
    /// The key makes no identity, or no handshake can be made with it.
    #[error("the libp2p identity cannot be used: {0}")]
    Identity(String),
}

/// What the services are told.
#[derive(Debug)]
#[non_exhaustive]
pub enum Order {
    /// What may be contacted has changed. Narrowing it ends every connection.
    Reach(Reach),
    /// See [`Request`].
    Request(Request),
    /// This node's own descriptor: publish it, and announce the relay under its country. Relays only.
    Announce(Box<SignedDescriptor>),
    /// Say how things stand.
    Status(oneshot::Sender<Status>),
}

/// What was found. Nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Found {
    /// A value under a key that was asked for.
    Value {
        /// The key.
        key: DhtKey,
        /// The value.
        value: Vec<u8>,
    },
    /// Something on which an earlier search may now succeed: the first neighbour or the first node of the table.
    Peers,
}

/// How things stand.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// Where it listens.
    pub listeners: Vec<Multiaddr>,
    /// Peers that it is connected to.
    pub connected: Vec<PeerId>,
    /// Connections that are being made, by it and to it.
    pub pending: u32,
    /// Nodes in the table that spans networks.
    pub table: usize,
    /// Most addresses of one of them.
    pub addresses_max: usize,
    /// Nodes in the local network's table.
    pub neighbours: usize,
    /// Records that it stores.
    pub records: usize,
    /// Records of strangers that it refused to store.
    pub refused: u64,
    /// What others say of it in `identify`: agent and protocol family of each peer.
    pub agents: BTreeMap<PeerId, String>,
    /// Addresses that AutoNAT found reachable from outside.
    pub reachable: Vec<Multiaddr>,
}

/// Running services. They end when this is dropped.
#[derive(Debug)]
pub struct Service {
    orders: mpsc::Sender<Order>,
    found: mpsc::Receiver<Found>,
    peer: PeerId,
}

impl Service {
    /// Starts the services on their own task; needs a tokio runtime.
    ///
    /// # Errors
    /// [`ServiceError`]: identity, local network, or a listening address.
    pub fn start(config: ServiceConfig) -> Result<Self, ServiceError> {
        let keypair = match &config.seed {
            // libp2p erases the copy that it is given.
            Some(seed) => Keypair::ed25519_from_bytes(**seed)
                .map_err(|error| ServiceError::Identity(error.to_string()))?,
            None => Keypair::generate_ed25519(),
        };
        let own = if config.public.is_empty() {
            &config.listen_tcp
        } else {
            &config.public
        };
        let known_locally = config.role == Role::Relay && own.iter().any(|address| is_local(address.ip()));
        let gate = Gate::shut(config.role == Role::Relay, known_locally);
        gate.set(&config.reach, &config.bootstrap);
        let (transport, circuits) = transport::build(&keypair, gate.clone())
            .map_err(|error| ServiceError::Identity(error.to_string()))?;
        let behaviour =
            Behaviour::new(&keypair, config.role, config.lan, circuits).map_err(ServiceError::Lan)?;
        let peer = keypair.public().to_peer_id();
        let settings = swarm::Config::with_tokio_executor()
            .with_idle_connection_timeout(IDLE_MAX)
            .with_max_negotiating_inbound_streams(NEGOTIATING_MAX);
        let mut swarm = Swarm::new(transport, behaviour, peer, settings);
        let by_tcp = config.listen_tcp.iter().copied().map(tcp);
        let by_quic = config.listen_quic.iter().copied().map(quic);
        for address in by_tcp.chain(by_quic) {
            swarm
                .listen_on(address.clone())
                .map_err(|error| ServiceError::Listen {
                    address,
                    reason: error.to_string(),
                })?;
        }
        for address in &config.public {
            swarm.add_external_address(tcp(*address));
        }
        let (order_sender, orders) = mpsc::channel(ORDERS_MAX);
        let (found_sender, found) = mpsc::channel(FOUND_MAX);
        let task = Task::new(swarm, gate, config, found_sender);
        tokio::spawn(task.run(orders));
        Ok(Self {
            orders: order_sender,
            found,
            peer,
        })
    }

    /// The node's libp2p identity.
    #[must_use]
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// Gives an order; waits while `ORDERS_MAX` are queued.
    pub async fn order(&self, order: Order) {
        let _ = self.orders.send(order).await;
    }

    /// Gives an order without waiting. Whether there was room; what was not taken is asked again by whoever decides.
    pub fn try_order(&self, order: Order) -> bool {
        self.orders.try_send(order).is_ok()
    }

    /// The next thing that was found; `None` once the services ended.
    pub async fn found(&mut self) -> Option<Found> {
        self.found.recv().await
    }

    /// How things stand.
    pub async fn status(&self) -> Status {
        let (reply, answer) = oneshot::channel();
        self.order(Order::Status(reply)).await;
        answer.await.unwrap_or_default()
    }
}
