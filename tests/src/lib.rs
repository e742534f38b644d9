//! .

pub mod relay_client;
