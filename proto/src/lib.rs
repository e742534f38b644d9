//! Subrosa's protocol as pure state machines.
//!
//! Nothing here reads a clock, a socket, a file or ambient randomness: `handle_*` functions take bytes, events and
//! [`time::Now`]; `poll_*` functions give out bytes, timers and events. `node/` drives the same machines with real
//! sockets and devices, `simulations/` with virtual time.

pub mod identity;
pub mod ids;
pub mod random;
pub mod time;

pub mod channel;
pub mod discovery;
pub mod media;
pub mod meeting;
pub mod mesh;
pub mod noise;
pub mod packet_stream;
pub mod policy;
pub mod quic;
pub mod relay;
pub mod sframe;
pub mod wire;
