//! What tests, benchmarks and load runs share.

pub mod idle;
pub mod port;
pub mod relay_client;
pub mod watch;
