//! What follows from a changed roster.

use std::collections::BTreeSet;

use super::{
    Event, LeftReason, MemberState, Output, Participant,
    conduits::fit,
    timers::{SAFETY_CODE_DELAY, SAFETY_CODE_INTERVAL, Timer},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{operation::RemoveReason, roster::RosterChange, safety_code::SafetyCode},
    time::Now,
    wire::control_message::ControlMessage,
};

impl Participant {
    /// Everything that follows from a changed roster.
    pub(super) fn apply_roster(&mut self, now: Now) {
        if !self.is_member() {
            return;
        }
        self.make_voided_again(now);
        let changes = self.log.take_changes();
        let admitted = changes
            .iter()
            .any(|c| matches!(c, RosterChange::Admitted { member, .. } if *member == self.me));
        let joining = admitted && !self.is_readmitted(self.me);
        for change in &changes {
            self.apply_change(now, change);
        }
        if !self.is_member() || self.timers.is_set(Timer::BackToLobby) {
            return;
        }
        self.follow_epoch(now);
        self.renew_ticket(now);
        self.choose_recipients(now);
        self.conversation_follows(now, &changes);
        self.accept_keys();
        self.dirty.rooms();
        if !changes.is_empty() {
            if joining {
                let policy = self.judge.policy().policy().summary();
                self.emit(Event::Joined { policy });
            }
            self.plan_safety_code(now);
        }
    }

    fn apply_change(&mut self, now: Now, change: &RosterChange) {
        match change {
            RosterChange::Admitted { member, .. } | RosterChange::RoleChanged { member, .. } => {
                if self.admission.forget(member) {
                    self.emit(Event::KnockEnded { member: *member });
                }
                self.share_passphrase(*member);
                if self.is_readmitted(*member) {
                    self.end_suspension(*member);
                    return;
                }
                if *member != self.me {
                    self.plan_first_dial(now, *member);
                }
                self.tell_member(*member);
            }
            RosterChange::Removed { member, removal } => {
                if *member == self.me && removal.reason == RemoveReason::ToLobby {
                    self.begin_going_back(now);
                    return;
                }
                self.tell_removed(*member, &removal.operation);
                self.cut_off(*member, MemberState::Removed);
            }
            RosterChange::AdmissionVoid { member } if self.suspend(now, *member) => {}
            RosterChange::AdmissionVoid { member } => self.cut_off(*member, MemberState::Removed),
            RosterChange::Left { member } => self.cut_off(*member, MemberState::Left),
            RosterChange::Equivocated { member } => self.handle_equivocation(now, *member),
            RosterChange::Sharing(in_charge_only) => self.emit(Event::Sharing(*in_charge_only)),
            RosterChange::Reactions { member, allowed } => self.emit(Event::Reactions {
                member: *member,
                allowed: *allowed,
            }),
            RosterChange::Locked(locked) => self.emit(Event::Locked(*locked)),
            _ => {}
        }
    }

    fn tell_member(&mut self, member: MemberId) {
        let Some(entry) = self.log.view().members.get(&member) else {
            return;
        };
        let (name, role) = (entry.name.to_string(), entry.role);
        self.seen.insert(member, (name.clone(), role));
        self.emit(Event::Member {
            member,
            name,
            role,
            state: MemberState::Joined,
        });
    }

    /// Whoever is removed is told, with nothing that it does not know beside it.
    fn tell_removed(&mut self, member: MemberId, operation: &OperationHash) {
        let operations = self.log.operations(&[*operation]);
        if operations.is_empty() {
            // A checkpoint has settled it: nobody has it any more.
            return;
        }
        let message = ControlMessage::Operations(fit(operations));
        for conduit in self.all_conduits(member) {
            self.send_on(conduit, &message);
        }
        // The channels end now; what they hold must be on its way.
        self.flush_channels();
    }

    /// Somebody is out: no link, no key, no sound.
    pub(super) fn cut_off(&mut self, member: MemberId, state: MemberState) {
        if member == self.me {
            let reason = if state == MemberState::Left {
                LeftReason::Left
            } else {
                LeftReason::Removed
            };
            self.leave_with(reason);
            return;
        }
        self.close_links(member);
        self.channels.retain(|_, channel| channel.peer() != Some(member));
        self.peers.remove(&member);
        self.forget_forwarding(member);
        self.outputs.push_back(Output::MediaEnded { member });
        let (name, role) = self
            .seen
            .remove(&member)
            .unwrap_or_else(|| (member.fingerprint(), crate::meeting::role::Role::Listener));
        self.emit(Event::Member {
            member,
            name,
            role,
            state,
        });
    }

    fn plan_safety_code(&mut self, now: Now) {
        let spaced = self.safety_code_at.map(|at| at + SAFETY_CODE_INTERVAL);
        let soon = now.monotonic + SAFETY_CODE_DELAY;
        let at = spaced.map_or(soon, |at| at.max(soon));
        self.timers.set_if_unset(Timer::SafetyCode, at);
    }

    /// Tells people the safety code of the present roster.
    pub(super) fn tell_safety_code(&mut self, now: Now) {
        if !self.is_member() {
            return;
        }
        self.safety_code_at = Some(now.monotonic);
        let members: BTreeSet<MemberId> = self.log.view().members.keys().copied().collect();
        let code = SafetyCode::new(&self.meeting, &self.judge.policy().hash(), &members);
        self.emit(Event::SafetyCode {
            code,
            members: members.len(),
        });
    }
}
