//! Packets on a stream: a u16 length, big endian, then that many bytes (RFC 4571 §2).

use bytes::{BufMut, BytesMut};

use crate::wire::framing::split_off;

/// Bytes of the length field.
pub const LENGTH_BYTES: usize = 2;
/// The longest packet. Reason: Ethernet's 1,500 bytes hold every packet that QUIC sends over UDP here. A first byte of at most 5
/// also tells such a stream from one that begins with letters (HTTP) or with a TLS record (0x16).
pub const PACKET_BYTES_MAX: usize = 1_500;

/// A peer's stream is not a series of packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PacketStreamError {
    /// A packet is announced that is longer than [`PACKET_BYTES_MAX`].
    #[error("a packet of {0} bytes is more than {PACKET_BYTES_MAX}")]
    TooLong(u16),
    /// An empty packet: QUIC has none, and a stream of them would cost the reader for nothing.
    #[error("a packet is empty")]
    Empty,
}

/// Appends `packet` with its length in front to `out`. What is empty or longer than [`PACKET_BYTES_MAX`] is left out, as a path
/// leaves out what is larger than its MTU; returns whether it was appended.
pub fn append(out: &mut BytesMut, packet: &[u8]) -> bool {
    if packet.is_empty() || packet.len() > PACKET_BYTES_MAX {
        return false;
    }
    out.reserve(LENGTH_BYTES + packet.len());
    out.put_u16(packet.len() as u16);
    out.put_slice(packet);
    true
}

/// Splits a stream into packets.
///
/// Use: [`push`](Self::push) what arrived, then take packets with [`next_packet`](Self::next_packet) until it gives `None`. After
/// an error the stream is of no more use.
#[derive(Debug, Default)]
pub struct PacketReader {
    /// What arrived and was not given out yet. Bounded by the caller's chunk plus one packet.
    buffer: BytesMut,
}

impl PacketReader {
    /// A reader at the beginning of a stream.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the stream's next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet, or `None` until more bytes arrive.
    ///
    /// # Errors
    /// [`PacketStreamError`], as soon as the length field says so.
    pub fn next_packet(&mut self) -> Result<Option<BytesMut>, PacketStreamError> {
        let Some(length) = self.buffer.first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u16::from_be_bytes(*length);
        if length == 0 {
            return Err(PacketStreamError::Empty);
        }
        if usize::from(length) > PACKET_BYTES_MAX {
            return Err(PacketStreamError::TooLong(length));
        }
        Ok(split_off(&mut self.buffer, LENGTH_BYTES, length.into()))
    }

    /// Bytes that wait for the rest of their packet.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_packet_is_written_as_it_was() {
        let mut out = BytesMut::new();
        assert!(append(&mut out, &[0xc0, 1, 2]));
        assert!(append(&mut out, &[0x40; 300]));
        assert_eq!(out[..6], [0, 3, 0xc0, 1, 2, 1]);
        assert_eq!((out[6], out.len()), (0x2c, 5 + 302));
    }

    #[test]
    fn a_length_of_zero_or_beyond_the_bound_is_refused_at_once() {
        for (length, error) in [
            (0, PacketStreamError::Empty),
            (1_501, PacketStreamError::TooLong(1_501)),
            // "GE", as in GET, and a TLS handshake record.
            (0x4745, PacketStreamError::TooLong(0x4745)),
            (0x1603, PacketStreamError::TooLong(0x1603)),
        ] {
            let mut reader = PacketReader::new();
            reader.push(&u16::to_be_bytes(length));
            assert_eq!(reader.next_packet(), Err(error));
        }
    }

    #[test]
    fn what_no_packet_is_is_not_written() {
        let mut out = BytesMut::new();
        assert!(!append(&mut out, &[]));
        assert!(!append(&mut out, &[0; PACKET_BYTES_MAX + 1]));
        assert!(out.is_empty());
    }

    proptest! {
        #[test]
        fn packets_come_out_as_they_went_in_however_the_stream_is_cut(
            packets in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..=PACKET_BYTES_MAX), 0..8),
            cut in 1_usize..997,
        ) {
            let mut stream = BytesMut::new();
            for packet in &packets {
                append(&mut stream, packet);
            }
            let (mut reader, mut out) = (PacketReader::new(), Vec::new());
            for chunk in stream.chunks(cut) {
                reader.push(chunk);
                while let Some(packet) = reader.next_packet().unwrap() {
                    out.push(packet.to_vec());
                }
                prop_assert!(reader.buffered() < LENGTH_BYTES + PACKET_BYTES_MAX);
            }
            prop_assert_eq!(out, packets);
            prop_assert_eq!(reader.buffered(), 0);
        }
    }
}
