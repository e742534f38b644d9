//! The one door through which libp2p's dials leave, and its connections come in: what the meeting's discovery clause does
//! not allow gets no packet, whatever a protocol, a peer or a record suggests.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    net::{IpAddr, SocketAddr},
    sync::{Arc, PoisonError, RwLock},
};

use libp2p::{Multiaddr, PeerId};
use subrosa_proto::{ids::RelayId, policy::DiscoveryRule};

use super::address::{Target, is_local, peer_of_relay};

/// Nodes of the local network that are remembered. Reason: more do not answer mDNS on one network.
const LAN_PEERS_MAX: usize = 256;

/// What may be contacted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The discovery clause in force.
    pub rule: DiscoveryRule,
    /// Relays that the policy permits, with the addresses of their descriptors.
    pub relays: BTreeMap<RelayId, Vec<SocketAddr>>,
}

impl Default for Reach {
    fn default() -> Self {
        Self {
            rule: DiscoveryRule::Off,
            relays: BTreeMap::new(),
        }
    }
}

#[derive(Debug)]
struct State {
    rule: DiscoveryRule,
    relays: BTreeMap<PeerId, BTreeSet<IpAddr>>,
    lan: HashSet<PeerId>,
    /// Whether nodes beyond the local network may name local addresses: only where the bootstrap nodes are local, too.
    /// Else whoever writes records could make us knock at this network's machines.
    local_bootstrap: bool,
    /// Whether this node is known at a local address.
    local: bool,
    /// Whether strangers are answered under the widest rule: relays serve everybody, members their neighbours.
    serves: bool,
}

/// See the module. Clones are one gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<RwLock<State>>);

impl Gate {
    /// A gate that is shut, of a node that serves everybody (a relay) or only its neighbours. `local`: whether the node
    /// itself is known at a local address, so that its network is one, too.
    #[must_use]
    pub fn shut(serves: bool, local: bool) -> Self {
        Self(Arc::new(RwLock::new(State {
            rule: DiscoveryRule::Off,
            relays: BTreeMap::new(),
            lan: HashSet::new(),
            local_bootstrap: local,
            local,
            serves,
        })))
    }

    /// Opens it as far as `reach`, with `bootstrap` as the nodes that the user named.
    pub fn set(&self, reach: &Reach, bootstrap: &[Multiaddr]) {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.rule = reach.rule;
        state.relays = reach
            .relays
            .iter()
            .filter_map(|(relay, addresses)| {
                let ips = addresses.iter().map(|address| address.ip().to_canonical());
                Some((peer_of_relay(*relay)?, ips.collect()))
            })
            .collect();
        let named = bootstrap.iter().filter_map(Target::of).map(|target| target.ip);
        let of_relays = reach.relays.values().flatten().map(SocketAddr::ip);
        state.local_bootstrap = state.local || named.chain(of_relays).any(is_local);
    }

    /// Notes that `peer` answered on the local network. Whether it is remembered.
    pub fn note_lan_peer(&self, peer: PeerId) -> bool {
        let mut state = self.0.write().unwrap_or_else(PoisonError::into_inner);
        state.lan.contains(&peer) || (state.lan.len() < LAN_PEERS_MAX && state.lan.insert(peer))
    }

    /// Notes that `peer` is gone from the local network.
    pub fn forget_lan_peer(&self, peer: &PeerId) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .lan
            .remove(peer);
    }

    /// Whether a packet may go to `address`.
    #[must_use]
    pub fn permits_dial(&self, address: &Multiaddr) -> bool {
        let Some(Target { ip, peer }) = Target::of(address) else {
            return false;
        };
        if ip.is_unspecified() || ip.is_multicast() {
            return false;
        }
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let on_lan = peer.is_some_and(|peer| state.lan.contains(&peer)) && is_local(ip);
        let permitted_relay = peer
            .and_then(|peer| state.relays.get(&peer))
            .is_some_and(|ips| ips.contains(&ip));
        match state.rule {
            DiscoveryRule::Off => false,
            DiscoveryRule::Lan => on_lan,
            DiscoveryRule::PermittedRelays => on_lan || permitted_relay,
            DiscoveryRule::Any => on_lan || permitted_relay || !is_local(ip) || state.local_bootstrap,
        }
    }

    /// Whether a connection from `address` is answered.
    #[must_use]
    pub fn permits_accept(&self, address: &Multiaddr) -> bool {
        let Some(Target { ip, .. }) = Target::of(address) else {
            return false;
        };
        let state = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let near = is_local(ip) || state.relays.values().any(|ips| ips.contains(&ip));
        match state.rule {
            DiscoveryRule::Off => false,
            DiscoveryRule::Lan | DiscoveryRule::PermittedRelays => near,
            DiscoveryRule::Any => near || state.serves,
        }
    }

    /// The rule in force.
    #[must_use]
    pub fn rule(&self) -> DiscoveryRule {
        self.0.read().unwrap_or_else(PoisonError::into_inner).rule
    }
}

#[cfg(test)]
mod tests {
    use subrosa_proto::identity::Identity;

    use super::*;
    use crate::discovery::multiaddr_of;

    fn relay(number: u8) -> RelayId {
        Identity::from_seed(&[number; 32]).relay_id()
    }

    fn at(address: &str, number: u8) -> Multiaddr {
        multiaddr_of(address.parse().unwrap(), peer_of_relay(relay(number)).unwrap())
    }

    fn reach(rule: DiscoveryRule) -> Reach {
        Reach {
            rule,
            relays: BTreeMap::from([(relay(1), vec!["198.51.100.1:4433".parse().unwrap()])]),
        }
    }

    #[test]
    fn each_rule_opens_what_it_names_and_no_more() {
        let gate = Gate::shut(true, false);
        let permitted = at("198.51.100.1:4433", 1);
        let elsewhere = at("198.51.100.2:4433", 1);
        let stranger = at("198.51.100.3:1", 2);
        let neighbour = at("192.168.7.7:1", 3);
        let neighbour_abroad = at("198.51.100.9:1", 3);
        gate.note_lan_peer(peer_of_relay(relay(3)).unwrap());
        let opened = |rule| {
            gate.set(&reach(rule), &[]);
            [&neighbour, &permitted, &elsewhere, &stranger, &neighbour_abroad]
                .map(|address| gate.permits_dial(address))
        };
        assert_eq!(opened(DiscoveryRule::Off), [false; 5]);
        assert_eq!(opened(DiscoveryRule::Lan), [true, false, false, false, false]);
        assert_eq!(
            opened(DiscoveryRule::PermittedRelays),
            [true, true, false, false, false]
        );
        assert_eq!(opened(DiscoveryRule::Any), [true; 5]);
    }

    #[test]
    fn records_cannot_point_at_machines_of_the_own_network() {
        let gate = Gate::shut(true, false);
        gate.set(&reach(DiscoveryRule::Any), &[]);
        for address in [
            "192.168.1.1:80",
            "127.0.0.1:80",
            "10.0.0.1:1",
            "0.0.0.0:1",
            "224.0.0.251:1",
        ] {
            assert!(!gate.permits_dial(&at(address, 2)), "{address}");
        }
        gate.set(&reach(DiscoveryRule::Any), &[at("127.0.0.1:1", 4)]);
        assert!(
            gate.permits_dial(&at("127.0.0.1:80", 2)),
            "a test network of one's own"
        );
        assert!(!gate.permits_dial(&"/dns4/example.org/tcp/1".parse().unwrap()));
    }

    #[test]
    fn strangers_are_answered_by_relays_under_the_widest_rule_only() {
        let gate = Gate::shut(true, false);
        let abroad: Multiaddr = "/ip4/198.51.100.77/tcp/9".parse().unwrap();
        for (rule, answered) in [
            (DiscoveryRule::Off, false),
            (DiscoveryRule::Lan, false),
            (DiscoveryRule::PermittedRelays, false),
            (DiscoveryRule::Any, true),
        ] {
            gate.set(&reach(rule), &[]);
            assert_eq!(gate.permits_accept(&abroad), answered, "{rule}");
        }
        let member = Gate::shut(false, false);
        member.set(&reach(DiscoveryRule::Any), &[]);
        assert!(!member.permits_accept(&abroad));
        assert!(member.permits_accept(&"/ip4/192.168.1.7/tcp/9".parse().unwrap()));
    }

    #[test]
    fn neighbours_are_bounded() {
        let gate = Gate::shut(true, false);
        assert!((0..LAN_PEERS_MAX).all(|_| gate.note_lan_peer(PeerId::random())));
        assert!(!gate.note_lan_peer(PeerId::random()));
    }
}
