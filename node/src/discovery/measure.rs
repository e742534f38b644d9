//! How far relays are: the time of a whole handshake, which also proves that the relay is the one.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use subrosa_proto::{ids::RelayId, policy::VerifiedDescriptor};
use tokio::task::JoinSet;

use crate::{driver::addresses::as_seen_from, quic::endpoint::Endpoint, store::identity_file};

/// Relays that answer later are too far away.
const MEASURE_PATIENCE: Duration = Duration::from_secs(3);

/// The time that a handshake with each relay takes; those that do not answer are left out.
pub async fn measure(
    endpoint: &Arc<Endpoint>,
    relays: Vec<VerifiedDescriptor>,
) -> Vec<(VerifiedDescriptor, Duration)> {
    let Ok(local) = endpoint.local_addr() else {
        return Vec::new();
    };
    let mut attempts = JoinSet::new();
    for relay in &relays {
        for address in relay
            .addresses
            .iter()
            .filter_map(|address| as_seen_from(local, *address))
        {
            let (endpoint, id, key) = (endpoint.clone(), relay.relay, relay.static_key);
            attempts.spawn(async move {
                // A stranger to the relay: whoever uses it later is another.
                let identity = identity_file::fresh().ok()?;
                let began = Instant::now();
                let dialled = endpoint.connect_relay(address, id, key, &identity);
                let connected = tokio::time::timeout(MEASURE_PATIENCE, dialled).await.ok()?.ok()?;
                let took = began.elapsed();
                connected.connection.close(0_u32.into(), b"measured");
                Some((id, took))
            });
        }
    }
    let mut best: BTreeMap<RelayId, Duration> = BTreeMap::new();
    while let Some(result) = attempts.join_next().await {
        if let Ok(Some((relay, took))) = result {
            let known = best.entry(relay).or_insert(took);
            *known = took.min(*known);
        }
    }
    relays
        .into_iter()
        .filter_map(|relay| best.get(&relay.relay).map(|took| (relay.clone(), *took)))
        .collect()
}
