//! What a relay counts. Everything it does not forward is in here with its reason.

use std::{collections::BTreeMap, time::Duration};

use crate::wire::relay_message::RefusalCode;

/// Why a frame was not forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(usize)]
pub enum DropReason {
    /// Not a media packet of this version.
    Malformed,
    /// The sender did not announce its track.
    NotAnnounced,
    /// Nobody wants the track.
    NoListener,
    /// The sender's bitrate is used up.
    SessionBitrate,
    /// The room's bitrate is used up.
    RoomBitrate,
    /// The address block's bitrate is used up.
    AddressBlockBitrate,
    /// The month's traffic is used up.
    MonthlyTraffic,
    /// The listener's queue was full; this frame was its oldest.
    QueueFull,
    /// The frame waited for its listener longer than anybody would play it.
    Stale,
    /// The listener's path takes no packet of that size.
    TooLarge,
    /// The listener went away while the frame waited.
    ListenerGone,
    /// The bitrate of the sender's token is used up.
    TokenBitrate,
    /// The traffic of the sender's token is used up.
    TokenTraffic,
    /// The relay's bitrate in all is used up.
    TotalBitrate,
    /// The relay's memory for waiting frames is used up.
    MemoryFull,
}

/// Upper bounds, in microseconds, of the buckets that waits are counted in; the last bucket has none.
pub const QUEUE_DELAY_BUCKETS_US: [u64; 10] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000,
];

impl DropReason {
    /// All reasons, in the order of [`RelayStats::drops`].
    pub const ALL: [Self; 15] = [
        Self::Malformed,
        Self::NotAnnounced,
        Self::NoListener,
        Self::SessionBitrate,
        Self::RoomBitrate,
        Self::AddressBlockBitrate,
        Self::MonthlyTraffic,
        Self::QueueFull,
        Self::Stale,
        Self::TooLarge,
        Self::ListenerGone,
        Self::TokenBitrate,
        Self::TokenTraffic,
        Self::TotalBitrate,
        Self::MemoryFull,
    ];

    /// The reason's name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NotAnnounced => "not_announced",
            Self::NoListener => "no_listener",
            Self::SessionBitrate => "session_bitrate",
            Self::RoomBitrate => "room_bitrate",
            Self::AddressBlockBitrate => "address_block_bitrate",
            Self::MonthlyTraffic => "monthly_traffic",
            Self::QueueFull => "queue_full",
            Self::Stale => "stale",
            Self::TooLarge => "too_large",
            Self::ListenerGone => "listener_gone",
            Self::TokenBitrate => "token_bitrate",
            Self::TokenTraffic => "token_traffic",
            Self::TotalBitrate => "total_bitrate",
            Self::MemoryFull => "memory_full",
        }
    }
}

/// A relay's counters and gauges. Counters start at zero with the process, except [`month_bytes`](Self::month_bytes).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Sessions now.
    pub sessions: u64,
    /// Rooms now.
    pub rooms: u64,
    /// Tracks now that somebody announced or wants.
    pub tracks: u64,
    /// Sessions so far, refused ones included.
    pub sessions_total: u64,
    /// Media datagrams received.
    pub frames_received: u64,
    /// Their bytes.
    pub bytes_received: u64,
    /// Frames handed to listeners' connections: one for each listener.
    pub frames_forwarded: u64,
    /// Their bytes, and those of stream objects and envelopes.
    pub bytes_forwarded: u64,
    /// Frames that waited for their listener, summed waiting time in microseconds.
    pub queue_delay_us_sum: u64,
    /// The longest such wait in microseconds.
    pub queue_delay_us_max: u64,
    /// Such waits by [`QUEUE_DELAY_BUCKETS_US`]; the last counts those beyond.
    pub queue_delay_counts: [u64; QUEUE_DELAY_BUCKETS_US.len() + 1],
    /// Bytes of media that wait for listeners now.
    pub queued_bytes: u64,
    /// Frames not forwarded, by [`DropReason`] (index `reason as usize`). Before fan-out a frame counts once, after it
    /// once for each listener.
    pub drops: [u64; DropReason::ALL.len()],
    /// Envelopes delivered to a session's control stream.
    pub envelopes_forwarded: u64,
    /// Stream objects' groups forwarded, one for each listener.
    pub streams_forwarded: u64,
    /// Groups that were refused as a whole, or cut off for a listener that was too slow or for a quota. They are no frames
    /// and count in no [`DropReason`].
    pub streams_dropped: u64,
    /// Refusals sent, by code.
    pub refusals: BTreeMap<RefusalCode, u64>,
    /// Bytes forwarded in the current calendar month (UTC), including what [`RelayConfig`](super::RelayConfig) carried
    /// over from before the start.
    pub month_bytes: u64,
    /// The present gather window in microseconds.
    pub gather_window_us: u64,
    /// Whether the relay drains.
    pub draining: bool,
    /// Whether the month's traffic is used up: the relay sleeps until the next.
    pub hibernating: bool,
    /// Tokens in use now.
    pub tokens: u64,
    /// Links to other relays that are up now.
    pub upstreams: u64,
    /// Rooms now that are other relays'.
    pub mirrored_rooms: u64,
}

impl RelayStats {
    /// Frames dropped for `reason`.
    #[must_use]
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }

    /// Frames dropped for any reason.
    #[must_use]
    pub fn dropped_total(&self) -> u64 {
        self.drops.iter().sum()
    }

    pub(super) fn drop_frames(&mut self, reason: DropReason, frames: u64) {
        self.drops[reason as usize] += frames;
    }

    pub(super) fn count_wait(&mut self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        self.queue_delay_us_sum += micros;
        self.queue_delay_us_max = self.queue_delay_us_max.max(micros);
        let bucket = QUEUE_DELAY_BUCKETS_US.iter().position(|&bound| micros <= bound);
        self.queue_delay_counts[bucket.unwrap_or(QUEUE_DELAY_BUCKETS_US.len())] += 1;
    }

    pub(super) fn forward_bytes(&mut self, bytes: u64) {
        self.bytes_forwarded += bytes;
        self.month_bytes += bytes;
    }
}
