//! A relay leg over TCP goes back to UDP as soon as that comes through (`proto/spec/packet-stream.md`, Return).

use std::{
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    time::Duration,
};

use quinn::Connection;
use subrosa_proto::{
    identity::Identity,
    ids::{LinkId, RelayId},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout},
};

use crate::{
    driver::link::LinkEvent,
    quic::{
        endpoint::{Endpoint, EndpointOptions},
        fallback::Detour,
    },
};

/// First pause before UDP is tried; doubled up to [`TRY_MAX`].
const TRY_FIRST: Duration = Duration::from_secs(1);
/// Longest pause. Reason: a try costs 5 kB; whoever changes to a better network should not wait longer.
const TRY_MAX: Duration = Duration::from_secs(30);
/// Within so long the connection itself must be heard over UDP after it moved there, or it goes back to the stream. Reason: QUIC
/// sends something every 1.5 s.
const TRIAL: Duration = Duration::from_millis(2_500);
/// How often it is looked at meanwhile.
const TRIAL_LOOK: Duration = Duration::from_millis(20);
/// How long the stream is kept after the first packet over UDP, and after the end of a connection: for what is still under way.
const LINGER: Duration = Duration::from_millis(500);
/// How long the goodbye of a try may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// What it takes to dial a relay.
#[derive(Clone, Debug)]
pub(super) struct RelayLeg {
    pub(super) relay: RelayId,
    pub(super) static_key: [u8; 32],
    /// Who we are to it.
    pub(super) identity: Identity,
}

/// Keeps `detour` for `connection` until it is no longer needed.
pub(super) struct ReturnToUdp {
    pub(super) link: LinkId,
    pub(super) leg: RelayLeg,
    pub(super) connection: Connection,
    pub(super) detour: Arc<Detour>,
    /// The address of the endpoint's socket.
    pub(super) local: SocketAddr,
    pub(super) events: mpsc::Sender<LinkEvent>,
}

impl ReturnToUdp {
    /// Runs until the connection is over, or on UDP.
    pub(super) async fn run(self) {
        let mut pause = TRY_FIRST;
        loop {
            tokio::select! {
                _ = self.connection.closed() => break,
                () = self.detour.ended() => {
                    // Nothing comes through any more: the next dial tries both ways again.
                    self.connection.close(0_u32.into(), b"tcp ended");
                    break;
                }
                () = sleep(pause) => {}
            }
            pause = (pause * 2).min(TRY_MAX);
            if !self.udp_answers().await {
                continue;
            }
            self.detour.set_in_force(false);
            if self.is_heard_over_udp().await {
                tracing::debug!("a relay leg is back on UDP");
                let _ = self.events.send(LinkEvent::BackOnUdp(self.link)).await;
                break;
            }
            self.detour.set_in_force(true);
        }
        sleep(LINGER).await;
    }

    /// Whether a handshake with the relay succeeds over UDP, from a socket of its own.
    async fn udp_answers(&self) -> bool {
        let Ok(socket) = UdpSocket::bind(SocketAddr::new(self.local.ip(), 0)) else {
            return false;
        };
        let identity = self.leg.identity.clone();
        let Ok(endpoint) = Endpoint::member(socket, identity, &[], &EndpointOptions::default()) else {
            return false;
        };
        let leg = &self.leg;
        let dialled = endpoint
            .connect_relay(self.detour.address(), leg.relay, leg.static_key, &leg.identity)
            .await;
        endpoint.close(0, "udp answers");
        let _ = timeout(GOODBYE, endpoint.wait_idle()).await;
        dialled.is_ok()
    }

    async fn is_heard_over_udp(&self) -> bool {
        let (before, since) = (self.detour.heard_over_udp(), Instant::now());
        while since.elapsed() < TRIAL {
            if self.detour.heard_over_udp() > before {
                return true;
            }
            sleep(TRIAL_LOOK).await;
        }
        false
    }
}
