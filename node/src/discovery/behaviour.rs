//! Which libp2p protocols a node speaks, each with its limits.

use std::{num::NonZeroUsize, time::Duration};

use libp2p::{
    PeerId, StreamProtocol, autonat, connection_limits, dcutr, identify,
    identity::Keypair,
    kad::{
        self,
        store::{MemoryStore, MemoryStoreConfig},
    },
    mdns, memory_connection_limits, ping, relay,
    swarm::{NetworkBehaviour, behaviour::toggle::Toggle},
};
use subrosa_proto::discovery::store_rule;

use super::{reachability::Reachability, service::Role};

/// The table that spans networks.
pub const KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/subrosa/kad/1");
/// The table of one local network: its nodes are in no other, and no other's nodes are in it.
pub const LAN_KAD_PROTOCOL: StreamProtocol = StreamProtocol::new("/subrosa/lan/kad/1");
/// What a node says that it is: nothing that tells one from another.
pub const AGENT: &str = "p2p";
/// The family of protocols, as `identify` states it.
const PROTOCOL_FAMILY: &str = "/subrosa/1";

/// How long a search in the table may take.
const QUERY_PATIENCE: Duration = Duration::from_secs(10);
/// Providers are remembered for so long; relays announce themselves four times in it.
const PROVIDER_TTL: Duration = Duration::from_secs(2 * 3_600);
/// How often relays announce themselves.
pub(super) const ANNOUNCE_INTERVAL: Duration = Duration::from_secs(30 * 60);
/// The largest message of the table: a record of the largest size with its closest peers.
const KAD_PACKET_MAX: usize = 16 * 1024;
/// Keys of which providers are remembered: a country each.
const PROVIDED_KEYS_MAX: usize = 512;
/// Addresses that are taken from one peer's word, and remembered of it.
pub const ADDRESSES_PER_PEER_MAX: usize = 8;
/// libp2p accepts and opens no more connections while this process uses more memory than that.
const MEMORY_BYTES_MAX: usize = 1 << 30;
/// Connections that strangers have to a relay's node, and all of its connections.
pub const RELAY_CONNECTIONS_MAX: (u32, u32) = (256, 512);
/// The same of a participant's node, whose strangers are its neighbours.
pub const PARTICIPANT_CONNECTIONS_MAX: (u32, u32) = (32, 96);
/// Connections that are being made, each way.
pub const PENDING_MAX: u32 = 32;
/// Connections to one node.
const CONNECTIONS_PER_PEER_MAX: u32 = 3;
/// Reservations on a relay for circuits. Circuits carry signalling only, so there are few, short and thin.
pub const RESERVATIONS_MAX: usize = 64;
/// Circuits over a relay at one time.
pub const CIRCUITS_MAX: usize = 16;
const CIRCUIT_LIFE_MAX: Duration = Duration::from_secs(120);
const CIRCUIT_BYTES_MAX: u64 = 64 * 1024;

#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    pub(super) limits: connection_limits::Behaviour,
    pub(super) memory: memory_connection_limits::Behaviour,
    pub(super) identify: identify::Behaviour,
    pub(super) ping: ping::Behaviour,
    pub(super) kad: kad::Behaviour<MemoryStore>,
    pub(super) lan_kad: Toggle<kad::Behaviour<MemoryStore>>,
    pub(super) mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) circuits: relay::client::Behaviour,
    pub(super) relay: Toggle<relay::Behaviour>,
    pub(super) dcutr: Toggle<dcutr::Behaviour>,
    pub(super) autonat_client: Toggle<Reachability>,
    pub(super) autonat_server: Toggle<autonat::v2::server::Behaviour>,
}

impl Behaviour {
    pub(super) fn new(
        keypair: &Keypair,
        role: Role,
        lan: bool,
        circuits: relay::client::Behaviour,
    ) -> std::io::Result<Self> {
        let peer = keypair.public().to_peer_id();
        let serves = role == Role::Relay;
        let identify = identify::Config::new(PROTOCOL_FAMILY.to_owned(), keypair.public())
            .with_agent_version(AGENT.to_owned())
            // Interfaces' addresses are nobody's business; a relay states its public ones.
            .with_hide_listen_addrs(true);
        let mdns = lan
            .then(|| mdns::tokio::Behaviour::new(mdns::Config::default(), peer))
            .transpose()?;
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits(role)),
            memory: memory_connection_limits::Behaviour::with_max_bytes(MEMORY_BYTES_MAX),
            identify: identify::Behaviour::new(identify),
            ping: ping::Behaviour::default(),
            kad: table(
                peer,
                KAD_PROTOCOL,
                if serves {
                    kad::Mode::Server
                } else {
                    kad::Mode::Client
                },
            ),
            lan_kad: lan
                .then(|| table(peer, LAN_KAD_PROTOCOL, kad::Mode::Server))
                .into(),
            mdns: mdns.into(),
            circuits,
            relay: serves.then(|| relay::Behaviour::new(peer, relay_config())).into(),
            dcutr: (!serves).then(|| dcutr::Behaviour::new(peer)).into(),
            autonat_client: (!serves).then(Reachability::default).into(),
            autonat_server: serves.then(autonat::v2::server::Behaviour::default).into(),
        })
    }
}

fn limits(role: Role) -> connection_limits::ConnectionLimits {
    let (incoming, total) = match role {
        Role::Relay => RELAY_CONNECTIONS_MAX,
        Role::Participant => PARTICIPANT_CONNECTIONS_MAX,
    };
    connection_limits::ConnectionLimits::default()
        .with_max_pending_incoming(Some(PENDING_MAX))
        .with_max_pending_outgoing(Some(PENDING_MAX))
        .with_max_established_incoming(Some(incoming))
        .with_max_established(Some(total))
        .with_max_established_per_peer(Some(CONNECTIONS_PER_PEER_MAX))
}

fn table(peer: PeerId, protocol: StreamProtocol, mode: kad::Mode) -> kad::Behaviour<MemoryStore> {
    let store = MemoryStoreConfig {
        max_records: store_rule::RECORDS_MAX,
        max_value_bytes: store_rule::VALUE_BYTES_MAX + 1,
        max_providers_per_key: store_rule::PROVIDERS_PER_KEY_MAX,
        max_provided_keys: PROVIDED_KEYS_MAX,
    };
    let mut config = kad::Config::new(protocol);
    config
        .set_query_timeout(QUERY_PATIENCE)
        .set_record_filtering(kad::StoreInserts::FilterBoth)
        // Whoever published publishes again; nodes that store do not multiply what they hold.
        .set_replication_interval(None)
        .set_publication_interval(None)
        .set_record_ttl(Some(store_rule::DESCRIPTOR_TTL))
        .set_provider_record_ttl(Some(PROVIDER_TTL))
        .set_provider_publication_interval(Some(ANNOUNCE_INTERVAL))
        .set_max_packet_size(KAD_PACKET_MAX)
        // An answer of several nodes is compared; caching at others would spread what hostile ones made up.
        .set_caching(kad::Caching::Disabled)
        .disjoint_query_paths(true)
        .set_parallelism(NonZeroUsize::new(4).unwrap_or(NonZeroUsize::MIN));
    let mut behaviour = kad::Behaviour::with_config(peer, MemoryStore::with_config(peer, store), config);
    behaviour.set_mode(Some(mode));
    behaviour
}

fn relay_config() -> relay::Config {
    relay::Config {
        max_reservations: RESERVATIONS_MAX,
        max_reservations_per_peer: 1,
        max_circuits: CIRCUITS_MAX,
        max_circuits_per_peer: 2,
        max_circuit_duration: CIRCUIT_LIFE_MAX,
        max_circuit_bytes: CIRCUIT_BYTES_MAX,
        ..relay::Config::default()
    }
}
