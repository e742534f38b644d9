//! The secure channel between two members whom no direct link joins: Noise in envelopes that relays carry blindly.
//!
//! Where a direct link is up, its own handshake is the channel.

pub mod envelope;
pub mod pairwise;
