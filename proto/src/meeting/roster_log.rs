//! The roster log: signed operations that name their parents, merged the same way by everybody
//! (`proto/spec/roster.md`).

use std::{collections::BTreeSet, sync::Arc};

use super::{
    operation::{Op, OperationError, SignedOperation},
    role::Act,
    roster::{Roster, RosterChange},
};
use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId, OperationHash},
};

/// The most operations that a log holds. Reason: 200 members who come and go 20 times; the ancestor sets of that many
/// take 4 MiB.
pub const OPERATIONS_MAX: usize = 8_192;

/// The log of one meeting.
#[derive(Debug)]
pub struct RosterLog {
    view: Arc<Roster>,
}

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the log, and with it so many operations in all (those that had waited for it).
    Added(usize),
    /// It was there.
    Known,
    /// It waits for parents: see [`RosterLog::missing`].
    Pending,
}

/// Why an operation was refused. Each is final: the same operation will be refused by everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// Of another meeting.
    #[error("the operation belongs to another meeting")]
    OtherMeeting,
    /// Not signed by its author.
    #[error("the signature is not the author's")]
    Signature,
    /// A founding operation by somebody else than the host whom the ticket names.
    #[error("the meeting is founded by its host only")]
    NotTheHost,
    /// The number does not follow the author's last operation in its past.
    #[error("the author's next number is {expected}")]
    Seq {
        /// The number that would be right.
        expected: u32,
    },
    /// The author was not in the meeting, as far as the operation's parents say.
    #[error("the author was not in the meeting")]
    NotAMember,
    /// The author may not do that, as far as the operation's parents say.
    #[error("the author may not do that: {0:?}")]
    NotAllowed(Act),
    /// The target is not in the state that the operation needs (admitting a member, removing a stranger).
    #[error("the operation does not fit its target")]
    Target,
    /// Admits while locked.
    #[error("the meeting is locked")]
    Locked,
    /// Rests on an operation that was refused.
    #[error("a parent was refused")]
    RefusedParent,
    /// A third operation with one number by one author: two prove everything.
    #[error("the author is known to equivocate")]
    Equivocator,
    /// The log holds [`OPERATIONS_MAX`] operations.
    #[error("the log is full")]
    Full,
}

/// Why [`RosterLog::author`] made nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// The log has no founding operation yet: synchronise first.
    #[error("the log is empty")]
    Empty,
    /// Malformed.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// Everybody would refuse it.
    #[error(transparent)]
    Insert(#[from] InsertError),
}

/// A part of the log for a peer that lacks it.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Parents before children.
    pub operations: Vec<SignedOperation>,
    /// Ask again with this cursor; none if that was all.
    pub next: Option<u32>,
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
        let _ = (meeting, host);
        todo!()
    }

    /// Founds the meeting: `op` is [`Op::Found`].
    ///
    /// # Errors
    /// [`AuthorError`] if `op` is another operation.
    pub fn found(identity: &Identity, meeting: MeetingId, op: Op) -> Result<Self, AuthorError> {
        let _ = (identity, meeting, op);
        todo!()
    }

    /// Takes an operation from anybody: checks signature, place and authority.
    ///
    /// # Errors
    /// [`InsertError`]: it is not and will never be part of the log.
    pub fn insert(&mut self, operation: SignedOperation) -> Result<Inserted, InsertError> {
        let _ = operation;
        todo!()
    }

    /// Signs `op` on top of the present heads, and inserts it. Synchronise first after a restart: a member that
    /// forgot its own operations would number two alike, which proves equivocation.
    ///
    /// # Errors
    /// [`AuthorError`] if the author may not do that now.
    pub fn author(&mut self, identity: &Identity, op: Op) -> Result<SignedOperation, AuthorError> {
        let _ = (identity, op);
        todo!()
    }

    /// The operations that nobody follows yet, ascending; if there are more than eight, the most important.
    #[must_use]
    pub fn heads(&self) -> Vec<OperationHash> {
        todo!()
    }

    /// Operations that pending ones wait for: ask a peer for them.
    #[must_use]
    pub fn missing(&self) -> Vec<OperationHash> {
        todo!()
    }

    /// Whether the operation is in the log.
    #[must_use]
    pub fn contains(&self, hash: &OperationHash) -> bool {
        let _ = hash;
        todo!()
    }

    /// What a peer with these heads lacks, in batches: begin with cursor 0, continue with [`Batch::next`].
    #[must_use]
    pub fn operations_since(&self, heads: &[OperationHash], cursor: u32) -> Batch {
        let _ = (heads, cursor);
        todo!()
    }

    /// The operations that a peer named in its [`RosterLog::missing`], as far as they are here; bounded as a batch.
    #[must_use]
    pub fn operations(&self, wanted: &[OperationHash]) -> Vec<SignedOperation> {
        let _ = wanted;
        todo!()
    }

    /// The roster now.
    #[must_use]
    pub fn view(&self) -> &Roster {
        &self.view
    }

    /// The roster as somebody with these heads saw it; none if one of them is not here.
    #[must_use]
    pub fn view_at(&self, heads: &[OperationHash]) -> Option<Arc<Roster>> {
        let _ = heads;
        todo!()
    }

    /// Who was in, as somebody with these heads saw it; none if one of them is not here.
    #[must_use]
    pub fn members_at(&self, heads: &[OperationHash]) -> Option<BTreeSet<MemberId>> {
        self.view_at(heads).map(|view| view.member_ids())
    }

    /// What changed since the last call.
    pub fn take_changes(&mut self) -> Vec<RosterChange> {
        todo!()
    }

    /// The proofs of equivocation.
    pub fn equivocations(&self) -> impl Iterator<Item = Equivocation> + '_ {
        std::iter::empty()
    }
}
