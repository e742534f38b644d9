//! Messages in the CRYPTO stream: a 16-bit big-endian length, then that many bytes. The zero-length message confirms.

use super::{HandshakeError, handshake::NOISE_BYTES_MAX};

/// The longest message that is accepted, in bytes. Reason: message 1 takes about 1,360 and message 2 about 1,480 with
/// quinn's transport parameters; twice that leaves room for parameters that come later.
pub const MESSAGE_BYTES_MAX: usize = 4_096;

/// Collects bytes until a message is whole: message 1 spans two Initial packets.
#[derive(Debug, Default)]
pub struct Reassembly(Vec<u8>);

impl Reassembly {
    /// Takes `bytes`; gives the message once it is whole.
    ///
    /// # Errors
    /// [`HandshakeError::Malformed`] if a message is too long, or if bytes follow it: no side sends two messages in a row.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Option<Vec<u8>>, HandshakeError> {
        if self.0.len() + bytes.len() > 2 + MESSAGE_BYTES_MAX {
            return Err(HandshakeError::Malformed);
        }
        self.0.extend_from_slice(bytes);
        let Some((length, body)) = self.0.split_first_chunk::<2>() else {
            return Ok(None);
        };
        let length = usize::from(u16::from_be_bytes(*length));
        if length > MESSAGE_BYTES_MAX || body.len() > length {
            return Err(HandshakeError::Malformed);
        }
        if body.len() < length {
            return Ok(None);
        }
        let message = body.to_vec();
        self.0.clear();
        Ok(Some(message))
    }
}

/// Appends `message` with its length to `out`.
pub(super) fn frame(message: &[u8], out: &mut Vec<u8>) {
    debug_assert!(message.len() <= NOISE_BYTES_MAX);
    let length = u16::try_from(message.len()).expect("a Noise message has at most 65,535 bytes");
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_put_together_from_any_pieces() {
        let mut framed = Vec::new();
        frame(b"message", &mut framed);
        for piece in 1..framed.len() {
            let mut reassembly = Reassembly::default();
            let mut got = None;
            for chunk in framed.chunks(piece) {
                assert_eq!(got, None);
                got = reassembly.push(chunk).unwrap();
            }
            assert_eq!(got.as_deref(), Some(&b"message"[..]));
        }
        assert_eq!(Reassembly::default().push(&[0, 0]), Ok(Some(Vec::new())));
    }

    #[test]
    fn too_much_is_refused_before_it_is_kept() {
        let mut framed = Vec::new();
        frame(b"message", &mut framed);
        framed.push(0);
        assert_eq!(
            Reassembly::default().push(&framed),
            Err(HandshakeError::Malformed)
        );
        assert_eq!(
            Reassembly::default().push(&[0x10, 0x01]),
            Err(HandshakeError::Malformed)
        );
        assert_eq!(
            Reassembly::default().push(&vec![0; MESSAGE_BYTES_MAX + 3]),
            Err(HandshakeError::Malformed)
        );
    }
}
