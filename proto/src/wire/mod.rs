//! The wire: one codec, and the types that it carries.

pub mod codec;
pub mod media_packet;
pub mod ticket;
