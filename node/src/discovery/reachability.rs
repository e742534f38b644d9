//! AutoNAT's client within a bound: it remembers every address that anybody says this node has, and drops none.

use std::{
    collections::BTreeSet,
    task::{Context, Poll},
};

use libp2p::{
    Multiaddr, PeerId,
    autonat::v2::client::Behaviour as Client,
    core::{Endpoint, transport::PortUse},
    swarm::{
        ConnectionDenied, ConnectionId, FromSwarm, NetworkBehaviour, NewExternalAddrCandidate, THandler,
        THandlerInEvent, THandlerOutEvent, ToSwarm,
    },
};

/// Addresses that are tried, of all that were ever told. Reason: a machine has few, behind a NAT that gives every destination
/// another port some more; whoever makes up others takes places, and learns nothing.
const CANDIDATES_MAX: usize = 64;

/// See the module.
#[derive(Default)]
pub(super) struct Reachability {
    client: Client,
    candidates: BTreeSet<Multiaddr>,
}

impl Reachability {
    /// Whether an address is tried, or tried already.
    fn admits(&mut self, address: &Multiaddr) -> bool {
        if self.candidates.len() < CANDIDATES_MAX {
            self.candidates.insert(address.clone());
        }
        self.candidates.contains(address)
    }
}

impl NetworkBehaviour for Reachability {
    type ConnectionHandler = THandler<Client>;
    type ToSwarm = <Client as NetworkBehaviour>::ToSwarm;

    fn handle_established_inbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        local: &Multiaddr,
        remote: &Multiaddr,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.client
            .handle_established_inbound_connection(connection, peer, local, remote)
    }

    fn handle_established_outbound_connection(
        &mut self,
        connection: ConnectionId,
        peer: PeerId,
        address: &Multiaddr,
        role: Endpoint,
        port: PortUse,
    ) -> Result<THandler<Self>, ConnectionDenied> {
        self.client
            .handle_established_outbound_connection(connection, peer, address, role, port)
    }

    fn on_swarm_event(&mut self, event: FromSwarm) {
        if let FromSwarm::NewExternalAddrCandidate(NewExternalAddrCandidate { addr }) = &event
            && !self.admits(addr)
        {
            return;
        }
        self.client.on_swarm_event(event);
    }

    fn on_connection_handler_event(
        &mut self,
        peer: PeerId,
        connection: ConnectionId,
        event: THandlerOutEvent<Self>,
    ) {
        self.client.on_connection_handler_event(peer, connection, event);
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<ToSwarm<Self::ToSwarm, THandlerInEvent<Self>>> {
        self.client.poll(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_others_make_up_are_bounded_and_known_ones_still_count() {
        let mut reachability = Reachability::default();
        let address = |port: u16| -> Multiaddr { format!("/ip4/192.0.2.1/tcp/{port}").parse().unwrap() };
        let admitted = (1..=1_000).filter(|port| reachability.admits(&address(*port)));
        assert_eq!(admitted.count(), CANDIDATES_MAX);
        assert!(reachability.admits(&address(1)));
        assert!(!reachability.admits(&address(999)));
        assert_eq!(reachability.candidates.len(), CANDIDATES_MAX);
    }
}
