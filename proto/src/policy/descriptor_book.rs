//! The newest descriptor of each relay: an older one, or a second story, is refused.

use super::signed_descriptor::{DescriptorError, VerifiedDescriptor};
use crate::{ids::RelayId, time::UnixSeconds};

/// Remembers the newest descriptor of each relay.
#[derive(Debug, Default)]
pub struct DescriptorBook {}

impl DescriptorBook {
    /// Takes `descriptor` in, if it is as new as the one that is known, or newer.
    ///
    /// # Errors
    /// [`DescriptorError`] for a replayed or forked one, or if the book is full.
    pub fn insert(
        &mut self,
        descriptor: VerifiedDescriptor,
        now: UnixSeconds,
    ) -> Result<(), DescriptorError> {
        let _ = (descriptor, now);
        todo!()
    }

    /// The newest descriptor of `relay`, if it is still valid and was never forked.
    #[must_use]
    pub fn get(&self, relay: RelayId, now: UnixSeconds) -> Option<&VerifiedDescriptor> {
        let _ = (relay, now);
        todo!()
    }
}
