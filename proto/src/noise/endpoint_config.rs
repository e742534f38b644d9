//! What holds for all connections of an endpoint.

use std::sync::{Arc, Mutex, PoisonError};

use quinn_proto::{ConnectionId, ConnectionIdGenerator, EndpointConfig, InvalidCid};

use super::{QUIC_VERSION, token_key::ResetKey};
use crate::random::Random;

/// Length of our connection ids in bytes. Reason: each datagram carries one; 64 random bits make two of a process's
/// connections collide never, and routing is not a secret.
pub const CONNECTION_ID_LEN: usize = 8;

/// The private version only, unguessable connection ids, no byte in answer to what belongs to no connection.
///
/// Equal states of `random` give equal endpoints (the simulator relies on it).
#[must_use]
pub fn endpoint_config(random: &mut Random) -> EndpointConfig {
    let mut config = EndpointConfig::new(Arc::new(ResetKey::new(random)));
    config.supported_versions(vec![QUIC_VERSION]);
    config.rng_seed(Some(random.bytes()));
    // The factory runs once per endpoint; the generator must be `Fn`, hence the lock.
    let seeds = Mutex::new(random.fork("connection ids"));
    config.cid_generator(move || {
        let mut seeds = seeds.lock().unwrap_or_else(PoisonError::into_inner);
        Box::new(SilentConnectionIds(seeds.fork("endpoint")))
    });
    config
}

/// Random connection ids, and no excuse for a stateless reset: quinn asks [`validate`] only about short-header packets
/// that belong to no connection, and answers those that pass with a reset. A stranger who replays a packet of a
/// connection that has ended would learn from it that we are here, so none passes.
///
/// [`validate`]: ConnectionIdGenerator::validate
struct SilentConnectionIds(Random);

impl ConnectionIdGenerator for SilentConnectionIds {
    fn generate_cid(&mut self) -> ConnectionId {
        ConnectionId::new(&self.0.bytes::<CONNECTION_ID_LEN>())
    }

    fn validate(&self, _: &ConnectionId) -> Result<(), InvalidCid> {
        Err(InvalidCid)
    }

    fn cid_len(&self) -> usize {
        CONNECTION_ID_LEN
    }

    fn cid_lifetime(&self) -> Option<std::time::Duration> {
        None
    }
}
