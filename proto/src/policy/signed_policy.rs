//! A route policy under its host's signature.

use aws_lc_rs::digest;
use bincode::{Decode, Encode};

use super::route_policy::RoutePolicy;
use crate::{
    identity::{self, Identity, Signature},
    ids::{MeetingId, MemberId, PolicyHash},
    wire::codec,
};

/// The domain of the author's signature and of the hash.
const DOMAIN: &str = "subrosa-policy-v1";

/// A policy for one meeting, signed; not yet verified.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SignedPolicy {
    statement: Statement,
    signature: Signature,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
struct Statement {
    meeting: MeetingId,
    author: MemberId,
    sequence: u32,
    policy: RoutePolicy,
}

/// A policy whose signature, meeting and author have been checked. Only [`SignedPolicy::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedPolicy {
    signed: SignedPolicy,
    hash: PolicyHash,
}

/// Why a signed policy is not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// It was signed for another meeting.
    #[error("the policy was signed for another meeting")]
    OtherMeeting,
    /// Somebody else signed it.
    #[error("the policy was signed by {}, not by {}", found.fingerprint(), expected.fingerprint())]
    OtherAuthor {
        /// Who signed it.
        found: MemberId,
        /// Who should have.
        expected: MemberId,
    },
    /// Its author did not sign it.
    #[error("the policy is forged: the member that it names did not sign it")]
    Forged,
}

impl SignedPolicy {
    /// Signs `policy` into `meeting`. `sequence` is 0 for the first policy and rises with each change.
    #[must_use]
    pub fn sign(meeting: MeetingId, sequence: u32, policy: RoutePolicy, author: &Identity) -> Self {
        let statement = Statement {
            meeting,
            author: author.member_id(),
            sequence,
            policy,
        };
        let signature = author.sign(DOMAIN, &codec::encode(&statement));
        Self { statement, signature }
    }

    /// Puts the parts together again that a ticket carries once only.
    pub(crate) fn from_parts(
        meeting: MeetingId,
        author: MemberId,
        sequence: u32,
        policy: RoutePolicy,
        signature: Signature,
    ) -> Self {
        Self {
            statement: Statement {
                meeting,
                author,
                sequence,
                policy,
            },
            signature,
        }
    }

    /// The parts that a ticket carries.
    pub(crate) fn parts(&self) -> (u32, &RoutePolicy, &Signature) {
        (self.statement.sequence, &self.statement.policy, &self.signature)
    }

    /// Verifies that `author` signed it for `meeting`. Whether `author` may do so is for the roster to say.
    ///
    /// # Errors
    /// [`PolicyError`], one variant for each reason.
    pub fn verify(self, meeting: MeetingId, author: MemberId) -> Result<VerifiedPolicy, PolicyError> {
        if self.statement.meeting != meeting {
            return Err(PolicyError::OtherMeeting);
        }
        if self.statement.author != author {
            return Err(PolicyError::OtherAuthor {
                found: self.statement.author,
                expected: author,
            });
        }
        let statement = codec::encode(&self.statement);
        identity::verify(&author.0, DOMAIN, &statement, &self.signature).map_err(|_| PolicyError::Forged)?;
        // The hash covers what is said, not the signature: who holds a key can sign one statement in many ways.
        let mut hash = digest::Context::new(&digest::SHA256);
        hash.update(DOMAIN.as_bytes());
        hash.update(&[0]);
        hash.update(&statement);
        let hash = PolicyHash(hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes"));
        Ok(VerifiedPolicy { signed: self, hash })
    }
}

impl VerifiedPolicy {
    /// What every key of the meeting is bound to: the hash of meeting, author, sequence and policy.
    #[must_use]
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    /// As it was signed.
    #[must_use]
    pub fn signed(&self) -> &SignedPolicy {
        &self.signed
    }

    /// The meeting that it was signed for.
    #[must_use]
    pub fn meeting(&self) -> MeetingId {
        self.signed.statement.meeting
    }

    /// Who signed it.
    #[must_use]
    pub fn author(&self) -> MemberId {
        self.signed.statement.author
    }

    /// Rises with each change of the meeting's policy.
    #[must_use]
    pub fn sequence(&self) -> u32 {
        self.signed.statement.sequence
    }

    /// The policy.
    #[must_use]
    pub fn policy(&self) -> &RoutePolicy {
        &self.signed.statement.policy
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::policy::{
        CountryRule, Preset, Region,
        fixture::{MEETING, any_policy, host, signed_policy},
    };

    #[test]
    fn it_holds_for_its_meeting_and_author_only() {
        let signed = SignedPolicy::sign(MEETING, 0, Preset::Eea.into(), &host());
        let me = host().member_id();
        assert!(signed.clone().verify(MEETING, me).is_ok());
        let other = Identity::from_seed(&[66; 32]);
        assert_eq!(
            signed.clone().verify(MeetingId([8; 16]), me),
            Err(PolicyError::OtherMeeting)
        );
        let expected = other.member_id();
        assert_eq!(
            signed.clone().verify(MEETING, expected),
            Err(PolicyError::OtherAuthor { found: me, expected })
        );
        let mut forged = signed;
        forged.statement.policy.members_may_forward = true;
        assert_eq!(forged.verify(MEETING, me), Err(PolicyError::Forged));
    }

    #[test]
    fn each_part_of_the_statement_changes_the_hash() {
        let hash = |sequence, policy: RoutePolicy| {
            let signed = SignedPolicy::sign(MEETING, sequence, policy, &host());
            signed.verify(MEETING, host().member_id()).unwrap().hash()
        };
        let hashes = [
            hash(0, Preset::Eea.into()),
            hash(1, Preset::Eea.into()),
            hash(0, Preset::Eu.into()),
            hash(
                0,
                RoutePolicy {
                    members_may_forward: true,
                    ..Preset::Eea.into()
                },
            ),
        ];
        assert_eq!(std::collections::BTreeSet::from(hashes).len(), hashes.len());
        assert_eq!(hash(0, Preset::Eea.into()), hash(0, Preset::Eea.into()));
    }

    #[test]
    fn equal_sets_are_written_once_and_in_one_way_only() {
        let eea = RoutePolicy::from(Preset::Eea);
        let bytes = codec::encode(&eea);
        assert_eq!(bytes.len(), 40);
        // The same policy with the set of the legal seat written out again.
        let set = codec::encode(&Region::Eea.countries());
        assert_eq!((bytes[0], &bytes[1..32], bytes[32]), (1, &set[..], 2));
        let long = [&bytes[..32], &[1], &set, &bytes[33..]].concat();
        assert_eq!(codec::decode::<RoutePolicy>(&bytes), Ok(eea));
        assert_eq!(
            codec::decode::<RoutePolicy>(&long),
            Err(codec::DecodeError::NotCanonical)
        );
    }

    #[test]
    fn trailing_bytes_and_unknown_values_are_refused() {
        let bytes = codec::encode(&RoutePolicy::from(Preset::Any));
        assert!(codec::decode::<RoutePolicy>(&[&bytes[..], &[0]].concat()).is_err());
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] = 200;
            assert_ne!(
                codec::decode::<RoutePolicy>(&bad),
                codec::decode::<RoutePolicy>(&bytes)
            );
        }
        assert_eq!(
            signed_policy(Preset::Any.into()).policy().hosting,
            CountryRule::Any
        );
    }

    proptest! {
        #[test]
        fn policies_round_trip(policy in any_policy(), sequence: u32) {
            let signed = SignedPolicy::sign(MEETING, sequence, policy, &host());
            let read: SignedPolicy = codec::decode(&codec::encode(&signed)).unwrap();
            prop_assert_eq!(&read, &signed);
            prop_assert!(read.verify(MEETING, host().member_id()).is_ok());
        }

        #[test]
        fn what_decodes_encodes_to_the_same_bytes(policy in any_policy(), at: usize, value: u8) {
            let mut bytes = codec::encode(&policy);
            let at = at % bytes.len();
            bytes[at] = value;
            if let Ok(policy) = codec::decode::<RoutePolicy>(&bytes) {
                prop_assert_eq!(codec::encode(&policy), bytes);
            }
        }
    }
}
