//! Key distribution: each publisher has its own chain of keys and gives it to the recipients of its own choice
//! (`proto/spec/keys.md`).
//!
//! [`Publisher`] owns the generations of this member's keys and seals its frames. There is one [`Receiver`] for each
//! remote member; it opens that member's frames. [`KeyMessage`] and [`KeyAck`] travel between them over the pairwise
//! channel, whose ends are authenticated: the caller passes the member at the far end, never a field of the message.

mod delivery;
mod generation;
mod held_key;
mod key_fault;
pub mod key_message;
mod keys_changed;
mod own_generation;
mod publisher;
mod receiver;
pub mod recipients;

pub use held_key::{OpenError, Opened};
pub use key_fault::{KeyFault, RosterAtHeads};
pub use key_message::{KeyAck, KeyMessage, KeyStatement};
pub use keys_changed::{KeyReason, KeysChanged};
pub use own_generation::{SealError, Sealed};
pub use publisher::{Publisher, TooMany};
pub use receiver::Receiver;
pub use recipients::{RecipientList, RecipientsRoot};

use std::time::Duration;

/// How long a new generation waits for the acknowledgements of its recipients before it is used all the same.
pub const SWITCH_MAX: Duration = Duration::from_millis(500);
/// How long a receiver keeps a key whose generation or step has ended, for frames that come late.
pub const GRACE: Duration = Duration::from_secs(5);
/// The age at which a generation is replaced.
pub const GENERATION_AGE_MAX: Duration = Duration::from_secs(120);
/// The frames after which a generation is replaced, all streams together.
pub const FRAMES_MAX: u64 = 1 << 20;
/// Streams of one publisher. Reason: microphone, camera and screen in a few layers each.
pub const STREAMS_MAX: usize = 16;
/// How many steps a receiver ratchets by itself when a frame names a later key.
pub const CATCH_UP_MAX: u8 = 8;

#[cfg(test)]
mod tests;
