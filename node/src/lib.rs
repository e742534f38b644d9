//! The node: everything that touches the world, and the API that each user interface uses.

pub mod audio;
pub mod code;
pub mod command;
pub mod config;
pub mod discovery;
pub mod driver;
pub mod entropy;
pub mod error;
pub mod event;
pub mod geoip;
pub mod node;
mod packet_stream;
pub mod quic;
pub mod relay_config;
pub mod store;
