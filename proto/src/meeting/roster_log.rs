//! The roster log: signed operations that name their parents, merged the same way by everybody
//! (`proto/spec/roster.md`).
//!
//! Each replica holds the same graph once messages have travelled, and the roster is a pure function of the graph:
//! no order is agreed on, partitions go on by themselves and heal by exchanging operations. The pieces:
//! `graph` who follows whom · `pending` what waits for parents · `authority` whether an author might do that, by its
//! own causal past · `effect` what concurrent operations take back · `merge` the roster of a set of operations ·
//! `apply` the short cut for an operation that follows all others · `settle` what a set comes to as a checkpoint states
//! it · `base` the checkpoint at which a log begins · `compaction` beginning anew with one.

mod ancestors;
mod apply;
mod authority;
mod base;
mod charge;
mod compaction;
mod effect;
mod error;
mod graph;
mod merge;
mod pending;
mod settle;
mod sync;
#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeSet, VecDeque},
    sync::{Arc, OnceLock},
};

use self::{
    ancestors::PlaceSet,
    graph::{Entry, Graph, Standing},
    pending::Pending,
};
pub use self::{
    compaction::COMPACT_AFTER,
    error::{AuthorError, Batch, InsertError, Inserted},
    pending::{MISSING_MAX, PENDING_MAX},
    sync::{BATCH_BYTES_MAX, BATCH_OPERATIONS_MAX},
};
use super::{
    operation::{Op, Operation, SignedOperation},
    role::Role,
    roster::{Roster, RosterChange},
};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, OperationHash},
};

/// The most operations that a log holds, beginning with its last checkpoint. Reason: 200 members who come and go 20 times
/// while no checkpoint can be written, because the host is away. The sets of ancestors take 4 MiB then, those of concurrent
/// operations up to 8 MiB, and the operations at most 8 MiB.
pub const OPERATIONS_MAX: usize = 8_192;
/// Places that only Removes and checkpoints may take: whoever fills the log can still be removed.
pub const REMOVE_RESERVE: usize = 1_024;
/// What one author may add between two checkpoints. Reason: no single author can fill the log with one line of operations.
pub const AUTHOR_WINDOW_MAX: u32 = 4_096;
/// Rosters of earlier heads that are kept, for operations and key messages that rest on them. Reason: peers lag by a
/// few operations; 64 rosters of 200 members take about 2 MiB. Others are computed again.
const VIEWS_MAX: usize = 64;
/// Operations with one number by one author that are taken without asking: two prove an equivocation, and more could
/// fill the log.
const TWINS_MAX: usize = 2;

/// The log of one meeting.
#[derive(Debug)]
pub struct RosterLog {
    meeting: MeetingId,
    host: MemberId,
    graph: Graph,
    pending: Pending,
    /// The roster of everything; computed when somebody asks.
    view: OnceLock<Arc<Roster>>,
    /// Rosters of sets of heads, latest last.
    views: VecDeque<(Vec<OperationHash>, Arc<Roster>)>,
    /// Rosters of sets of heads from before the base: for what was under way then.
    former_views: VecDeque<(Vec<OperationHash>, Arc<Roster>)>,
    /// What [`RosterLog::take_changes`] last told.
    told: Arc<Roster>,
    /// See [`RosterLog::take_voided`].
    voided: Vec<SignedOperation>,
    /// The log began anew: what waits has to be looked at again.
    is_rebuilt: bool,
}

/// Two operations with one number by one author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equivocation {
    /// Who signed both.
    pub author: MemberId,
    /// The one with the lesser hash.
    pub first: SignedOperation,
    /// The other.
    pub second: SignedOperation,
}

impl RosterLog {
    /// An empty log of `meeting`, to be filled from a peer. `host` is the one whom the ticket names.
    #[must_use]
    pub fn new(meeting: MeetingId, host: MemberId) -> Self {
        Self {
            meeting,
            host,
            graph: Graph::default(),
            pending: Pending::default(),
            view: OnceLock::new(),
            views: VecDeque::new(),
            former_views: VecDeque::new(),
            told: Arc::default(),
            voided: Vec::new(),
            is_rebuilt: false,
        }
    }

    /// Founds the meeting: `op` is [`Op::Found`]. A meeting is founded once: a host that lost its log fetches it from
    /// a member, since a second founding would prove equivocation.
    ///
    /// # Errors
    /// [`AuthorError`] if `op` is another operation.
    pub fn found(identity: &Identity, meeting: MeetingId, op: Op) -> Result<Self, AuthorError> {
        let mut log = Self::new(meeting, identity.member_id());
        log.insert(SignedOperation::sign(identity, meeting, 0, Vec::new(), op)?)?;
        Ok(log)
    }

    /// Of which meeting this is the log.
    #[must_use]
    pub fn meeting(&self) -> MeetingId {
        self.meeting
    }

    /// How many operations the log holds, from its last checkpoint on.
    #[must_use]
    pub fn len(&self) -> usize {
        self.graph.len()
    }

    /// Whether not even the founding is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.graph.len() == 0
    }

    /// How many operations wait for parents.
    #[must_use]
    pub fn pending_len(&self) -> usize {
        self.pending.len()
    }

    /// Takes an operation from anybody: checks signature, place and authority.
    ///
    /// # Errors
    /// [`InsertError`]: it does not become part of the log.
    pub fn insert(&mut self, operation: SignedOperation) -> Result<Inserted, InsertError> {
        let hash = operation.hash();
        if operation.operation().meeting != self.meeting {
            return Err(InsertError::OtherMeeting);
        }
        if self.contains(&hash) {
            return Ok(Inserted::Known);
        }
        if self.pending.contains(&hash) {
            return Ok(Inserted::Pending);
        }
        operation.verify().map_err(|_| InsertError::Signature)?;
        let inserted = self.insert_verified(operation);
        self.insert_pending_again();
        inserted
    }

    /// An operation whose signature was checked.
    fn insert_verified(&mut self, operation: SignedOperation) -> Result<Inserted, InsertError> {
        let hash = operation.hash();
        if self.contains(&hash) {
            return Ok(Inserted::Known);
        }
        if self.is_settled(&operation.author(), operation.operation().seq) {
            self.pending.drop_descendants(&hash);
            return Err(InsertError::Settled);
        }
        if !self.has_parents(&operation) {
            let view = self.view_arc();
            self.pending.insert(operation, &view);
            return Ok(Inserted::Pending);
        }
        self.add(operation)?;
        Ok(Inserted::Added(1 + self.add_waiting(hash)))
    }

    /// Signs `op` on top of the present heads, and inserts it. Synchronise first after a restart: a member that
    /// forgot its own operations would number two alike, which proves equivocation.
    ///
    /// # Errors
    /// [`AuthorError`] if the author may not do that now.
    pub fn author(&mut self, identity: &Identity, op: Op) -> Result<SignedOperation, AuthorError> {
        if self.is_empty() {
            return Err(AuthorError::Empty);
        }
        let author = identity.member_id();
        let last = self.graph.last_of(&author, None);
        let seq = self.graph.next_seq(&author, &PlaceSet::first(self.len()));
        let parents = self.choose_heads(last, Entry::target_of(&op));
        let operation = SignedOperation::sign(identity, self.meeting, seq, parents, op)?;
        self.insert(operation.clone())?;
        Ok(operation)
    }

    /// Operations that pending ones wait for, at most [`MISSING_MAX`]: ask a peer for them.
    #[must_use]
    pub fn missing(&self) -> Vec<OperationHash> {
        self.pending.missing(|hash| self.contains(hash))
    }

    /// Whether the operation is in the log, or the checkpoint at which the log begins is known to hold it.
    #[must_use]
    pub fn contains(&self, hash: &OperationHash) -> bool {
        self.graph.knows(hash)
    }

    /// The roster now.
    #[must_use]
    pub fn view(&self) -> &Roster {
        self.view
            .get_or_init(|| Arc::new(merge::merge(&self.graph, &PlaceSet::first(self.len()))))
    }

    fn view_arc(&self) -> Arc<Roster> {
        let _ = self.view();
        self.view.get().cloned().unwrap_or_default()
    }

    /// The roster as somebody with these heads saw it; none if one of them is not here, or there are none. Of heads from
    /// before the last checkpoint as far as it is still known: else as the checkpoint says.
    #[must_use]
    pub fn view_at(&self, heads: &[OperationHash]) -> Option<Arc<Roster>> {
        if heads.is_empty() || !heads.iter().all(|head| self.contains(head)) {
            return None;
        }
        let set = self.past_of(&self.places(heads));
        if self.are_beside(heads) {
            return Some(self.view_beside(heads, &set));
        }
        Some(self.roster_of(heads, &set))
    }

    /// Who was in, as somebody with these heads saw it; none if one of them is not here. Of heads from before the last
    /// checkpoint: whoever may have been in.
    #[must_use]
    pub fn members_at(&self, heads: &[OperationHash]) -> Option<BTreeSet<MemberId>> {
        let view = self.view_at(heads)?;
        let mut members = view.member_ids();
        if self.are_beside(heads)
            && let Some(base) = &self.graph.base
        {
            let base = &base.roster;
            members.extend(base.members.keys().chain(&base.left).chain(base.removed.keys()));
        }
        Some(members)
    }

    /// Where these operations are, as far as they are here.
    fn places(&self, hashes: &[OperationHash]) -> Vec<usize> {
        hashes.iter().filter_map(|hash| self.graph.place(hash)).collect()
    }

    /// What changed since the last call, most urgent first ([`Roster::changes_since`]).
    pub fn take_changes(&mut self) -> Vec<RosterChange> {
        let view = self.view_arc();
        let changes = view.changes_since(&self.told);
        self.told = view;
        changes
    }

    /// The proofs of equivocation, one for each author and number.
    pub fn equivocations(&self) -> impl Iterator<Item = Equivocation> + '_ {
        self.graph.forks().filter_map(|(author, _, places)| {
            let mut twins: Vec<_> = places
                .iter()
                .map(|&place| self.graph.entry(place).signed.clone())
                .collect();
            twins.sort_unstable_by_key(SignedOperation::hash);
            let mut twins = twins.into_iter();
            Some(Equivocation {
                author: self.graph.people()[author],
                first: twins.next()?,
                second: twins.next()?,
            })
        })
    }

    fn has_parents(&self, operation: &SignedOperation) -> bool {
        operation
            .operation()
            .parents
            .iter()
            .all(|parent| self.contains(parent))
    }

    /// Adds what waited for `hash`, and what waited for that. Gives how many.
    fn add_waiting(&mut self, hash: OperationHash) -> usize {
        let (mut added, mut work) = (0, vec![hash]);
        // Ends: each operation leaves the pending ones at most once.
        while let Some(parent) = work.pop() {
            let graph = &self.graph;
            let complete = |operation: &SignedOperation| {
                operation
                    .operation()
                    .parents
                    .iter()
                    .all(|parent| graph.knows(parent))
            };
            for operation in self.pending.take_ready(&parent, complete) {
                let hash = operation.hash();
                if self.add(operation).is_ok() {
                    added += 1;
                    work.push(hash);
                }
            }
        }
        added
    }

    /// Adds an operation whose parents are here; on a final refusal drops what waits for it.
    fn add(&mut self, operation: SignedOperation) -> Result<(), InsertError> {
        let hash = operation.hash();
        let added = self.try_add(operation);
        if added.is_err_and(|error| error.is_final()) {
            self.pending.drop_descendants(&hash);
        }
        added
    }

    fn try_add(&mut self, signed: SignedOperation) -> Result<(), InsertError> {
        let operation = signed.operation();
        if self.is_settled(&operation.author, operation.seq) {
            return Err(InsertError::Settled);
        }
        let parents = self.places(&operation.parents);
        let past = self.past_of(&parents);
        let follows = match self.graph.base {
            Some(_) => parents.iter().any(|&place| self.graph.entry(place).follows),
            None => true,
        };
        self.check_seq(operation, &past, follows)?;
        let before = self.roster_of(&operation.parents, &past);
        let standing = if follows {
            Some(self.judge(operation, &before)?)
        } else {
            self.judge_beside(operation, &before, &past)?
        };
        self.check_room_for(&signed)?;
        if let (Op::Checkpoint { state }, Some(_)) = (&operation.op, standing) {
            let checkpoint = self
                .verify_state(&signed, state, &past)
                .ok_or(InsertError::State)?;
            self.begin_with(checkpoint, &past);
            return Ok(());
        }
        let (hash, heads) = (signed.hash(), signed.operation().parents.clone());
        let follows_all = past.len() == self.graph.len();
        let place = self.graph.push(signed, &parents, past, standing, follows);
        if !follows {
            // It may contradict the checkpoint itself, which only the merge sees.
            self.view = OnceLock::new();
            return Ok(());
        }
        let mut after = Roster::clone(&before);
        apply::apply(&mut after, self.graph.entry(place));
        let after = Arc::new(after);
        if heads.len() > 1 {
            self.remember(heads, before);
        }
        self.remember(vec![hash], Arc::clone(&after));
        self.view = if follows_all {
            OnceLock::from(after)
        } else {
            OnceLock::new()
        };
        Ok(())
    }

    /// Each author's operations are numbered without a gap.
    fn check_seq(&self, operation: &Operation, past: &PlaceSet, follows: bool) -> Result<(), InsertError> {
        let mut past = past.clone();
        if !follows {
            // The author did not know the checkpoint, even if it is its own.
            past.remove(0);
        }
        let expected = self.graph.next_seq(&operation.author, &past);
        if operation.seq != expected {
            return Err(InsertError::Seq { expected });
        }
        let settled = self.graph.base.as_ref();
        let first = settled.map_or(0, |base| base.next_seq(&operation.author));
        if operation.seq - first >= AUTHOR_WINDOW_MAX {
            return Err(InsertError::Busy);
        }
        Ok(())
    }

    /// As [`Self::judge`], for an operation that was made beside the checkpoint; without a standing it is void.
    fn judge_beside(
        &self,
        operation: &Operation,
        before: &Roster,
        past: &PlaceSet,
    ) -> Result<Option<Standing>, InsertError> {
        let Some(base) = &self.graph.base else {
            return Err(InsertError::NotAMember);
        };
        if matches!(operation.op, Op::Found { .. }) {
            return Err(InsertError::NotTheHost);
        }
        let admits = |place: usize| match self.graph.entry(place).op() {
            Op::Admit { member, .. } => *member == operation.author,
            _ => false,
        };
        if !base.lists(&operation.author) && !past.iter().any(admits) {
            return Err(InsertError::NotAMember);
        }
        let role = authority::judge_beside(operation, before);
        Ok(role.map(|role| self.standing(operation, before, role)))
    }

    /// What the author was, if it might do that.
    fn judge(&self, operation: &Operation, before: &Roster) -> Result<Standing, InsertError> {
        if matches!(operation.op, Op::Found { .. }) {
            let founds = operation.author == self.host && self.graph.base.is_none();
            let standing = Standing {
                role: Role::Host,
                grant: self.graph.len(),
                epoch: 0,
            };
            return if founds {
                Ok(standing)
            } else {
                Err(InsertError::NotTheHost)
            };
        }
        let role = authority::judge(operation, before)?;
        Ok(self.standing(operation, before, role))
    }

    fn standing(&self, operation: &Operation, before: &Roster, role: Role) -> Standing {
        let member = before.member(&operation.author);
        // What gave the author its role before the base, the base gives.
        let grant = member.and_then(|member| self.graph.place(&member.role_since));
        let numbers = before.room_epochs.iter().map(|epoch| epoch.number + 1);
        Standing {
            role,
            grant: grant.unwrap_or(0),
            epoch: numbers.max().unwrap_or(0),
        }
    }

    /// The bounds of the log.
    fn check_room_for(&self, signed: &SignedOperation) -> Result<(), InsertError> {
        let operation = signed.operation();
        // A Remove must always be possible, and a checkpoint makes room.
        let is_urgent = matches!(operation.op, Op::Remove { .. } | Op::Checkpoint { .. });
        let places = if is_urgent {
            OPERATIONS_MAX
        } else {
            OPERATIONS_MAX - REMOVE_RESERVE
        };
        if self.graph.len() >= places {
            return Err(InsertError::Full);
        }
        let twins = self.graph.count(&operation.author, operation.seq);
        if twins >= TWINS_MAX && !self.pending.is_vouched_for(&signed.hash(), self.view()) {
            return Err(InsertError::Equivocator);
        }
        Ok(())
    }

    /// The roster of `set`, which is everything up to `heads`.
    fn roster_of(&self, heads: &[OperationHash], set: &PlaceSet) -> Arc<Roster> {
        if set.len() == self.graph.len() {
            return self.view_arc();
        }
        let known = self.views.iter().rev().find(|(of, _)| of == heads);
        known.map_or_else(
            || Arc::new(merge::merge(&self.graph, set)),
            |(_, roster)| Arc::clone(roster),
        )
    }

    fn remember(&mut self, heads: Vec<OperationHash>, roster: Arc<Roster>) {
        if self.views.len() >= VIEWS_MAX {
            self.views.pop_front();
        }
        self.views.push_back((heads, roster));
    }
}
