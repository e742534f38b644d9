//! Drivers: the pure machines of the protocol, run by tokio on real sockets.

pub mod addresses;
pub mod clock;
mod link;
mod outgoing_media;
pub mod participant;
pub mod relay;
