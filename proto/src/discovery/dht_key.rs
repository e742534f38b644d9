//! Keys of the distributed hash table: what kind of thing lies there, and 32 bytes.

use aws_lc_rs::digest;

use crate::{ids::RelayId, policy::Country};

/// What a SHA-256 multihash begins with: its code and its length. Provider records lie under multihashes everywhere in
/// libp2p, so that its other implementations can look for ours.
const SHA256_MULTIHASH: [u8; 2] = [0x12, 0x20];

/// Names of the kinds of values: libp2p's other implementations want a name between slashes before each key.
const MEET: &[u8] = b"/sr-meet/";
const RELAY: &[u8] = b"/sr-relay/";

/// Under what a record is stored. On the wire: what names the kind, then 32 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DhtKey {
    /// `/sr-meet/`: a member's sealed record; the bytes come from a secret of the meeting ([`super::rendezvous`]).
    Rendezvous([u8; 32]),
    /// `/sr-relay/`: a relay's signed descriptor, under its identity.
    Descriptor(RelayId),
    /// 0x12 0x20, so that it is a multihash: who provides a relay in a country, or anywhere; SHA-256 over a fixed text and
    /// the country's code.
    Country([u8; 32]),
}

impl DhtKey {
    /// Where relays hosted in `country` announce themselves; all of them do so under `None`, too.
    #[must_use]
    pub fn country(country: Option<Country>) -> Self {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(b"subrosa-relay-directory-v1\0");
        context.update(country.as_ref().map_or("**", Country::code).as_bytes());
        let mut bytes = [0; 32];
        bytes.copy_from_slice(context.finish().as_ref());
        Self::Country(bytes)
    }

    /// The bytes on the wire.
    #[must_use]
    pub fn to_bytes(self) -> Vec<u8> {
        match self {
            Self::Rendezvous(rest) => [MEET, &rest].concat(),
            Self::Descriptor(relay) => [RELAY, &relay.0].concat(),
            Self::Country(rest) => [&SHA256_MULTIHASH[..], &rest].concat(),
        }
    }

    /// Reads [`Self::to_bytes`]; `None` for anything else.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (kind, rest) = bytes.split_last_chunk::<32>()?;
        match kind {
            MEET => Some(Self::Rendezvous(*rest)),
            RELAY => Some(Self::Descriptor(RelayId(*rest))),
            _ if kind == SHA256_MULTIHASH => Some(Self::Country(*rest)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn countries_have_keys_of_their_own() {
        let keys: std::collections::BTreeSet<_> = Country::all()
            .map(Some)
            .chain([None])
            .map(DhtKey::country)
            .collect();
        assert_eq!(keys.len(), 250);
        let hex = data_encoding::HEXLOWER.encode(&DhtKey::country("DE".parse().ok()).to_bytes());
        // sha256("subrosa-relay-directory-v1\0DE"), frozen: other implementations must find the same relays.
        assert_eq!(
            hex,
            "12206d9d635e788f78dc35b5c5121d542df0185de13796c321b63eb08bcfd27265f9"
        );
    }

    proptest! {
        #[test]
        fn keys_have_one_form(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            if let Some(key) = DhtKey::from_bytes(&bytes) {
                prop_assert_eq!(key.to_bytes(), bytes);
            }
        }

        #[test]
        fn keys_come_back(rest: [u8; 32]) {
            for key in [DhtKey::Rendezvous(rest), DhtKey::Descriptor(RelayId(rest)), DhtKey::Country(rest)] {
                prop_assert_eq!(DhtKey::from_bytes(&key.to_bytes()), Some(key));
            }
        }
    }
}
