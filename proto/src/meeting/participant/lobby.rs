//! Where a node stands: at the door, in, or out.

use std::collections::BTreeSet;

use super::{Participant, timers::Timer};
use crate::ids::MemberId;

/// Where this node stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// At the door.
    Lobby {
        /// The host said that it has to decide.
        waiting: bool,
    },
    /// In.
    Member,
    /// Out for good.
    Left,
}

impl Participant {
    /// Whether this node needs the lobby's rooms: it knocks, or it answers those who do.
    pub(super) fn uses_lobby(&self) -> bool {
        match self.phase {
            Phase::Lobby { .. } => true,
            // The first keys come through the lobby, while the way to the members' room is long.
            Phase::Member => {
                self.timers.is_set(Timer::Lobby) || self.is_in_charge() || self.misses_doorkeeper()
            }
            Phase::Left => false,
        }
    }

    /// Whether somebody whom the ticket names is in the roster and cannot be reached: it may be at its own door, having
    /// lost its log.
    fn misses_doorkeeper(&self) -> bool {
        let named = [self.host, self.ticket.issuer()];
        let mut others = named.iter().filter(|id| **id != self.me);
        others.any(|id| self.log.view().members.contains_key(id) && !self.is_reachable(*id))
    }

    /// Whether this node's role lets it admit.
    pub(super) fn is_in_charge(&self) -> bool {
        self.log
            .view()
            .members
            .get(&self.me)
            .is_some_and(|member| member.role.is_in_charge())
    }

    /// Those whom people at the door look for: whoever the ticket names, and whoever is in charge by the roster.
    pub(super) fn people_in_charge(&self) -> BTreeSet<MemberId> {
        let roster = self.log.view();
        let members = roster
            .members
            .iter()
            .filter(|(_, member)| member.role.is_in_charge());
        members
            .map(|(id, _)| *id)
            .chain([self.host, self.ticket.issuer()])
            .filter(|id| *id != self.me)
            .collect()
    }
}
