//! The wire: one codec, and the types that it carries.

pub mod armor;
pub mod bounded;
pub mod codec;
pub mod control_message;
pub mod door_message;
pub mod forwarding_message;
pub mod framing;
pub mod line;
pub mod media_packet;
pub mod moderation;
pub mod relay_message;
pub mod stream_object;
pub mod ticket;
