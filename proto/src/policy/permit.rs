//! Permits: the only proof that a path may carry a meeting's media.

use super::{
    evidence::EvidenceLevel, route_policy::DiscoveryRule, signed_descriptor::VerifiedDescriptor,
    signed_policy::VerifiedPolicy,
};
use crate::{
    ids::{PolicyHash, RelayId},
    time::UnixSeconds,
};

/// A kind of path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Route {
    /// Straight between two members.
    Direct,
    /// Through a relay.
    Relay(RelayId),
    /// Through a member who forwards.
    Member,
}

/// That a path may carry the meeting's media, under one policy, for a while. Only [`RouteJudge`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permit {
    route: Route,
    policy: PolicyHash,
    evidence: EvidenceLevel,
    until: UnixSeconds,
}

impl Permit {
    /// Whether it still holds at `now` under the policy `policy`. To be asked at each send.
    #[must_use]
    pub fn is_valid(&self, now: UnixSeconds, policy: PolicyHash) -> bool {
        now < self.until && policy == self.policy
    }

    /// The path.
    #[must_use]
    pub fn route(&self) -> Route {
        self.route
    }

    /// The policy that it was given under.
    #[must_use]
    pub fn policy(&self) -> PolicyHash {
        self.policy
    }

    /// What supports the relay's statement. `Declared` for paths without a relay.
    #[must_use]
    pub fn evidence(&self) -> EvidenceLevel {
        self.evidence
    }

    /// The first second at which it no longer holds.
    #[must_use]
    pub fn until(&self) -> UnixSeconds {
        self.until
    }
}

/// Which clause of the policy refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Clause {
    /// Where the relay is hosted.
    Hosting,
}

impl Clause {
    /// The stable name, in snake case, for logs, events and scripts.
    #[must_use]
    pub const fn name(self) -> &'static str {
        "hosting"
    }
}

/// A refusal. Displays as `refused relay X: hosted US, the policy allows EEA`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("refused {what}: {reason}")]
pub struct Refusal {
    /// What was refused, e.g. `relay ABCD-EFGH-IJKL-MNOP`.
    pub what: String,
    /// The relay, if it was one.
    pub relay: Option<RelayId>,
    /// Which clause refused it.
    pub clause: Clause,
    /// Why, for people.
    pub reason: String,
}

/// Holds paths against one policy.
#[derive(Clone, Debug)]
pub struct RouteJudge {
    policy: VerifiedPolicy,
}

impl RouteJudge {
    /// A judge under `policy`.
    #[must_use]
    pub fn new(policy: VerifiedPolicy) -> Self {
        Self { policy }
    }

    /// The policy that it holds paths against.
    #[must_use]
    pub fn policy(&self) -> &VerifiedPolicy {
        &self.policy
    }

    /// Whether the relay may be dialled and used.
    ///
    /// # Errors
    /// [`Refusal`] with the first clause that is against it.
    pub fn permit(&self, descriptor: &VerifiedDescriptor, now: UnixSeconds) -> Result<Permit, Refusal> {
        let _ = (descriptor, now);
        todo!()
    }

    /// Whether media may go straight to another member.
    ///
    /// # Errors
    /// [`Refusal`] if the policy expired.
    pub fn direct(&self, now: UnixSeconds) -> Result<Permit, Refusal> {
        let _ = now;
        todo!()
    }

    /// Whether media may go through a member who forwards.
    ///
    /// # Errors
    /// [`Refusal`] if the policy says no or expired.
    pub fn member_forwarding(&self, now: UnixSeconds) -> Result<Permit, Refusal> {
        let _ = now;
        todo!()
    }

    /// Whether a discovery service of this reach may be used.
    ///
    /// # Errors
    /// [`Refusal`] if the policy says no or expired.
    pub fn discovery(&self, service: DiscoveryRule, now: UnixSeconds) -> Result<(), Refusal> {
        let _ = (service, now);
        todo!()
    }
}
