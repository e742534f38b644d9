//! Times and bounds of connections: quinn's transport configuration, each value with its reason.

use std::{sync::Arc, time::Duration};

use quinn_proto::{
    IdleTimeout, MtuDiscoveryConfig, ServerConfig, TransportConfig, VarInt, congestion::CubicConfig,
};

/// The round-trip time that is assumed before one is measured. Reason: most paths between participants are shorter, and the
/// first lost Initial costs three of it (quinn's default costs a second).
const INITIAL_RTT: Duration = Duration::from_millis(100);

/// Bytes that may be under way before the first is acknowledged. Reason: a welcome to a meeting in which a hundred people
/// came and went fits, so that sound does not wait another round trip; 32 packets, spread over a round trip by pacing.
/// RFC 9002 §7.2 recommends ten.
const INITIAL_WINDOW_BYTES: u64 = 32 * 1_200;

/// CRYPTO bytes kept for a peer. Reason: twice the longest handshake message.
const CRYPTO_BUFFER_BYTES: usize = 8 * 1024;

/// The largest datagram that is probed for. Reason: Ethernet's 1,500 bytes less IPv6 and UDP headers.
const MTU_MAX: u16 = 1_452;

/// One datagram of [`MTU_MAX`], and what quinn counts beside its bytes.
const DATAGRAM_SEND_BYTES: usize = 1_600;

/// Received datagrams kept until they are read. Reason: 200 ms of ten video streams at 1 Mbit/s; then the oldest are dropped.
const DATAGRAM_RECEIVE_BYTES: usize = 256 * 1024;

/// Pending Initials that quinn keeps for us until the accept loop sees them. Reason: the loop takes each at once.
const INCOMING_MAX: usize = 256;
/// Bytes kept for one pending Initial. Reason: the second half of message 1 and a repetition of both.
const INCOMING_BYTES: u64 = 8 * 1024;
/// Bytes kept for all of them.
const INCOMING_BYTES_TOTAL: u64 = 1024 * 1024;

/// Control frames that may wait for one neighbour. Reason: a Welcome and the keys of a meeting of 200 fit; a neighbour
/// that lets more pile up does not read, and its link is closed.
pub const CONTROL_QUEUE_MAX: usize = 512;
/// How long the last control frames of a closing link may take.
pub const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// Times and bounds of an endpoint. Each has a default for members; [`EndpointOptions::relay`] has a relay's.
#[derive(Clone, Debug)]
pub struct EndpointOptions {
    /// Silence after which a connection is dead. Default 5 s. The lower of both sides' values counts.
    pub idle_timeout: Duration,
    /// Interval of keep-alives. Default 1.5 s: two may be lost before the idle timeout.
    pub keep_alive: Duration,
    /// How long dialling may take. Default 3 s: four tries at the first packet.
    pub dial_timeout: Duration,
    /// How long an incoming handshake may take. Default 5 s.
    pub handshake_timeout: Duration,
    /// Interval of key updates on connections that we dialled. Default 120 s.
    pub key_update_interval: Duration,
    /// Datagrams that QUIC keeps for one connection, in bytes; beyond it the oldest are dropped. Default 1,600: the largest
    /// that a path takes, and what quinn counts for it. Whatever else waits does so in a [`super::MediaQueue`].
    pub datagram_send_bytes: usize,
    /// Bidirectional streams that a peer may hold open. Default 4: one for control, some spare.
    pub bidirectional_streams: u32,
    /// Unidirectional streams that a peer may hold open. Default 64: groups of ten video tracks in flight.
    pub unidirectional_streams: u32,
    /// Unread bytes that a peer may have on one stream. Default 256 KiB: one key frame, or four control messages.
    pub stream_window_bytes: u32,
    /// Unread bytes that a peer may have on one connection, and unsent bytes of ours. Default 1 MiB.
    pub connection_window_bytes: u32,
    /// Handshakes under way at a time; what exceeds it is forgotten, and the peer tries again. Default 64.
    pub handshakes_max: usize,
    /// Handshakes under way above which strangers must show by Retry that they receive at their address. Default 16.
    pub retry_above: usize,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_millis(1_500),
            dial_timeout: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(5),
            key_update_interval: Duration::from_secs(120),
            datagram_send_bytes: DATAGRAM_SEND_BYTES,
            bidirectional_streams: 4,
            unidirectional_streams: 64,
            stream_window_bytes: 256 * 1024,
            connection_window_bytes: 1024 * 1024,
            handshakes_max: 64,
            retry_above: 16,
        }
    }
}

impl EndpointOptions {
    /// A relay's defaults: more handshakes at a time, and smaller windows, as it holds many connections and reads at once.
    #[must_use]
    pub fn relay() -> Self {
        Self {
            stream_window_bytes: 128 * 1024,
            connection_window_bytes: 512 * 1024,
            handshakes_max: 1_024,
            retry_above: 128,
            ..Self::default()
        }
    }

    /// quinn's configuration with these values.
    #[must_use]
    pub fn transport(&self) -> Arc<TransportConfig> {
        let mut mtu = MtuDiscoveryConfig::default();
        mtu.upper_bound(MTU_MAX);
        // Longer than VarInt's 2⁶² ms is forever.
        let idle_timeout = IdleTimeout::try_from(self.idle_timeout).ok();
        let mut congestion = CubicConfig::default();
        congestion.initial_window(INITIAL_WINDOW_BYTES);
        let mut config = TransportConfig::default();
        config
            .congestion_controller_factory(Arc::new(congestion))
            .max_idle_timeout(idle_timeout)
            .keep_alive_interval(Some(self.keep_alive))
            .initial_rtt(INITIAL_RTT)
            .mtu_discovery_config(Some(mtu))
            .crypto_buffer_size(CRYPTO_BUFFER_BYTES)
            .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BYTES))
            .datagram_send_buffer_size(self.datagram_send_bytes)
            .max_concurrent_bidi_streams(VarInt::from_u32(self.bidirectional_streams))
            .max_concurrent_uni_streams(VarInt::from_u32(self.unidirectional_streams))
            .stream_receive_window(VarInt::from_u32(self.stream_window_bytes))
            .receive_window(VarInt::from_u32(self.connection_window_bytes))
            .send_window(u64::from(self.connection_window_bytes))
            // The spin bit would show the round-trip time to everybody on the path.
            .allow_spin(false);
        Arc::new(config)
    }

    /// `server` with the bounds of an endpoint that accepts, and these parameters.
    #[must_use]
    pub fn bounded(&self, mut server: ServerConfig) -> ServerConfig {
        server
            .transport_config(self.transport())
            .max_incoming(INCOMING_MAX)
            .incoming_buffer_size(INCOMING_BYTES)
            .incoming_buffer_size_total(INCOMING_BYTES_TOTAL);
        server
    }
}
