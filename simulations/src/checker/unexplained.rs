//! Every frame at every listener is heard, or there is a reason why not: for scenarios on a network that loses nothing.
//!
//! A frame is due at a listener if both have been in for a while, in the eyes of both. It need not arrive if one of them
//! went while it travelled.

use std::{collections::BTreeMap, time::Duration};

use subrosa_proto::{ids::MemberId, meeting::participant::Participant, time::Timestamp};

use super::Violations;

/// The moment of joining: links, keys and subscriptions take some round trips, and somebody who crashed may be missed only
/// when its links time out.
const SETTLE: Duration = Duration::from_secs(3);
/// Frames that take longer are lost.
const FLIGHT: Duration = Duration::from_secs(1);

/// A frame on its way.
struct Frame {
    sealed: Timestamp,
    /// Where it is due and has not arrived.
    missing: Vec<usize>,
}

/// See the module.
pub(super) struct Unexplained {
    on: bool,
    /// Since when the first has the second in its roster.
    knows: Vec<Vec<Option<Timestamp>>>,
    frames: BTreeMap<(usize, u64), Frame>,
    /// Frames that could not be opened, at each listener from each speaker.
    unopened: Vec<Vec<u64>>,
    due: u64,
    excused: u64,
}

impl Unexplained {
    pub(super) fn new(on: bool, nodes: usize) -> Self {
        Self {
            on,
            knows: vec![vec![None; nodes]; nodes],
            frames: BTreeMap::new(),
            unopened: vec![vec![0; nodes]; nodes],
            due: 0,
            excused: 0,
        }
    }

    /// A process started, ended, or was told that it is out: it knows nobody.
    pub(super) fn forgets(&mut self, node: usize) {
        self.knows[node].fill(None);
        self.unopened[node].fill(0);
    }

    pub(super) fn learns(&mut self, at: Timestamp, node: usize, who: usize, is_in: bool) {
        let known = &mut self.knows[node][who];
        *known = is_in.then(|| known.unwrap_or(at));
    }

    fn both_in_since(&self, speaker: usize, listener: usize) -> Option<Timestamp> {
        let (a, b) = (self.knows[speaker][listener]?, self.knows[listener][speaker]?);
        Some(a.max(b))
    }

    pub(super) fn spoken(&mut self, at: Timestamp, speaker: usize, number: u64) {
        if !self.on {
            return;
        }
        let settled = |listener: &usize| {
            let since = self.both_in_since(speaker, *listener);
            since.is_some_and(|since| at >= since + SETTLE)
        };
        let missing: Vec<usize> = (0..self.knows.len())
            .filter(|listener| *listener != speaker)
            .filter(settled)
            .collect();
        self.due += missing.len() as u64;
        self.frames
            .insert((speaker, number), Frame { sealed: at, missing });
    }

    pub(super) fn heard(&mut self, listener: usize, speaker: usize, number: u64) {
        if let Some(frame) = self.frames.get_mut(&(speaker, number)) {
            frame.missing.retain(|missing| *missing != listener);
            if frame.missing.is_empty() {
                self.frames.remove(&(speaker, number));
            }
        }
    }

    /// Judges what should have arrived by now.
    pub(super) fn look(&mut self, at: Timestamp, violations: &mut Violations, names: &[String]) {
        let late: Vec<(usize, u64)> = self
            .frames
            .iter()
            .filter(|(_, frame)| at >= frame.sealed + FLIGHT)
            .map(|(key, _)| *key)
            .collect();
        for (speaker, number) in late {
            let Some(frame) = self.frames.remove(&(speaker, number)) else {
                continue;
            };
            for listener in frame.missing {
                let since = self.both_in_since(speaker, listener);
                if since.is_some_and(|since| since <= frame.sealed) {
                    let (ear, mouth) = (&names[listener], &names[speaker]);
                    let second = frame.sealed.as_micros() / 1_000_000;
                    let what =
                        format!("{ear} did not hear {mouth} in second {second}, and nothing explains it");
                    violations.add(at, "explanation", &what);
                } else {
                    self.excused += 1;
                }
            }
        }
    }

    /// Looks for frames that a listener could not open.
    pub(super) fn look_at(
        &mut self,
        at: Timestamp,
        (listener, participant): (usize, &Participant),
        index: impl Fn(MemberId) -> Option<usize>,
        violations: &mut Violations,
        names: &[String],
    ) {
        if !self.on {
            return;
        }
        for (member, counters) in participant.counters() {
            let Some(speaker) = index(member) else { continue };
            let unopened = counters.unknown_key + counters.tampered + counters.refused;
            let before = std::mem::replace(&mut self.unopened[listener][speaker], unopened);
            let since = self.both_in_since(speaker, listener);
            if unopened > before && since.is_some_and(|since| at >= since + SETTLE) {
                let (ear, mouth) = (&names[listener], &names[speaker]);
                let count = unopened - before;
                violations.add(
                    at,
                    "explanation",
                    &format!("{ear} could not open {count} frames of {mouth}"),
                );
            }
        }
    }

    /// Frames that were due somewhere, and those of them that somebody's going explains.
    pub(super) fn figures(&self) -> (u64, u64) {
        (self.due, self.excused)
    }
}
