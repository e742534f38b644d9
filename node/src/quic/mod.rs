//! Sockets and connections.

mod accept;
pub mod endpoint;
pub mod socket;
mod transport;
