//! The admission book: who knocked, who waits, who was refused. Kept by each member in charge, for itself.

use std::net::SocketAddr;

use bincode::{Decode, Encode};

use super::{name::Name, roster::Roster};
use crate::{ids::MemberId, time::Now};

/// How people get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum AdmissionMode {
    /// Everybody waits in the lobby until somebody in charge decides.
    Ask,
    /// Whoever holds a ticket is admitted at once; those who were refused or removed still wait.
    Ticket,
}

/// The most addresses in a knock.
pub const KNOCK_ADDRESSES_MAX: usize = 8;

/// What somebody at the door says.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct Knock {
    /// The wished name.
    pub name: Name,
    /// Where it can be reached directly.
    pub addresses: Vec<SocketAddr>,
    /// Whether it takes direct links at all.
    pub direct_ok: bool,
}

/// What the door answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnockOutcome {
    /// It waits; `new` if it was not waiting before: show it.
    Waiting {
        /// Not yet shown.
        new: bool,
    },
    /// Admit it now, without asking.
    Admit,
    /// It is in: it came back, send it what members have.
    AlreadyIn,
    /// No.
    Refused(RefusalReason),
}

/// Why somebody stays out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode, thiserror::Error)]
pub enum RefusalReason {
    /// Somebody in charge said no.
    #[error("the host refused")]
    ByHost,
    /// Refused twice: this identity cannot knock again.
    #[error("the host refused twice")]
    Blocked,
    /// Nobody is admitted now.
    #[error("the meeting is locked")]
    Locked,
    /// Too many people wait.
    #[error("too many people wait at the door; try again later")]
    TooManyWaiting,
    /// Signed contradicting operations in this meeting.
    #[error("this identity is excluded from the meeting")]
    Excluded,
}

/// What somebody in charge decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let in: the caller then writes [`super::operation::Op::Admit`].
    Admit,
    /// Turn away.
    Refuse,
    /// Keep waiting.
    Wait,
}

/// Nobody of that identity waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody of that identity is waiting")]
pub struct NotWaiting;

/// See the module.
#[derive(Debug, Default)]
pub struct AdmissionBook {}

impl AdmissionBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody knocked; `roster` says the mode, the lock, and who is in or out.
    pub fn handle_knock(
        &mut self,
        now: Now,
        member: MemberId,
        knock: Knock,
        roster: &Roster,
    ) -> KnockOutcome {
        let _ = (now, member, knock, roster);
        todo!()
    }

    /// Somebody in charge decided. Gives the knock back for Admit; for Refuse the reason to tell.
    ///
    /// # Errors
    /// [`NotWaiting`].
    pub fn decide(&mut self, member: &MemberId, decision: Decision) -> Result<Decided, NotWaiting> {
        let _ = (member, decision);
        todo!()
    }

    /// The person went away or was admitted by somebody else.
    pub fn forget(&mut self, member: &MemberId) {
        let _ = member;
        todo!()
    }
}

/// What follows from a [`Decision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Write the Admit with this name.
    Admit(Knock),
    /// Tell the person, and close.
    Refuse(RefusalReason),
    /// Nothing.
    Wait,
}
