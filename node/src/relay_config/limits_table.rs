//! The file's table of limits.

use serde::Deserialize;
use subrosa_proto::relay::{MediaRate, RelayLimits};

use super::HandshakeLimits;

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LimitsTable {
    sessions: Option<usize>,
    sessions_per_address_block: Option<usize>,
    rooms: Option<usize>,
    members_per_room: Option<usize>,
    tracks_per_session: Option<usize>,
    session_kbit_per_s: Option<u64>,
    session_burst_kbyte: Option<u32>,
    room_kbit_per_s: Option<u64>,
    room_burst_kbyte: Option<u32>,
    address_block_kbit_per_s: Option<u64>,
    address_block_burst_kbyte: Option<u32>,
    total_kbit_per_s: Option<u64>,
    total_burst_kbyte: Option<u32>,
    monthly_gbyte: Option<f64>,
    memory_mbyte: Option<usize>,
    handshakes_per_s: Option<u32>,
    handshakes_per_address_block_per_s: Option<u32>,
}

/// What may be forwarded at once in all if only the rate is given: a tenth of a second's worth, at least 4 MB.
const TOTAL_BURST_BYTES_MIN: u64 = 4_000_000;

fn rate(default: MediaRate, kbit: Option<u64>, kbyte: Option<u32>) -> MediaRate {
    MediaRate {
        bits_per_second: kbit.map_or(default.bits_per_second, |k| k.saturating_mul(1_000)),
        burst_bytes: kbyte.map_or(default.burst_bytes, |k| k.saturating_mul(1_000)),
    }
}

impl LimitsTable {
    pub(super) fn handshakes(&self) -> HandshakeLimits {
        let default = HandshakeLimits::default();
        HandshakeLimits {
            per_second: self.handshakes_per_s.unwrap_or(default.per_second),
            per_address_block: self
                .handshakes_per_address_block_per_s
                .unwrap_or(default.per_address_block),
        }
    }

    fn total(&self) -> Option<MediaRate> {
        let bits_per_second = self.total_kbit_per_s?.saturating_mul(1_000);
        let burst = (bits_per_second / 80).max(TOTAL_BURST_BYTES_MIN);
        let default = MediaRate {
            bits_per_second,
            burst_bytes: u32::try_from(burst).unwrap_or(u32::MAX),
        };
        Some(rate(default, None, self.total_burst_kbyte))
    }

    pub(super) fn limits(&self) -> RelayLimits {
        let default = RelayLimits::default();
        RelayLimits {
            sessions_max: self.sessions.unwrap_or(default.sessions_max),
            sessions_per_address_block_max: self
                .sessions_per_address_block
                .unwrap_or(default.sessions_per_address_block_max),
            rooms_max: self.rooms.unwrap_or(default.rooms_max),
            members_per_room_max: self.members_per_room.unwrap_or(default.members_per_room_max),
            tracks_per_session_max: self.tracks_per_session.unwrap_or(default.tracks_per_session_max),
            session_media: rate(
                default.session_media,
                self.session_kbit_per_s,
                self.session_burst_kbyte,
            ),
            room_media: rate(default.room_media, self.room_kbit_per_s, self.room_burst_kbyte),
            address_block_media: rate(
                default.address_block_media,
                self.address_block_kbit_per_s,
                self.address_block_burst_kbyte,
            ),
            total_media: self.total(),
            // Saturating: a cap beyond 2⁶⁴ bytes is none.
            monthly_bytes_max: self.monthly_gbyte.map(|g| (g.max(0.0) * 1e9) as u64),
            memory_bytes_max: self
                .memory_mbyte
                .map_or(default.memory_bytes_max, |m| m.saturating_mul(1_000_000)),
            ..default
        }
        .clamped()
    }
}
