//! Relays.

use serde::{Deserialize, Serialize};
use subrosa_proto::relay::{MediaRate, RelayLimits};

/// A relay takes so much at once at least: its largest frame.
const BURST_BYTES_MIN: u32 = 1_350;

/// A relay.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySpec {
    /// Its operator's name.
    pub name: String,
    /// ISO 3166-1 code of the country it is hosted in.
    pub hosting: String,
    /// What its descriptor says instead, if its operator lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// Where its operator has its seat; where it is hosted unless said otherwise.
    pub legal_seat: Option<String>,
    /// Relays to which it carries its clients, and whose clients it takes.
    #[serde(default)]
    pub cascade: Vec<String>,
    /// Where it is in the network ([`crate::network::region::REGIONS`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its class of access link; without one, nothing waits at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// What it gives at most, where that differs from the relay's defaults.
    #[serde(default)]
    pub limits: RelayLimitsSpec,
}

impl RelaySpec {
    /// The country that its descriptor names as hosting it.
    #[must_use]
    pub fn stated(&self) -> &String {
        self.claims.as_ref().unwrap_or(&self.hosting)
    }
}

/// A relay's limits ([`RelayLimits`]).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelayLimitsSpec {
    /// Sessions in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_max: Option<usize>,
    /// Members in one room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_per_room_max: Option<usize>,
    /// What one session may send, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_kbps: Option<u32>,
    /// What may be forwarded in one room, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_kbps: Option<u32>,
    /// What may be forwarded in all, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_kbps: Option<u32>,
    /// Frames that wait for one listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_frames_max: Option<usize>,
}

impl RelayLimitsSpec {
    /// The production relay's limits.
    #[must_use]
    pub fn limits(&self) -> RelayLimits {
        let mut limits = RelayLimits::default();
        let rate = |kbps: u32, burst_bytes: u32| MediaRate {
            bits_per_second: u64::from(kbps) * 1_000,
            // A second's worth, but no less than a relay must take at once.
            burst_bytes: (kbps.saturating_mul(125)).clamp(BURST_BYTES_MIN, burst_bytes),
        };
        let defaults = limits;
        limits.sessions_max = self.sessions_max.unwrap_or(limits.sessions_max);
        limits.members_per_room_max = self.members_per_room_max.unwrap_or(limits.members_per_room_max);
        limits.queue_frames_max = self.queue_frames_max.unwrap_or(limits.queue_frames_max);
        if let Some(kbps) = self.session_kbps {
            limits.session_media = rate(kbps, defaults.session_media.burst_bytes);
        }
        if let Some(kbps) = self.room_kbps {
            limits.room_media = rate(kbps, defaults.room_media.burst_bytes);
        }
        if let Some(kbps) = self.total_kbps {
            limits.total_media = Some(rate(kbps, defaults.room_media.burst_bytes));
        }
        limits.clamped()
    }
}
