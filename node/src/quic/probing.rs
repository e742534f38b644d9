//! Probes of an endpoint: sent from its socket, heard on it; and dialling from another one.

use std::net::{SocketAddr, UdpSocket};

use quinn::{AsyncUdpSocket, udp::Transmit};
use subrosa_proto::{
    ids::{MeetingId, MemberId},
    noise::{
        Psk,
        token::{ProbeKey, ProbeSender},
    },
};

use super::{authenticated::Authenticated, dial_error::DialError, endpoint::Endpoint, socket::HeardProbe};
use crate::driver::addresses::as_seen_from;

impl Endpoint {
    /// Sends a probe that members who know `psk` recognise to each of `to`. What the socket does not take is lost, as any
    /// datagram may be.
    pub fn send_probes(&self, psk: &Psk, to: &[SocketAddr]) {
        let Ok(local) = self.local_addr() else { return };
        let (key, sender) = (ProbeKey::new(psk), ProbeSender::from(self.identity.member_id()));
        let mut random = self.fork("probes");
        for address in to {
            let Some(destination) = as_seen_from(local, *address) else {
                continue;
            };
            let probe = key.seal((self.clock)(), sender, &mut random);
            let sent = self.socket.try_send(&Transmit {
                destination,
                ecn: None,
                contents: &probe,
                segment_size: None,
                src_ip: None,
            });
            if let Err(error) = sent {
                tracing::debug!(%error, "a probe was not sent");
            }
        }
    }

    /// The next probe that came to the endpoint's socket; `None` once the endpoint is closed. Cancel-safe.
    pub async fn probe(&self) -> Option<HeardProbe> {
        self.probes.lock().await.recv().await
    }

    /// Dials a member from `socket` instead of the endpoint's own. Nobody can dial in there.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect_member_from(
        &self,
        socket: UdpSocket,
        addr: SocketAddr,
        meeting: MeetingId,
        psk: &Psk,
        expected: MemberId,
    ) -> Result<Authenticated, DialError> {
        let local = socket.local_addr().map_err(|_| DialError::NoAnswer)?;
        let addr = as_seen_from(local, addr).ok_or(DialError::NoAnswer)?;
        // It lives as long as its connection.
        let endpoint = Self::member(socket, self.identity.clone(), &[], &self.options)
            .map_err(|_| DialError::NoAnswer)?;
        endpoint.connect_member(addr, meeting, psk, Some(expected)).await
    }
}
