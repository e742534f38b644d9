//! The media packet: one object (an audio frame) in one QUIC datagram (`proto/spec/media-packet.md`).
//!
//! ```text
//!  0        1        2                 10
//! +--------+--------+-----------------+----------------------+
//! |  kind  | layer  |  track alias    |  SFrame (RFC 9605)   |
//! +--------+--------+-----------------+----------------------+
//! ```
//! Written by hand, not by the codec: a relay reads it for each frame and must not copy.

use crate::ids::TrackAlias;

/// Bytes before the SFrame part.
pub const HEADER_BYTES: usize = 10;
/// The largest media packet in bytes: fits a QUIC datagram on a path with an Ethernet MTU.
pub const MEDIA_PACKET_BYTES_MAX: usize = 1_350;

/// What the SFrame part carries. The value is also the version: a change of layout takes a new value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum MediaKind {
    /// One or more encoded audio frames.
    Audio = 0x10,
    /// The publisher's signature over hashes of the packets that it sent lately.
    SourceAuthentication = 0x11,
}

/// Everything that travels in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaHeader {
    /// See [`MediaKind`].
    pub kind: MediaKind,
    /// Priority layer: 0 is dropped last. At most [`MediaHeader::LAYER_MAX`].
    pub layer: u8,
    /// Which track, as the receiver of this link knows it.
    pub track: TrackAlias,
}

/// Why a datagram is not a media packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MediaPacketError {
    /// Shorter than its header.
    #[error("a media packet has at least {HEADER_BYTES} bytes")]
    TooShort,
    /// Longer than [`MEDIA_PACKET_BYTES_MAX`].
    #[error("a media packet has at most {MEDIA_PACKET_BYTES_MAX} bytes")]
    TooLong,
    /// A kind that this version does not know.
    #[error("media kind {0:#04x} is unknown")]
    UnknownKind(u8),
    /// A layer above [`MediaHeader::LAYER_MAX`].
    #[error("layer {0} is unknown")]
    UnknownLayer(u8),
}

impl MediaHeader {
    /// The highest layer number.
    pub const LAYER_MAX: u8 = 7;

    /// Appends the ten header bytes to `out`.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.push(self.layer);
        out.extend_from_slice(&self.track.0);
    }

    /// Splits a datagram into its header and its SFrame part.
    ///
    /// # Errors
    /// [`MediaPacketError`] if the datagram is not a media packet of this version.
    pub fn parse(datagram: &[u8]) -> Result<(Self, &[u8]), MediaPacketError> {
        if datagram.len() > MEDIA_PACKET_BYTES_MAX {
            return Err(MediaPacketError::TooLong);
        }
        let (header, sframe) = datagram
            .split_at_checked(HEADER_BYTES)
            .ok_or(MediaPacketError::TooShort)?;
        let kind = match header[0] {
            0x10 => MediaKind::Audio,
            0x11 => MediaKind::SourceAuthentication,
            other => return Err(MediaPacketError::UnknownKind(other)),
        };
        let layer = header[1];
        if layer > Self::LAYER_MAX {
            return Err(MediaPacketError::UnknownLayer(layer));
        }
        let mut track = TrackAlias([0; 8]);
        track.0.copy_from_slice(&header[2..HEADER_BYTES]);
        Ok((Self { kind, layer, track }, sframe))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn header_round_trips(kind in prop_oneof![Just(MediaKind::Audio), Just(MediaKind::SourceAuthentication)],
                              layer in 0..=MediaHeader::LAYER_MAX, track: [u8; 8], body: [u8; 20]) {
            let header = MediaHeader { kind, layer, track: TrackAlias(track) };
            let mut packet = Vec::new();
            header.write(&mut packet);
            packet.extend_from_slice(&body);
            prop_assert_eq!(MediaHeader::parse(&packet), Ok((header, &body[..])));
        }

        #[test]
        fn whatever_parses_writes_back_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            if let Ok((header, rest)) = MediaHeader::parse(&bytes) {
                let mut again = Vec::new();
                header.write(&mut again);
                again.extend_from_slice(rest);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
