//! The ticket: the one line that a person passes on so that others find a meeting (`proto/spec/ticket.md`).
//!
//! A ticket is not admission. It carries no name: the host's identity is in it, names are told inside the meeting only.

use std::{fmt, net::SocketAddr};

use bincode::{Decode, Encode};
use zeroize::Zeroizing;

use super::{
    armor::{self, ArmorError, Damage},
    bounded::BoundedVec,
    codec,
};
use crate::{
    identity::{self, Identity, Signature},
    ids::{MeetingId, MemberId},
    meeting::{
        admission::AdmissionMode,
        charge::{CHARGE_MAX, proven_by},
        operation::SignedOperation,
    },
    policy::{
        RoutePolicy, SignedPolicy, VerifiedPolicy,
        descriptor::first_bad_address,
        signed_descriptor::{DescriptorError, SignedDescriptor, VerifiedDescriptor},
        signed_policy::PolicyError,
    },
    time::UnixSeconds,
};

/// Most addresses of the host in a ticket. Reason: all are dialled at once.
pub const ADDRESSES_MAX: usize = 8;
/// Most relay descriptors in a ticket. Reason: each makes the line about 275 characters longer.
pub const RELAYS_MAX: usize = 2;
/// What a ticket begins with.
pub const TEXT_PREFIX: &str = "subrosa:";
/// The version of the format.
pub const VERSION: u8 = 1;
/// The domain of the issuer's signature.
const DOMAIN: &str = "subrosa-ticket-v1";

/// What a ticket says.
#[derive(Clone, PartialEq, Eq)]
pub struct TicketTerms {
    /// The meeting.
    pub meeting: MeetingId,
    /// The secret that the keys of the lobby derive from.
    pub secret: Zeroizing<[u8; 32]>,
    /// Rises when somebody is removed, with the secret.
    pub epoch: u32,
    /// Rises when the ticket is issued anew in one epoch.
    pub renewal: u32,
    /// See [`AdmissionMode`]. A hint for the joiner's screen; the host's node decides.
    pub admission: AdmissionMode,
    /// The meeting's policy, whole: a joiner judges relays before it dials one.
    pub policy: SignedPolicy,
    /// Where the issuer may be reached: at most [`ADDRESSES_MAX`], each once, ports not zero.
    pub addresses: Vec<SocketAddr>,
    /// Relays where those in charge may be reached: at most [`RELAYS_MAX`]. They expire before the ticket does.
    pub relays: Vec<SignedDescriptor>,
    /// The first second at which the ticket no longer holds.
    pub expires: UnixSeconds,
}

impl fmt::Debug for TicketTerms {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TicketTerms")
            .field("meeting", &self.meeting)
            .field("epoch", &self.epoch)
            .field("renewal", &self.renewal)
            .field("addresses", &self.addresses.len())
            .field("relays", &self.relays.len())
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A ticket whose form and signatures have been checked. Only [`Ticket::issue`], [`Ticket::renew`] and [`Ticket::parse`] make
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    terms: TicketTerms,
    policy: VerifiedPolicy,
    /// The appointments that lead from the host to the issuer; none if the host issued it.
    charge: BoundedVec<SignedOperation, CHARGE_MAX>,
    issuer: MemberId,
    signature: Signature,
}

/// The signed part on the wire. The policy's meeting and author are the ticket's own, so they are written once.
#[derive(Clone, Encode, Decode)]
struct Body {
    meeting: MeetingId,
    secret: [u8; 32],
    epoch: u32,
    renewal: u32,
    host: MemberId,
    charge: BoundedVec<SignedOperation, CHARGE_MAX>,
    admission: AdmissionMode,
    policy_sequence: u32,
    policy: RoutePolicy,
    policy_signature: Signature,
    addresses: Vec<SocketAddr>,
    relays: Vec<SignedDescriptor>,
    expires: UnixSeconds,
}

impl Drop for Body {
    fn drop(&mut self) {
        zeroize::Zeroize::zeroize(&mut self.secret);
    }
}

/// Why text is not a ticket that can be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketError {
    /// Other text.
    #[error("this is not a ticket")]
    NotATicket,
    /// A relay's descriptor.
    #[error("this is a relay's descriptor, not a ticket")]
    RelayDescriptor,
    /// It was a ticket before something happened to it on its way.
    #[error("the ticket is damaged: {0}")]
    Damaged(Damage),
    /// Made by another version of Subrosa.
    #[error("the ticket has version {found}, this program reads version {VERSION}")]
    OtherVersion {
        /// Its version.
        found: u8,
    },
    /// Undamaged, yet its content breaks the format.
    #[error("the ticket is malformed")]
    Malformed,
    /// Neither the host that it names signed it, nor somebody whom that host put in charge.
    #[error("the ticket is forged: nobody who is in charge of the meeting signed it")]
    Forged,
    /// Its policy is not the host's for this meeting.
    #[error("the ticket's policy is not valid: {0}")]
    Policy(#[from] PolicyError),
    /// Its time is over.
    #[error("the ticket expired at {at}")]
    Expired {
        /// The first second at which it no longer held.
        at: UnixSeconds,
    },
    /// The meeting's policy is not the one that the user asked for.
    #[error("the meeting's policy is \"{ticket}\", you asked for \"{asked}\"")]
    OtherPolicy {
        /// Summary of the ticket's policy.
        ticket: String,
        /// Summary of the user's.
        asked: String,
    },
}

impl TicketError {
    /// The stable name, in snake case, for logs, events and scripts.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::NotATicket => "not_a_ticket",
            Self::RelayDescriptor => "relay_descriptor",
            Self::Damaged(_) => "ticket_damaged",
            Self::OtherVersion { .. } => "ticket_other_version",
            Self::Malformed => "ticket_malformed",
            Self::Forged => "ticket_forged",
            Self::Policy(_) => "ticket_policy_invalid",
            Self::Expired { .. } => "ticket_expired",
            Self::OtherPolicy { .. } => "ticket_other_policy",
        }
    }

    /// What to do about it, for people.
    #[must_use]
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NotATicket => "a ticket is one line that begins with `subrosa:`; copy all of it",
            Self::RelayDescriptor => "give it with --relay; ask the host for the meeting's ticket",
            Self::Damaged(Damage::CutShort { .. }) => "copy the whole line, from `subrosa:` to its end",
            Self::Damaged(Damage::Appended { .. }) => "remove what follows the ticket",
            Self::Damaged(Damage::Character { .. }) => {
                "a program replaced a character on the way; have it sent as a file or as plain text"
            }
            Self::Damaged(Damage::Changed { lower_case: true }) => {
                "capital and small letters differ in a ticket; copy it from where it was made"
            }
            Self::Damaged(Damage::Changed { .. }) => "copy it again from where it was made; do not type it",
            Self::OtherVersion { found } if *found > VERSION => "update Subrosa",
            Self::OtherVersion { .. } => "ask the host to update Subrosa and to send a new ticket",
            Self::Malformed => "ask the host for a new ticket, and report this: it should not happen",
            Self::Forged | Self::Policy(_) => "do not use it; ask the host for the ticket on another way",
            Self::Expired { .. } => {
                "ask the host for a new ticket; if it is new, check this computer's clock"
            }
            Self::OtherPolicy { .. } => {
                "join without --policy to accept the meeting's policy, or ask the host to change it"
            }
        }
    }
}

/// Why a ticket cannot be made of these terms.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TicketTermsError {
    /// More than [`ADDRESSES_MAX`] addresses.
    #[error("a ticket holds at most {ADDRESSES_MAX} addresses, not {0}")]
    TooManyAddresses(usize),
    /// An address that nobody can dial, or one that is there twice.
    #[error("the address {0} cannot be dialled from elsewhere or is there twice")]
    Address(SocketAddr),
    /// More than [`RELAYS_MAX`] relays.
    #[error("a ticket holds at most {RELAYS_MAX} relays, not {0}")]
    TooManyRelays(usize),
    /// The one who issues it is not proven to be in charge by a chain of at most [`CHARGE_MAX`] appointments.
    #[error("nothing of at most {CHARGE_MAX} steps proves that the host put the issuer in charge")]
    NotInCharge,
    /// Longer than a reader takes.
    #[error("a ticket has at most {max} characters, this one would have {0}", max = armor::TEXT_CHARS_MAX)]
    TooLong(usize),
    /// Neither an address nor a relay.
    #[error("a ticket without an address and without a relay leads nowhere")]
    LeadsNowhere,
    /// The policy is not the host's for this meeting.
    #[error(transparent)]
    Policy(#[from] PolicyError),
}

impl Ticket {
    /// Signs `terms` as the host.
    ///
    /// # Errors
    /// [`TicketTermsError`] if a bound does not hold or the policy is not `host`'s for this meeting.
    pub fn issue(terms: TicketTerms, host: &Identity) -> Result<Self, TicketTermsError> {
        Self::renew(terms, host.member_id(), Vec::new(), host)
    }

    /// Signs `terms` as `issuer`, whom the appointments in `charge` prove to be in charge of `host`'s meeting.
    ///
    /// # Errors
    /// [`TicketTermsError`] if a bound does not hold, the policy is not `host`'s for this meeting, or `charge` does not
    /// prove what it should.
    pub fn renew(
        terms: TicketTerms,
        host: MemberId,
        charge: Vec<SignedOperation>,
        issuer: &Identity,
    ) -> Result<Self, TicketTermsError> {
        check_bounds(&terms.addresses, &terms.relays)?;
        if terms.addresses.is_empty() && terms.relays.is_empty() {
            return Err(TicketTermsError::LeadsNowhere);
        }
        if proven_by(&charge, terms.meeting, host) != Some(issuer.member_id()) {
            return Err(TicketTermsError::NotInCharge);
        }
        let charge = BoundedVec::try_from(charge).map_err(|_| TicketTermsError::NotInCharge)?;
        let policy = terms.policy.clone().verify(terms.meeting, host)?;
        let body = Zeroizing::new(codec::encode(&body_of(&terms, host, charge.clone())));
        let signature = issuer.sign(DOMAIN, &body);
        let ticket = Self {
            terms,
            policy,
            charge,
            issuer: issuer.member_id(),
            signature,
        };
        match ticket.to_text().len() {
            0..=armor::TEXT_CHARS_MAX => Ok(ticket),
            characters => Err(TicketTermsError::TooLong(characters)),
        }
    }

    /// One line: `subrosa:` and base64url with a checksum.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut payload = Zeroizing::new(codec::encode(&body_of(
            &self.terms,
            self.host(),
            self.charge.clone(),
        )));
        payload.extend_from_slice(&self.signature.0);
        armor::write(TEXT_PREFIX, VERSION, &payload)
    }

    /// Reads and verifies [`Self::to_text`], forgiving spaces, line breaks and quotes.
    ///
    /// # Errors
    /// [`TicketError`], one variant for each thing that people do to tickets.
    pub fn parse(text: &str, now: UnixSeconds) -> Result<Self, TicketError> {
        let (version, payload) = armor::read(TEXT_PREFIX, text).map_err(|error| match error {
            ArmorError::Damaged(damage) => TicketError::Damaged(damage),
            ArmorError::OtherText => match SignedDescriptor::from_text(text) {
                Err(DescriptorError::NotADescriptor) => TicketError::NotATicket,
                _ => TicketError::RelayDescriptor,
            },
        })?;
        if version != VERSION {
            return Err(TicketError::OtherVersion { found: version });
        }
        let (bytes, signature) = payload.split_last_chunk::<64>().ok_or(TicketError::Malformed)?;
        let body: Body = codec::decode(bytes).map_err(|_| TicketError::Malformed)?;
        check_bounds(&body.addresses, &body.relays).map_err(|_| TicketError::Malformed)?;
        let signature = Signature(*signature);
        let issuer = proven_by(&body.charge, body.meeting, body.host).ok_or(TicketError::Forged)?;
        identity::verify(&issuer.0, DOMAIN, bytes, &signature).map_err(|_| TicketError::Forged)?;
        let terms = terms_of(&body);
        let policy = terms.policy.clone().verify(body.meeting, body.host)?;
        if terms.expires <= now {
            return Err(TicketError::Expired { at: terms.expires });
        }
        Ok(Self {
            terms,
            policy,
            charge: body.charge.clone(),
            issuer,
            signature,
        })
    }

    /// What it says.
    #[must_use]
    pub fn terms(&self) -> &TicketTerms {
        &self.terms
    }

    /// The host that founded the meeting, whose identity is pinned by the ticket.
    #[must_use]
    pub fn host(&self) -> MemberId {
        self.policy.author()
    }

    /// Who issued it and answers at its addresses: the host, or somebody whom the host put in charge.
    #[must_use]
    pub fn issuer(&self) -> MemberId {
        self.issuer
    }

    /// Whether it takes the place of `other`: the same host's for the same meeting, and newer.
    #[must_use]
    pub fn supersedes(&self, other: &Self) -> bool {
        let age = |ticket: &Self| (ticket.terms.epoch, ticket.terms.renewal);
        self.host() == other.host() && self.terms.meeting == other.terms.meeting && age(self) > age(other)
    }

    /// The meeting's policy, verified.
    #[must_use]
    pub fn policy(&self) -> &VerifiedPolicy {
        &self.policy
    }

    /// Its relay descriptors, each verified at `now`. A descriptor that expired does not make the ticket useless.
    pub fn relays(
        &self,
        now: UnixSeconds,
    ) -> impl Iterator<Item = Result<VerifiedDescriptor, DescriptorError>> + '_ {
        self.terms
            .relays
            .iter()
            .map(move |relay| relay.clone().verify(now))
    }

    /// Compares with the policy that the user asks for, if they ask for one.
    ///
    /// # Errors
    /// [`TicketError::OtherPolicy`] if the two differ in anything but their expiry.
    pub fn expect_policy(&self, asked: &RoutePolicy) -> Result<(), TicketError> {
        let of_ticket = self.policy.policy();
        let same = RoutePolicy {
            expires: of_ticket.expires,
            ..asked.clone()
        } == *of_ticket;
        if same {
            return Ok(());
        }
        Err(TicketError::OtherPolicy {
            ticket: of_ticket.summary(),
            asked: asked.summary(),
        })
    }
}

fn check_bounds(addresses: &[SocketAddr], relays: &[SignedDescriptor]) -> Result<(), TicketTermsError> {
    if addresses.len() > ADDRESSES_MAX {
        return Err(TicketTermsError::TooManyAddresses(addresses.len()));
    }
    if let Some(bad) = first_bad_address(addresses) {
        return Err(TicketTermsError::Address(bad));
    }
    if relays.len() > RELAYS_MAX {
        return Err(TicketTermsError::TooManyRelays(relays.len()));
    }
    Ok(())
}

fn body_of(terms: &TicketTerms, host: MemberId, charge: BoundedVec<SignedOperation, CHARGE_MAX>) -> Body {
    let (policy_sequence, policy, policy_signature) = terms.policy.parts();
    Body {
        meeting: terms.meeting,
        secret: *terms.secret,
        epoch: terms.epoch,
        renewal: terms.renewal,
        host,
        charge,
        admission: terms.admission,
        policy_sequence,
        policy: policy.clone(),
        policy_signature: *policy_signature,
        addresses: terms.addresses.clone(),
        relays: terms.relays.clone(),
        expires: terms.expires,
    }
}

fn terms_of(body: &Body) -> TicketTerms {
    TicketTerms {
        meeting: body.meeting,
        secret: Zeroizing::new(body.secret),
        epoch: body.epoch,
        renewal: body.renewal,
        admission: body.admission,
        policy: SignedPolicy::from_parts(
            body.meeting,
            body.host,
            body.policy_sequence,
            body.policy.clone(),
            body.policy_signature,
        ),
        addresses: body.addresses.clone(),
        relays: body.relays.clone(),
        expires: body.expires,
    }
}

#[cfg(test)]
mod tests;
