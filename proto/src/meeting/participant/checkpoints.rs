//! Checkpoints of the roster log: when the host writes one, how whoever lacks what came before gets the state, and what
//! becomes of what was done beside one (`proto/spec/roster.md`, "Checkpoints").

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    Event, MemberState, Participant,
    conduits::{Conduit, fit},
    lobby::Phase,
    timers::{FORMER_SECRET_MAX, GOSSIP_DELAY, HEARTBEAT_INTERVAL, Timer},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        checkpoint::{Checkpoint, PART_BYTES_MAX, PARTS_MAX},
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::COMPACT_AFTER,
    },
    time::{Now, Timestamp},
    wire::control_message::{CheckpointPart, ControlMessage, RoomSecretGrant, WantCheckpoint},
};

/// How long operations before a checkpoint may be under way before its state is asked for.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long parts of a state that is under way may be missing before they are asked for again.
const PART_PATIENCE: Duration = Duration::from_millis(250);
/// One member is sent a state no sooner than so long after the one before. Reason: a state is a thousand times as long as the
/// request.
const SERVING_INTERVAL: Duration = Duration::from_millis(200);
/// States that are put together at a time. Reason: one peer may fail to finish; four take 2 MiB at most.
const ASSEMBLIES_MAX: usize = 4;
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
    /// States that come in parts, at most one from each peer.
    assemblies: BTreeMap<MemberId, Assembly>,
    /// Since when operations have waited for others.
    waiting: Option<Timestamp>,
    /// When each member was last sent a state.
    served: BTreeMap<MemberId, Timestamp>,
    /// Those whom a checkpoint put out, and who will be admitted again.
    suspended: BTreeSet<MemberId>,
    /// A welcome that came before the state was whole.
    pub(super) welcome: Option<(MemberId, RoomSecretGrant)>,
}

/// The heads that a member told; none since `at` if it never did.
struct Told {
    at: Timestamp,
    heads: Option<Vec<OperationHash>>,
}

/// A state under way.
struct Assembly {
    checkpoint: OperationHash,
    parts: Vec<Option<Vec<u8>>>,
    /// When the last part came.
    at: Timestamp,
}

impl Checkpoints {
    pub(super) const fn new() -> Self {
        Self {
            after: COMPACT_AFTER,
            told: BTreeMap::new(),
            assemblies: BTreeMap::new(),
            waiting: None,
            served: BTreeMap::new(),
            suspended: BTreeSet::new(),
            welcome: None,
        }
    }
}

impl Assembly {
    /// Which parts are missing, one bit for each.
    fn lacking(&self) -> u64 {
        let lacking = self.parts.iter().enumerate().filter(|(_, part)| part.is_none());
        lacking.fold(0, |mask, (i, _)| mask | 1 << i)
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

    /// Something waits for operations from before a checkpoint: if they do not come soon, the state is asked for.
    pub(super) fn expect_checkpoint(&mut self, now: Now) {
        if self.log.wanted_checkpoint().is_some() {
            self.timers
                .set_if_unset(Timer::Checkpoint, now.monotonic + PATIENCE);
        }
    }

    /// Whether a state is on its way to this node at the door, with the log since.
    pub(super) fn awaits_state(&self) -> bool {
        !self.is_member() && !self.checkpoints.assemblies.is_empty()
    }

    /// Asks for the state, or for those parts of it that did not come.
    pub(super) fn ask_for_checkpoint(&mut self, now: Now) {
        self.checkpoints
            .assemblies
            .retain(|_, assembly| now.monotonic - assembly.at < PATIENCE * 10);
        let under_way = self.checkpoints.assemblies.iter().next();
        let wanted = self.log.wanted_checkpoint();
        let (member, checkpoint, lacking) = match (under_way, wanted) {
            (Some((member, assembly)), _) => (Some(*member), assembly.checkpoint, assembly.lacking()),
            (None, Some(wanted)) => (self.somebody_reachable(), wanted, u64::MAX),
            (None, None) => return,
        };
        if let Some(member) = member {
            let want = WantCheckpoint {
                checkpoint,
                known: self.checkpoint(),
                lacking,
            };
            self.send_to(Some(now), member, &ControlMessage::WantCheckpoint(want));
        }
        let pause = if lacking == u64::MAX {
            PATIENCE
        } else {
            PART_PATIENCE
        };
        self.timers.set(Timer::Checkpoint, now.monotonic + pause);
    }

    fn somebody_reachable(&mut self) -> Option<MemberId> {
        let members = self.log.view().members.keys().copied();
        let members: Vec<MemberId> = members
            .filter(|id| *id != self.me && self.is_reachable(*id))
            .collect();
        let count = members.len() as u64;
        let index = self.random.next_u64().checked_rem(count)?;
        members.get(index as usize).copied()
    }

    /// A member lacks what came before a checkpoint.
    pub(super) fn handle_want_checkpoint(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        want: &WantCheckpoint,
    ) {
        let served = &mut self.checkpoints.served;
        served.retain(|_, at| now.monotonic < *at + SERVING_INTERVAL);
        if let std::collections::btree_map::Entry::Vacant(free) = served.entry(from) {
            free.insert(now.monotonic);
            let ours = self.checkpoint();
            if ours != want.known {
                let same = ours == Some(want.checkpoint);
                self.send_checkpoint(conduit, if same { want.lacking } else { u64::MAX });
            }
        }
    }

    /// Sends these parts of the state at which this log begins.
    pub(super) fn send_checkpoint(&mut self, conduit: Conduit, lacking: u64) {
        let Some(base) = self.log.checkpoint() else {
            return;
        };
        let (checkpoint, bytes) = (base.operation.hash(), base.encode());
        let count = bytes.len().div_ceil(PART_BYTES_MAX);
        let Ok(parts) = u8::try_from(count) else {
            return;
        };
        for (number, bytes) in (0..parts).zip(bytes.chunks(PART_BYTES_MAX)) {
            if lacking >> number & 1 == 1 {
                let part = CheckpointPart {
                    checkpoint,
                    number,
                    parts,
                    bytes: fit(bytes.to_vec()),
                };
                self.send_on(conduit, &ControlMessage::CheckpointPart(Box::new(part)));
            }
        }
    }

    /// A part of a state. It is taken at the door, and when something waits for it.
    pub(super) fn handle_checkpoint_part(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        part: CheckpointPart,
    ) {
        let at_the_door = matches!(self.phase, Phase::Lobby { .. });
        let expected = at_the_door || self.log.wanted_checkpoint().is_some();
        if !expected || self.log.contains(&part.checkpoint) || !fits(&part) {
            return;
        }
        let assemblies = &mut self.checkpoints.assemblies;
        let is_new = assemblies.get(&from).is_none_or(|known| {
            known.checkpoint != part.checkpoint || known.parts.len() != usize::from(part.parts)
        });
        if is_new {
            if assemblies.len() >= ASSEMBLIES_MAX && !assemblies.contains_key(&from) {
                return;
            }
            let assembly = Assembly {
                checkpoint: part.checkpoint,
                parts: vec![None; part.parts.into()],
                at: now.monotonic,
            };
            assemblies.insert(from, assembly);
        }
        let Some(assembly) = assemblies.get_mut(&from) else {
            return;
        };
        assembly.parts[usize::from(part.number)] = Some(part.bytes.into_inner());
        assembly.at = now.monotonic;
        if assembly.lacking() > 0 {
            self.timers.set(Timer::Checkpoint, now.monotonic + PART_PATIENCE);
            return;
        }
        let bytes: Vec<u8> = assembly.parts.iter().flatten().flatten().copied().collect();
        self.checkpoints.assemblies.remove(&from);
        self.take_checkpoint(now, from, conduit, &bytes);
    }

    /// A whole state. It proves itself, whoever passed it on.
    fn take_checkpoint(&mut self, now: Now, from: MemberId, conduit: Conduit, bytes: &[u8]) {
        let taken = Checkpoint::decode(bytes, self.meeting, self.host)
            .and_then(|checkpoint| self.log.take_checkpoint(checkpoint));
        match taken {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                let name = self.name_of(from);
                self.emit(Event::Refused {
                    what: "checkpoint",
                    clause: "roster".to_owned(),
                    reason: format!("from {name}: {error}"),
                });
                return;
            }
        }
        self.checkpoints.assemblies.clear();
        self.keep_news();
        self.dirty.roster();
        self.timers
            .set_if_unset(Timer::Gossip, now.monotonic + GOSSIP_DELAY);
        self.settle(now);
        self.retry_pending_key(now, from, conduit);
        if let Some((host, grant)) = self.checkpoints.welcome.take() {
            self.handle_welcome(now, host, &grant);
        }
    }

    /// States that are being put together.
    pub(super) fn assemblies(&self) -> usize {
        self.checkpoints.assemblies.len()
    }
}

/// Whether a part can be one of a whole: all but the last are full.
fn fits(part: &CheckpointPart) -> bool {
    let count = usize::from(part.parts);
    let is_last = part.number.checked_add(1) == Some(part.parts);
    (1..=PARTS_MAX).contains(&count)
        && part.number < part.parts
        && (part.bytes.len() == PART_BYTES_MAX || is_last && !part.bytes.is_empty())
}
