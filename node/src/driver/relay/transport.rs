//! QUIC's parameters on the relay leg.

use std::{sync::Arc, time::Duration};

use quinn_proto::{AckFrequencyConfig, IdleTimeout, TransportConfig, VarInt};

use super::congestion::MediaWindow;

/// Silence after which a session is dead. Clients keep theirs alive every few seconds.
const IDLE_TIMEOUT_MS: u32 = 10_000;
/// Streams that a client may have open: one for control, and groups of its tracks.
const UNI_STREAMS: u32 = subrosa_proto::relay::STREAMS_PER_SESSION_MAX as u32;
/// Packets after which a client acknowledges (draft-ietf-quic-ack-frequency). QUIC's default of two would make a third
/// of a relay's packets acknowledgements. A window of fewer packets is acknowledged after [`ACK_DELAY_MAX`].
const ACK_THRESHOLD: u32 = 24;
/// The longest that a client waits before it acknowledges: QUIC's default.
const ACK_DELAY_MAX: Duration = Duration::from_millis(25);
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

/// The transport parameters of a relay's connections.
#[must_use]
pub fn transport_config() -> TransportConfig {
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
