//! Whether an author may do what its operation does, judged by the roster of the operation's own causal past.
//!
//! The judgement never changes, because the past of an operation never does: all replicas come to the same one.

use super::InsertError;
use crate::{
    ids::MemberId,
    meeting::{
        operation::{Op, Operation},
        role::{Act, Role},
        roster::Roster,
    },
};

/// The author's role, if the operation is allowed. `past` is the roster of the operation's past; the founding is not
/// judged here.
pub(super) fn judge(operation: &Operation, past: &Roster) -> Result<Role, InsertError> {
    let role = past.role(&operation.author).ok_or(InsertError::NotAMember)?;
    let act = match &operation.op {
        Op::Found { .. } => return Err(InsertError::NotTheHost),
        Op::Leave => Act::Leave,
        Op::Lock { .. } => Act::Lock,
        Op::Sharing { .. } => Act::Sharing,
        Op::Reactions { member, .. } => Act::Reactions(past.role(member).ok_or(InsertError::Target)?),
        Op::Policy { .. } => Act::ChangePolicy,
        Op::Checkpoint { .. } => Act::Checkpoint,
        Op::Admit { role, .. } => Act::Admit(*role),
        Op::Remove { member, .. } if past.equivocators.contains(member) => Act::RemoveEquivocator,
        // Somebody who left may still be shut out: the meeting then moves to a room that it does not know.
        Op::Remove { member, .. } if past.left.contains(member) => Act::Remove(Role::Listener),
        Op::Remove { member, .. } => Act::Remove(past.role(member).ok_or(InsertError::Target)?),
        Op::Role { member, role } => Act::ChangeRole(past.role(member).ok_or(InsertError::Target)?, *role),
    };
    if !role.may(act) {
        return Err(InsertError::NotAllowed(act));
    }
    check_target(operation, past)?;
    Ok(role)
}

/// What becomes of an operation that was made beside the checkpoint at which the log begins: the author's role if it has
/// force. `before` is the roster of the checkpoint and of what the operation follows beside it. Only what takes away
/// counts, and as if its author had known the checkpoint: whatever gives, its author gives again.
pub(super) fn judge_beside(operation: &Operation, before: &Roster) -> Option<Role> {
    let author = operation.author;
    let role = before.role(&author);
    // Whom the checkpoint does not list was let in beside it; that is void, but to take it away is not.
    let rank = |member: &MemberId| before.role(member).unwrap_or(Role::Listener);
    let may = |act: Act| role.filter(|role| role.may(act));
    match &operation.op {
        // Also if the checkpoint says so already: it beats whatever gives it back without knowing of it.
        Op::Leave => Some(role.unwrap_or(Role::Listener)),
        Op::Remove { member, .. } if before.equivocators.contains(member) => may(Act::RemoveEquivocator),
        Op::Remove { member, .. } => may(Act::Remove(rank(member))),
        Op::Lock { locked: true } => may(Act::Lock),
        Op::Sharing { in_charge_only: true } => may(Act::Sharing),
        Op::Reactions {
            member,
            allowed: false,
        } => may(Act::Reactions(rank(member))),
        _ => None,
    }
}

/// Whether there is anything to do: an operation without effect would only fill the log.
fn check_target(operation: &Operation, past: &Roster) -> Result<(), InsertError> {
    let fits = match &operation.op {
        Op::Admit { .. } if past.locked => return Err(InsertError::Locked),
        Op::Admit { member, .. } => !past.members.contains_key(member) && !past.equivocators.contains(member),
        // A proven equivocator is out already; one explicit Remove still moves the meeting to a new room.
        Op::Remove { member, .. } => past
            .removed
            .get(member)
            .is_none_or(|removal| removal.by.is_none()),
        Op::Lock { locked } => past.locked != *locked,
        Op::Sharing { in_charge_only } => past.sharing_in_charge_only != *in_charge_only,
        Op::Reactions { member, allowed } => past.silenced.contains(member) == *allowed,
        Op::Policy { policy } => past.policy_hash != Some(*policy),
        Op::Found { .. } | Op::Leave | Op::Role { .. } | Op::Checkpoint { .. } => true,
    };
    if fits { Ok(()) } else { Err(InsertError::Target) }
}
