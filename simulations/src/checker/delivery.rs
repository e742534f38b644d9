//! Frames of each speaker at each listener: how many were lost, how long the longest silence was.

use std::{collections::BTreeMap, time::Duration};

use subrosa_proto::{meeting::participant::Participant, time::Timestamp};

use super::{Violations, sound::Sound};
use crate::{
    network::{Network, WorstPath},
    quantiles::Quantiles,
    report::{DelayFigures, FirstAudio, PairFigures},
    scenario::{Expect, Scenario},
    world::node::Voice,
};

/// Frames that are still on their way do not count as lost.
const FLIGHT: Duration = Duration::from_millis(1_000);
/// So many frames are spoken meanwhile.
const FLIGHT_FRAMES: u64 = 50;
/// A frame may have to wait for the next tick.
const FRAME: Duration = Duration::from_millis(20);
/// How many standard deviations of the network's own loss are chance. Reason: a few hundred pairs are checked in the
/// tests, and four are exceeded once in 30,000.
const LOSS_DEVIATIONS: f64 = 4.0;
/// A gap may be so much longer where the network loses packets.
const GAP_MARGIN: Duration = Duration::from_millis(400);
/// Whatever has no bound of its own is connected within this time.
const CONNECT_MAX: Duration = Duration::from_secs(8);

/// One speaker at one listener, between two interruptions.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    first: u64,
    last: u64,
    heard: u64,
    last_at: Timestamp,
    last_sealed: Timestamp,
    /// Which of the frames up to `last` came, the newest in the lowest bit.
    seen: u128,
}

impl Stretch {
    /// Notes a frame; whether it came before. What is older than the window is not known.
    fn is_repeated(&mut self, number: u64) -> bool {
        if number > self.last {
            let ahead = u32::try_from(number - self.last).unwrap_or(u32::MAX);
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            return false;
        }
        let back = u32::try_from(self.last - number).unwrap_or(u32::MAX);
        let bit = 1_u128.checked_shl(back).unwrap_or(0);
        let repeated = self.seen & bit != 0;
        self.seen |= bit;
        repeated
    }
}

#[derive(Clone, Debug, Default)]
struct Pair {
    stretch: Option<Stretch>,
    heard: u64,
    lost: u64,
    gap_max: Duration,
    gap_at: Timestamp,
    connected: Option<Duration>,
    /// From sealing to opening.
    delays: Quantiles,
}

/// See the module.
pub(super) struct Delivery {
    pub(super) expect: Expect,
    path: WorstPath,
    /// When the network was last parted or joined again.
    turned: Timestamp,
    pairs: BTreeMap<(usize, usize), Pair>,
    /// When each node's process started, and when it was in.
    started: Vec<Timestamp>,
    joined: Vec<Option<Timestamp>>,
    first_audio: BTreeMap<usize, Duration>,
    /// The last frame of each speaker, and the first of its present time of speaking.
    spoken: Vec<Option<(u64, Timestamp)>>,
    speaking_since: Vec<Option<Timestamp>>,
    /// When each speaker's latest talk spurt began; zero for those who always speak.
    resumed: Vec<Timestamp>,
}

impl Delivery {
    pub(super) fn new(scenario: &Scenario, path: WorstPath) -> Self {
        let nodes = scenario.members.len();
        Self {
            expect: scenario.expect.clone(),
            path,
            turned: Timestamp::ZERO,
            pairs: BTreeMap::new(),
            started: vec![Timestamp::ZERO; nodes],
            joined: vec![None; nodes],
            first_audio: BTreeMap::new(),
            spoken: vec![None; nodes],
            speaking_since: vec![None; nodes],
            resumed: vec![Timestamp::ZERO; nodes],
        }
    }

    pub(super) fn starts(&mut self, at: Timestamp, node: usize) {
        self.started[node] = at;
        self.joined[node] = (node == 0 && at == Timestamp::ZERO).then_some(at);
        self.first_audio.remove(&node);
    }

    pub(super) fn joined(&mut self, at: Timestamp, node: usize) {
        self.joined[node].get_or_insert(at);
    }

    pub(super) fn spoken(&mut self, at: Timestamp, speaker: usize, number: u64) {
        self.spoken[speaker] = Some((number, at));
        self.speaking_since[speaker].get_or_insert(at);
    }

    pub(super) fn heard(
        &mut self,
        at: Timestamp,
        listener: usize,
        voice: Voice,
        violations: &mut Violations,
        names: &[String],
    ) {
        let started = self.started[listener];
        self.first_audio.entry(listener).or_insert(at - started);
        // Said before the speaker's pause or crash: it was on its way.
        let speaking = self.speaking_since[voice.speaker];
        if speaking.is_none_or(|since| voice.sealed < since) {
            return;
        }
        let delays = &mut self.pairs.entry((voice.speaker, listener)).or_default().delays;
        delays.add(at - voice.sealed);
        let both_in = match (self.joined[listener], self.joined[voice.speaker]) {
            (Some(a), Some(b)) => Some(a.max(b)),
            _ => None,
        };
        let began = self.turned.max(self.resumed[voice.speaker]);
        let both_in = both_in.max(speaking).map(|since| since.max(began));
        let pair = self.pairs.entry((voice.speaker, listener)).or_default();
        if pair.connected.is_none() {
            pair.connected = both_in.map(|since| at - since);
        }
        let Some(stretch) = &mut pair.stretch else {
            pair.stretch = Some(Stretch {
                first: voice.number,
                last: voice.number,
                heard: 1,
                last_at: at,
                last_sealed: voice.sealed,
                seen: 1,
            });
            return;
        };
        if voice.number < stretch.first {
            // It overtook nobody: sent before the first one that arrived.
            stretch.first = voice.number;
        }
        if stretch.is_repeated(voice.number) {
            let (ear, mouth) = (&names[listener], &names[voice.speaker]);
            let what = format!("{ear} was given a frame of {mouth} twice");
            violations.add(at, "delivery", &what);
        }
        stretch.heard += 1;
        stretch.last = stretch.last.max(voice.number);
        let gap = at - stretch.last_at;
        stretch.last_at = at;
        stretch.last_sealed = stretch.last_sealed.max(voice.sealed);
        if gap > pair.gap_max {
            (pair.gap_max, pair.gap_at) = (gap, at);
        }
        self.check_gap(at, (voice.speaker, listener), gap, violations, names);
    }

    fn check_gap(
        &self,
        at: Timestamp,
        (speaker, listener): (usize, usize),
        gap: Duration,
        violations: &mut Violations,
        names: &[String],
    ) {
        let margin = if self.path.loss > 0.0 {
            GAP_MARGIN
        } else {
            Duration::ZERO
        };
        let max = Duration::from_millis(self.expect.gap_ms_max) + margin;
        if self.expect.gap_ms_max > 0 && gap > max {
            let what = format!(
                "{} heard nothing of {} for {} ms (at most {})",
                names[listener],
                names[speaker],
                gap.as_millis(),
                max.as_millis()
            );
            violations.add(at, "delivery", &what);
        }
    }

    /// A node is gone: what it said and heard is counted up to now.
    pub(super) fn ended(
        &mut self,
        at: Timestamp,
        node: usize,
        violations: &mut Violations,
        names: &[String],
    ) {
        let pairs: Vec<(usize, usize)> = self.pairs.keys().copied().collect();
        for pair in pairs.into_iter().filter(|(a, b)| *a == node || *b == node) {
            self.interrupt(at, pair, violations, names);
        }
        self.joined[node] = None;
        self.speaking_since[node] = None;
    }

    /// A device sleeps or changes networks: what it said and heard is counted up to now.
    pub(super) fn away(&mut self, at: Timestamp, node: usize, violations: &mut Violations, names: &[String]) {
        let pairs: Vec<(usize, usize)> = self.pairs.keys().copied().collect();
        for pair in pairs.into_iter().filter(|(a, b)| *a == node || *b == node) {
            self.interrupt(at, pair, violations, names);
        }
        self.speaking_since[node] = None;
    }

    /// It is there again, and has to be connected soon.
    pub(super) fn back(&mut self, at: Timestamp, node: usize) {
        if let Some(joined) = &mut self.joined[node] {
            *joined = at;
        }
    }

    /// `node` learned that `who` is out.
    pub(super) fn forgot(
        &mut self,
        at: Timestamp,
        node: usize,
        who: usize,
        violations: &mut Violations,
        names: &[String],
    ) {
        self.interrupt(at, (who, node), violations, names);
        self.interrupt(at, (node, who), violations, names);
    }

    /// A speaker's talk spurt begins: the pause before it is no gap, and nobody could hear it in the pause.
    pub(super) fn resumed(&mut self, at: Timestamp, node: usize) {
        self.resumed[node] = at;
        for ((speaker, _), pair) in &mut self.pairs {
            if let Some(stretch) = pair.stretch.as_mut().filter(|_| *speaker == node) {
                stretch.last_at = stretch.last_at.max(at);
            }
        }
    }

    /// A speaker is silent from now on, or begins again.
    pub(super) fn paused(
        &mut self,
        at: Timestamp,
        node: usize,
        violations: &mut Violations,
        names: &[String],
    ) {
        let pairs: Vec<(usize, usize)> = self.pairs.keys().copied().collect();
        for pair in pairs.into_iter().filter(|(speaker, _)| *speaker == node) {
            self.interrupt(at, pair, violations, names);
        }
        self.speaking_since[node] = None;
    }

    /// The network parts or heals: silences between the sides are no fault of the protocol.
    pub(super) fn parted(&mut self, at: Timestamp, violations: &mut Violations, names: &[String]) {
        self.turned = at;
        let pairs: Vec<(usize, usize)> = self.pairs.keys().copied().collect();
        for pair in pairs {
            self.interrupt(at, pair, violations, names);
        }
    }

    /// Ends a stretch: what was sent until [`FLIGHT`] ago and did not arrive is lost.
    fn interrupt(
        &mut self,
        at: Timestamp,
        key: (usize, usize),
        violations: &mut Violations,
        names: &[String],
    ) {
        let Some(pair) = self.pairs.get_mut(&key) else {
            return;
        };
        let Some(stretch) = pair.stretch.take() else {
            return;
        };
        pair.connected = None;
        pair.heard += stretch.heard;
        pair.lost += (stretch.last - stretch.first + 1).saturating_sub(stretch.heard);
        // What was sent after the last one that arrived.
        let silent = self.spoken[key.0].is_some_and(|(_, spoken)| spoken > stretch.last_sealed + FLIGHT);
        let gap = at - stretch.last_at;
        if silent && gap > FLIGHT {
            if gap > pair.gap_max {
                (pair.gap_max, pair.gap_at) = (gap, at);
            }
            self.check_gap(at, key, gap, violations, names);
        }
    }

    pub(super) fn finish(
        &mut self,
        at: Timestamp,
        nodes: &[Option<&Participant>],
        network: &Network,
        violations: &mut Violations,
        names: &[String],
    ) {
        for (speaker, mouth) in nodes.iter().enumerate() {
            for (listener, ear) in nodes.iter().enumerate() {
                let both = mouth.is_some_and(|p| p.is_member()) && ear.is_some_and(|p| p.is_member());
                let speaks = self.speaking_since[speaker].is_some_and(|since| at - since > CONNECT_MAX)
                    && self.spoken[speaker].is_some_and(|(_, spoken)| at - spoken < FLIGHT);
                let joined = self.joined[listener].is_some_and(|since| at - since > CONNECT_MAX);
                if speaker == listener || !both || !speaks || !joined || network.is_parted() {
                    continue;
                }
                let stretch = self.pairs.get(&(speaker, listener)).and_then(|pair| pair.stretch);
                let newest = self.spoken[speaker].map_or(0, |(number, _)| number);
                if stretch.is_none_or(|stretch| newest > stretch.last + FLIGHT_FRAMES) {
                    let what = format!("{} does not hear {} at the end", names[listener], names[speaker]);
                    violations.add(at, "delivery", &what);
                }
            }
        }
        let keys: Vec<(usize, usize)> = self.pairs.keys().copied().collect();
        for key in &keys {
            self.check_connected(at, *key, violations, names);
            self.interrupt(at, *key, violations, names);
        }
        self.check_loss(at, violations, names);
        self.check_first_audio(at, violations, names);
    }

    fn check_connected(
        &self,
        at: Timestamp,
        key: (usize, usize),
        violations: &mut Violations,
        names: &[String],
    ) {
        let max = match self.expect.connect_ms_max {
            0 => CONNECT_MAX,
            ms => Duration::from_millis(ms),
        };
        let max = if self.path.loss > 0.0 { max * 3 } else { max };
        let connected = self.pairs[&key].connected.unwrap_or_default();
        if connected > max {
            let what = format!(
                "{} heard {} {} ms after both were there (at most {})",
                names[key.1],
                names[key.0],
                connected.as_millis(),
                max.as_millis()
            );
            violations.add(at, "delivery", &what);
        }
    }

    fn check_loss(&self, at: Timestamp, violations: &mut Violations, names: &[String]) {
        let Some(max) = self.expect.lost_permille_max else {
            return;
        };
        // At worst one relay forwards: two hops.
        let share = 1.0 - (1.0 - self.path.loss).powi(2);
        let network = 1_000.0 * share;
        for ((speaker, listener), pair) in &self.pairs {
            let frames = (pair.lost + pair.heard).max(1) as f64;
            let lost = 1_000.0 * pair.lost as f64 / frames;
            let margin =
                1_000.0 * LOSS_DEVIATIONS * (share * (1.0 - share) * self.path.loss_widening / frames).sqrt();
            if lost > max + network + margin {
                let what = format!(
                    "{} lost {lost:.1} ‰ of {} ({} frames, at most {:.1} ‰)",
                    names[*listener],
                    names[*speaker],
                    pair.lost,
                    max + network + margin
                );
                violations.add(at, "delivery", &what);
            }
        }
    }

    fn check_first_audio(&self, at: Timestamp, violations: &mut Violations, names: &[String]) {
        let Some(rtts) = self.expect.first_audio_rtts_max.filter(|_| self.path.loss == 0.0) else {
            return;
        };
        let max = self.path.rtt.mul_f64(rtts) + FRAME + self.path.jitter * 4;
        for (node, first) in &self.first_audio {
            if *node > 0 && *first > max {
                let what = format!(
                    "{} heard its first audio after {:.1} ms (at most {:.1})",
                    names[*node],
                    first.as_secs_f64() * 1e3,
                    max.as_secs_f64() * 1e3
                );
                violations.add(at, "delivery", &what);
            }
        }
    }

    pub(super) fn figures(&self, names: &[String], sound: &Sound) -> Vec<PairFigures> {
        self.pairs
            .iter()
            .map(|((speaker, listener), pair)| PairFigures {
                speaker: names[*speaker].clone(),
                listener: names[*listener].clone(),
                heard: pair.heard,
                lost: pair.lost,
                lost_percent: 100.0 * pair.lost as f64 / (pair.lost + pair.heard).max(1) as f64,
                delay_ms: DelayFigures::of(&pair.delays),
                gap_ms_max: pair.gap_max.as_secs_f64() * 1e3,
                gap_at_s: super::seconds(pair.gap_at),
                sound: sound.figures((*speaker, *listener)),
            })
            .collect()
    }

    pub(super) fn first_audio_figures(&self, names: &[String]) -> Vec<FirstAudio> {
        let joiners = self.first_audio.iter().filter(|(node, _)| **node > 0);
        joiners
            .map(|(node, first)| FirstAudio {
                listener: names[*node].clone(),
                after_ms: first.as_secs_f64() * 1e3,
            })
            .collect()
    }
}
