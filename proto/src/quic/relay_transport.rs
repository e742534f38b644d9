//! QUIC's parameters on the relay leg.

use std::{sync::Arc, time::Duration};

use quinn_proto::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt};

use super::media_window::MediaWindow;

/// Silence after which a session is dead. Clients keep theirs alive every few seconds.
const IDLE_TIMEOUT_MS: u32 = 10_000;
/// Streams that a client may have open: one for control, and groups of its tracks.
const UNI_STREAMS: u32 = crate::relay::STREAMS_PER_SESSION_MAX as u32;
/// Packets after which a client acknowledges (draft-ietf-quic-ack-frequency). QUIC's default of two would make a third
/// of a relay's packets acknowledgements. A window of fewer packets is acknowledged after [`ACK_DELAY_MAX`].
const ACK_THRESHOLD: u32 = 24;
/// The longest that a client waits before it acknowledges. quinn-proto asks for no more than a round trip or 25 ms, unless
/// the client itself states a longer delay; ours state this one.
const ACK_DELAY_MAX: Duration = Duration::from_millis(60);
/// Bytes of control frames and stream objects on their way to one client.
const SEND_WINDOW: u64 = 512 * 1024;
/// Bytes that one client may have on their way on all its streams.
const RECEIVE_WINDOW: u32 = 512 * 1024;
/// Bytes that one client may have on their way on one stream.
const STREAM_RECEIVE_WINDOW: u32 = 128 * 1024;
/// Media datagrams of one client between two turns of the event loop; one turn receives less.
const DATAGRAM_RECEIVE_BUFFER: usize = 4 * 1024 * 1024;
/// Media that the QUIC layer holds for one listener: what one system call sends. What waits longer waits in the
/// machine's queue, where the oldest can be dropped.
pub(super) const DATAGRAM_SEND_BUFFER: usize = 16 * 1024;
/// Half-open connections above which a client must prove its address first (RFC 9000 §8.1.2).
pub const RETRY_ABOVE: usize = 32;
/// Half-open connections at a time; the oldest goes when a further one begins. Reason: 8 MB, and at the default rate of
/// handshakes a second for each, which is three round trips on a bad path.
pub const HALF_OPEN_MAX: usize = 512;
/// How long a client's handshake may take. Nobody who means it takes longer.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(4);
/// One address of another relay is tried for so long. Reason: a handshake at a round trip of half a second ends before.
pub const UPSTREAM_DIAL_TIMEOUT: Duration = Duration::from_secs(2);
/// The keys of a link to another relay are changed so often, by the side that dialled.
pub const UPSTREAM_KEY_UPDATE_INTERVAL: Duration = Duration::from_secs(600);

/// The transport parameters of a relay's connections.
#[must_use]
pub fn relay_transport() -> TransportConfig {
    let mut acks = AckFrequencyConfig::default();
    acks.ack_eliciting_threshold(VarInt::from_u32(ACK_THRESHOLD))
        .max_ack_delay(Some(ACK_DELAY_MAX));
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(UNI_STREAMS))
        .max_idle_timeout(Some(IdleTimeout::from(VarInt::from_u32(IDLE_TIMEOUT_MS))))
        .keep_alive_interval(None)
        .stream_receive_window(VarInt::from_u32(STREAM_RECEIVE_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .ack_frequency_config(Some(acks))
        .congestion_controller_factory(Arc::new(MediaWindow::default()))
        .allow_spin(false);
    config
}
