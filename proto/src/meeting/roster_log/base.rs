//! What a compacted log begins with: the last checkpoint, and what it stands for.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        checkpoint::Checkpoint,
        operation::SignedOperation,
        roster::{Member, Removal, RoomEpoch, Roster},
    },
};

/// See the module. Its operation is the root of the graph, at place 0.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) checkpoint: Checkpoint,
    /// The state as a roster.
    pub(super) roster: Roster,
    next_seqs: BTreeMap<MemberId, u32>,
    past: BTreeSet<OperationHash>,
}

impl Base {
    /// `checkpoint` was checked, or computed here.
    pub(super) fn new(checkpoint: Checkpoint) -> Self {
        Self {
            roster: roster_of(&checkpoint),
            next_seqs: checkpoint.state.people().collect(),
            past: checkpoint.state.past.iter().copied().collect(),
            checkpoint,
        }
    }

    /// Whether the state holds this operation, as far as it still knows.
    pub(super) fn holds(&self, hash: &OperationHash) -> bool {
        self.past.contains(hash)
    }

    /// Whether the state lists this person.
    pub(super) fn lists(&self, member: &MemberId) -> bool {
        self.next_seqs.contains_key(member)
    }

    /// The number of the person's first operation that the state does not hold.
    pub(super) fn next_seq(&self, member: &MemberId) -> u32 {
        self.next_seqs.get(member).copied().unwrap_or(0)
    }

    /// An operation that the state carries on as a proof.
    pub(super) fn proof(&self, hash: &OperationHash) -> Option<&SignedOperation> {
        self.checkpoint.proofs.iter().find(|proof| proof.hash() == *hash)
    }
}

fn roster_of(checkpoint: &Checkpoint) -> Roster {
    let state = &checkpoint.state;
    let members = state.members.iter().map(|record| {
        let member = Member {
            name: record.name.clone(),
            role: record.role,
            since: record.since,
            role_since: record.role_since,
        };
        (record.member, member)
    });
    let removed = state.removed.iter().map(|record| {
        let removal = Removal {
            operation: record.operation,
            by: record.by,
            reason: record.reason,
        };
        (record.member, removal)
    });
    let equivocators = state.removed.iter().filter(|record| record.equivocator);
    let rooms = state.rooms.iter().map(|room| RoomEpoch {
        number: room.number,
        operation: room.operation,
        commitment: room.commitment,
    });
    Roster {
        members: members.collect(),
        removed: removed.collect(),
        left: state.left.iter().map(|record| record.member).collect(),
        equivocators: equivocators.map(|record| record.member).collect(),
        locked: state.locked,
        sharing_in_charge_only: state.sharing_in_charge_only,
        silenced: state.silenced.iter().copied().collect(),
        policy_hash: Some(state.policy),
        admission: Some(state.admission),
        room_epochs: rooms.collect(),
    }
}
