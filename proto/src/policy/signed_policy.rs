//! A route policy under its host's signature.

use super::route_policy::RoutePolicy;
use crate::{
    identity::{Identity, Signature},
    ids::{MeetingId, MemberId, PolicyHash},
};

/// A policy for one meeting, signed; not yet verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedPolicy {
    meeting: MeetingId,
    author: MemberId,
    sequence: u32,
    policy: RoutePolicy,
    signature: Signature,
}

/// A policy whose signature, meeting and author have been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPolicy {
    signed: SignedPolicy,
    hash: PolicyHash,
}

/// Why a signed policy is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Placeholder.
    #[error("malformed")]
    Malformed,
}

impl SignedPolicy {
    /// Signs `policy` into `meeting`. `sequence` is 0 for the first policy and rises with each change.
    #[must_use]
    pub fn sign(meeting: MeetingId, sequence: u32, policy: RoutePolicy, author: &Identity) -> Self {
        let _ = (meeting, sequence, policy, author);
        todo!()
    }

    /// Verifies that `author` signed it for `meeting`. Whether `author` may do so is for the roster to say.
    ///
    /// # Errors
    /// [`PolicyError`], one variant for each reason.
    pub fn verify(self, meeting: MeetingId, author: MemberId) -> Result<VerifiedPolicy, PolicyError> {
        let _ = (meeting, author);
        todo!()
    }
}

impl VerifiedPolicy {
    /// What every key of the meeting is bound to.
    #[must_use]
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    /// As it was signed.
    #[must_use]
    pub fn signed(&self) -> &SignedPolicy {
        &self.signed
    }

    /// Rises with each change of the meeting's policy.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.signed.sequence
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &RoutePolicy {
        &self.signed.policy
    }
}
