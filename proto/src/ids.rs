//! Names of things on the wire. Each is a newtype, so that one cannot stand in for another.

use std::fmt;

use bincode::{Decode, Encode};
use data_encoding::{BASE32_NOPAD, HEXLOWER};

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// The raw bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            /// The first four bytes in hexadecimal: enough to tell two apart in a log.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), HEXLOWER.encode(&self.0[..4]))
            }
        }

        impl fmt::Display for $name {
            /// All bytes in lower-case hexadecimal.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&HEXLOWER.encode(&self.0))
            }
        }

        impl std::str::FromStr for $name {
            type Err = data_encoding::DecodeError;
            fn from_str(s: &str) -> Result<Self, Self::Err> {
                let bytes = HEXLOWER.decode(s.as_bytes())?;
                let bytes = bytes.try_into().map_err(|_| data_encoding::DecodeError {
                    position: s.len(),
                    kind: data_encoding::DecodeKind::Length,
                })?;
                Ok(Self(bytes))
            }
        }
    };
}

byte_id!(
    /// A member: its Ed25519 identity key.
    MemberId, 32
);
byte_id!(
    /// A relay: its Ed25519 identity key.
    RelayId, 32
);
byte_id!(
    /// A meeting: 16 random bytes.
    MeetingId, 16
);
byte_id!(
    /// A room at a relay: opaque, derived from the room secret, the relay and the day (security.md §4).
    RoomId, 16
);
byte_id!(
    /// A member's address inside a room or on a link; derived, so a relay learns no identity from it.
    Alias, 8
);
byte_id!(
    /// A track's address inside a room or on a link; derived, so a relay learns neither its sender nor its kind.
    TrackAlias, 8
);
byte_id!(
    /// SHA-256 of a signed policy.
    PolicyHash, 32
);
byte_id!(
    /// SHA-256 of a signed roster operation.
    OperationHash, 32
);
byte_id!(
    /// SHA-256 of the state that a checkpoint of the roster log stands for.
    StateHash, 32
);

impl MemberId {
    /// The fingerprint that people compare: 80 bits of SHA-256 over the key, as four groups of four letters and digits
    /// (RFC 4648 base 32).
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.0)
    }
}

impl RelayId {
    /// See [`MemberId::fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> String {
        fingerprint(&self.0)
    }
}

fn fingerprint(key: &[u8; 32]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, key);
    let text = BASE32_NOPAD.encode(&digest.as_ref()[..10]);
    let groups: Vec<&str> = [0, 4, 8, 12].iter().map(|&i| &text[i..i + 4]).collect();
    groups.join("-")
}

/// One of a member's tracks. Stream 0 is the microphone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct StreamId(pub u8);

impl StreamId {
    /// The microphone.
    pub const AUDIO: Self = Self(0);
}

/// A connection to a neighbour; a local handle that the driver gives out and never uses again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_as_text() {
        let id = MeetingId([0xab; 16]);
        assert_eq!(id.to_string().parse::<MeetingId>().unwrap(), id);
        assert!("abcd".parse::<MeetingId>().is_err());
    }

    #[test]
    fn fingerprint_has_four_groups() {
        assert_eq!(MemberId([1; 32]).fingerprint().split('-').count(), 4);
    }
}
