//! The roster: who is in the meeting, as the log says.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    admission::AdmissionMode, name::Name, operation::RemoveReason, role::Role,
    room_secret::RoomSecretCommitment,
};
use crate::ids::{MemberId, OperationHash, PolicyHash};

/// A person in the meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// As the one who admitted saw it.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The operation that let it in.
    pub since: OperationHash,
    /// The operation that gave it its present role.
    pub role_since: OperationHash,
}

/// How somebody came to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The operation, or for a proven equivocation without a Remove the greater of the two conflicting operations.
    pub operation: OperationHash,
    /// Who removed it; nobody if the equivocation alone did.
    pub by: Option<MemberId>,
    /// Why.
    pub reason: RemoveReason,
}

/// Which room secret is in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoomEpoch {
    /// 0 at the founding; a removal has the number after the highest in its past. For display: two concurrent
    /// removals have one number.
    pub number: u32,
    /// The operation that began the epoch: its name.
    pub operation: OperationHash,
    /// What the secret must hash to.
    pub commitment: RoomSecretCommitment,
}

/// The merged state of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Who is in.
    pub members: BTreeMap<MemberId, Member>,
    /// Who was removed and not admitted again.
    pub removed: BTreeMap<MemberId, Removal>,
    /// Who left and was not admitted again.
    pub left: BTreeSet<MemberId>,
    /// Who signed two operations with one number: out for the rest of the meeting. Also in `removed`.
    pub equivocators: BTreeSet<MemberId>,
    /// Whether admission is closed.
    pub locked: bool,
    /// Whether only those in charge may share.
    pub sharing_in_charge_only: bool,
    /// Whose reactions nobody shows.
    pub silenced: BTreeSet<MemberId>,
    /// The policy in force; none before the founding is known.
    pub policy_hash: Option<PolicyHash>,
    /// How people get in; none before the founding is known.
    pub admission: Option<AdmissionMode>,
    /// The room secrets that members hold: those of removals that do not follow one another. The last one is used.
    /// Empty before the founding is known.
    pub room_epochs: Vec<RoomEpoch>,
}

/// A difference between two rosters, for the participant to act on and for people to see.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RosterChange {
    /// Is in now.
    Admitted {
        /// Who.
        member: MemberId,
        /// By this name.
        name: Name,
        /// As this.
        role: Role,
    },
    /// Is out now, by a Remove or a proven equivocation.
    Removed {
        /// Who.
        member: MemberId,
        /// How.
        removal: Removal,
    },
    /// Went.
    Left {
        /// Who.
        member: MemberId,
    },
    /// Is out now because its admission did not hold: whoever admitted it had been removed or the meeting locked.
    AdmissionVoid {
        /// Who.
        member: MemberId,
    },
    /// Has another role.
    RoleChanged {
        /// Who.
        member: MemberId,
        /// Before.
        from: Role,
        /// Now.
        to: Role,
    },
    /// Admission was closed (`true`) or opened.
    Locked(bool),
    /// Only those in charge may share (`true`), or everybody who may speak.
    Sharing(bool),
    /// A person's reactions were taken away or given back.
    Reactions {
        /// Whose.
        member: MemberId,
        /// Whether others show them.
        allowed: bool,
    },
    /// Another policy is in force.
    PolicyChanged(PolicyHash),
    /// Another room secret is in use.
    RoomChanged(RoomEpoch),
    /// Signed two operations with one number; [`super::roster_log::RosterLog::equivocations`] has the proof.
    Equivocated {
        /// Who.
        member: MemberId,
    },
}

impl Roster {
    /// The member, if it is in.
    #[must_use]
    pub fn member(&self, member: &MemberId) -> Option<&Member> {
        self.members.get(member)
    }

    /// The member's role, if it is in.
    #[must_use]
    pub fn role(&self, member: &MemberId) -> Option<Role> {
        self.members.get(member).map(|member| member.role)
    }

    /// The host, if there is one: it may have left or been proven an equivocator.
    #[must_use]
    pub fn host(&self) -> Option<MemberId> {
        self.members
            .iter()
            .find(|(_, member)| member.role == Role::Host)
            .map(|(id, _)| *id)
    }

    /// Whether `member` may share: those in charge always, others who may speak unless that was taken from them.
    #[must_use]
    pub fn may_share(&self, member: &MemberId) -> bool {
        let role = self.role(member);
        role.is_some_and(|role| role.is_in_charge() || (role.may_speak() && !self.sharing_in_charge_only))
    }

    /// Whether reactions of `member` are shown.
    #[must_use]
    pub fn may_react(&self, member: &MemberId) -> bool {
        self.members.contains_key(member) && !self.silenced.contains(member)
    }

    /// Whether anybody is left who may admit.
    #[must_use]
    pub fn has_somebody_in_charge(&self) -> bool {
        self.members.values().any(|member| member.role.is_in_charge())
    }

    /// Everybody who is in.
    #[must_use]
    pub fn member_ids(&self) -> BTreeSet<MemberId> {
        self.members.keys().copied().collect()
    }

    /// The room epoch in use; none before the founding is known.
    #[must_use]
    pub fn room_epoch(&self) -> Option<&RoomEpoch> {
        self.room_epochs.last()
    }

    /// What turned `earlier` into `self`, most urgent first: who is out comes before the new room, and that before who
    /// is in. Somebody who went and came back in between is told as [`RosterChange::Admitted`] again.
    #[must_use]
    pub fn changes_since(&self, earlier: &Self) -> Vec<RosterChange> {
        let mut changes = Vec::new();
        let proven = self.equivocators.difference(&earlier.equivocators);
        changes.extend(proven.map(|&member| RosterChange::Equivocated { member }));
        let gone = earlier
            .members
            .keys()
            .filter(|member| !self.members.contains_key(*member));
        changes.extend(gone.map(|member| self.departure(*member)));
        if let Some(epoch) = self
            .room_epoch()
            .filter(|epoch| earlier.room_epoch() != Some(*epoch))
        {
            changes.push(RosterChange::RoomChanged(epoch.clone()));
        }
        for (&member, now) in &self.members {
            match earlier.members.get(&member) {
                Some(before) if before.since == now.since && before.role == now.role => {}
                Some(before) if before.since == now.since => {
                    changes.push(RosterChange::RoleChanged {
                        member,
                        from: before.role,
                        to: now.role,
                    });
                }
                _ => {
                    let (name, role) = (now.name.clone(), now.role);
                    changes.push(RosterChange::Admitted { member, name, role });
                }
            }
        }
        if self.locked != earlier.locked {
            changes.push(RosterChange::Locked(self.locked));
        }
        if self.sharing_in_charge_only != earlier.sharing_in_charge_only {
            changes.push(RosterChange::Sharing(self.sharing_in_charge_only));
        }
        for &member in self.silenced.symmetric_difference(&earlier.silenced) {
            let allowed = !self.silenced.contains(&member);
            changes.push(RosterChange::Reactions { member, allowed });
        }
        if let Some(policy) = self
            .policy_hash
            .filter(|_| self.policy_hash != earlier.policy_hash)
        {
            changes.push(RosterChange::PolicyChanged(policy));
        }
        changes
    }

    /// How somebody who is no longer in went.
    fn departure(&self, member: MemberId) -> RosterChange {
        match self.removed.get(&member) {
            Some(&removal) => RosterChange::Removed { member, removal },
            None if self.left.contains(&member) => RosterChange::Left { member },
            None => RosterChange::AdmissionVoid { member },
        }
    }
}
