//! After a partition everybody has one roster soon, and nobody who is in stays without a key.

use std::{collections::BTreeMap, time::Duration};

use subrosa_proto::{ids::MemberId, meeting::participant::Participant, time::Timestamp};

use super::Violations;
use crate::{
    network::{Network, Place},
    scenario::Expect,
};

/// What was sealed longer ago says nothing about the keys of now.
const FRESH: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Recovery {
    heal_max: Duration,
    keyless_max: Duration,
    /// When the last partition ended, until the rosters agreed.
    healed: Option<Timestamp>,
    slowest: Duration,
    /// What each speaker sealed last.
    sealed: BTreeMap<usize, (Timestamp, Vec<u8>)>,
    /// Since when a listener lacks a speaker's key.
    keyless: BTreeMap<(usize, usize), Timestamp>,
}

/// All machines at one moment.
pub(crate) struct Everybody<'a> {
    pub(crate) nodes: &'a [Option<&'a Participant>],
    pub(crate) ids: &'a [MemberId],
    pub(crate) names: &'a [String],
    pub(crate) network: &'a Network,
}

impl Recovery {
    pub(super) fn new(expect: &Expect) -> Self {
        Self {
            heal_max: Duration::from_millis(expect.heal_ms_max),
            keyless_max: Duration::from_millis(expect.keyless_ms_max),
            healed: None,
            slowest: Duration::ZERO,
            sealed: BTreeMap::new(),
            keyless: BTreeMap::new(),
        }
    }

    pub(super) fn parted(&mut self, at: Timestamp, parted: bool) {
        self.healed = (!parted).then_some(at);
    }

    pub(super) fn sealed(&mut self, at: Timestamp, from: usize, datagram: &[u8]) {
        if !self.keyless_max.is_zero() {
            self.sealed.insert(from, (at, datagram.to_vec()));
        }
    }

    pub(super) fn look(&mut self, at: Timestamp, all: &Everybody, violations: &mut Violations) {
        if !self.heal_max.is_zero() && !all.network.is_parted() {
            self.look_at_rosters(at, all, violations);
        }
        if !self.keyless_max.is_zero() {
            self.look_at_keys(at, all, violations);
        }
    }

    fn look_at_rosters(&mut self, at: Timestamp, all: &Everybody, violations: &mut Violations) {
        let Some(healed) = self.healed else { return };
        let mut members = all.nodes.iter().flatten().filter(|node| node.is_member());
        let Some(first) = members.next() else { return };
        if members.all(|other| other.roster() == first.roster()) {
            self.slowest = self.slowest.max(at - healed);
            self.healed = None;
        } else if at - healed > self.heal_max {
            let after = self.heal_max.as_millis();
            violations.add(
                at,
                "recovery",
                &format!("rosters differ {after} ms after healing"),
            );
            self.healed = None;
        }
    }

    fn look_at_keys(&mut self, at: Timestamp, all: &Everybody, violations: &mut Violations) {
        for (&speaker, (sealed, datagram)) in self.sealed.iter().filter(|(_, (when, _))| at - *when < FRESH) {
            for listener in (0..all.nodes.len()).filter(|listener| *listener != speaker) {
                let ear = all.may_hear(listener, speaker);
                let pair = (listener, speaker);
                if ear.is_none_or(|ear| ear.can_open(all.ids[speaker], datagram)) {
                    self.keyless.remove(&pair);
                    continue;
                }
                let since = *self.keyless.entry(pair).or_insert(*sealed);
                if at - since > self.keyless_max {
                    let (ear, mouth) = (&all.names[listener], &all.names[speaker]);
                    let lacks = self.keyless_max.as_millis();
                    violations.add(
                        at,
                        "recovery",
                        &format!("{ear} lacks the key of {mouth} for {lacks} ms"),
                    );
                }
            }
        }
    }

    /// The longest time from the end of a partition to one roster.
    pub(super) fn slowest(&self) -> Duration {
        self.slowest
    }
}

impl<'a> Everybody<'a> {
    /// The listener's machine, if both are in, know of each other, and reach each other.
    fn may_hear(&self, listener: usize, speaker: usize) -> Option<&'a Participant> {
        let is_in = |node: usize, other: usize| {
            let participant = self.nodes[node].filter(|participant| participant.is_member())?;
            let knows = participant.roster().members.contains_key(&self.ids[other]);
            knows.then_some(participant)
        };
        is_in(speaker, listener)?;
        let joined = self
            .network
            .is_joined(Place::Node(listener), Place::Node(speaker));
        is_in(listener, speaker).filter(|_| joined)
    }
}
