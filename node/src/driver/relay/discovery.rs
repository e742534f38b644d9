//! The relay's part in discovery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use subrosa_proto::policy::{DiscoveryRule, SignedDescriptor};

use super::descriptor_chain::Signer;
use crate::{
    discovery::{Order, Reach, Role, Service, ServiceConfig, bootstrap_address},
    relay_config::RelaySettings,
};

/// Starts libp2p on TCP at the media port's number, and announces the descriptor. The relay relays without it, too, so
/// that a failure is a warning.
pub(super) fn start(settings: &RelaySettings, signer: &Signer, signed: &SignedDescriptor) -> Option<Service> {
    if !settings.discovery.enabled {
        return None;
    }
    let nodes = settings.discovery.bootstrap.iter();
    let config = ServiceConfig {
        role: Role::Relay,
        seed: Some(signer.identity.to_seed()),
        listen_tcp: both_families(signer.bound),
        listen_quic: settings.discovery.quic.map_or_else(Vec::new, both_families),
        public: signed.unverified().addresses.clone(),
        lan: settings.discovery.lan,
        bootstrap: nodes
            .filter_map(|text| bootstrap_address(text).ok())
            .flatten()
            .collect(),
        reach: Reach {
            rule: DiscoveryRule::Any,
            ..Reach::default()
        },
    };
    let service = Service::start(config)
        .inspect_err(|error| tracing::warn!(%error, "the relay takes no part in discovery"))
        .ok()?;
    service.try_order(Order::Announce(Box::new(signed.clone())));
    Some(service)
}

/// libp2p's sockets take one family each: the wildcard of IPv6 stands for both, as it does for media.
fn both_families(address: SocketAddr) -> Vec<SocketAddr> {
    if address.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) {
        vec![address, (Ipv4Addr::UNSPECIFIED, address.port()).into()]
    } else {
        vec![address]
    }
}
