//! What the node and the simulator do alike with a QUIC connection: its parameters, and what passes between a relay's machine
//! and one client's connection.
//!
//! quinn-proto's `Instant`s are inputs here as everywhere; nothing reads a clock.

mod endpoint_options;
mod forward_streams;
mod media_queue;
mod media_window;
mod relay_link;
mod relay_transport;

pub use self::{
    endpoint_options::{CLOSE_PATIENCE, CONTROL_QUEUE_MAX, EndpointOptions},
    media_queue::{MEDIA_QUEUE_BYTES_MAX, MEDIA_WAIT_MAX, MediaQueue},
    media_window::MediaWindow,
    relay_link::{LinkState, RelayLink},
    relay_transport::{
        HALF_OPEN_MAX, HANDSHAKE_TIMEOUT, RETRY_ABOVE, UPSTREAM_DIAL_TIMEOUT, UPSTREAM_KEY_UPDATE_INTERVAL,
        relay_transport,
    },
};
