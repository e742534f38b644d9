//! TCP with Noise and Yamux, QUIC, and circuits over libp2p relays; every dial passes the gate.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use libp2p::{
    Multiaddr, PeerId,
    core::{
        muxing::StreamMuxerBox,
        transport::{Boxed, DialOpts, ListenerId, Transport, TransportError, TransportEvent},
        upgrade::Version,
    },
    identity::Keypair,
    noise, quic, relay, tcp, yamux,
};

use super::gate::Gate;

/// How long a connection may take, handshakes included.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// A QUIC connection ends after so long without a packet, in milliseconds.
const QUIC_IDLE_MS: u32 = 30_000;
/// Streams that a peer may open at one time. Reason: Kademlia opens one for each query.
const STREAMS_MAX: usize = 64;

/// The transport of a node with this identity, and the behaviour that belongs to circuits.
pub(super) fn build(
    keypair: &Keypair,
    gate: Gate,
) -> Result<(Boxed<(PeerId, StreamMuxerBox)>, relay::client::Behaviour), noise::Error> {
    let mut muxer = yamux::Config::default();
    muxer.set_max_num_streams(STREAMS_MAX);
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(muxer.clone())
        .timeout(CONNECT_PATIENCE)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let mut config = quic::Config::new(keypair);
    config.handshake_timeout = CONNECT_PATIENCE;
    config.max_idle_timeout = QUIC_IDLE_MS;
    config.max_concurrent_stream_limit = u32::try_from(STREAMS_MAX).unwrap_or(u32::MAX);
    let quic = quic::tokio::Transport::new(config)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let (circuits, behaviour) = relay::client::new(keypair.public().to_peer_id());
    let circuits = circuits
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(muxer)
        .timeout(CONNECT_PATIENCE)
        .map(|(peer, connection), _| (peer, StreamMuxerBox::new(connection)));
    let all = circuits
        .or_transport(quic.or_transport(tcp).map(|either, _| either.into_inner()))
        .map(|either, _| either.into_inner())
        .boxed();
    Ok((Gated { inner: all, gate }.boxed(), behaviour))
}

/// A transport behind the gate.
struct Gated<T> {
    inner: T,
    gate: Gate,
}

impl<T: Transport + Unpin> Transport for Gated<T> {
    type Output = T::Output;
    type Error = T::Error;
    type ListenerUpgrade = T::ListenerUpgrade;
    type Dial = T::Dial;

    fn listen_on(&mut self, id: ListenerId, address: Multiaddr) -> Result<(), TransportError<T::Error>> {
        self.inner.listen_on(id, address)
    }

    fn remove_listener(&mut self, id: ListenerId) -> bool {
        self.inner.remove_listener(id)
    }

    fn dial(&mut self, address: Multiaddr, options: DialOpts) -> Result<T::Dial, TransportError<T::Error>> {
        if !self.gate.permits_dial(&address) {
            tracing::debug!("discovery: a dial that the policy does not allow was not made");
            return Err(TransportError::MultiaddrNotSupported(address));
        }
        self.inner.dial(address, options)
    }

    fn poll(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<TransportEvent<T::ListenerUpgrade, T::Error>> {
        loop {
            let event = std::task::ready!(Pin::new(&mut self.inner).poll(context));
            match &event {
                // A circuit's far end has no address of its own; the relay that carries it was dialled through the gate.
                TransportEvent::Incoming {
                    send_back_addr,
                    local_addr,
                    ..
                } if !is_circuit(local_addr) && !self.gate.permits_accept(send_back_addr) => {}
                _ => return Poll::Ready(event),
            }
        }
    }
}

fn is_circuit(address: &Multiaddr) -> bool {
    address
        .iter()
        .any(|part| part == libp2p::multiaddr::Protocol::P2pCircuit)
}
