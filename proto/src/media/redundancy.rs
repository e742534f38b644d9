//! How much protection the next frames carry, chosen from what receivers report.

use std::{collections::BTreeMap, time::Duration};

use super::{payload::FrameDuration, reception_report::ReceptionReport};
use crate::{ids::MemberId, time::Timestamp};

/// What the encoder and the packer shall do from the next frame on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtectionSettings {
    /// Bits per second of one copy of a frame (Opus, constant bitrate).
    pub frame_bitrate_bps: u32,
    /// Opus' expected packet loss in percent; in-band FEC is on if it is above zero.
    pub expected_loss_percent: u8,
    /// Redundant frames per packet, 0 to 3.
    pub redundancy: u8,
    /// Distance between the frames of a packet, in frames.
    pub spacing: u8,
}

/// Limits of the ladder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LadderConfig {
    /// Frame duration. Default 20 ms.
    pub duration: FrameDuration,
    /// Bits per second of one copy when the cap allows it. Default 32,000; range 12,000 to 96,000. More sounds better.
    pub frame_bitrate_bps: u32,
    /// Bits per second of all copies together. Default 72,000. Above it copies get smaller, not fewer.
    pub bitrate_bps_max: u32,
    /// How long after a frame its last copy may travel; receivers that lose packets wait that long. Default 60 ms.
    pub span_max: Duration,
}

/// The sender's choice of protection.
#[derive(Debug)]
pub struct RedundancyLadder {
    config: LadderConfig,
    receivers: BTreeMap<MemberId, ()>,
}

impl RedundancyLadder {
    /// A ladder on its lowest rung.
    #[must_use]
    pub fn new(config: LadderConfig) -> Self {
        Self {
            config,
            receivers: BTreeMap::new(),
        }
    }

    /// Takes `from`'s report on our stream.
    pub fn handle_report(&mut self, now: Timestamp, from: MemberId, report: &ReceptionReport) {
        todo!()
    }

    /// Forgets a receiver that left.
    pub fn remove_receiver(&mut self, from: &MemberId) {
        self.receivers.remove(from);
    }

    /// What to do from now on; call it for each frame or at least every second.
    pub fn settings(&mut self, now: Timestamp) -> ProtectionSettings {
        todo!()
    }
}
