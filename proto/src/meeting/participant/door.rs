//! Answering those who knock: waiting, admitting, refusing.

use std::collections::BTreeSet;

use super::{Event, Participant, RoutePath, conduits::Conduit};
use crate::{
    ids::MemberId,
    meeting::{
        admission::{Decided, Decision, Knock, KnockOutcome},
        name::Name,
        operation::Op,
        role::Role,
    },
    mesh::route::Path,
    time::Now,
    wire::{
        control_message::{ControlMessage, Hello},
        door_message::{DoorMessage, RefusalWords},
    },
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
        if self.wants_passphrase(now, member, conduit) {
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
                    self.tell_knock(member, conduit, hello);
                }
            }
            KnockOutcome::Admit => self.let_in(now, member, hello.name.clone()),
            KnockOutcome::AlreadyIn => self.welcome(now, member, conduit),
            KnockOutcome::Refused(reason) => {
                self.send_on(conduit, &ControlMessage::Refused(reason));
            }
        }
    }

    fn tell_knock(&mut self, member: MemberId, conduit: Conduit, hello: &Hello) {
        let via = match conduit {
            Conduit::Link(_) => Some(RoutePath::Direct),
            Conduit::Channel(key) => self.describe(Path::Relay(key.relay)),
            Conduit::Through(through) => self.describe(Path::Member(through.via)),
        };
        let returns = self
            .admission
            .waiting()
            .any(|(id, waiting)| id == member && waiting.returns);
        self.emit(Event::Knock {
            member,
            name: hello.name.to_string(),
            via,
            returns,
        });
    }

    /// Admits those of `members` who wait, in the order of arrival.
    pub(super) fn admit_all(&mut self, now: Now, members: &BTreeSet<MemberId>) {
        let waiting: Vec<MemberId> = self.admission.waiting().map(|(id, _)| id).collect();
        for member in waiting.into_iter().filter(|id| members.contains(id)) {
            self.admit(now, member);
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
    pub(super) fn refuse(&mut self, member: MemberId, words: RefusalWords) {
        match self.admission.decide(&member, Decision::Refuse, self.log.view()) {
            Ok(Decided::Refuse(reason)) => {
                let refused = ControlMessage::Door(DoorMessage::Refused(reason, words));
                self.send_to(None, member, &refused);
                self.tell_those_in_charge(&ControlMessage::Door(DoorMessage::TurnedAway(member)));
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
