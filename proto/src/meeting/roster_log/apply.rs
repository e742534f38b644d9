//! The roster after one more operation that follows everything before it: the common case, without a merge.
//! Must agree with [`super::merge`]; a property test holds the two together.

use super::{graph::Entry, merge::room_epoch};
use crate::meeting::{
    operation::Op,
    role::Role,
    roster::{Member, Removal, Roster},
};

/// Turns the roster of `entry`'s past into the roster of its past and itself.
pub(super) fn apply(roster: &mut Roster, entry: &Entry) {
    let (author, hash) = (entry.signed.author(), entry.signed.hash());
    match entry.op() {
        Op::Found {
            policy,
            name,
            admission,
            ..
        } => {
            let founder = Member {
                name: name.clone(),
                role: Role::Host,
                since: hash,
                role_since: hash,
            };
            roster.members.insert(author, founder);
            roster.policy_hash = Some(*policy);
            roster.admission = Some(*admission);
        }
        Op::Admit { member, name, role } => {
            roster.removed.remove(member);
            roster.left.remove(member);
            let newcomer = Member {
                name: name.clone(),
                role: *role,
                since: hash,
                role_since: hash,
            };
            roster.members.insert(*member, newcomer);
        }
        Op::Remove { member, reason, .. } => {
            roster.members.remove(member);
            roster.left.remove(member);
            let removal = Removal {
                operation: hash,
                by: Some(author),
                reason: *reason,
            };
            roster.removed.insert(*member, removal);
        }
        Op::Leave => {
            roster.members.remove(&author);
            roster.left.insert(author);
        }
        Op::Role { member, role } => {
            let handed_over = (*role == Role::Host).then_some((author, Role::CoHost));
            for (member, role) in [(*member, *role)].into_iter().chain(handed_over) {
                if let Some(member) = roster.members.get_mut(&member) {
                    member.role = role;
                    member.role_since = hash;
                }
            }
        }
        Op::Lock { locked } => roster.locked = *locked,
        Op::Sharing { in_charge_only } => roster.sharing_in_charge_only = *in_charge_only,
        Op::Reactions {
            member,
            allowed: true,
        } => {
            roster.silenced.remove(member);
        }
        Op::Reactions {
            member,
            allowed: false,
        } => {
            roster.silenced.insert(*member);
        }
        Op::Policy { policy } => roster.policy_hash = Some(*policy),
        // It changes nothing but what is remembered; whoever takes it begins anew with its state.
        Op::Checkpoint { .. } => {}
    }
    if let Some(epoch) = room_epoch(entry) {
        roster.room_epochs = vec![epoch];
    }
}
