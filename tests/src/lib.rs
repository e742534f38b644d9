//! What tests, benchmarks and load runs share.

pub mod idle;
pub mod mmdb;
pub mod port;
pub mod relay_client;
mod unlimited;
pub mod watch;
