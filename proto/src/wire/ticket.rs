//! The ticket: the one line that a person passes on so that others find a meeting.

use std::net::SocketAddr;

use zeroize::Zeroizing;

use crate::{
    identity::Identity,
    ids::{MeetingId, MemberId},
    policy::{
        SignedPolicy, VerifiedPolicy,
        signed_descriptor::{DescriptorError, SignedDescriptor, VerifiedDescriptor},
    },
    time::UnixSeconds,
};

/// Most addresses of the host in a ticket.
pub const ADDRESSES_MAX: usize = 8;
/// Most relay descriptors in a ticket.
pub const RELAYS_MAX: usize = 2;

/// How a meeting lets people in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, bincode::Encode, bincode::Decode)]
pub enum AdmissionMode {
    /// A host or co-host is asked about each one.
    Ask,
    /// Whoever holds the ticket comes in.
    Ticket,
}

/// What a ticket says.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketTerms {
    /// The meeting.
    pub meeting: MeetingId,
    /// The secret that the keys of the lobby derive from.
    pub secret: Zeroizing<[u8; 32]>,
    /// Rises when the ticket is renewed.
    pub epoch: u32,
    /// See [`AdmissionMode`].
    pub admission: AdmissionMode,
    /// The meeting's policy, whole: a joiner judges relays before it dials one.
    pub policy: SignedPolicy,
    /// Where the host may be reached: at most [`ADDRESSES_MAX`].
    pub addresses: Vec<SocketAddr>,
    /// Relays where the host may be reached: at most [`RELAYS_MAX`].
    pub relays: Vec<SignedDescriptor>,
    /// The first second at which the ticket no longer holds.
    pub expires: UnixSeconds,
}

/// A ticket whose form and host's signature have been checked.
#[derive(Clone)]
pub struct Ticket {
    terms: TicketTerms,
    policy: VerifiedPolicy,
}

/// Why text is not a ticket that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Placeholder.
    #[error("not a ticket")]
    NotATicket,
}

impl Ticket {
    /// Signs `terms` as the host.
    ///
    /// # Errors
    /// [`TicketError`] if a bound does not hold or the policy is not the host's for this meeting.
    pub fn issue(terms: TicketTerms, host: &Identity) -> Result<Self, TicketError> {
        let _ = (terms, host);
        todo!()
    }

    /// One line: `subrosa:` and base64url with a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        todo!()
    }

    /// Reads and verifies [`Self::to_text`].
    ///
    /// # Errors
    /// [`TicketError`], one variant for each thing that people do to tickets.
    pub fn parse(text: &str, now: UnixSeconds) -> Result<Self, TicketError> {
        let _ = (text, now);
        todo!()
    }

    /// What it says.
    #[must_use]
    pub fn terms(&self) -> &TicketTerms {
        &self.terms
    }

    /// The host, whose identity is pinned by the ticket.
    #[must_use]
    pub fn host(&self) -> MemberId {
        todo!()
    }

    /// The meeting's policy, verified.
    #[must_use]
    pub fn policy(&self) -> &VerifiedPolicy {
        &self.policy
    }

    /// Its relay descriptors, each verified at `now`.
    #[must_use]
    pub fn relays(&self, now: UnixSeconds) -> Vec<Result<VerifiedDescriptor, DescriptorError>> {
        let _ = now;
        todo!()
    }
}
