//! Counters of one received stream.

use std::time::Duration;

use crate::time::Timestamp;

/// What happened to one received audio stream since it was first heard. Counters never fall.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ReceptionStats {
    /// Packets that arrived, duplicates included.
    pub received: u64,
    /// Packets that came twice.
    pub duplicates: u64,
    /// Packets that came after a newer one.
    pub reordered: u64,
    /// Packets whose frame had been played or given up when they came.
    pub late: u64,
    /// Frames whose own packet was not there when their turn came, recovered or not.
    pub lost: u64,
    /// Of `lost`: played from a redundant copy in a later packet.
    pub recovered_redundancy: u64,
    /// Of `lost`: rebuilt from the next frame's in-band FEC.
    pub recovered_fec: u64,
    /// Frames played from their own packet.
    pub played: u64,
    /// Frame intervals for which the decoder invented sound.
    pub concealed: u64,
    /// Of `concealed`: inserted because the packet was late, so that no frame was given up for it.
    pub inserted: u64,
    /// Frames thrown away unplayed to come down from a delay that no conversation bears.
    pub discarded: u64,
    /// Frame intervals of silence: before the first frame and while the sender pauses.
    pub silence: u64,
    /// Frames that the decoder refused.
    pub undecodable: u64,
    /// Times that the stream began anew (another sequence or frame duration).
    pub restarts: u64,
    /// Samples removed by time stretching.
    pub samples_removed: u64,
    /// Samples added by time stretching.
    pub samples_added: u64,
    /// Interarrival jitter (RFC 3550 §6.4.1).
    pub jitter: Duration,
    /// Mean time between a frame's arrival and the playing of its first sample, over about a second.
    pub delay: Duration,
    /// The delay aimed for, counted from the fastest recent packet.
    pub target_delay: Duration,
    /// Audio payload received over about the last second, in bits per second.
    pub bitrate_bps: u32,
    /// The sender's clock against ours, in parts per million; positive if it runs fast. 0 until known.
    pub drift_ppm: f32,
}

impl ReceptionStats {
    /// Lost frames that were heard nevertheless.
    #[must_use]
    pub const fn recovered(&self) -> u64 {
        self.recovered_redundancy + self.recovered_fec
    }
}

/// Bits per second over intervals of one second.
#[derive(Debug, Default)]
pub(super) struct RateMeter {
    since: Timestamp,
    bytes: u64,
    bits_per_second: u32,
}

impl RateMeter {
    const INTERVAL: Duration = Duration::from_secs(1);

    pub(super) fn insert(&mut self, now: Timestamp, bytes: usize) {
        self.advance(now);
        self.bytes += bytes as u64;
    }

    pub(super) fn advance(&mut self, now: Timestamp) {
        let elapsed = now.saturating_since(self.since);
        if elapsed < Self::INTERVAL {
            return;
        }
        let bits = self.bytes as f64 * 8.0 / elapsed.as_secs_f64();
        self.bits_per_second = bits as u32;
        self.bytes = 0;
        self.since = now;
    }

    pub(super) const fn bits_per_second(&self) -> u32 {
        self.bits_per_second
    }
}
