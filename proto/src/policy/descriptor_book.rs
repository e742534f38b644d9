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
