//! Between socket addresses, relay identities and what libp2p calls them.

use std::net::{IpAddr, SocketAddr};

use libp2p::{Multiaddr, PeerId, identity, multiaddr::Protocol};
use subrosa_proto::{ids::RelayId, policy::SignedDescriptor};

use crate::driver::clock::unix_now;

/// A relay's libp2p identity: both are the same Ed25519 key, so that a descriptor names its libp2p node.
#[must_use]
pub fn peer_of_relay(relay: RelayId) -> Option<PeerId> {
    let key = identity::ed25519::PublicKey::try_from_bytes(&relay.0).ok()?;
    Some(identity::PublicKey::from(key).to_peer_id())
}

/// The relay whose key is inlined in `peer`; `None` for an identity of another kind.
#[must_use]
pub fn relay_of_peer(peer: &PeerId) -> Option<RelayId> {
    // Identity multihash of the key's protobuf (libp2p peer-ids specification): only short keys are inlined.
    let hash = peer.as_ref();
    let key = identity::PublicKey::try_decode_protobuf(hash.digest()).ok()?;
    (hash.code() == 0).then_some(())?;
    Some(RelayId(key.try_into_ed25519().ok()?.to_bytes()))
}

/// Where a relay's libp2p services are: TCP at the addresses of its descriptor, whose UDP ports carry media.
#[must_use]
pub fn multiaddr_of(address: SocketAddr, peer: PeerId) -> Multiaddr {
    tcp(address).with(Protocol::P2p(peer))
}

pub(super) fn tcp(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip().to_canonical()).with(Protocol::Tcp(address.port()))
}

pub(super) fn quic(address: SocketAddr) -> Multiaddr {
    Multiaddr::from(address.ip().to_canonical())
        .with(Protocol::Udp(address.port()))
        .with(Protocol::QuicV1)
}

/// Reads a bootstrap node as people write it: `/ip4/192.0.2.1/tcp/4433/p2p/12D3Koo…`. Names are not resolved: that would
/// ask a name server nobody named.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn parse_multiaddr(text: &str) -> Result<Multiaddr, String> {
    let address: Multiaddr = text
        .trim()
        .parse()
        .map_err(|error| format!("`{text}` is not a libp2p address: {error}"))?;
    let target = Target::of(&address)
        .ok_or_else(|| format!("`{text}` must begin with /ip4/… or /ip6/…; names are not resolved"))?;
    if target.peer.is_none() {
        return Err(format!("`{text}` must end with /p2p/ and the node's identity"));
    }
    Ok(address)
}

/// Reads a node to begin with: a libp2p address, or a relay's descriptor line, which names its addresses.
///
/// # Errors
/// A sentence that says what is wrong.
pub fn bootstrap_address(text: &str) -> Result<Vec<Multiaddr>, String> {
    if !text
        .trim()
        .starts_with(subrosa_proto::policy::signed_descriptor::TEXT_PREFIX)
    {
        return parse_multiaddr(text).map(|address| vec![address]);
    }
    let descriptor = SignedDescriptor::from_text(text)
        .and_then(|signed| signed.verify(unix_now()))
        .map_err(|error| error.to_string())?;
    let peer = peer_of_relay(descriptor.relay).ok_or("the relay's identity is no key")?;
    let addresses = descriptor.addresses.iter();
    Ok(addresses.map(|address| multiaddr_of(*address, peer)).collect())
}

/// Where a packet to a libp2p address goes first: for a circuit, to the node that relays it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) ip: IpAddr,
    pub(super) peer: Option<PeerId>,
}

impl Target {
    pub(super) fn of(address: &Multiaddr) -> Option<Self> {
        let mut parts = address.iter();
        let ip = match parts.next()? {
            Protocol::Ip4(ip) => IpAddr::V4(ip),
            Protocol::Ip6(ip) => ip.to_canonical(),
            _ => return None,
        };
        let peer = parts.find_map(|part| match part {
            Protocol::P2p(peer) => Some(Some(peer)),
            Protocol::P2pCircuit => Some(None),
            _ => None,
        });
        Some(Self {
            ip,
            peer: peer.flatten(),
        })
    }
}

/// Whether `ip` is of this computer or of a private network.
pub(super) fn is_local(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_relay_and_its_peer_are_one_key() {
        let identity = subrosa_proto::identity::Identity::from_seed(&[4; 32]);
        let peer = peer_of_relay(identity.relay_id()).unwrap();
        assert!(peer.to_string().starts_with("12D3Koo"));
        assert_eq!(relay_of_peer(&peer), Some(identity.relay_id()));
        assert_eq!(relay_of_peer(&PeerId::random()), None);
    }

    #[test]
    fn a_bootstrap_node_needs_an_address_and_an_identity() {
        let peer = peer_of_relay(subrosa_proto::identity::Identity::from_seed(&[4; 32]).relay_id()).unwrap();
        let good = multiaddr_of("192.0.2.1:4433".parse().unwrap(), peer);
        assert_eq!(parse_multiaddr(&good.to_string()), Ok(good));
        for bad in [
            "rose",
            "/ip4/192.0.2.1/tcp/4433",
            &format!("/dns4/example.org/tcp/1/p2p/{peer}"),
        ] {
            assert!(parse_multiaddr(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_circuit_leads_to_its_relay_first() {
        let relay = peer_of_relay(subrosa_proto::identity::Identity::from_seed(&[4; 32]).relay_id()).unwrap();
        let behind = PeerId::random();
        let circuit = multiaddr_of("192.0.2.1:1".parse().unwrap(), relay)
            .with(Protocol::P2pCircuit)
            .with(Protocol::P2p(behind));
        let target = Target::of(&circuit).unwrap();
        assert_eq!(
            (target.ip.to_string().as_str(), target.peer),
            ("192.0.2.1", Some(relay))
        );
    }
}
