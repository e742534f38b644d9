//! Why a handshake fails, and the code by which each side tells the other.

use quinn_proto::{TransportError, TransportErrorCode};

/// Why a handshake failed. On QUIC it travels as `CRYPTO_ERROR`, 0x100 + a code; the numbers are those that TLS gives
/// to the nearest alert (RFC 8446 §6), so that foreign tools print something sensible.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A message is cut short, too long, or not what is due now.
    #[error("a handshake message is malformed")]
    Malformed,
    /// A message is not authentic: the two sides hold different keys, or somebody tampered.
    #[error("the handshake is not authentic: the keys differ")]
    Decrypt,
    /// The peer proved to be somebody else than expected.
    #[error("the peer is not who was expected")]
    WrongIdentity,
    /// The peer's binding of its Noise key to its identity does not verify.
    #[error("the peer's identity binding is not valid")]
    BadBinding,
    /// The peer's binding is not valid at this time; mostly one of the clocks is wrong.
    #[error("the peer's identity binding is not valid at this time")]
    BindingExpired,
    /// The peer was removed from the meeting: the key that it knows no longer opens this port to it.
    #[error("the peer is no longer admitted")]
    NotAdmitted,
    /// The peer's transport parameters are missing or not well-formed.
    #[error("the peer's transport parameters are malformed")]
    TransportParameters,
}

impl HandshakeError {
    const ALL: [Self; 7] = [
        Self::Malformed,
        Self::Decrypt,
        Self::WrongIdentity,
        Self::BadBinding,
        Self::BindingExpired,
        Self::NotAdmitted,
        Self::TransportParameters,
    ];

    /// The code under which this travels, without the 0x100.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Malformed => 50,
            Self::Decrypt => 51,
            Self::WrongIdentity => 49,
            Self::BadBinding => 42,
            Self::BindingExpired => 45,
            Self::NotAdmitted => 48,
            Self::TransportParameters => 109,
        }
    }

    /// What a QUIC error code means, whichever side raised it; `None` if it is not a failed handshake.
    #[must_use]
    pub fn from_transport(code: TransportErrorCode) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|error| TransportErrorCode::crypto(error.code()) == code)
    }
}

impl From<HandshakeError> for TransportError {
    fn from(error: HandshakeError) -> Self {
        Self {
            code: TransportErrorCode::crypto(error.code()),
            frame: None,
            reason: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_round_trip() {
        for error in HandshakeError::ALL {
            assert_eq!(
                HandshakeError::from_transport(TransportError::from(error).code),
                Some(error)
            );
        }
        assert_eq!(
            HandshakeError::from_transport(TransportErrorCode::crypto(80)),
            None
        );
    }
}
