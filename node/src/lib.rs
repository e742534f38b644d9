//! The node: everything that touches the world, and the API that each user interface uses.

pub mod audio;
pub mod driver;
pub mod quic;
pub mod relay_config;
