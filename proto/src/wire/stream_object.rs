//! Stream objects: one unidirectional stream per group of a track, a clear header and then opaque bytes
//! (`proto/spec/relay.md`, Stream objects).
//!
//! ```text
//!  0         1          2         18          26        34
//! +---------+----------+---------+-----------+---------+------------------------+
//! | version | priority |  room   |   track   |  group  |  objects, to the end   |
//! +---------+----------+---------+-----------+---------+------------------------+
//! ```
//! Written by hand, as the media packet is: a relay reads the header and forwards the rest as it comes.

use crate::ids::{RoomId, TrackAlias};

/// Bytes of the header.
pub const STREAM_HEADER_BYTES: usize = 34;
/// The first byte: the version of this layout.
pub const STREAM_VERSION: u8 = 0x20;
/// The largest group in bytes, header included: two seconds of video at 8 Mbit/s.
pub const STREAM_BYTES_MAX: u64 = 2 * 1024 * 1024;

/// Everything of a group that travels in clear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamHeader {
    /// In which room.
    pub room: RoomId,
    /// Which track.
    pub track: TrackAlias,
    /// The group's number, ascending within a track.
    pub group: u64,
    /// 0 goes last, 255 goes first.
    pub priority: u8,
}

/// Why a stream does not begin with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StreamHeaderError {
    /// The first byte is not [`STREAM_VERSION`].
    #[error("stream version {0:#04x} is unknown")]
    UnknownVersion(u8),
    /// The stream ended inside the header.
    #[error("a stream has at least {STREAM_HEADER_BYTES} bytes")]
    TooShort,
}

impl StreamHeader {
    /// The header's bytes.
    #[must_use]
    pub fn encode(&self) -> [u8; STREAM_HEADER_BYTES] {
        let mut out = [0; STREAM_HEADER_BYTES];
        out[0] = STREAM_VERSION;
        out[1] = self.priority;
        out[2..18].copy_from_slice(&self.room.0);
        out[18..26].copy_from_slice(&self.track.0);
        out[26..34].copy_from_slice(&self.group.to_be_bytes());
        out
    }

    /// Splits a stream's first bytes into its header and what follows.
    ///
    /// # Errors
    /// [`StreamHeaderError::TooShort`] until [`STREAM_HEADER_BYTES`] are there;
    /// [`StreamHeaderError::UnknownVersion`] as soon as the first byte says so.
    pub fn parse(bytes: &[u8]) -> Result<(Self, &[u8]), StreamHeaderError> {
        if let Some(&version) = bytes.first()
            && version != STREAM_VERSION
        {
            return Err(StreamHeaderError::UnknownVersion(version));
        }
        let (header, rest) = bytes
            .split_first_chunk::<STREAM_HEADER_BYTES>()
            .ok_or(StreamHeaderError::TooShort)?;
        let mut room = RoomId([0; 16]);
        room.0.copy_from_slice(&header[2..18]);
        let mut track = TrackAlias([0; 8]);
        track.0.copy_from_slice(&header[18..26]);
        let mut group = [0; 8];
        group.copy_from_slice(&header[26..34]);
        let header = Self {
            room,
            track,
            group: u64::from_be_bytes(group),
            priority: header[1],
        };
        Ok((header, rest))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn header_round_trips(room: [u8; 16], track: [u8; 8], group: u64, priority: u8, body: [u8; 9]) {
            let header = StreamHeader { room: RoomId(room), track: TrackAlias(track), group, priority };
            let mut bytes = header.encode().to_vec();
            bytes.extend_from_slice(&body);
            prop_assert_eq!(StreamHeader::parse(&bytes), Ok((header, &body[..])));
        }

        #[test]
        fn whatever_parses_writes_back_to_the_same_bytes(mut bytes in proptest::collection::vec(any::<u8>(), 0..64), versioned: bool) {
            if versioned && let Some(first) = bytes.first_mut() {
                *first = STREAM_VERSION;
            }
            if let Ok((header, rest)) = StreamHeader::parse(&bytes) {
                let mut again = header.encode().to_vec();
                again.extend_from_slice(rest);
                prop_assert_eq!(again, bytes);
            }
        }
    }
}
