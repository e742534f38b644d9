//! Drivers: the pure machines of the protocol, run by tokio on real sockets.

pub mod relay;
