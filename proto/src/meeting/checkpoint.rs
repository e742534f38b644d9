//! Checkpoints of the roster log: what everything before one comes to (`proto/spec/roster.md`, "Checkpoints").
//!
//! The operation in the log binds a [`CheckpointState`] by its hash. A replica that holds all operations before it computes
//! the state itself; whoever lacks some is sent a [`Checkpoint`]: the operation, the state, and the signed operations that
//! prove who the host is.

use std::collections::BTreeSet;

use aws_lc_rs::digest;
use bincode::{Decode, Encode};

use super::{
    admission::AdmissionMode,
    name::Name,
    operation::{Op, RemoveReason, SEQ_MAX, SignedOperation},
    role::Role,
    room_secret::RoomSecretCommitment,
};
use crate::{
    ids::{MeetingId, MemberId, OperationHash, PolicyHash, StateHash},
    wire::{bounded::BoundedVec, codec},
};

/// Members that a state can list. Reason: twice what a meeting is made for; of a larger one no checkpoint is written.
pub const MEMBERS_MAX: usize = 512;
/// Those who left, and those who were removed, that a state lists: the newest. Reason: whoever is forgotten is a stranger
/// who knocks; 1,024 are a day of a busy meeting, and take 36 KiB and 100 KiB.
pub const FORMER_MAX: usize = 1_024;
/// Room secrets that are in use side by side. Reason: concurrent removals; the next removal ends them all.
pub const ROOMS_MAX: usize = 64;
/// Handovers between the host of the ticket and the present one. Beyond them no checkpoint is written.
pub const HANDOVERS_MAX: usize = 16;
/// Appointments that are carried on, so that co-hosts can prove that they may answer the door.
pub const APPOINTMENTS_MAX: usize = 64;
/// Operations before the checkpoint that are still known by name: the newest. Reason: two windows of
/// [`super::roster_log::COMPACT_AFTER`]; whoever missed more than that signs anew what it signed.
pub const PAST_MAX: usize = 512;
/// Bytes in one part of a checkpoint, so that it fits an envelope.
pub const PART_BYTES_MAX: usize = 10 * 1_024;
/// Parts of one checkpoint. Reason: 400 KiB is the largest; a request names them in 64 bits.
pub const PARTS_MAX: usize = 48;

const SILENCED_MAX: usize = MEMBERS_MAX + 2 * FORMER_MAX;
const PROOFS_MAX: usize = HANDOVERS_MAX + APPOINTMENTS_MAX;
/// The domain of the hash, and the version of the format.
const DOMAIN: &str = "subrosa-checkpoint-v1";

/// Somebody who is in.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct MemberRecord {
    /// Who.
    pub member: MemberId,
    /// The number of its next operation.
    pub next_seq: u32,
    /// Its name.
    pub name: Name,
    /// What it may do.
    pub role: Role,
    /// The operation that let it in.
    pub since: OperationHash,
    /// The operation that gave it its role.
    pub role_since: OperationHash,
}

/// Somebody who was removed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RemovedRecord {
    /// Who.
    pub member: MemberId,
    /// The number of its next operation.
    pub next_seq: u32,
    /// The operation that removed it, or the proof of its equivocation.
    pub operation: OperationHash,
    /// By whom; nobody if the equivocation alone did.
    pub by: Option<MemberId>,
    /// Why.
    pub reason: RemoveReason,
    /// Whether it was proven to equivocate: it never comes back.
    pub equivocator: bool,
}

/// Somebody who left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct LeftRecord {
    /// Who.
    pub member: MemberId,
    /// The number of its next operation.
    pub next_seq: u32,
}

/// A room secret in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct RoomRecord {
    /// The number of its epoch.
    pub number: u32,
    /// The operation that began it.
    pub operation: OperationHash,
    /// What the secret must hash to.
    pub commitment: RoomSecretCommitment,
}

/// What the operations before a checkpoint come to. One state has one encoding.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct CheckpointState {
    /// Who is in, ascending.
    pub members: BoundedVec<MemberRecord, MEMBERS_MAX>,
    /// Who was removed and not admitted again, oldest first.
    pub removed: BoundedVec<RemovedRecord, FORMER_MAX>,
    /// Who left and was not admitted again, oldest first.
    pub left: BoundedVec<LeftRecord, FORMER_MAX>,
    /// Whose reactions nobody shows, ascending; of those listed above.
    pub silenced: BoundedVec<MemberId, SILENCED_MAX>,
    /// Whether admission is closed.
    pub locked: bool,
    /// Whether only those in charge may share.
    pub sharing_in_charge_only: bool,
    /// The policy in force.
    pub policy: PolicyHash,
    /// How people get in.
    pub admission: AdmissionMode,
    /// The room secrets that members hold; the last one is used.
    pub rooms: BoundedVec<RoomRecord, ROOMS_MAX>,
    /// The operations that handed the meeting on, from the host of the ticket to the present one.
    pub handovers: BoundedVec<OperationHash, HANDOVERS_MAX>,
    /// The operations that put the others in charge, ascending by the member.
    pub appointments: BoundedVec<OperationHash, APPOINTMENTS_MAX>,
    /// Operations that the state holds, newest first.
    pub past: BoundedVec<OperationHash, PAST_MAX>,
}

/// Why something is no checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The bytes are none of this version.
    #[error("not a checkpoint: {0}")]
    Codec(#[from] codec::DecodeError),
    /// The state breaks a rule of its form.
    #[error("the state is malformed")]
    State,
    /// The operation binds another state, or is none.
    #[error("the operation does not stand for this state")]
    Unbound,
    /// A signature does not hold, or the operations do not lead from the ticket's host to the author.
    #[error("it is not proven that the author is the host")]
    Unproven,
    /// It is not later than what is known here.
    #[error("a later state is known")]
    Outdated,
}

impl CheckpointState {
    /// The canonical encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode_long(self)
    }

    /// What an operation binds: SHA-256 over the domain and the encoding.
    #[must_use]
    pub fn hash(&self) -> StateHash {
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(DOMAIN.as_bytes());
        context.update(&[0]);
        context.update(&self.encode());
        let mut hash = StateHash([0; 32]);
        hash.0.copy_from_slice(context.finish().as_ref());
        hash
    }

    /// Everybody whom the state lists, with the number of its next operation.
    pub fn people(&self) -> impl Iterator<Item = (MemberId, u32)> + '_ {
        let members = self.members.iter().map(|record| (record.member, record.next_seq));
        let removed = self.removed.iter().map(|record| (record.member, record.next_seq));
        let left = self.left.iter().map(|record| (record.member, record.next_seq));
        members.chain(removed).chain(left)
    }

    /// The rules that an honest host's state fulfils by itself. They keep the roster consistent, whoever signed.
    fn check(&self) -> Result<(), CheckpointError> {
        let mut listed = BTreeSet::new();
        let once = self
            .people()
            .all(|(member, next)| next <= SEQ_MAX && listed.insert(member));
        let ascending = self
            .members
            .windows(2)
            .all(|pair| pair[0].member < pair[1].member)
            && self.silenced.windows(2).all(|pair| pair[0] < pair[1]);
        let hosts = self.members.iter().filter(|record| record.role == Role::Host);
        let silenced = self.silenced.iter().all(|member| listed.contains(member));
        if once && ascending && silenced && hosts.count() == 1 && !self.rooms.is_empty() {
            Ok(())
        } else {
            Err(CheckpointError::State)
        }
    }

    /// The host.
    #[must_use]
    pub fn host(&self) -> Option<MemberId> {
        let host = self.members.iter().find(|record| record.role == Role::Host);
        host.map(|record| record.member)
    }
}

/// A checkpoint as it travels and as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Checkpoint {
    /// [`Op::Checkpoint`], by the host.
    pub operation: SignedOperation,
    /// What it stands for.
    pub state: CheckpointState,
    /// The operations that the state names as handovers and appointments, in that order. They stand beside the state, since
    /// one operation can be signed in many ways.
    pub proofs: BoundedVec<SignedOperation, PROOFS_MAX>,
}

impl Checkpoint {
    /// The encoding.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        codec::encode_long(self)
    }

    /// Reads one, and checks that it is proven: that the operation binds the state, and that the ticket's `host` or
    /// whoever it handed the meeting to signed it.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn decode(bytes: &[u8], meeting: MeetingId, host: MemberId) -> Result<Self, CheckpointError> {
        let checkpoint: Self = codec::decode_long(bytes)?;
        checkpoint.check(meeting, host)?;
        Ok(checkpoint)
    }

    /// See [`Checkpoint::decode`].
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn check(&self, meeting: MeetingId, host: MemberId) -> Result<(), CheckpointError> {
        self.state.check()?;
        let said = self.operation.operation();
        if said.meeting != meeting
            || said.op
                != (Op::Checkpoint {
                    state: self.state.hash(),
                })
        {
            return Err(CheckpointError::Unbound);
        }
        let named = self.state.handovers.iter().chain(self.state.appointments.iter());
        if !named.copied().eq(self.proofs.iter().map(SignedOperation::hash)) {
            return Err(CheckpointError::Unbound);
        }
        let mut present = host;
        for handover in self.proofs.iter().take(self.state.handovers.len()) {
            let said = handover.operation();
            match said.op {
                Op::Role {
                    member,
                    role: Role::Host,
                } if said.author == present && said.meeting == meeting => present = member,
                _ => return Err(CheckpointError::Unproven),
            }
        }
        let is_host = said.author == present && self.state.host() == Some(present);
        let signed = self
            .proofs
            .iter()
            .chain([&self.operation])
            .all(|operation| operation.verify().is_ok());
        if is_host && signed {
            Ok(())
        } else {
            Err(CheckpointError::Unproven)
        }
    }
}

#[cfg(test)]
mod tests;
