//! Roles, and the table of who may do what (`proto/spec/roster.md`).

use bincode::{Decode, Encode};

/// What a member may do. The order is the order of power; members of equal power do not rule each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Role {
    /// Hears.
    Listener,
    /// Hears and speaks on an interpretation track. Reserved: today it counts as a speaker.
    Interpreter,
    /// Hears and speaks.
    Speaker,
    /// A speaker who also admits, removes, locks, and makes listeners of speakers and back.
    CoHost,
    /// Everything. There is at most one; it can hand over.
    Host,
}

/// What somebody wants to do in the roster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Let somebody in, as `Role`.
    Admit(Role),
    /// Remove somebody who is now `Role`.
    Remove(Role),
    /// Remove somebody whose equivocation is proven, whatever its role was.
    RemoveEquivocator,
    /// Turn somebody from the first role into the second.
    ChangeRole(Role, Role),
    /// Lock or unlock.
    Lock,
    /// Say who may share.
    Sharing,
    /// Take or give back the reactions of somebody who is now `Role`.
    Reactions(Role),
    /// Put another policy in force.
    ChangePolicy,
    /// State what the log comes to.
    Checkpoint,
    /// Go.
    Leave,
}

impl Role {
    /// Every role, weakest first.
    pub const ALL: [Self; 5] = [
        Self::Listener,
        Self::Interpreter,
        Self::Speaker,
        Self::CoHost,
        Self::Host,
    ];

    /// Whether a newcomer may be admitted with this role. Power is only ever given by [`Act::ChangeRole`], which
    /// keeps it in the host's hand.
    #[must_use]
    pub fn is_admissible(self) -> bool {
        self < Self::CoHost
    }

    /// Whether this role publishes audio.
    #[must_use]
    pub fn may_speak(self) -> bool {
        self != Self::Listener
    }

    /// Whether this role decides about others.
    #[must_use]
    pub fn is_in_charge(self) -> bool {
        self >= Self::CoHost
    }

    /// The table: whether a member of this role may do `act` (to another member).
    #[must_use]
    pub fn may(self, act: Act) -> bool {
        match act {
            Act::Leave => true,
            Act::Admit(role) => self.is_in_charge() && role.is_admissible(),
            Act::Remove(target) | Act::Reactions(target) => self.is_in_charge() && target < self,
            Act::RemoveEquivocator | Act::Lock | Act::Sharing => self.is_in_charge(),
            Act::ChangeRole(from, to) => match self {
                Self::Host => from != to,
                Self::CoHost => from != to && from < Self::CoHost && to < Self::CoHost,
                _ => false,
            },
            Act::ChangePolicy | Act::Checkpoint => self == Self::Host,
        }
    }

    /// The word for people and for the headless interface.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::Interpreter => "interpreter",
            Self::Speaker => "speaker",
            Self::CoHost => "co-host",
            Self::Host => "host",
        }
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A word that names no role.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a role is one of host, co-host, speaker, interpreter, listener")]
pub struct UnknownRole;

impl std::str::FromStr for Role {
    type Err = UnknownRole;
    fn from_str(word: &str) -> Result<Self, UnknownRole> {
        Self::ALL
            .into_iter()
            .find(|role| role.as_str() == word)
            .ok_or(UnknownRole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The table of `proto/spec/roster.md`, written out: one row for each act, the roles that may do it.
    #[test]
    fn the_table_is_the_one_in_the_specification() {
        use Role::*;
        let rows: &[(Act, &[Role])] = &[
            (Act::Leave, &[Listener, Interpreter, Speaker, CoHost, Host]),
            (Act::Lock, &[CoHost, Host]),
            (Act::ChangePolicy, &[Host]),
            (Act::Sharing, &[CoHost, Host]),
            (Act::Reactions(Speaker), &[CoHost, Host]),
            (Act::Reactions(CoHost), &[Host]),
            (Act::Reactions(Host), &[]),
            (Act::RemoveEquivocator, &[CoHost, Host]),
            (Act::Admit(Listener), &[CoHost, Host]),
            (Act::Admit(Interpreter), &[CoHost, Host]),
            (Act::Admit(Speaker), &[CoHost, Host]),
            (Act::Admit(CoHost), &[]),
            (Act::Admit(Host), &[]),
            (Act::Remove(Listener), &[CoHost, Host]),
            (Act::Remove(Speaker), &[CoHost, Host]),
            (Act::Remove(CoHost), &[Host]),
            (Act::Remove(Host), &[]),
            (Act::ChangeRole(Speaker, Listener), &[CoHost, Host]),
            (Act::ChangeRole(Listener, Speaker), &[CoHost, Host]),
            (Act::ChangeRole(Listener, Listener), &[]),
            (Act::ChangeRole(Speaker, CoHost), &[Host]),
            (Act::ChangeRole(CoHost, Listener), &[Host]),
            (Act::ChangeRole(CoHost, Host), &[Host]),
            (Act::ChangeRole(Listener, Host), &[Host]),
        ];
        for (act, may) in rows {
            for role in Role::ALL {
                assert_eq!(role.may(*act), may.contains(&role), "{role} {act:?}");
            }
        }
    }

    #[test]
    fn words_round_trip() {
        for role in Role::ALL {
            assert_eq!(role.as_str().parse(), Ok(role));
        }
        assert_eq!("admin".parse::<Role>(), Err(UnknownRole));
    }
}
