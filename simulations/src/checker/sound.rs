//! What people hear in the end: how long from mouth to ear, how much had to be invented, and that what comes is played.

use std::{collections::BTreeMap, time::Duration};

use subrosa_proto::{media::reception_stats::ReceptionStats, time::Timestamp};

use super::Violations;
use crate::{
    quantiles::Quantiles,
    report::{DelayFigures, SoundFigures},
    scenario::Expect,
    world::node::Voice,
};

/// A frame is sealed when it was spoken to its end.
const FRAME: Duration = Duration::from_millis(20);
/// Fewer frames than two seconds' say nothing about shares.
const FRAMES_MIN: u64 = 100;

#[derive(Debug, Default)]
struct PairSound {
    mouth_to_ear: Quantiles,
    received: u64,
    lost: u64,
    played: u64,
    recovered: u64,
    concealed: u64,
    late: u64,
    /// Sum over reports, each of which tells the mean of its last second, and how many these are.
    buffered: Duration,
    reports: u32,
}

impl PairSound {
    fn frames(&self) -> u64 {
        self.played + self.recovered + self.concealed
    }

    fn concealed_share(&self) -> f64 {
        self.concealed as f64 / self.frames().max(1) as f64
    }
}

/// See the module.
pub(super) struct Sound {
    mouth_to_ear_max: Option<f64>,
    concealed_permille_max: Option<f64>,
    pairs: BTreeMap<(usize, usize), PairSound>,
}

impl Sound {
    pub(super) fn new(expect: &Expect) -> Self {
        Self {
            mouth_to_ear_max: (expect.mouth_to_ear_ms_max > 0).then_some(expect.mouth_to_ear_ms_max as f64),
            concealed_permille_max: expect.concealed_permille_max,
            pairs: BTreeMap::new(),
        }
    }

    /// A frame's first sample is given to the device, or within the step that is.
    pub(super) fn played(&mut self, at: Timestamp, listener: usize, voice: Voice) {
        let pair = self.pairs.entry((voice.speaker, listener)).or_default();
        pair.mouth_to_ear.add(at.saturating_since(voice.sealed) + FRAME);
    }

    /// What a jitter buffer counted between two moments.
    pub(super) fn counted(&mut self, pair: (usize, usize), before: &ReceptionStats, now: &ReceptionStats) {
        let pair = self.pairs.entry(pair).or_default();
        pair.received += now.received - before.received;
        pair.lost += now.lost - before.lost;
        pair.played += now.played - before.played;
        pair.recovered += now.recovered() - before.recovered();
        pair.concealed += now.concealed - before.concealed;
        pair.late += now.late - before.late;
        pair.buffered += now.delay;
        pair.reports += 1;
    }

    pub(super) fn finish(&self, at: Timestamp, violations: &mut Violations, names: &[String]) {
        for ((speaker, listener), pair) in &self.pairs {
            let who = format!("{} hears {}", names[*listener], names[*speaker]);
            let p99 = pair.mouth_to_ear.at(0.99);
            if let Some(max) = self.mouth_to_ear_max.filter(|max| p99 > *max) {
                let what = format!("{who} {p99:.0} ms after it was spoken (p99, at most {max:.0})");
                violations.add(at, "playout", &what);
            }
            let concealed = pair.concealed_share() * 1e3;
            if let Some(max) = self.concealed_permille_max
                && pair.frames() >= FRAMES_MIN
                && concealed > max
            {
                let what = format!("{who} with {concealed:.0} ‰ of the sound invented (at most {max:.0})");
                violations.add(at, "playout", &what);
            }
        }
    }

    pub(super) fn figures(&self, pair: (usize, usize)) -> SoundFigures {
        let Some(pair) = self.pairs.get(&pair) else {
            return SoundFigures::default();
        };
        SoundFigures {
            mouth_to_ear_ms: DelayFigures::of(&pair.mouth_to_ear),
            received: pair.received,
            lost: pair.lost,
            played: pair.played,
            recovered: pair.recovered,
            concealed: pair.concealed,
            concealed_percent: pair.concealed_share() * 1e2,
            late: pair.late,
            buffered_ms: pair.buffered.as_secs_f64() * 1e3 / f64::from(pair.reports.max(1)),
        }
    }
}
