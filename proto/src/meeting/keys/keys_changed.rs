//! What the node tells people when its key changes.

use std::collections::BTreeSet;

#[cfg(doc)]
use super::{FRAMES_MAX, GENERATION_AGE_MAX};
use crate::{ids::MemberId, sframe::KeyId};

/// Why the key that frames are sealed with changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum KeyReason {
    /// The first recipients.
    Start,
    /// Somebody was added.
    Join,
    /// Somebody was removed.
    Removal,
    /// The generation reached [`GENERATION_AGE_MAX`].
    Age,
    /// The generation sealed [`FRAMES_MAX`] frames.
    Frames,
    /// The meeting has another policy.
    Policy,
}

/// From now on frames are sealed with this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeysChanged {
    /// Generation and step.
    pub key: KeyId,
    /// Why.
    pub reason: KeyReason,
    /// Who was given the key.
    pub members: BTreeSet<MemberId>,
}
