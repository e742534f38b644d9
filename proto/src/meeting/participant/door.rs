//! Answering those who knock: waiting, admitting, refusing.

use super::{Event, Participant, conduits::Conduit};
use crate::{
    ids::MemberId,
    meeting::{
        admission::{Decided, Decision, Knock, KnockOutcome},
        name::Name,
        operation::Op,
        role::Role,
    },
    time::Now,
    wire::control_message::{ControlMessage, Hello},
};

impl Participant {
    /// A greeting from somebody who is not in yet, or who comes back through the lobby.
    pub(super) fn handle_knock(&mut self, now: Now, member: MemberId, conduit: Conduit, hello: &Hello) {
        if self.log.view().members.contains_key(&member) {
            self.admission.forget(&member);
            // Whoever knocked at several doors hears our answer as a greeting once it is in; two members must not
            // welcome each other for ever.
            if !self.was_welcomed(now, conduit) {
                self.welcome(now, member, conduit);
            }
            return;
        }
        if !self.is_in_charge() {
            return;
        }
        let addresses: Vec<_> = hello.addresses.iter().map(|address| (*address).into()).collect();
        let direct = !addresses.is_empty();
        // The message's own bound is the knock's.
        let Ok(knock) = Knock::new(hello.name.clone(), addresses, direct) else {
            return;
        };
        match self.admission.handle_knock(now, member, knock, self.log.view()) {
            KnockOutcome::Waiting { new } => {
                self.send_on(conduit, &ControlMessage::Waiting);
                if new {
                    self.emit(Event::Knock {
                        member,
                        name: hello.name.to_string(),
                    });
                }
            }
            KnockOutcome::Admit => self.let_in(now, member, hello.name.clone()),
            KnockOutcome::AlreadyIn => self.welcome(now, member, conduit),
            KnockOutcome::Refused(reason) => {
                self.send_on(conduit, &ControlMessage::Refused(reason));
            }
        }
    }

    /// Admits somebody who waits.
    pub(super) fn admit(&mut self, now: Now, member: MemberId) {
        match self.admission.decide(&member, Decision::Admit, self.log.view()) {
            Ok(Decided::Admit(knock)) => self.let_in(now, member, knock.name().clone()),
            Ok(_) => {}
            Err(error) => self.fault(
                "not_admitted",
                error.to_string(),
                "`who` lists who is there and who waits",
            ),
        }
    }

    /// Writes the operation, then welcomes the newcomer.
    fn let_in(&mut self, now: Now, member: MemberId, name: Name) {
        if self
            .author(
                now,
                Op::Admit {
                    member,
                    name,
                    role: Role::Speaker,
                },
            )
            .is_some()
        {
            // The newcomer learns of the meeting first: whatever else it is told means nothing to it before.
            for conduit in self.all_conduits(member) {
                self.welcome(now, member, conduit);
            }
            self.settle(now);
        }
    }

    /// Refuses somebody who waits.
    pub(super) fn refuse(&mut self, member: MemberId) {
        match self.admission.decide(&member, Decision::Refuse, self.log.view()) {
            Ok(Decided::Refuse(reason)) => {
                self.send_to(None, member, &ControlMessage::Refused(reason));
            }
            Ok(_) => {}
            Err(error) => self.fault(
                "not_refused",
                error.to_string(),
                "`who` lists who is there and who waits",
            ),
        }
    }
}
