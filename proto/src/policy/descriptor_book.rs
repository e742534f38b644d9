//! The newest descriptor of each relay: an older one, or a second story, is refused.

use std::collections::BTreeMap;

use super::{
    descriptor::{DescriptorHash, VALIDITY_SECONDS_MAX},
    signed_descriptor::{DescriptorError, VerifiedDescriptor},
};
use crate::{ids::RelayId, time::UnixSeconds};

/// Most relays that are remembered. Reason: 2 MiB at the most; identities cost nothing to make, so whoever fills the
/// book must not push out what is known. Only relays that may be used (permitted, configured) should be entered.
pub const RELAYS_MAX: usize = 1_024;

/// Remembers the newest descriptor of each relay.
///
/// A descriptor is forgotten only when no older one of the same relay can still be valid: 24 hours after it began to
/// hold. Two descriptors of one number, or a successor that names another predecessor, prove that the relay tells
/// different stories to different people; nothing of it is taken until that memory ends.
#[derive(Debug, Default)]
pub struct DescriptorBook {
    relays: BTreeMap<RelayId, Entry>,
}

#[derive(Debug)]
struct Entry {
    newest: VerifiedDescriptor,
    forked: bool,
}

impl Entry {
    fn remembered_until(&self) -> UnixSeconds {
        UnixSeconds(self.newest.valid_from.0.saturating_add(VALIDITY_SECONDS_MAX))
    }
}

/// What [`DescriptorBook::insert`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// The relay was not known.
    New,
    /// It replaces an older one.
    Newer,
    /// It was known already.
    Known,
}

impl DescriptorBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes `descriptor` in, if it is the one that is known, or newer.
    ///
    /// # Errors
    /// [`DescriptorError::Replayed`] for an older one, [`DescriptorError::Forked`] for a second story,
    /// [`DescriptorError::Expired`] if it expired since it was verified, [`DescriptorError::BookFull`] beyond
    /// [`RELAYS_MAX`] relays.
    pub fn insert(
        &mut self,
        descriptor: VerifiedDescriptor,
        now: UnixSeconds,
    ) -> Result<Inserted, DescriptorError> {
        if descriptor.valid_until <= now {
            return Err(DescriptorError::Expired(descriptor.valid_until));
        }
        self.relays.retain(|_, entry| now < entry.remembered_until());
        let Some(entry) = self.relays.get_mut(&descriptor.relay) else {
            if self.relays.len() >= RELAYS_MAX {
                return Err(DescriptorError::BookFull);
            }
            self.relays.insert(
                descriptor.relay,
                Entry {
                    newest: descriptor,
                    forked: false,
                },
            );
            return Ok(Inserted::New);
        };
        if entry.forked || contradicts(&entry.newest, &descriptor) {
            entry.forked = true;
            return Err(DescriptorError::Forked(descriptor.sequence));
        }
        if descriptor.sequence < entry.newest.sequence {
            let (found, known) = (descriptor.sequence, entry.newest.sequence);
            return Err(DescriptorError::Replayed { found, known });
        }
        if descriptor.hash() == entry.newest.hash() {
            return Ok(Inserted::Known);
        }
        entry.newest = descriptor;
        Ok(Inserted::Newer)
    }

    /// The newest descriptor of `relay`, if it still holds and the relay told one story only.
    #[must_use]
    pub fn get(&self, relay: RelayId, now: UnixSeconds) -> Option<&VerifiedDescriptor> {
        let entry = self.relays.get(&relay)?;
        (!entry.forked && now < entry.newest.valid_until).then_some(&entry.newest)
    }

    /// The hash of the newest descriptor that is remembered of `relay`.
    #[must_use]
    pub fn newest_hash(&self, relay: RelayId) -> Option<DescriptorHash> {
        self.relays.get(&relay).map(|entry| entry.newest.hash())
    }

    /// All descriptors that [`Self::get`] would give, in the order of the relays' keys.
    pub fn iter(&self, now: UnixSeconds) -> impl Iterator<Item = &VerifiedDescriptor> + '_ {
        self.relays
            .values()
            .filter(move |entry| !entry.forked && now < entry.newest.valid_until)
            .map(|entry| &entry.newest)
    }
}

/// Whether no honest relay signs both: one number twice, neighbours that do not follow each other, or a newer one that
/// begins to hold earlier.
fn contradicts(known: &VerifiedDescriptor, found: &VerifiedDescriptor) -> bool {
    if known.hash() == found.hash() {
        return false;
    }
    let (older, newer) = if known.sequence < found.sequence {
        (known, found)
    } else {
        (found, known)
    };
    older.sequence == newer.sequence
        || older.valid_from > newer.valid_from
        || (older.sequence.checked_add(1) == Some(newer.sequence) && newer.previous != Some(older.hash()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        identity::Identity,
        policy::{
            Descriptor, SignedDescriptor,
            fixture::{NOW, after, descriptor_in, relay, verified},
        },
    };

    fn numbered(sequence: u64, previous: Option<DescriptorHash>) -> VerifiedDescriptor {
        verified(Descriptor {
            sequence,
            previous,
            ..descriptor_in("DE")
        })
    }

    #[test]
    fn only_the_newest_is_kept_and_older_ones_are_refused() {
        let mut book = DescriptorBook::new();
        let first = numbered(1, None);
        let second = numbered(2, Some(first.hash()));
        assert_eq!(book.insert(first.clone(), NOW), Ok(Inserted::New));
        assert_eq!(book.insert(first.clone(), NOW), Ok(Inserted::Known));
        assert_eq!(book.insert(second.clone(), NOW), Ok(Inserted::Newer));
        assert_eq!(
            book.insert(first, NOW),
            Err(DescriptorError::Replayed { found: 1, known: 2 })
        );
        assert_eq!(book.get(relay().relay_id(), NOW), Some(&second));
        // A number may be skipped: somebody did not see the one between.
        assert_eq!(
            book.insert(numbered(7, Some(DescriptorHash([5; 32]))), NOW),
            Ok(Inserted::Newer)
        );
    }

    #[test]
    fn a_relay_with_two_stories_is_out() {
        let first = numbered(1, None);
        let other_first = verified(Descriptor {
            asn: None,
            ..descriptor_in("DE")
        });
        let stranger = numbered(2, Some(DescriptorHash([5; 32])));
        let restarted = numbered(2, None);
        for second_story in [other_first, stranger, restarted] {
            let mut book = DescriptorBook::new();
            book.insert(first.clone(), NOW).unwrap();
            let number = second_story.sequence;
            assert_eq!(
                book.insert(second_story, NOW),
                Err(DescriptorError::Forked(number))
            );
            assert_eq!(book.get(relay().relay_id(), NOW), None);
            assert_eq!(book.insert(first.clone(), NOW), Err(DescriptorError::Forked(1)));
        }
        let mut book = DescriptorBook::new();
        book.insert(numbered(2, None), NOW).unwrap();
        assert!(
            matches!(book.insert(first, NOW), Err(DescriptorError::Forked(1))),
            "seen backwards"
        );
    }

    #[test]
    fn a_short_lived_successor_does_not_bring_its_predecessor_back() {
        let mut book = DescriptorBook::new();
        let first = numbered(1, None);
        let mut descriptor = Descriptor {
            sequence: 2,
            previous: Some(first.hash()),
            ..descriptor_in("US")
        };
        descriptor.valid_until = after(60);
        book.insert(verified(descriptor), NOW).unwrap();
        assert_eq!(book.get(relay().relay_id(), after(60)), None);
        assert_eq!(
            book.insert(first, after(61)),
            Err(DescriptorError::Replayed { found: 1, known: 2 })
        );
    }

    #[test]
    fn the_book_is_bounded_and_forgets_what_cannot_come_back() {
        let mut book = DescriptorBook::new();
        let other = |number: usize| {
            let mut seed = [3; 32];
            seed[..8].copy_from_slice(&number.to_le_bytes());
            let identity = Identity::from_seed(&seed);
            let descriptor = Descriptor {
                relay: identity.relay_id(),
                ..descriptor_in("DE")
            };
            SignedDescriptor::sign(descriptor, &identity)
                .unwrap()
                .verify(NOW)
                .unwrap()
        };
        for number in 0..RELAYS_MAX {
            book.insert(other(number), NOW).unwrap();
        }
        assert_eq!(
            book.insert(numbered(1, None), NOW),
            Err(DescriptorError::BookFull)
        );
        assert_eq!(book.iter(NOW).count(), RELAYS_MAX);
        let day_later = Descriptor {
            valid_from: after(86_000),
            valid_until: after(100_000),
            ..descriptor_in("DE")
        };
        let day_later = SignedDescriptor::sign(day_later, &relay())
            .unwrap()
            .verify(after(86_400))
            .unwrap();
        assert_eq!(book.insert(day_later, after(86_400)), Ok(Inserted::New));
        assert_eq!(book.iter(after(86_400)).count(), 1);
    }
}
