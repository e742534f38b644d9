//! Who may answer the door: a co-host proves to somebody who holds a ticket only that it is in charge.

use super::{
    Participant,
    conduits::{Conduit, fit},
};
use crate::{
    ids::MemberId,
    meeting::operation::{Op, SignedOperation},
    time::Now,
    wire::control_message::{CHARGE_MAX, ControlMessage},
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
        let mut author = self.host;
        for operation in chain {
            let said = operation.operation();
            let Op::Role { member, role } = said.op else {
                return;
            };
            let signed = said.author == author && said.meeting == self.meeting && operation.verify().is_ok();
            if !signed || !role.is_in_charge() {
                return;
            }
            author = member;
        }
        if author == from && self.doorkeepers.len() < DOORKEEPERS_MAX && self.doorkeepers.insert(from) {
            self.knock_on(now, conduit);
        }
    }

    /// Proves to somebody at the door that this co-host may answer; the host needs no proof.
    pub(super) fn show_charge(&mut self, conduit: Conduit) {
        if self.me == self.host || !self.is_in_charge() {
            return;
        }
        let mut chain = Vec::new();
        let mut appointed = self.me;
        while appointed != self.host && chain.len() < CHARGE_MAX {
            let since = self.log.view().members.get(&appointed).map(|m| m.role_since);
            let operation = since.and_then(|since| self.log.operations(&[since]).pop());
            let Some(operation) = operation.filter(|o| matches!(o.operation().op, Op::Role { .. })) else {
                return;
            };
            appointed = operation.author();
            chain.insert(0, operation);
        }
        if appointed == self.host {
            self.send_on(conduit, &ControlMessage::Charge(fit(chain)));
        }
    }
}
