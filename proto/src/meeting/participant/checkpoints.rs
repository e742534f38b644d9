//! Checkpoints of the roster log: when the host writes one, and what becomes of what was done beside one
//! (`proto/spec/roster.md`, "Checkpoints").

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    MemberState, Participant,
    conduits::fit,
    state_transfer::Transfers,
    timers::{FORMER_SECRET_MAX, HEARTBEAT_INTERVAL, Timer},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::COMPACT_AFTER,
    },
    time::{Now, Timestamp},
    wire::control_message::ControlMessage,
};

/// Whoever was admitted beside a checkpoint may wait so long for being admitted again: its way and back on a bad link.
const READMISSION_PATIENCE: Duration = Duration::from_secs(3);
/// A member is up to date if it told its heads within so long: two heartbeats, and the way of one.
const LATELY: Duration = Duration::from_secs(2 * HEARTBEAT_INTERVAL.as_secs() + 1);

/// See the module.
pub(super) struct Checkpoints {
    /// After so many operations one is written.
    pub(super) after: usize,
    /// What the other members' logs hold, as they told the host.
    told: BTreeMap<MemberId, Told>,
    /// States that come in parts.
    pub(super) transfers: Transfers,
    /// Since when operations have waited for others.
    waiting: Option<Timestamp>,
    /// Those whom a checkpoint put out, and who will be admitted again.
    suspended: BTreeSet<MemberId>,
}

/// The heads that a member told; none since `at` if it never did.
struct Told {
    at: Timestamp,
    heads: Option<Vec<OperationHash>>,
}

impl Checkpoints {
    pub(super) const fn new() -> Self {
        Self {
            after: COMPACT_AFTER,
            told: BTreeMap::new(),
            transfers: Transfers::new(),
            waiting: None,
            suspended: BTreeSet::new(),
        }
    }
}

impl Participant {
    /// As host, writes a checkpoint after so many operations ([`COMPACT_AFTER`] unless said otherwise). Call it before
    /// anything else.
    #[must_use]
    pub fn with_checkpoints_after(mut self, operations: usize) -> Self {
        self.checkpoints.after = operations;
        self
    }

    /// A member told its heads.
    pub(super) fn note_heads(&mut self, now: Now, from: MemberId, heads: &[OperationHash]) {
        if self.is_host() {
            let told = Told {
                at: now.monotonic,
                heads: Some(heads.to_vec()),
            };
            self.checkpoints.told.insert(from, told);
        }
    }

    fn is_host(&self) -> bool {
        self.log.view().role(&self.me) == Some(Role::Host)
    }

    /// Writes a checkpoint if the log is long enough and everybody has what it holds, or if it is nearly full.
    pub(super) fn consider_checkpoint(&mut self, now: Now) {
        if !self.is_member() || !self.is_host() {
            self.checkpoints.told.clear();
            return;
        }
        let keeps_up = self.everybody_keeps_up(now.monotonic);
        let complete = self.has_what_it_heard_of(now.monotonic);
        let is_ripe = self.log.is_ripe(self.checkpoints.after);
        let is_due = self.log.is_overdue() || is_ripe && complete && keeps_up;
        if !is_due {
            return;
        }
        if let Ok(operation) = self.log.author_checkpoint(&self.identity) {
            self.keep_news();
            self.broadcast(&ControlMessage::Operations(fit(vec![operation])));
            self.dirty.roster();
        }
    }

    /// Whether no operation waits for others; what waits for very long will never find them.
    fn has_what_it_heard_of(&mut self, now: Timestamp) -> bool {
        if self.log.pending_len() == 0 {
            self.checkpoints.waiting = None;
            return true;
        }
        let since = *self.checkpoints.waiting.get_or_insert(now);
        now - since >= FORMER_SECRET_MAX
    }

    /// Whether all members told lately that they hold nothing that this log lacks. Whoever is silent for long is not waited
    /// for.
    fn everybody_keeps_up(&mut self, now: Timestamp) -> bool {
        let roster = self.log.view();
        let (told, log) = (&mut self.checkpoints.told, &self.log);
        told.retain(|member, _| roster.members.contains_key(member));
        let others = roster.members.keys().filter(|id| **id != self.me);
        let mut all = true;
        for member in others {
            let told = told.entry(*member).or_insert(Told { at: now, heads: None });
            let silence = now - told.at;
            let known = told
                .heads
                .as_ref()
                .is_some_and(|heads| heads.iter().all(|head| log.contains(head)));
            all &= silence >= FORMER_SECRET_MAX || silence <= LATELY && known;
        }
        all
    }

    /// What this node did beside a checkpoint and what lost its force, it does again, if it still makes sense.
    pub(super) fn make_voided_again(&mut self, now: Now) {
        for old in self.log.take_voided() {
            if old.author() == self.me && !self.log.is_taken_back(&old) {
                self.make_again(now, &old);
            }
        }
    }

    fn make_again(&mut self, now: Now, old: &SignedOperation) {
        match &old.operation().op {
            Op::Found { .. } | Op::Leave | Op::Checkpoint { .. } => {}
            Op::Remove { member, reason, .. } => {
                let (member, reason) = (*member, *reason);
                if self.log.view().members.contains_key(&member) {
                    self.remove_member(now, member, reason);
                }
            }
            op => {
                // Whoever was admitted is told, too: it has the checkpoint, and lacks this.
                if let Ok(operation) = self.log.author(&self.identity, op.clone()) {
                    self.keep_news();
                    self.broadcast(&ControlMessage::Operations(fit(vec![operation])));
                    self.dirty.roster();
                }
            }
        }
    }

    /// Somebody is out because its admission did not hold. If it was admitted beside a checkpoint, whoever admitted it does
    /// so again: until then links stay, but it gets no keys. Whether that is so.
    pub(super) fn suspend(&mut self, now: Now, member: MemberId) -> bool {
        let comes_back = self.log.is_admitted_beside(&member);
        if comes_back {
            self.checkpoints.suspended.insert(member);
            self.timers
                .set_if_unset(Timer::Readmission, now.monotonic + READMISSION_PATIENCE);
        }
        comes_back
    }

    /// Whether somebody who was admitted beside a checkpoint was admitted again, as what people were told already.
    pub(super) fn is_readmitted(&self, member: MemberId) -> bool {
        let told = self.seen.get(&member);
        let now = self.log.view().members.get(&member);
        let same = told
            .zip(now)
            .is_some_and(|(told, now)| told.0 == now.name.as_str() && told.1 == now.role);
        same && self.log.is_admitted_beside(&member)
    }

    /// The member is back.
    pub(super) fn end_suspension(&mut self, member: MemberId) {
        self.checkpoints.suspended.remove(&member);
    }

    /// Those who were not admitted again are out.
    pub(super) fn give_up_suspended(&mut self) {
        for member in std::mem::take(&mut self.checkpoints.suspended) {
            if !self.log.view().members.contains_key(&member) {
                self.cut_off(member, MemberState::Removed);
            }
        }
    }
}
