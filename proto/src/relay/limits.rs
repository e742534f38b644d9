//! What a relay gives at most: to one session, one room, one address block, and in all.

use std::time::Duration;

use crate::wire::relay_message::{PRESENT_MAX, SessionLimits};

/// Sessions that may share an alias: a client that restarts twice within the idle timeout, and one to spare.
pub const SESSIONS_PER_ALIAS_MAX: usize = 4;
/// Sessions that may announce one track; the same reason.
pub const ANNOUNCERS_PER_TRACK_MAX: usize = 4;
/// Control frames that wait for one session, in bytes; beyond it the session is closed. Reason: presence of a full room
/// and a key message from each of 200 members.
pub const CONTROL_BACKLOG_MAX: usize = 1024 * 1024;
/// Beyond this backlog, in bytes, the session gets no further envelopes; their senders are told.
pub const ENVELOPE_BACKLOG_MAX: usize = 768 * 1024;
/// Streams that one session may have open toward the relay: two groups of each of a handful of tracks.
pub const STREAMS_PER_SESSION_MAX: usize = 16;
/// A refusal for media is repeated to a session at most this often.
pub const MEDIA_REFUSAL_INTERVAL: Duration = Duration::from_secs(2);
/// The longest time that a frame waits for company under load.
///
/// The design allows 2 ms; drivers' timers may be late by 1 ms.
pub const GATHER_WINDOW_MAX: Duration = Duration::from_millis(1);
/// With so many bytes waiting, a listener is served at once: they fill a packet.
pub const GATHER_BYTES: usize = 1_250;

/// A token bucket's parameters for media.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaRate {
    /// Sustained, in bits per second.
    pub bits_per_second: u64,
    /// At once, in bytes. Shorter bursts than the largest frame would refuse everything; at least 1,350.
    pub burst_bytes: u32,
}

impl MediaRate {
    /// The rate of so many together.
    pub(super) fn times(self, clients: usize) -> Self {
        let burst = usize::try_from(self.burst_bytes)
            .unwrap_or(usize::MAX)
            .saturating_mul(clients);
        Self {
            bits_per_second: self.bits_per_second.saturating_mul(clients as u64),
            burst_bytes: u32::try_from(burst).unwrap_or(u32::MAX),
        }
    }
}

/// What an idle session costs in memory, in bytes, its QUIC connection included: measured at 1,000 sessions (21 to 25 kB,
/// docs/benchmarks.md), rounded up.
pub const SESSION_BYTES: usize = 32 * 1024;

/// A relay's limits. The defaults suit a machine with one core and 100 Mbit/s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RelayLimits {
    /// Sessions in all. Each costs memory even when idle; default 2,000.
    pub sessions_max: usize,
    /// Rooms in all; default 1,000.
    pub rooms_max: usize,
    /// Members (sessions) in one room, at most [`PRESENT_MAX`]; default 250.
    pub members_per_room_max: usize,
    /// Rooms of one session; default 8: lobby and members' room, for today and tomorrow, before and after a removal.
    pub rooms_per_session_max: usize,
    /// Tracks that one session announces; default 32.
    pub tracks_per_session_max: usize,
    /// Tracks that one session subscribes to; default 1,024: four streams of a large room.
    pub subscriptions_per_session_max: usize,
    /// Sessions from one address block; default 500, since a company's members share an address.
    pub sessions_per_address_block_max: usize,
    /// What one session may send; default 6 Mbit/s, 256 KiB at once.
    pub session_media: MediaRate,
    /// What may be forwarded in one room, summed over its listeners; default 100 Mbit/s, 4 MiB at once.
    pub room_media: MediaRate,
    /// What one address block may send; default 50 Mbit/s, 2 MiB at once.
    pub address_block_media: MediaRate,
    /// What may be forwarded in all, summed over all listeners. `None`: as much as the machine manages (the default).
    pub total_media: Option<MediaRate>,
    /// Memory for sessions (counted as [`SESSION_BYTES`] each) and what waits for them, in bytes. Beyond it sessions are
    /// refused and media dropped; default 256 MiB.
    pub memory_bytes_max: usize,
    /// Control requests of one session per second, twenty seconds' worth at once; default 50.
    pub requests_per_second: u32,
    /// Envelopes of one session per second, ten seconds' worth at once; default 50: a new key to 200 members takes
    /// no waiting.
    pub envelopes_per_second: u32,
    /// Envelope bytes of one session per second, eight seconds' worth at once; default 256 KiB.
    pub envelope_bytes_per_second: u32,
    /// Bytes forwarded in one calendar month (UTC); beyond it the relay admits nobody and forwards nothing. `None`: no
    /// cap (the default).
    pub monthly_bytes_max: Option<u64>,
    /// Frames that wait for one listener; default 256. The oldest is dropped first.
    pub queue_frames_max: usize,
    /// A frame that waited longer is dropped; default 200 ms, beyond which no jitter buffer plays it.
    pub queue_age_max: Duration,
    /// The longest gather window; default and ceiling [`GATHER_WINDOW_MAX`]. Zero: every frame leaves at once.
    pub gather_window_max: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            sessions_max: 2_000,
            rooms_max: 1_000,
            members_per_room_max: 250,
            rooms_per_session_max: 12,
            tracks_per_session_max: 32,
            subscriptions_per_session_max: 1_024,
            sessions_per_address_block_max: 500,
            session_media: MediaRate {
                bits_per_second: 6_000_000,
                burst_bytes: 256 * 1024,
            },
            room_media: MediaRate {
                bits_per_second: 100_000_000,
                burst_bytes: 4 * 1024 * 1024,
            },
            address_block_media: MediaRate {
                bits_per_second: 50_000_000,
                burst_bytes: 2 * 1024 * 1024,
            },
            total_media: None,
            memory_bytes_max: 256 * 1024 * 1024,
            requests_per_second: 50,
            envelopes_per_second: 50,
            envelope_bytes_per_second: 256 * 1024,
            monthly_bytes_max: None,
            queue_frames_max: 256,
            queue_age_max: Duration::from_millis(200),
            gather_window_max: GATHER_WINDOW_MAX,
        }
    }
}

impl RelayLimits {
    /// The same limits with those cut that would break a bound of the protocol.
    #[must_use]
    pub fn clamped(mut self) -> Self {
        self.members_per_room_max = self.members_per_room_max.clamp(1, PRESENT_MAX);
        self.sessions_max = self.sessions_max.clamp(1, 1_000_000);
        self.queue_frames_max = self.queue_frames_max.clamp(1, 4_096);
        self.gather_window_max = self.gather_window_max.min(GATHER_WINDOW_MAX);
        self
    }

    /// What a session is told in its welcome.
    #[must_use]
    pub fn session(&self) -> SessionLimits {
        let small = |n: usize| u16::try_from(n).unwrap_or(u16::MAX);
        SessionLimits {
            rooms: small(self.rooms_per_session_max),
            tracks: small(self.tracks_per_session_max),
            subscriptions: small(self.subscriptions_per_session_max),
            bits_per_second: self.session_media.bits_per_second,
            burst_bytes: self.session_media.burst_bytes,
            envelopes_per_second: small(self.envelopes_per_second as usize),
        }
    }
}
