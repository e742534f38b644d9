//! Finding members whose addresses changed, and relays: everything but the network.
//!
//! libp2p finds things (`node/src/discovery`); what it finds is believed here or nowhere. A record counts only if its
//! signature, seal, expiry and sequence hold, so that a hostile network can hide a member and can never misdirect to
//! another (`proto/spec/rendezvous.md`, `proto/spec/relay-directory.md`).
//!
//! | file | what |
//! |---|---|
//! | `bucket` | time buckets, so that keys change by the hour |
//! | `dht_key` | the keys of the distributed hash table |
//! | `rendezvous` | where a member's record lies, and what opens it, from a secret |
//! | `member_record` | the record: signed, sealed, padded |
//! | `peer_book` | the newest record of each member |
//! | `store_rule` | what a node of the table stores for strangers |
//! | `directory` | relays by country, judged before anything is dialled |
//! | `agent` | when to publish and when to look |

pub mod agent;
pub mod bucket;
pub mod dht_key;
pub mod directory;
pub mod member_record;
pub mod peer_book;
pub mod rendezvous;
pub mod store_rule;

pub use agent::{Agent, Request, Situation};
pub use bucket::Bucket;
pub use dht_key::DhtKey;
pub use directory::Directory;
pub use member_record::{MemberRecord, RecordError};
pub use peer_book::PeerBook;
pub use rendezvous::{RendezvousPoint, RendezvousSecret};
