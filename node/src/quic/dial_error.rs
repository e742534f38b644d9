//! Why dialling fails.

use quinn::ConnectionError;
use subrosa_proto::noise::HandshakeError;

/// Why dialling failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DialError {
    /// No answer in time: nobody there, or a silent port that does not know our key.
    #[error("no answer: nobody listens there, or the ticket is not valid there")]
    NoAnswer,
    /// The peer does not hold the meeting's key, or the relay not the static key of its descriptor.
    #[error("the other side does not accept this key")]
    WrongKey,
    /// The peer is somebody else.
    #[error("somebody else than expected answers there")]
    WrongIdentity,
    /// The peer's identity binding, or ours, is not valid at this time.
    #[error("the clocks of both sides differ by more than twelve hours")]
    Clock,
    /// The peer speaks another version.
    #[error("the other side speaks another version of the protocol")]
    OtherVersion,
    /// A handshake that breaks the protocol.
    #[error("the handshake failed: {0}")]
    Handshake(HandshakeError),
    /// No TCP connection, where UDP does not come through.
    #[error("no TCP connection: {0}")]
    Tcp(std::io::ErrorKind),
    /// The connection ended otherwise.
    #[error("the connection failed: {0}")]
    Connection(ConnectionError),
    /// It could not be started: an address of a family that the socket has not, or a descriptor with an impossible key.
    #[error("cannot dial: {0}")]
    Start(quinn::ConnectError),
}

impl From<ConnectionError> for DialError {
    fn from(error: ConnectionError) -> Self {
        let code = match &error {
            ConnectionError::TimedOut => return Self::NoAnswer,
            ConnectionError::VersionMismatch => return Self::OtherVersion,
            ConnectionError::TransportError(inner) => inner.code,
            ConnectionError::ConnectionClosed(inner) => inner.error_code,
            _ => return Self::Connection(error),
        };
        match HandshakeError::from_transport(code) {
            Some(HandshakeError::Decrypt) => Self::WrongKey,
            Some(HandshakeError::WrongIdentity) => Self::WrongIdentity,
            Some(HandshakeError::BindingExpired) => Self::Clock,
            Some(other) => Self::Handshake(other),
            None => Self::Connection(error),
        }
    }
}
