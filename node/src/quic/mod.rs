//! Sockets and connections.

mod accept;
mod authenticated;
mod dial_error;
pub mod endpoint;
pub mod fallback;
pub mod socket;
mod transport;
