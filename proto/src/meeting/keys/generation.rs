//! The chain of one generation, and the keys that hang from it.
//!
//! ```text
//! secret of step 0 ──ratchet──► step 1 ──ratchet──► … step 15
//!        │                        │
//!        └─► base key of each stream (binding) ─► RFC 9605 key schedule (key id) ─► AEAD key and salt
//! ```

use super::recipients::RecipientsRoot;
use crate::{
    ids::{MeetingId, MemberId, PolicyHash, StreamId},
    sframe::{
        KeyId,
        key_schedule::{FrameKey, Secret},
    },
};

/// What every key of a generation is derived over, besides the chain: who differs in any of it shares no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) meeting: MeetingId,
    pub(super) publisher: MemberId,
    pub(super) instance: u64,
    pub(super) first_recipients: RecipientsRoot,
    pub(super) policy: PolicyHash,
}

/// One step of a generation's chain.
#[derive(Clone, Debug)]
pub(super) struct ChainLink {
    pub(super) key: KeyId,
    pub(super) secret: Secret,
}

impl ChainLink {
    /// The next step; `None` after the generation's last.
    pub(super) fn next(&self) -> Option<Self> {
        Some(Self {
            key: self.key.next_step()?,
            secret: self.secret.ratchet(),
        })
    }

    /// The link at `key`, which is of this generation and not before this step.
    pub(super) fn advanced_to(&self, key: KeyId) -> Option<Self> {
        if key.generation() != self.key.generation() || key < self.key {
            return None;
        }
        let mut link = self.clone();
        while link.key < key {
            link = link.next()?;
        }
        Some(link)
    }

    /// The key of `stream` at this step.
    pub(super) fn frame_key(&self, binding: &Binding, stream: StreamId) -> FrameKey {
        let base_key = self.secret.derive(&[
            b"subrosa-stream-key-v1\0",
            &binding.meeting.0,
            &binding.publisher.0,
            &binding.instance.to_be_bytes(),
            &[stream.0],
            &binding.first_recipients.0,
            &binding.policy.0,
        ]);
        FrameKey::derive(base_key.as_bytes(), self.key.to_u64())
    }
}
