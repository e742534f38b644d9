//! What a node of the table stores for strangers: little, for a bounded time, and nothing that proves itself false.

use std::time::Duration;

use super::{DhtKey, member_record::SEALED_BYTES};
use crate::{
    policy::{DescriptorError, SignedDescriptor},
    time::UnixSeconds,
};

/// Records that one node stores. Reason: 8 MiB at the most.
pub const RECORDS_MAX: usize = 4_096;
/// Providers that one node remembers for one country. Reason: identities cost nothing, and whoever looks asks for the
/// descriptor of each.
pub const PROVIDERS_PER_KEY_MAX: usize = 64;
/// The largest value in bytes: a descriptor with all its attestations has less than half of it.
pub const VALUE_BYTES_MAX: usize = 4_096;
/// How long a member's record is stored at most.
pub const MEMBER_RECORD_TTL: Duration = Duration::from_secs(super::member_record::LIFE_SECONDS_MAX);
/// How long a descriptor is stored at most without being published again; its own expiry comes first.
pub const DESCRIPTOR_TTL: Duration = Duration::from_secs(24 * 3_600);

/// Why a record is not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreRefusal {
    /// The key is none of ours.
    #[error("the key is none of this network's")]
    Key,
    /// No value belongs under such a key, or one of another size.
    #[error("a value of {0} bytes does not belong there")]
    Size(usize),
    /// The descriptor proves itself false or old.
    #[error("the descriptor is not stored: {0}")]
    Descriptor(#[from] DescriptorError),
    /// The descriptor is another relay's.
    #[error("the descriptor is another relay's")]
    OtherRelay,
}

/// Whether to store `value` under `key`, where `stored` lies now; how long at most.
///
/// # Errors
/// [`StoreRefusal`], one variant for each reason.
pub fn check(
    now: UnixSeconds,
    key: &[u8],
    value: &[u8],
    stored: Option<&[u8]>,
) -> Result<Duration, StoreRefusal> {
    match DhtKey::from_bytes(key) {
        Some(DhtKey::Rendezvous(_)) if value.len() == SEALED_BYTES => Ok(MEMBER_RECORD_TTL),
        Some(DhtKey::Descriptor(relay)) if value.len() <= VALUE_BYTES_MAX => {
            let verified = SignedDescriptor::from_bytes(value)?.verify(now)?;
            if verified.relay != relay {
                return Err(StoreRefusal::OtherRelay);
            }
            // What lies there was checked when it came.
            let known = stored.and_then(|stored| SignedDescriptor::from_bytes(stored).ok());
            if let Some(known) = known.filter(|known| known.unverified().sequence > verified.sequence) {
                let (found, known) = (verified.sequence, known.unverified().sequence);
                return Err(DescriptorError::Replayed { found, known }.into());
            }
            let left = verified.valid_until.0.saturating_sub(now.0);
            Ok(DESCRIPTOR_TTL.min(Duration::from_secs(left)))
        }
        // Countries have providers, not values.
        Some(_) => Err(StoreRefusal::Size(value.len())),
        None => Err(StoreRefusal::Key),
    }
}

/// Whether to remember a provider of `key`: of countries only.
#[must_use]
pub fn takes_providers(key: &[u8]) -> bool {
    matches!(DhtKey::from_bytes(key), Some(DhtKey::Country(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        ids::RelayId,
        policy::{
            Descriptor,
            fixture::{NOW, after, descriptor_in, relay, verified},
        },
    };

    #[test]
    fn sealed_records_have_one_size_and_any_content() {
        let key = DhtKey::Rendezvous([1; 32]).to_bytes();
        assert_eq!(check(NOW, &key, &[7; SEALED_BYTES], None), Ok(MEMBER_RECORD_TTL));
        assert_eq!(check(NOW, &key, &[7; 9], None), Err(StoreRefusal::Size(9)));
        assert_eq!(
            check(NOW, b"rose", &[7; SEALED_BYTES], None),
            Err(StoreRefusal::Key)
        );
        assert!(!takes_providers(&key));
    }

    #[test]
    fn a_descriptor_is_stored_under_its_relay_while_it_holds_and_never_goes_back() {
        let first = verified(descriptor_in("DE"));
        let second = verified(Descriptor {
            sequence: 2,
            previous: Some(first.hash()),
            ..descriptor_in("DE")
        });
        let (old, new) = (first.signed().to_bytes(), second.signed().to_bytes());
        let key = DhtKey::Descriptor(relay().relay_id()).to_bytes();
        assert!(check(NOW, &key, &old, None).is_ok());
        assert!(check(NOW, &key, &new, Some(&old)).is_ok());
        assert_eq!(
            check(NOW, &key, &old, Some(&new)),
            Err(DescriptorError::Replayed { found: 1, known: 2 }.into())
        );
        let elsewhere = DhtKey::Descriptor(RelayId([1; 32])).to_bytes();
        assert_eq!(check(NOW, &elsewhere, &old, None), Err(StoreRefusal::OtherRelay));
        assert!(matches!(
            check(after(90_000), &key, &old, None),
            Err(StoreRefusal::Descriptor(DescriptorError::Expired(_)))
        ));
        let mut forged = new;
        let last = forged.len() - 1;
        forged[last] ^= 1;
        assert_eq!(
            check(NOW, &key, &forged, None),
            Err(DescriptorError::Forged.into())
        );
        let country = DhtKey::country(None).to_bytes();
        assert!(takes_providers(&country) && check(NOW, &country, &old, None).is_err());
    }
}
