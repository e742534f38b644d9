//! Who could decrypt what, when.

use std::{collections::VecDeque, time::Duration};

use subrosa_proto::{
    ids::{MemberId, OperationHash},
    meeting::participant::Participant,
    time::Timestamp,
};

use super::Violations;
use crate::world::node::Voice;

/// A sender that learned of a removal keeps nothing from the others after so long (security.md).
const CUT_OFF: Duration = Duration::from_secs(1);
/// All senders learn of a removal within so long, unless the network is parted.
const NEWS: Duration = Duration::from_secs(1);
/// Sealed datagrams that are kept for newcomers to try.
const SEALED_MAX: usize = 512;

/// See the module.
pub(super) struct Confidentiality {
    /// When somebody in charge removed this node.
    removed_at: Vec<Option<Timestamp>>,
    /// When each node learned that this one is out.
    learned: Vec<Vec<Option<Timestamp>>>,
    /// When the first node learned that this one is in.
    admitted_at: Vec<Option<Timestamp>>,
    /// The operation that let each in last, and when it first did.
    admission: Vec<Option<(OperationHash, Timestamp)>>,
    sealed: VecDeque<(Timestamp, usize, Vec<u8>)>,
    was_parted: bool,
}

impl Confidentiality {
    pub(super) fn new(nodes: usize) -> Self {
        Self {
            removed_at: vec![None; nodes],
            learned: vec![vec![None; nodes]; nodes],
            admitted_at: vec![None; nodes],
            admission: vec![None; nodes],
            sealed: VecDeque::new(),
            was_parted: false,
        }
    }

    pub(super) fn parted(&mut self, parted: bool) {
        self.was_parted |= parted;
    }

    /// Somebody learned that this node was removed; the first is who removed it.
    pub(super) fn removed(&mut self, at: Timestamp, victim: usize) {
        self.removed_at[victim].get_or_insert(at);
    }

    /// Removed beyond a partition: nobody who knows talks to it any more, and it may believe for ever that it is in.
    pub(super) fn is_removed_unawares(&self, node: usize) -> bool {
        self.was_parted && self.removed_at[node].is_some()
    }

    pub(super) fn learned(&mut self, at: Timestamp, node: usize, who: usize) {
        self.learned[node][who] = Some(at);
        self.admitted_at[who] = None;
    }

    /// A node learned that this one is in, by this operation.
    pub(super) fn admitted(&mut self, at: Timestamp, node: usize, who: usize, by: Option<OperationHash>) {
        let was_out = self.learned[node][who].take().is_some();
        if let Some((_, first)) = self.admission[who].filter(|(known, _)| was_out && Some(*known) == by) {
            // The removal turned out to be void, as its author was removed beyond the partition: it was in all the time.
            self.removed_at[who] = None;
            self.admitted_at[who] = Some(first);
            return;
        }
        // Let in again.
        if self.removed_at[who].is_some_and(|removed| removed + CUT_OFF + NEWS < at) && node != who {
            self.removed_at[who] = None;
        }
        // A newcomer's first roster may still have somebody who was just put out: that lets nobody in.
        if self.removed_at[who].is_none() {
            let first = *self.admitted_at[who].get_or_insert(at);
            if let Some(by) = by.filter(|by| self.admission[who].is_none_or(|(known, _)| known != *by)) {
                self.admission[who] = Some((by, first));
            }
        }
    }

    pub(super) fn sealed(&mut self, at: Timestamp, from: usize, datagram: &[u8]) {
        if self.sealed.len() == SEALED_MAX {
            self.sealed.pop_front();
        }
        self.sealed.push_back((at, from, datagram.to_vec()));
    }

    /// A frame was decrypted and played.
    pub(super) fn heard(
        &self,
        at: Timestamp,
        listener: usize,
        voice: Voice,
        violations: &mut Violations,
        names: &[String],
    ) {
        let (ear, mouth) = (&names[listener], &names[voice.speaker]);
        // Beyond a partition, senders cannot know yet.
        let removed = if self.was_parted {
            self.learned[voice.speaker][listener]
        } else {
            self.removed_at[listener]
        };
        if let Some(removed) = removed.filter(|removed| voice.sealed > *removed + CUT_OFF) {
            let late = (voice.sealed - removed).as_millis();
            let what = format!("{ear}, removed, hears what {mouth} sealed {late} ms later");
            violations.add(at, "confidentiality", &what);
        }
        match self.admitted_at[listener] {
            Some(admitted) if voice.sealed >= admitted => {}
            Some(_) => {
                let what = format!("{ear} hears what {mouth} sealed before {ear} was admitted");
                violations.add(at, "confidentiality", &what);
            }
            None if self.removed_at[listener].is_none() => {
                let what = format!("{ear} hears {mouth} without being in");
                violations.add(at, "confidentiality", &what);
            }
            None => {}
        }
    }

    /// A node that is out could open what `from` seals now.
    pub(super) fn overheard(
        &self,
        at: Timestamp,
        outsider: usize,
        from: usize,
        violations: &mut Violations,
        names: &[String],
    ) {
        let (ear, mouth) = (&names[outsider], &names[from]);
        let learned = self.learned[from][outsider];
        let in_time = match (learned, self.removed_at[outsider]) {
            (Some(learned), _) if at <= learned + CUT_OFF => true,
            // Its removal was void.
            (None, None) => self.admitted_at[outsider].is_some(),
            (_, Some(removed)) => {
                !self.was_parted && at <= removed + NEWS || self.was_parted && learned.is_none()
            }
            _ => false,
        };
        if !in_time {
            let what = format!("{ear}, who is not in, can open what {mouth} seals");
            violations.add(at, "confidentiality", &what);
        }
    }

    /// A newcomer tries its keys on what was sealed before it came.
    pub(super) fn probe(
        &self,
        at: Timestamp,
        newcomer: usize,
        participant: &Participant,
        ids: &[MemberId],
        violations: &mut Violations,
        names: &[String],
    ) {
        let Some(admitted) = self.admitted_at[newcomer] else {
            return;
        };
        for (sealed, from, datagram) in self.sealed.iter().filter(|(sealed, ..)| *sealed < admitted) {
            if *from != newcomer && participant.can_open(ids[*from], datagram) {
                let early = (admitted - *sealed).as_millis();
                let (ear, mouth) = (&names[newcomer], &names[*from]);
                let what = format!("{ear} can open what {mouth} sealed {early} ms before {ear} was admitted");
                violations.add(at, "confidentiality", &what);
            }
        }
    }
}
