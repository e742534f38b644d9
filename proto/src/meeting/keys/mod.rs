//! Key distribution: each publisher has its own chain of keys and gives it to the recipients of its own choice
//! (`proto/spec/keys.md`).
//!
//! [`Publisher`] owns the generations of this member's keys and seals its frames. There is one [`Receiver`] for each
//! remote member; it opens that member's frames. [`KeyMessage`] and [`KeyAck`] travel between them over the pairwise
//! channel, whose ends are authenticated: the caller passes the member at the far end, never a field of the message.

mod generation;
pub mod key_message;
pub mod publisher;
pub mod receiver;
pub mod recipients;

mod delivery;

pub use key_message::{KeyAck, KeyMessage, KeyStatement};
pub use publisher::{KeyReason, KeysChanged, Publisher, SealError, Sealed};
pub use receiver::{KeyFault, OpenError, Opened, Receiver, RosterAtHeads};
pub use recipients::{RecipientList, RecipientsRoot};

#[cfg(test)]
mod tests;
