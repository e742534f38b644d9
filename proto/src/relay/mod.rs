//! The relay: a blind forwarder of media and envelopes (`proto/spec/relay.md`).
//!
//! [`Relay`] is a pure state machine. It knows rooms, aliases and tracks as opaque ids, holds no key of any meeting and
//! never looks behind a media packet's ten clear bytes.
//!
//! ```text
//! handle_session_up ─┐                      ┌─ poll_output    streams, closing
//! handle_request    ─┤   Relay              ├─ poll_ready     which listener has something to send
//! handle_datagram   ─┤   rooms · tracks     ├─ poll_control   control frames for it
//! handle_stream_*   ─┤   quotas · queues    ├─ poll_datagram  media for it
//! handle_timeout    ─┘                      └─ poll_timeout   when to call handle_timeout
//! ```

mod access;
mod admission;
mod cascade;
mod forwarding;
mod gather;
mod limits;
mod listener_queue;
mod machine;
mod membership;
mod mirror;
mod month;
mod quota;
mod rate_limiter;
mod requests;
mod room;
mod session;
mod stats;
mod streams;
mod subscriptions;
pub mod token;
mod upstream;

pub use access::{Access, BAD_TOKENS_MAX, TOKENS_MAX, TokenUsage};
pub use cascade::{CASCADE_CLIENTS_MAX, CASCADE_RELAYS_MAX};
pub use limits::{
    ANNOUNCERS_PER_TRACK_MAX, CONTROL_BACKLOG_MAX, ENVELOPE_BACKLOG_MAX, GATHER_BYTES, GATHER_WINDOW_MAX,
    MEDIA_REFUSAL_INTERVAL, MediaRate, RelayLimits, SESSION_BYTES, SESSIONS_PER_ALIAS_MAX,
    STREAMS_PER_SESSION_MAX,
};
pub use machine::{CloseReason, Relay, RelayConfig, RelayOutput};
pub use rate_limiter::RateLimiter;
pub use session::{AddressBlock, Origin, SessionId};
pub use stats::{DropReason, QUEUE_DELAY_BUCKETS_US, RelayStats};
pub use streams::ForwardId;

#[cfg(test)]
mod tests;
