//! QUIC endpoints for members and relays: dialling, accepting, limits.

use std::{net::SocketAddr, time::Duration};

use subrosa_proto::{
    identity::Identity,
    ids::{MeetingId, MemberId, RelayId},
    noise::{PeerIdentity, Psk},
};

use super::socket::DropCounts;

/// Times and bounds of an endpoint.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Silence after which a connection is dead. Default 5 s.
    pub idle_timeout: Duration,
    /// Interval of keep-alives. Default 1.5 s.
    pub keep_alive: Duration,
    /// How long a handshake may take, on either side. Default 5 s.
    pub handshake_timeout: Duration,
}

/// A connection whose peer is known.
#[derive(Clone, Debug)]
pub struct Authenticated {
    /// The connection.
    pub connection: quinn::Connection,
    /// Who is at the other end.
    pub peer: PeerIdentity,
}

/// Why dialling failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No answer in time.
    #[error("no answer: nobody listens there, or the ticket is not valid there")]
    NoAnswer,
    /// The peer does not hold the meeting's key.
    #[error("the other side does not accept this ticket")]
    WrongKey,
    /// The peer is somebody else.
    #[error("somebody else than expected answers there")]
    WrongIdentity,
    /// The peer's identity binding is invalid; mostly a wrong clock.
    #[error("the other side's identity is not valid now; check both clocks")]
    Binding,
    /// The peer speaks another version.
    #[error("the other side speaks another version of the protocol")]
    OtherVersion,
    /// Anything else that ends a connection.
    #[error("the connection failed: {0}")]
    Failed(String),
}

/// A QUIC endpoint on one UDP socket.
pub struct Endpoint {}

impl Endpoint {
    /// A member's endpoint. `keys` may be empty: then nobody can dial in.
    ///
    /// # Errors
    /// What the operating system says about the socket.
    pub fn member(
        socket: std::net::UdpSocket,
        identity: Identity,
        keys: &[(MeetingId, Psk)],
        options: &EndpointOptions,
    ) -> std::io::Result<Self> {
        let _ = (socket, identity, keys, options);
        todo!()
    }

    /// A relay's endpoint.
    ///
    /// # Errors
    /// What the operating system says about the socket.
    pub fn relay(
        socket: std::net::UdpSocket,
        identity: Identity,
        static_secret: &[u8; 32],
        options: &EndpointOptions,
    ) -> std::io::Result<Self> {
        let _ = (socket, identity, static_secret, options);
        todo!()
    }

    /// Replaces the keys that open a member's port, for new connections.
    pub fn set_accept_keys(&self, keys: &[(MeetingId, Psk)]) {
        let _ = keys;
        todo!()
    }

    /// Dials a member.
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect_member(
        &self,
        addr: SocketAddr,
        meeting: MeetingId,
        psk: &Psk,
        expected: Option<MemberId>,
    ) -> Result<Authenticated, DialError> {
        let _ = (addr, meeting, psk, expected);
        todo!()
    }

    /// Dials a relay as `identity`, which should be fresh for each (meeting, relay).
    ///
    /// # Errors
    /// [`DialError`].
    pub async fn connect_relay(
        &self,
        addr: SocketAddr,
        relay: RelayId,
        static_key: [u8; 32],
        identity: &Identity,
    ) -> Result<Authenticated, DialError> {
        let _ = (addr, relay, static_key, identity);
        todo!()
    }

    /// The next authenticated connection; `None` once the endpoint is closed.
    pub async fn accept(&self) -> Option<Authenticated> {
        todo!()
    }

    /// The bound address.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        todo!()
    }

    /// Datagrams dropped ahead of the endpoint.
    #[must_use]
    pub fn drops(&self) -> DropCounts {
        todo!()
    }

    /// Closes every connection with `reason`.
    pub fn close(&self, code: u32, reason: &str) {
        let _ = (code, reason);
        todo!()
    }

    /// Waits until every connection has ended.
    pub async fn wait_idle(&self) {
        todo!()
    }
}
