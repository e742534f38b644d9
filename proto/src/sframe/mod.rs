//! End to end: SFrame (RFC 9605) with suite 0x0005, AES_256_GCM_SHA512_128 (`proto/spec/sframe.md`).
//!
//! ```text
//! media_context ──► additional data ─┐
//! key_schedule ──► FrameKey ─────────┼─► encrypt ⇒ header ‖ ciphertext ‖ tag ⇒ decrypt ─► replay_window
//! key_id ─────────► header ──────────┘
//! ```
//! Who holds which key is the business of [`crate::meeting::keys`].

pub mod decrypt;
pub mod encrypt;
pub mod header;
pub mod key_id;
pub mod key_schedule;
pub mod media_context;
pub mod replay_window;
pub mod source_authentication;
pub mod source_authenticator;
mod source_path;
pub mod source_verifier;

pub use key_id::KeyId;
pub use media_context::MediaContext;

/// Bytes that SFrame adds to a payload at most: header of 17 and tag of 16.
pub const OVERHEAD_BYTES_MAX: usize = header::HEADER_BYTES_MAX + key_schedule::TAG_BYTES;

#[cfg(test)]
mod tests;
