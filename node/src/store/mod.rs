//! What a node keeps on disk: private, whole or absent, never overwritten by surprise.

pub mod contacts;
pub mod data_dir;
pub mod identity_file;
pub mod meetings;
pub mod organisations;
pub mod tickets;
pub mod transfers;

pub use data_dir::DataDir;
