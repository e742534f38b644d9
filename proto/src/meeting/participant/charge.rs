//! Who may answer the door: a co-host proves to somebody who holds a ticket only that it is in charge.

use super::{
    Participant,
    conduits::{Conduit, fit},
};
use crate::{
    ids::MemberId,
    meeting::{charge::proven_by, operation::SignedOperation},
    time::Now,
    wire::control_message::ControlMessage,
};

/// Co-hosts to whom a node at the door knocks. Reason: more do not read the list.
const DOORKEEPERS_MAX: usize = 16;

impl Participant {
    /// A co-host proves that it may answer the door: a chain of appointments from the ticket's host to it.
    pub(super) fn handle_charge(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        chain: &[SignedOperation],
    ) {
        let proven = proven_by(chain, self.meeting, self.host) == Some(from);
        if proven && self.doorkeepers.len() < DOORKEEPERS_MAX && self.doorkeepers.insert(from) {
            self.knock_on(now, conduit);
        }
    }

    /// Proves to somebody at the door that this co-host may answer; the host needs no proof.
    pub(super) fn show_charge(&mut self, conduit: Conduit) {
        if self.me == self.host || !self.is_in_charge() {
            return;
        }
        if let Some(chain) = self.log.charge_of(self.me) {
            self.send_on(conduit, &ControlMessage::Charge(fit(chain)));
        }
    }
}
