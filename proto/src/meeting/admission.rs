//! The admission book: who knocked, who waits, who was refused. Each member in charge keeps its own.

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use bincode::{Decode, Encode, de::Decoder, error::DecodeError};

use super::{name::Name, roster::Roster};
use crate::{
    ids::MemberId,
    time::{Now, Timestamp},
};

/// The most addresses in a knock: two families, a few interfaces, what others see.
pub const KNOCK_ADDRESSES_MAX: usize = 8;
/// How often somebody at the door repeats its knock, so that it counts as still there.
pub const KNOCK_INTERVAL: Duration = Duration::from_secs(10);
/// Who has not knocked for this long is gone: three knocks lost and time to travel.
pub const KNOCK_EXPIRY: Duration = Duration::from_secs(35);
/// The most people who wait at once. Reason: a person reads this list, and a leaked ticket must not fill memory.
pub const WAITING_MAX: usize = 64;
/// So many refusals block an identity for the meeting.
pub const REFUSALS_MAX: u8 = 2;
/// The most identities whose refusals are remembered; then the oldest are forgotten, blocked ones last.
pub const REFUSED_MAX: usize = 1_024;

/// How people get in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum AdmissionMode {
    /// Everybody waits in the lobby until somebody in charge decides.
    Ask,
    /// Whoever holds a ticket is admitted at once; those who were refused or removed still wait.
    Ticket,
}

/// What somebody at the door says.
#[derive(Clone, Debug, PartialEq, Eq, Encode)]
pub struct Knock {
    name: Name,
    addresses: Vec<SocketAddr>,
    direct_ok: bool,
}

/// Why a knock is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KnockError {
    /// More than [`KNOCK_ADDRESSES_MAX`].
    #[error("a knock has at most {KNOCK_ADDRESSES_MAX} addresses")]
    TooManyAddresses,
    /// Addresses of somebody who takes no direct links: they would only tell where it is.
    #[error("who takes no direct links tells no addresses")]
    AddressesWithoutDirect,
}

impl Knock {
    /// The wished name; where the person can be reached directly; whether it takes direct links at all.
    ///
    /// # Errors
    /// [`KnockError`].
    pub fn new(name: Name, addresses: Vec<SocketAddr>, direct_ok: bool) -> Result<Self, KnockError> {
        if addresses.len() > KNOCK_ADDRESSES_MAX {
            return Err(KnockError::TooManyAddresses);
        }
        if !direct_ok && !addresses.is_empty() {
            return Err(KnockError::AddressesWithoutDirect);
        }
        Ok(Self {
            name,
            addresses,
            direct_ok,
        })
    }

    /// The wished name. It proves nothing.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.name
    }

    /// Where the person can be reached directly.
    #[must_use]
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Whether it takes direct links.
    #[must_use]
    pub fn direct_ok(&self) -> bool {
        self.direct_ok
    }
}

impl<C> Decode<C> for Knock {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let name = Name::decode(decoder)?;
        let addresses = Vec::decode(decoder)?;
        let direct_ok = bool::decode(decoder)?;
        Self::new(name, addresses, direct_ok).map_err(|_| DecodeError::Other("not a knock"))
    }
}
bincode::impl_borrow_decode!(Knock);

/// What the door answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KnockOutcome {
    /// It waits. `new` if it was not waiting before, or under another name: show it to the people in charge.
    Waiting {
        /// Not yet shown.
        new: bool,
    },
    /// Write the Admit now, without asking.
    Admit,
    /// It is in: it came back. Send it what members have.
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
    /// Refused [`REFUSALS_MAX`] times: this identity cannot knock again.
    #[error("the host refused twice; this identity cannot knock again")]
    Blocked,
    /// Nobody is admitted now.
    #[error("the meeting is locked")]
    Locked,
    /// [`WAITING_MAX`] people wait.
    #[error("too many people wait at the door; try again later")]
    TooManyWaiting,
    /// Proven to equivocate in this meeting.
    #[error("this identity is excluded from the meeting")]
    Excluded,
    /// The passphrase was wrong.
    #[error("the passphrase is wrong")]
    WrongPassphrase,
    /// Too many wrong passphrases from this identity or address within an hour.
    #[error("too many wrong passphrases; try again in an hour")]
    TooManyGuesses,
    /// Too many wrong passphrases from everywhere: nobody can try until somebody in charge unlocks.
    #[error("too many wrong passphrases were tried; the host has to unlock the door first")]
    PassphraseLocked,
}

/// What somebody in charge decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Let in.
    Admit,
    /// Turn away.
    Refuse,
    /// Keep waiting.
    Wait,
}

/// What follows from a [`Decision`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// Write [`super::operation::Op::Admit`] with this name.
    Admit(Knock),
    /// Tell the person, and close.
    Refuse(RefusalReason),
    /// Nothing.
    Wait,
}

/// Why a decision has no effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecideError {
    /// Nobody of that identity waits (any more).
    #[error("nobody of that identity is waiting")]
    NotWaiting,
    /// Unlock first; the person goes on waiting.
    #[error("the meeting is locked: unlock it first")]
    Locked,
}

/// Somebody at the door.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// What it said last.
    pub knock: Knock,
    /// When it first knocked.
    pub since: Timestamp,
    /// Whether it was removed from this meeting before, or refused: show that beside its name.
    pub returns: bool,
    heard: Timestamp,
    number: u64,
}

#[derive(Debug)]
struct Refusals {
    count: u8,
    number: u64,
}

/// See the module. The caller judges first whether it is in charge at all; the roster judges again.
#[derive(Debug, Default)]
pub struct AdmissionBook {
    waiting: BTreeMap<MemberId, Waiting>,
    refused: BTreeMap<MemberId, Refusals>,
    /// Numbers arrivals and refusals.
    counter: u64,
}

impl AdmissionBook {
    /// An empty book.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Somebody knocked, for the first time or again; `roster` says the mode, the lock, and who is in or out.
    pub fn handle_knock(
        &mut self,
        now: Now,
        member: MemberId,
        knock: Knock,
        roster: &Roster,
    ) -> KnockOutcome {
        if roster.members.contains_key(&member) {
            self.forget(&member);
            return KnockOutcome::AlreadyIn;
        }
        let refusals = self.refused.get(&member).map_or(0, |refusals| refusals.count);
        let reason = if roster.equivocators.contains(&member) {
            Some(RefusalReason::Excluded)
        } else if refusals >= REFUSALS_MAX {
            Some(RefusalReason::Blocked)
        } else if roster.locked {
            Some(RefusalReason::Locked)
        } else {
            None
        };
        if let Some(reason) = reason {
            self.forget(&member);
            return KnockOutcome::Refused(reason);
        }
        let returns = refusals > 0 || roster.removed.contains_key(&member);
        if roster.admission == Some(AdmissionMode::Ticket) && !returns {
            self.forget(&member);
            return KnockOutcome::Admit;
        }
        self.wait(now.monotonic, member, knock, returns)
    }

    fn wait(&mut self, now: Timestamp, member: MemberId, knock: Knock, returns: bool) -> KnockOutcome {
        if let Some(waiting) = self.waiting.get_mut(&member) {
            let new = waiting.knock.name != knock.name;
            (waiting.heard, waiting.returns, waiting.knock) = (now, returns, knock);
            return KnockOutcome::Waiting { new };
        }
        if self.waiting.len() >= WAITING_MAX {
            return KnockOutcome::Refused(RefusalReason::TooManyWaiting);
        }
        self.counter += 1;
        let waiting = Waiting {
            knock,
            since: now,
            returns,
            heard: now,
            number: self.counter,
        };
        self.waiting.insert(member, waiting);
        KnockOutcome::Waiting { new: true }
    }

    /// Somebody in charge decided.
    ///
    /// # Errors
    /// [`DecideError`]: nothing changed.
    pub fn decide(
        &mut self,
        member: &MemberId,
        decision: Decision,
        roster: &Roster,
    ) -> Result<Decided, DecideError> {
        if !self.waiting.contains_key(member) {
            return Err(DecideError::NotWaiting);
        }
        match decision {
            Decision::Wait => Ok(Decided::Wait),
            Decision::Admit if roster.locked => Err(DecideError::Locked),
            Decision::Admit => {
                let waiting = self.waiting.remove(member).ok_or(DecideError::NotWaiting)?;
                Ok(Decided::Admit(waiting.knock))
            }
            Decision::Refuse => {
                self.waiting.remove(member);
                Ok(Decided::Refuse(self.refuse(*member)))
            }
        }
    }

    fn refuse(&mut self, member: MemberId) -> RefusalReason {
        if self.refused.len() >= REFUSED_MAX && !self.refused.contains_key(&member) {
            let oldest = self
                .refused
                .iter()
                .min_by_key(|(_, it)| (it.count >= REFUSALS_MAX, it.number));
            if let Some(oldest) = oldest.map(|(member, _)| *member) {
                self.refused.remove(&oldest);
            }
        }
        self.counter += 1;
        let refusals = self
            .refused
            .entry(member)
            .or_insert(Refusals { count: 0, number: 0 });
        refusals.count = refusals.count.saturating_add(1);
        refusals.number = self.counter;
        if refusals.count >= REFUSALS_MAX {
            RefusalReason::Blocked
        } else {
            RefusalReason::ByHost
        }
    }

    /// Somebody else in charge turned the person away: it counts here as well.
    pub fn note_refusal(&mut self, member: MemberId) {
        self.waiting.remove(&member);
        self.refuse(member);
    }

    /// The person went away, or somebody else admitted it. Refusals stay. Whether it was waiting.
    pub fn forget(&mut self, member: &MemberId) -> bool {
        self.waiting.remove(member).is_some()
    }

    /// Who waits, in the order of arrival.
    pub fn waiting(&self) -> impl Iterator<Item = (MemberId, &Waiting)> {
        let mut waiting: Vec<_> = self
            .waiting
            .iter()
            .map(|(member, waiting)| (*member, waiting))
            .collect();
        waiting.sort_unstable_by_key(|(_, waiting)| waiting.number);
        waiting.into_iter()
    }

    /// When [`AdmissionBook::handle_timeout`] has something to do.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        self.waiting
            .values()
            .map(|waiting| waiting.heard + KNOCK_EXPIRY)
            .min()
    }

    /// Forgets those who no longer knock, and gives them out.
    pub fn handle_timeout(&mut self, now: Now) -> Vec<MemberId> {
        let is_gone = |waiting: &Waiting| waiting.heard + KNOCK_EXPIRY <= now.monotonic;
        let gone = self.waiting.iter().filter(|(_, waiting)| is_gone(waiting));
        let gone: Vec<MemberId> = gone.map(|(member, _)| *member).collect();
        for member in &gone {
            self.waiting.remove(member);
        }
        gone
    }
}

#[cfg(test)]
mod tests;
