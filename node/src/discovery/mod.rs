//! libp2p, as an adapter: it finds things and believes nothing. What it finds goes to `subrosa_proto::discovery`.
//!
//! | file | what |
//! |---|---|
//! | `address` | between socket addresses, relay identities and libp2p's |
//! | `gate` | the one door through which a dial leaves: what the policy does not allow is not dialled |
//! | `transport` | TCP with Noise and Yamux, QUIC, circuits; all behind the gate |
//! | `behaviour` | which protocols a node speaks, with every limit |
//! | `service` | the handle, and what goes in and out |
//! | `swarm` | the task that owns libp2p |
//! | `queries` | what is under way in the distributed hash table |
//! | `reachability` | AutoNAT, within a bound |

mod address;
mod behaviour;
mod gate;
mod measure;
mod queries;
mod reachability;
mod search;
mod service;
mod swarm;
mod transport;

pub use address::{bootstrap_address, multiaddr_of, parse_multiaddr, peer_of_relay, relay_of_peer};
pub use behaviour::{
    ADDRESSES_PER_PEER_MAX, AGENT, CIRCUITS_MAX, KAD_PROTOCOL, LAN_KAD_PROTOCOL, PARTICIPANT_CONNECTIONS_MAX,
    PENDING_MAX, RELAY_CONNECTIONS_MAX, RESERVATIONS_MAX,
};
pub use gate::{Gate, Reach};
pub use libp2p::{Multiaddr, PeerId};
pub use measure::{Answers, ask, measure};
pub use search::search_relays;
pub use service::{Found, Order, Role, Service, ServiceConfig, ServiceError, Status};
