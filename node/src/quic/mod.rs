//! Sockets and connections.

mod accept;
mod authenticated;
mod dial_error;
pub mod endpoint;
pub mod fallback;
mod probing;
pub mod search_sockets;
pub mod socket;
