//! Nodes of the discovery network on this machine: ours, and hostile ones.

use std::{net::SocketAddr, time::Duration};

use libp2p::{
    Multiaddr, PeerId, Swarm, SwarmBuilder,
    futures::StreamExt,
    identity::Keypair,
    kad::{
        self, RecordKey,
        store::{MemoryStore, RecordStore},
    },
    noise,
    swarm::SwarmEvent,
    tcp, yamux,
};
use subrosa_node::discovery::{KAD_PROTOCOL, Reach, Role, Service, ServiceConfig, Status, multiaddr_of};
use subrosa_proto::{
    discovery::{Bucket, DhtKey, RendezvousSecret},
    meeting::room_secret::TicketSecret,
    policy::DiscoveryRule,
    time::UnixSeconds,
    wire::ticket::Ticket,
};

/// A node of ours that serves the network, as a relay does.
pub(crate) struct Honest {
    pub(crate) service: Service,
    pub(crate) address: Multiaddr,
}

/// Starts a serving node that begins with `bootstrap`.
pub(crate) async fn honest(bootstrap: Vec<Multiaddr>) -> Honest {
    let service = Service::start(ServiceConfig {
        role: Role::Relay,
        seed: None,
        listen_tcp: vec![SocketAddr::from(([127, 0, 0, 1], 0))],
        listen_quic: Vec::new(),
        public: Vec::new(),
        lan: false,
        bootstrap,
        reach: anywhere(),
    })
    .expect("it starts");
    let status = until(&service, "a listener", |status| !status.listeners.is_empty()).await;
    let address = status.listeners[0]
        .clone()
        .with_p2p(service.peer())
        .expect("no other identity");
    Honest { service, address }
}

/// `count` serving nodes that know each other.
pub(crate) async fn network(count: usize) -> Vec<Honest> {
    let mut nodes = vec![honest(Vec::new()).await];
    for _ in 1..count {
        let first = nodes[0].address.clone();
        nodes.push(honest(vec![first]).await);
    }
    let enough = (count - 1).min(8);
    for node in &nodes {
        until(&node.service, "neighbours in the table", |status| {
            status.table >= enough
        })
        .await;
    }
    nodes
}

/// A node that asks, as a participant's does.
pub(crate) fn asking(rule: DiscoveryRule, bootstrap: Vec<Multiaddr>) -> Service {
    Service::start(ServiceConfig {
        role: Role::Participant,
        seed: None,
        listen_tcp: Vec::new(),
        listen_quic: Vec::new(),
        public: Vec::new(),
        lan: false,
        bootstrap,
        reach: Reach {
            rule,
            ..Reach::default()
        },
    })
    .expect("it starts")
}

fn anywhere() -> Reach {
    Reach {
        rule: DiscoveryRule::Any,
        ..Reach::default()
    }
}

/// Waits until the service's state is as `wanted`.
pub(crate) async fn until(service: &Service, what: &str, wanted: impl Fn(&Status) -> bool) -> Status {
    for _ in 0..600 {
        let status = service.status().await;
        if wanted(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("no {what}: {:?}", service.status().await);
}

/// Where the host's record lies now for those with `ticket`.
pub(crate) fn door_keys(ticket: &Ticket, now: UnixSeconds) -> Vec<DhtKey> {
    let terms = ticket.terms();
    let secret = RendezvousSecret::Door {
        secret: TicketSecret::from_bytes(*terms.secret),
        epoch: terms.epoch,
    };
    Bucket::around(now)
        .flat_map(|bucket| secret.points(terms.meeting, ticket.host(), bucket))
        .map(|point| point.key())
        .collect()
}

/// Starts `count` nodes nearer to `keys` than anybody else is likely to be. They answer each question for one of the keys
/// with garbage, and take what is to be stored without storing it.
pub(crate) async fn hostile(count: usize, keys: &[DhtKey], garbage: &[Vec<u8>], bootstrap: &Multiaddr) {
    for number in 0..count {
        let keypair = near(&keys[number % keys.len()]);
        let mut swarm = hostile_swarm(keypair);
        swarm
            .listen_on("/ip4/127.0.0.1/tcp/0".parse().expect("an address"))
            .expect("it listens");
        let listener = loop {
            if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
                break address;
            }
        };
        swarm.add_external_address(listener);
        for (at, key) in keys.iter().enumerate() {
            let value = garbage[(number + at) % garbage.len()].clone();
            let record = kad::Record::new(key.to_bytes().to_vec(), value);
            let table = swarm.behaviour_mut().kad.store_mut();
            table.put(record).expect("there is room");
        }
        let Some(libp2p::multiaddr::Protocol::P2p(first)) = bootstrap.iter().last() else {
            panic!("a bootstrap node without identity");
        };
        swarm.behaviour_mut().kad.add_address(&first, bootstrap.clone());
        swarm
            .behaviour_mut()
            .kad
            .bootstrap()
            .expect("a node to begin with");
        tokio::spawn(async move {
            loop {
                // Requests to store are dropped: the table's filter hands them to nobody.
                if let SwarmEvent::Behaviour(HostileEvent::Identify(event)) = swarm.select_next_some().await
                    && let libp2p::identify::Event::Received { peer_id, info, .. } = *event
                {
                    for address in info.listen_addrs {
                        swarm.behaviour_mut().kad.add_address(&peer_id, address);
                    }
                }
            }
        });
    }
}

#[derive(libp2p::swarm::NetworkBehaviour)]
#[behaviour(to_swarm = "HostileEvent")]
struct Hostile {
    kad: kad::Behaviour<MemoryStore>,
    identify: libp2p::identify::Behaviour,
}

enum HostileEvent {
    Kad,
    Identify(Box<libp2p::identify::Event>),
}

impl From<kad::Event> for HostileEvent {
    fn from(_: kad::Event) -> Self {
        Self::Kad
    }
}

impl From<libp2p::identify::Event> for HostileEvent {
    fn from(event: libp2p::identify::Event) -> Self {
        Self::Identify(Box::new(event))
    }
}

fn hostile_swarm(keypair: Keypair) -> Swarm<Hostile> {
    SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .expect("a transport")
        .with_behaviour(|key| {
            let peer = key.public().to_peer_id();
            let mut config = kad::Config::new(KAD_PROTOCOL);
            config.set_record_filtering(kad::StoreInserts::FilterBoth);
            let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), config);
            kad.set_mode(Some(kad::Mode::Server));
            let identify = libp2p::identify::Config::new("/subrosa/1".to_owned(), key.public());
            Hostile {
                kad,
                identify: libp2p::identify::Behaviour::new(identify),
            }
        })
        .expect("a behaviour")
        .with_swarm_config(|config| config.with_idle_connection_timeout(Duration::from_secs(60)))
        .build()
}

/// An identity whose place in the table is nearer to `key` than 500 others.
fn near(key: &DhtKey) -> Keypair {
    let target = kad::KBucketKey::new(RecordKey::new(&key.to_bytes()));
    let candidates = (0..500).map(|_| Keypair::generate_ed25519());
    let nearest = candidates.min_by_key(|candidate| {
        let place = kad::KBucketKey::from(PeerId::from(candidate.public()));
        place.distance(&target)
    });
    nearest.expect("there are some")
}

/// The libp2p address of a relay's descriptor.
pub(crate) fn address_of(relay: &subrosa_proto::policy::Descriptor) -> Multiaddr {
    let peer = subrosa_node::discovery::peer_of_relay(relay.relay).expect("a key");
    multiaddr_of(relay.addresses[0], peer)
}
