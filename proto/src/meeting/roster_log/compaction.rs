//! Beginning anew with a checkpoint: what lies before it is forgotten, the rest is judged again on top of it
//! (`proto/spec/roster.md`, "Checkpoints").

use std::sync::Arc;

use super::{
    AuthorError, OPERATIONS_MAX, REMOVE_RESERVE, RosterLog, VIEWS_MAX,
    ancestors::PlaceSet,
    base::Base,
    graph::{Entry, Graph},
    settle,
};
use crate::{
    identity::Identity,
    ids::{MemberId, OperationHash, StateHash},
    meeting::{
        checkpoint::{Checkpoint, CheckpointError},
        operation::{Op, PARENTS_MAX, SignedOperation},
        roster::{Member, Roster},
    },
};

/// After so many operations since the last checkpoint the host writes another one. Reason: a state costs a newcomer as much
/// as some hundred operations, and to compute it some milliseconds at each member: more often saves nothing. 256 operations
/// take some 65 KiB, and a meeting of 200 that comes together writes its first one when all are in.
pub const COMPACT_AFTER: usize = 256;
/// Places left to operations other than Removes when a checkpoint is overdue.
const OVERDUE_PLACES: usize = 64;

impl RosterLog {
    /// The checkpoint at which the log begins; none if that is the founding.
    #[must_use]
    pub fn checkpoint(&self) -> Option<&Checkpoint> {
        self.graph.base.as_ref().map(|base| &base.checkpoint)
    }

    /// About how many bytes the log takes: operations with their sets, what waits, and the state.
    #[must_use]
    pub fn bytes_held(&self) -> usize {
        let signed = |operation: &SignedOperation| size_of::<Entry>() + operation.body().len();
        let entry = |entry: &Entry| signed(&entry.signed) + entry.past.bytes() + entry.concurrent.bytes();
        let entries: usize = self.graph.entries().map(entry).sum();
        let waiting: usize = self.pending.operations().map(signed).sum();
        entries + waiting + self.checkpoint().map_or(0, |base| base.encode().len())
    }

    /// Whether a checkpoint would cover the whole log, and it holds at least `after` operations.
    #[must_use]
    pub fn is_ripe(&self, after: usize) -> bool {
        self.len() >= after && self.graph.heads().len() <= PARENTS_MAX
    }

    /// Whether the log must be compacted, whatever is under way.
    #[must_use]
    pub fn is_overdue(&self) -> bool {
        self.len() >= OPERATIONS_MAX - REMOVE_RESERVE - OVERDUE_PLACES
    }

    /// Signs a checkpoint on top of the present heads, and begins anew with it.
    ///
    /// # Errors
    /// [`AuthorError`] if the author is not the host, or there is nothing to state.
    pub fn author_checkpoint(&mut self, identity: &Identity) -> Result<SignedOperation, AuthorError> {
        let last = self.graph.last_of(&identity.member_id(), None);
        let parents = self.choose_heads(last, None);
        let places: Vec<usize> = parents.iter().filter_map(|hash| self.graph.place(hash)).collect();
        let (state, _) = settle::settle(&self.graph, &self.past_of(&places)).ok_or(AuthorError::Unsettled)?;
        self.author(identity, Op::Checkpoint { state: state.hash() })
    }

    /// The checkpoint of `past`, if its state is the one that `signed` binds.
    pub(super) fn verify_state(
        &self,
        signed: &SignedOperation,
        state: &StateHash,
        past: &PlaceSet,
    ) -> Option<Checkpoint> {
        let (settled, proofs) = settle::settle(&self.graph, past)?;
        (settled.hash() == *state).then_some(Checkpoint {
            operation: signed.clone(),
            state: settled,
            proofs: proofs.try_into().ok()?,
        })
    }

    /// Takes a checkpoint from a peer, because operations before it are missing here. If they are not, its operation is
    /// inserted like any other. Gives whether anything is new.
    ///
    /// # Errors
    /// [`CheckpointError`]: it is not proven, or something later is known here.
    pub fn take_checkpoint(&mut self, checkpoint: Checkpoint) -> Result<bool, CheckpointError> {
        checkpoint.check(self.meeting, self.host)?;
        let operation = &checkpoint.operation;
        if self.contains(&operation.hash()) {
            return Ok(false);
        }
        if !self.is_empty() {
            self.check_later(&checkpoint)?;
            if self.has_parents(operation) {
                let inserted = self.insert(operation.clone());
                return inserted.map(|_| true).map_err(|_| CheckpointError::Unbound);
            }
        }
        self.pending.drop_one(&operation.hash());
        self.begin_with(checkpoint, &PlaceSet::default());
        self.insert_pending_again();
        Ok(true)
    }

    /// A peer cannot take this node back to an earlier state: the checkpoint must come after all that hosts did.
    fn check_later(&self, checkpoint: &Checkpoint) -> Result<(), CheckpointError> {
        let all = PlaceSet::first(self.len());
        let known = settle::handovers(&self.graph, &all).ok_or(CheckpointError::Outdated)?;
        let theirs = &checkpoint.state.handovers;
        let extends = known.len() <= theirs.len()
            && known
                .iter()
                .zip(theirs.iter())
                .all(|(known, theirs)| known.hash() == *theirs);
        let said = checkpoint.operation.operation();
        let root = self.graph.entry(0);
        let repeats = root.signed.author() == said.author && said.seq <= root.seq();
        if extends && !repeats && !self.is_settled(&said.author, said.seq) {
            Ok(())
        } else {
            Err(CheckpointError::Outdated)
        }
    }

    /// A checkpoint that waits for operations before it, and may have to be taken as it is: of several one by the host
    /// that is known here, with the highest number.
    #[must_use]
    pub fn wanted_checkpoint(&self) -> Option<OperationHash> {
        let host = self.view().host().unwrap_or(self.host);
        let waiting = self.pending.operations();
        let checkpoints =
            waiting.filter(|operation| matches!(operation.operation().op, Op::Checkpoint { .. }));
        let best = checkpoints.max_by_key(|operation| {
            (
                operation.author() == host,
                operation.operation().seq,
                operation.hash(),
            )
        });
        best.map(SignedOperation::hash)
    }

    /// The operations that a checkpoint left without force since the last call: their authors make them again.
    pub fn take_voided(&mut self) -> Vec<SignedOperation> {
        std::mem::take(&mut self.voided)
    }

    /// Whether somebody whom a checkpoint put out was let in beside it: whoever admitted it will do so again.
    #[must_use]
    pub fn is_admitted_beside(&self, member: &MemberId) -> bool {
        let admits =
            |entry: &Entry| matches!(entry.op(), Op::Admit { member: target, .. } if target == member);
        self.graph.entries().any(|entry| entry.void && admits(entry))
    }

    /// Whether something beside the checkpoint took away what `voided` gives: then its author does not give it again.
    #[must_use]
    pub fn is_taken_back(&self, voided: &SignedOperation) -> bool {
        let Op::Admit { member, .. } = voided.operation().op else {
            return false;
        };
        let past = self
            .graph
            .place(&voided.hash())
            .map(|place| &self.graph.entry(place).past);
        let takes = |entry: &Entry| match entry.op() {
            Op::Remove { member: target, .. } => *target == member,
            Op::Leave => entry.signed.author() == member,
            _ => false,
        };
        (0..self.len()).any(|place| {
            let entry = self.graph.entry(place);
            !entry.void && takes(entry) && past.is_none_or(|past| !past.contains(place))
        })
    }

    /// Whether the base has settled what `author` did with this number.
    pub(super) fn is_settled(&self, author: &MemberId, seq: u32) -> bool {
        let base = self.graph.base.as_ref();
        base.is_some_and(|base| seq < base.next_seq(author))
    }

    /// Puts `checkpoint` in the place of `past`, or of what its state has settled, and judges the rest again.
    pub(super) fn begin_with(&mut self, checkpoint: Checkpoint, past: &PlaceSet) {
        let root = checkpoint.operation.hash();
        let former = std::mem::replace(&mut self.graph, Graph::rooted(Base::new(checkpoint)));
        self.former_views.extend(self.views.drain(..));
        let surplus = self.former_views.len().saturating_sub(VIEWS_MAX);
        self.former_views.drain(..surplus);
        self.view = std::sync::OnceLock::new();
        for (place, entry) in former.into_entries().into_iter().enumerate() {
            let hash = entry.signed.hash();
            if hash == root || past.contains(place) || self.contains(&hash) {
                continue;
            }
            let settled = self.is_settled(&entry.signed.author(), entry.seq());
            let signed = entry.signed.clone();
            let stands = self.has_parents(&signed) && self.try_add(signed).is_ok();
            let is_void = self
                .graph
                .place(&hash)
                .is_none_or(|place| self.graph.entry(place).void);
            // What the state settled without its operation being here is in it, or was proven wrong by its author.
            if !settled && (!stands || is_void && !entry.void) && self.voided.len() < OPERATIONS_MAX {
                self.voided.push(entry.signed);
            }
        }
        self.is_rebuilt = true;
    }

    /// Hands in again what waits: it may rest on what the base holds.
    pub(super) fn insert_pending_again(&mut self) {
        // Ends: each turn takes a later checkpoint.
        while std::mem::take(&mut self.is_rebuilt) {
            for operation in self.pending.take_all() {
                let _ = self.insert_verified(operation);
            }
        }
    }

    /// Everything up to these places, and the base.
    pub(super) fn past_of(&self, places: &[usize]) -> PlaceSet {
        let mut past = self.graph.closure(places);
        if self.graph.base.is_some() {
            past.insert(0);
        }
        past
    }

    /// The roster as somebody saw it who did not know the base: as far as that is still known; else as the base says, with
    /// those let in beside it, and without those put out beside it, even if that has no force: whoever saw them put out says
    /// nothing to them.
    pub(super) fn view_beside(&self, heads: &[OperationHash], set: &PlaceSet) -> Arc<Roster> {
        let former = self.former_views.iter().rev().find(|(of, _)| of == heads);
        if let Some((_, roster)) = former {
            return Arc::clone(roster);
        }
        let mut roster = Roster::clone(&self.roster_of(heads, set));
        for place in set.iter() {
            let entry = self.graph.entry(place);
            match entry.op() {
                Op::Admit { member, name, role } if entry.void && !roster.removed.contains_key(member) => {
                    let hash = entry.signed.hash();
                    roster.members.entry(*member).or_insert_with(|| Member {
                        name: name.clone(),
                        role: *role,
                        since: hash,
                        role_since: hash,
                    });
                }
                Op::Remove { member, .. } if entry.void => {
                    roster.members.remove(member);
                }
                _ => {}
            }
        }
        Arc::new(roster)
    }

    /// Whether these heads are of the time before the base, or beside it.
    pub(super) fn are_beside(&self, heads: &[OperationHash]) -> bool {
        let follows = |head: &OperationHash| {
            let place = self.graph.place(head);
            place.is_some_and(|place| self.graph.entry(place).follows)
        };
        self.graph.base.is_some() && !heads.iter().any(follows)
    }
}
