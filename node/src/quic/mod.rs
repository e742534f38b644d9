//! Sockets and connections.

pub mod endpoint;
pub mod socket;
