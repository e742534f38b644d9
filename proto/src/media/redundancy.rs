//! How much protection the next frames carry, chosen from what receivers report.
//!
//! Losses are modelled as a two-state Markov chain (E. N. Gilbert, "Capacity of a burst-noise channel", 1960) with the
//! reported loss `p` and mean burst length `b`: a packet `s` after a lost one is lost with `q = p + (1 − p)·λˢ`, where
//! `λ = 1 − 1/b − p/((1 − p)·b)`; for independent losses `λ = 0`. A frame whose `r` copies travel `s`, `2s`, … frames
//! later is thus missing with `p·qʳ`. The ladder takes the rung with the least impairment: what stays missing, plus what
//! the bits and the waiting cost.

use std::{collections::BTreeMap, time::Duration};

use super::{
    payload::{FrameDuration, REDUNDANCY_MAX, SPACING_MAX},
    reception_report::ReceptionReport,
};
use crate::{ids::MemberId, time::Timestamp};

/// Receivers whose reports are kept. Reason: a meeting has 200 members.
const RECEIVERS_MAX: usize = 256;
/// A receiver that was silent for this long has left or hears nothing of us.
const REPORT_LIFE: Duration = Duration::from_secs(10);
/// Reports on fewer packets say little.
const EXPECTED_MIN: u32 = 20;
/// Protection is taken back only when a weaker rung was better for this long.
const STEP_DOWN_AFTER: Duration = Duration::from_secs(10);
/// A rung must be better by this many points of impairment.
const ADVANTAGE_MIN: f64 = 0.3;
/// Points of impairment: one percent of missing frames is one; a copy; and 20 ms of waiting.
const COPY_COST: f64 = 0.7;
/// Points for each kb/s that the cap takes from a frame below this.
const SQUEEZE_COST_PER_KBPS: f64 = 0.1;
const GOOD_FRAME_KBPS: f64 = 24.0;
const WAIT_COST_PER_20_MS: f64 = 0.2;
/// A frame rebuilt by in-band FEC counts as this much of a missing one.
const FEC_FLAW: f64 = 0.3;
/// Steps of the expected loss given to Opus: it re-plans its bits at every change.
const EXPECTED_LOSS_STEPS: [u8; 8] = [0, 1, 2, 3, 5, 8, 12, 20];

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
    /// Bits per second of all copies together. Default 68,000, which with its header makes payloads of 72 kb/s. Above it
    /// copies get smaller, not fewer.
    pub bitrate_bps_max: u32,
    /// How long after a frame its last copy may travel; receivers that lose packets wait that long. Default 40 ms: with
    /// 20 ms of network mouth to ear stays below 100 ms. 60 ms sounds better at 30 % loss.
    pub span_max: Duration,
}

impl Default for LadderConfig {
    fn default() -> Self {
        Self {
            duration: FrameDuration::Ms20,
            frame_bitrate_bps: 32_000,
            bitrate_bps_max: 68_000,
            span_max: Duration::from_millis(40),
        }
    }
}

/// Loss as one receiver sees it, smoothed.
#[derive(Clone, Copy, Debug)]
struct Path {
    loss: f64,
    mean_burst: f64,
    reported: Timestamp,
    /// What is lost waited in a queue that this sender fills.
    congested: bool,
}

impl Path {
    /// The probability that the packet `distance` after a lost one is lost.
    fn lost_after_lost(&self, distance: u8) -> f64 {
        let (p, b) = (self.loss, self.mean_burst);
        let memory = (1.0 - 1.0 / b - p / ((1.0 - p) * b)).clamp(0.0, 0.98);
        p + (1.0 - p) * memory.powi(distance.into())
    }

    /// The share of frames that stay missing on `rung`.
    fn residual(&self, rung: Rung) -> f64 {
        if rung.redundancy == 0 {
            let next_lost = self.lost_after_lost(1);
            return self.loss * (next_lost + (1.0 - next_lost) * FEC_FLAW);
        }
        self.loss * self.lost_after_lost(rung.spacing).powi(rung.redundancy.into())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rung {
    redundancy: u8,
    spacing: u8,
}

impl Rung {
    const LOWEST: Self = Self {
        redundancy: 0,
        spacing: 1,
    };

    fn span(self, duration: FrameDuration) -> Duration {
        duration.as_duration() * u32::from(self.redundancy) * u32::from(self.spacing)
    }

    fn impairment(self, path: &Path, config: &LadderConfig) -> f64 {
        let waits = self.span(config.duration).as_secs_f64() / 0.020;
        let kbps = f64::from(config.bitrate_bps_max) / f64::from(self.redundancy + 1) / 1_000.0;
        path.residual(self) * 100.0
            + f64::from(self.redundancy) * COPY_COST
            + waits * WAIT_COST_PER_20_MS
            + (GOOD_FRAME_KBPS - kbps).max(0.0) * SQUEEZE_COST_PER_KBPS
    }
}

/// The sender's choice of protection.
#[derive(Debug)]
pub struct RedundancyLadder {
    config: LadderConfig,
    receivers: BTreeMap<MemberId, Path>,
    rung: Rung,
    /// Since when a weaker rung would have been better.
    weaker_since: Option<Timestamp>,
    expected_loss_percent: u8,
}

impl RedundancyLadder {
    /// A ladder on its lowest rung.
    #[must_use]
    pub fn new(config: LadderConfig) -> Self {
        Self {
            config,
            receivers: BTreeMap::new(),
            rung: Rung::LOWEST,
            weaker_since: None,
            expected_loss_percent: 0,
        }
    }

    /// Takes `from`'s report on our stream; `congested` if what is sent there waits in a queue on the way: against that copies
    /// do not help, they fill it. Reports of more than 256 receivers are ignored.
    pub fn handle_report(
        &mut self,
        now: Timestamp,
        from: MemberId,
        report: &ReceptionReport,
        congested: bool,
    ) {
        let values = report.values();
        if values.expected < EXPECTED_MIN {
            return;
        }
        let loss = report.loss().min(0.9);
        let burst = f64::from(values.lost) / f64::from(values.bursts.max(1));
        let known = self.receivers.len();
        let path = match self.receivers.entry(from) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) if known < RECEIVERS_MAX => {
                entry.insert(Path {
                    loss,
                    mean_burst: burst.max(1.0),
                    reported: now,
                    congested,
                })
            }
            std::collections::btree_map::Entry::Vacant(_) => return,
        };
        // Protection must come quickly and may go slowly.
        let weight = if loss > path.loss { 0.5 } else { 0.25 };
        path.loss += (loss - path.loss) * weight;
        if values.bursts > 0 {
            path.mean_burst += (burst.max(1.0) - path.mean_burst) * 0.4;
        }
        path.reported = now;
        path.congested = congested;
    }

    /// Forgets a receiver that left.
    pub fn remove_receiver(&mut self, from: &MemberId) {
        self.receivers.remove(from);
    }

    /// What to do from now on; call it for each frame or at least every second. The worst path decides.
    pub fn settings(&mut self, now: Timestamp) -> ProtectionSettings {
        self.receivers
            .retain(|_, path| now.saturating_since(path.reported) < REPORT_LIFE);
        let lossless = Path {
            loss: 0.0,
            mean_burst: 1.0,
            reported: now,
            congested: false,
        };
        let worst = |paths: &mut dyn Iterator<Item = &Path>| {
            let worst = paths.max_by(|a, b| a.loss.total_cmp(&b.loss));
            worst.copied().unwrap_or(lossless)
        };
        let helped = worst(&mut self.receivers.values().filter(|path| !path.congested));
        let all = worst(&mut self.receivers.values());
        self.step(now, &helped);
        // In-band FEC takes no room beside the frame: it is there for everybody.
        self.expect_loss(if self.rung.redundancy == 0 { &all } else { &helped });
        let copies = u32::from(self.rung.redundancy) + 1;
        // Whole bytes per frame.
        let grain = 8_000 / self.config.duration.millis();
        let bitrate = self
            .config
            .frame_bitrate_bps
            .min(self.config.bitrate_bps_max / copies);
        ProtectionSettings {
            frame_bitrate_bps: bitrate / grain * grain,
            expected_loss_percent: self.expected_loss_percent,
            redundancy: self.rung.redundancy,
            spacing: self.rung.spacing,
        }
    }

    fn step(&mut self, now: Timestamp, worst: &Path) {
        let config = &self.config;
        let mut best = Rung::LOWEST;
        for redundancy in 1..=REDUNDANCY_MAX {
            for spacing in 1..=SPACING_MAX {
                let rung = Rung { redundancy, spacing };
                if rung.span(config.duration) <= config.span_max
                    && rung.impairment(worst, config) < best.impairment(worst, config)
                {
                    best = rung;
                }
            }
        }
        let advantage = self.rung.impairment(worst, config) - best.impairment(worst, config);
        if best == self.rung || advantage < ADVANTAGE_MIN {
            self.weaker_since = None;
        } else if worst.residual(best) < worst.residual(self.rung)
            || self.receivers.values().any(|path| path.congested)
        {
            self.rung = best;
            self.weaker_since = None;
        } else {
            let since = *self.weaker_since.get_or_insert(now);
            if now.saturating_since(since) >= STEP_DOWN_AFTER {
                self.rung = best;
                self.weaker_since = None;
            }
        }
    }

    /// In-band FEC insures against what the copies leave over.
    fn expect_loss(&mut self, worst: &Path) {
        let missing = if self.rung.redundancy == 0 {
            worst.loss
        } else {
            worst.residual(self.rung)
        };
        let percent = missing * 100.0;
        let step = |p: f64| {
            EXPECTED_LOSS_STEPS
                .into_iter()
                .rfind(|s| f64::from(*s) <= p + 0.5)
                .unwrap_or(0)
        };
        // A step down needs a little more than a step up.
        if step(percent) > self.expected_loss_percent || step(percent * 1.25) < self.expected_loss_percent {
            self.expected_loss_percent = step(percent);
        }
    }
}

#[cfg(test)]
mod tests;
