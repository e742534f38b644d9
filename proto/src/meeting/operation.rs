//! Roster operations: signed statements about who is in the meeting (`proto/spec/roster.md`).

use aws_lc_rs::digest;
use bincode::{
    Decode, Encode,
    de::Decoder,
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::{admission::AdmissionMode, name::Name, role::Role, room_secret::RoomSecretCommitment};
use crate::{
    identity::{BadSignature, Identity, Signature, verify},
    ids::{MeetingId, MemberId, OperationHash, PolicyHash, StateHash},
    wire::codec,
};

/// The most parents that an operation names. Reason: more concurrent heads are joined by the operations that follow,
/// each of which takes up to eight.
pub const PARENTS_MAX: usize = 8;
/// The largest body in bytes: eight parents, the longest name, and room to grow.
pub const OPERATION_BYTES_MAX: usize = 1_024;
/// Sequence numbers stay below this. Reason: an act a second for half a year; what one author may add between two
/// checkpoints is bounded by [`super::roster_log::AUTHOR_WINDOW_MAX`].
pub const SEQ_MAX: u32 = 1 << 24;

/// The domain of the signature, and the version of the format.
const DOMAIN: &str = "subrosa-operation-v1";

/// Why somebody was removed; a word for people, without effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum RemoveReason {
    /// None given.
    Unstated,
    /// Disturbed the meeting.
    Disruption,
    /// Was let in by mistake.
    Mistake,
    /// Signed two operations with one sequence number.
    Equivocation,
    /// No longer answers.
    Unreachable,
    /// Has to wait in the lobby again; may knock at once.
    ToLobby,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub enum Op {
    /// Opens the log: the first operation, by the host whom the ticket names.
    Found {
        /// The policy in force.
        policy: PolicyHash,
        /// The host's name.
        name: Name,
        /// How people get in.
        admission: AdmissionMode,
        /// Binds the first room secret.
        room_secret: RoomSecretCommitment,
    },
    /// Lets somebody in.
    Admit {
        /// Whom.
        member: MemberId,
        /// By which name.
        name: Name,
        /// As what: an [admissible](Role::is_admissible) role.
        role: Role,
    },
    /// Removes somebody and moves the meeting to a new room secret, which travels to those who remain over the
    /// pairwise channels; the operation only binds it.
    Remove {
        /// Whom.
        member: MemberId,
        /// Why.
        reason: RemoveReason,
        /// Binds the new room secret.
        room_secret: RoomSecretCommitment,
    },
    /// The author goes.
    Leave,
    /// Gives somebody another role. Giving [`Role::Host`] hands over: the author becomes co-host.
    Role {
        /// To whom.
        member: MemberId,
        /// Which.
        role: Role,
    },
    /// Locks or unlocks: while locked nobody is admitted.
    Lock {
        /// The new state.
        locked: bool,
    },
    /// Puts another policy in force.
    Policy {
        /// Its hash; the policy itself travels beside the log.
        policy: PolicyHash,
    },
    /// Says who may share a screen or a camera track that is meant for all.
    Sharing {
        /// Only those in charge; everybody who may speak otherwise.
        in_charge_only: bool,
    },
    /// Takes one person's reactions away, or gives them back.
    Reactions {
        /// Whose.
        member: MemberId,
        /// Whether others show them.
        allowed: bool,
    },
    /// The host states what everything before comes to, so that all can forget how it came about
    /// ([`super::checkpoint`]).
    Checkpoint {
        /// Binds the state.
        state: StateHash,
    },
}

/// An operation with its place in the log. Fields are valid when made by [`SignedOperation`].
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Operation {
    /// Of which meeting.
    pub meeting: MeetingId,
    /// By whom.
    pub author: MemberId,
    /// The author's operations are numbered 0, 1, 2, …
    pub seq: u32,
    /// The heads that the author rests on, ascending and distinct; at most [`PARENTS_MAX`].
    pub parents: Vec<OperationHash>,
    /// What it does.
    pub op: Op,
}

/// Why an operation is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OperationError {
    /// The body is not an operation of this version.
    #[error("not an operation: {0}")]
    Codec(#[from] codec::DecodeError),
    /// More than [`OPERATION_BYTES_MAX`].
    #[error("an operation has at most {OPERATION_BYTES_MAX} bytes, this one has {0}")]
    TooLong(usize),
    /// More than [`PARENTS_MAX`] parents, or out of order, or one twice.
    #[error("the parents are not up to {PARENTS_MAX} hashes in ascending order")]
    Parents,
    /// A first operation that is not `Found` with number 0 and without parents, or another operation without parents.
    #[error("only the founding operation has no parents, and it has number 0")]
    Root,
    /// Not below [`SEQ_MAX`].
    #[error("sequence numbers stay below {SEQ_MAX}")]
    Seq,
    /// An Admit with a role that only the host can give later.
    #[error("nobody is admitted as {0}")]
    NotAdmissible(Role),
    /// An operation by its own author against itself.
    #[error("a member does this to others only")]
    OnOneself,
}

/// An operation, the bytes that were signed, and the signature. The signature is checked by
/// [`SignedOperation::verify`], which [`super::roster_log::RosterLog::insert`] calls.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedOperation {
    body: Vec<u8>,
    signature: Signature,
    operation: Operation,
    hash: OperationHash,
}

impl SignedOperation {
    /// Signs `op` at the given place. `parents` may come in any order.
    ///
    /// # Errors
    /// [`OperationError`] if the result would be malformed.
    pub fn sign(
        identity: &Identity,
        meeting: MeetingId,
        seq: u32,
        mut parents: Vec<OperationHash>,
        op: Op,
    ) -> Result<Self, OperationError> {
        parents.sort_unstable();
        let operation = Operation {
            meeting,
            author: identity.member_id(),
            seq,
            parents,
            op,
        };
        operation.check()?;
        let body = codec::encode(&operation);
        let signature = identity.sign(DOMAIN, &body);
        Ok(Self {
            hash: hash(&body),
            body,
            signature,
            operation,
        })
    }

    /// Takes received bytes apart: the body that was signed, and its signature.
    ///
    /// # Errors
    /// [`OperationError`] if the body is malformed. The signature is not checked yet.
    pub fn from_parts(body: Vec<u8>, signature: Signature) -> Result<Self, OperationError> {
        if body.len() > OPERATION_BYTES_MAX {
            return Err(OperationError::TooLong(body.len()));
        }
        let operation: Operation = codec::decode(&body)?;
        operation.check()?;
        Ok(Self {
            hash: hash(&body),
            body,
            signature,
            operation,
        })
    }

    /// Checks the author's signature over the received bytes.
    ///
    /// # Errors
    /// [`BadSignature`].
    pub fn verify(&self) -> Result<(), BadSignature> {
        verify(&self.operation.author.0, DOMAIN, &self.body, &self.signature)
    }

    /// The statement.
    #[must_use]
    pub fn operation(&self) -> &Operation {
        &self.operation
    }

    /// By whom.
    #[must_use]
    pub fn author(&self) -> MemberId {
        self.operation.author
    }

    /// Its name: SHA-256 over the domain and the body. The signature is left out, because an author can sign one body
    /// in many ways and it is still one operation.
    #[must_use]
    pub fn hash(&self) -> OperationHash {
        self.hash
    }

    /// The bytes that were signed.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The signature over the body.
    #[must_use]
    pub fn signature(&self) -> &Signature {
        &self.signature
    }
}

impl Operation {
    /// The rules that need no other operation.
    fn check(&self) -> Result<(), OperationError> {
        let ascending = self.parents.windows(2).all(|pair| pair[0] < pair[1]);
        if self.parents.len() > PARENTS_MAX || !ascending {
            return Err(OperationError::Parents);
        }
        if self.seq >= SEQ_MAX {
            return Err(OperationError::Seq);
        }
        let founds = matches!(self.op, Op::Found { .. });
        if founds != self.parents.is_empty() || (founds && self.seq != 0) {
            return Err(OperationError::Root);
        }
        match self.op {
            Op::Admit { role, .. } if !role.is_admissible() => Err(OperationError::NotAdmissible(role)),
            Op::Admit { member, .. }
            | Op::Remove { member, .. }
            | Op::Role { member, .. }
            | Op::Reactions { member, .. }
                if member == self.author =>
            {
                Err(OperationError::OnOneself)
            }
            _ => Ok(()),
        }
    }
}

fn hash(body: &[u8]) -> OperationHash {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(DOMAIN.as_bytes());
    context.update(&[0]);
    context.update(body);
    let mut hash = OperationHash([0; 32]);
    hash.0.copy_from_slice(context.finish().as_ref());
    hash
}

impl std::fmt::Debug for SignedOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{:?} #{} by {:?}: {:?}",
            self.hash,
            self.operation.seq,
            self.author(),
            self.operation.op
        )
    }
}

impl Encode for SignedOperation {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.body.encode(encoder)?;
        self.signature.encode(encoder)
    }
}

impl<C> Decode<C> for SignedOperation {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let body = Vec::decode(decoder)?;
        let signature = Signature::decode(decoder)?;
        Self::from_parts(body, signature).map_err(|_| DecodeError::Other("not an operation"))
    }
}
bincode::impl_borrow_decode!(SignedOperation);

#[cfg(test)]
mod tests;
