//! Why the log refuses, and what it answers.

use crate::meeting::{
    operation::{OperationError, SignedOperation},
    role::Act,
};

/// What became of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It is in the log, and with it so many operations in all (those that had waited for it).
    Added(usize),
    /// It was there.
    Known,
    /// It waits for parents: see [`super::RosterLog::missing`].
    Pending,
}

/// Why an operation was refused. All but [`InsertError::Equivocator`], [`InsertError::Full`] and [`InsertError::Busy`]
/// are final: everybody will always refuse it.
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
    /// The target is not in the state that the operation needs (admitting a member, removing a stranger, locking what
    /// is locked).
    #[error("the operation does not fit its target")]
    Target,
    /// Admits while locked.
    #[error("the meeting is locked")]
    Locked,
    /// A third operation with one number by one author: two prove everything. It is taken when somebody in charge
    /// rests on it.
    #[error("the author is known to equivocate")]
    Equivocator,
    /// The checkpoint at which the log begins has settled what the author did with this number.
    #[error("a checkpoint has settled this")]
    Settled,
    /// A checkpoint that states something else than its past comes to.
    #[error("the checkpoint states what is not so")]
    State,
    /// The log holds [`super::OPERATIONS_MAX`] operations, or all but the places that are kept for Removes.
    #[error("the log is full")]
    Full,
    /// The author has made [`super::AUTHOR_WINDOW_MAX`] operations since the last checkpoint.
    #[error("the author has done too much since the last checkpoint")]
    Busy,
}

impl InsertError {
    /// Whether the same operation will be refused for ever.
    #[must_use]
    pub fn is_final(&self) -> bool {
        !matches!(self, Self::Equivocator | Self::Full | Self::Busy)
    }
}

/// Why [`super::RosterLog::author`] made nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorError {
    /// The log has no founding operation yet: synchronise first.
    #[error("the log is empty")]
    Empty,
    /// Malformed.
    #[error(transparent)]
    Operation(#[from] OperationError),
    /// There is nothing that a checkpoint could state: no host, or more than fits its bounds.
    #[error("there is no state that a checkpoint could have")]
    Unsettled,
    /// Everybody would refuse it. With more than eight heads the parents may miss what allows it; the next
    /// operation of anybody else heals that.
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
