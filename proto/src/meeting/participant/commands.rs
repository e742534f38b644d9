//! What people ask for.

use super::{Command, Event, LeftReason, Output, Participant, lobby::Phase};
use crate::{
    ids::MemberId,
    meeting::{
        operation::{Op, RemoveReason},
        role::{Act, Role},
    },
    time::Now,
    wire::door_message::RefusalWords,
};

impl Participant {
    /// Does what a person asks, or says in an event why not.
    pub fn handle_command(&mut self, now: Now, command: Command) {
        match (command, self.phase) {
            (_, Phase::Left) => {}
            (Command::Leave, _) => self.leave(now),
            (Command::Passphrase(passphrase), Phase::Lobby { .. }) => self.say_passphrase(now, passphrase),
            (_, Phase::Lobby { .. }) => self.emit(Event::Refused {
                what: "command",
                clause: "lobby".to_owned(),
                reason: "not done: this node is not in the meeting yet".to_owned(),
            }),
            (Command::Admit(member), _) => {
                if self.may(Act::Admit(Role::Speaker)) {
                    self.admit(now, member);
                }
            }
            (Command::Refuse(member), _) => {
                self.turn_away(member, RefusalWords::default());
            }
            (Command::RefuseBecause(member, words), _) => self.turn_away(member, words),
            (Command::Remove(member), _) => self.remove_member(now, member, RemoveReason::Unstated),
            (Command::SendBack(member), _) => self.send_back(now, member),
            (Command::Conversation(command), _) => self.converse(now, command),
            (command, _) => self.moderate(now, command),
        }
        self.settle(now);
    }

    fn turn_away(&mut self, member: MemberId, words: RefusalWords) {
        if self.may(Act::Admit(Role::Speaker)) {
            self.refuse(member, words);
        }
    }

    fn moderate(&mut self, now: Now, command: Command) {
        match command {
            Command::AdmitAll(members) if self.may(Act::Admit(Role::Speaker)) => {
                self.admit_all(now, &members);
            }
            Command::Lock(false) if self.is_in_charge() && self.unlock_passphrase() => {
                let locked = self.log.view().locked;
                if locked {
                    self.author(now, Op::Lock { locked: false });
                }
            }
            Command::Lock(locked) => {
                self.author(now, Op::Lock { locked });
            }
            Command::Role(member, role) => {
                self.author(now, Op::Role { member, role });
            }
            Command::Sharing(in_charge_only) => {
                self.author(now, Op::Sharing { in_charge_only });
            }
            Command::Reactions(member, allowed) => {
                self.author(now, Op::Reactions { member, allowed });
            }
            Command::OfferCode if self.may(Act::Admit(Role::Speaker)) => self.offer_code(now),
            Command::RequestMute(member) if self.may(Act::Lock) => self.request_mute(member),
            Command::RequestMuteOfAll if self.may(Act::Lock) => self.request_mute_of_all(),
            Command::AskToSpeak => self.ask_to_speak(),
            // The others are `handle_command`'s, or mean nothing to somebody who is in.
            _ => {}
        }
    }

    /// Whether our role allows it; if not, says so. (Whatever is written into the log is judged there as well.)
    fn may(&mut self, act: Act) -> bool {
        let role = self.log.view().members.get(&self.me).map(|member| member.role);
        let may = role.is_some_and(|role| role.may(act));
        if !may {
            let reason = match role {
                Some(role) => format!("not done: a {role} may not do that; ask the host or a co-host"),
                None => "not done: this node is not in the meeting".to_owned(),
            };
            self.emit(Event::Refused {
                what: "command",
                clause: "role".to_owned(),
                reason,
            });
        }
        may
    }

    /// Whether this member may publish audio at present: it is in, and its role allows it.
    #[must_use]
    pub fn may_speak(&self) -> bool {
        self.is_member() && self.speaks(self.me)
    }

    /// Whether `member` may publish audio.
    pub(super) fn speaks(&self, member: MemberId) -> bool {
        self.log
            .view()
            .members
            .get(&member)
            .is_some_and(|member| member.role.may_speak())
    }

    /// Says goodbye.
    fn leave(&mut self, now: Now) {
        // Whoever is the last one in tells nobody; the founder can come back to what it kept.
        if self.is_member() && self.log.view().members.len() > 1 {
            self.author(now, Op::Leave);
            // Members behind relays should hear of it too.
            self.pump_relays(now);
        }
        self.leave_with(LeftReason::Left);
    }

    /// The end, for whatever reason.
    pub(super) fn leave_with(&mut self, reason: LeftReason) {
        if self.phase == Phase::Left {
            return;
        }
        self.phase = Phase::Left;
        let links: Vec<_> = self
            .links
            .keys()
            .chain(self.relay_links.keys())
            .copied()
            .collect();
        for link in links {
            self.outputs.push_back(Output::Close { link });
        }
        self.links.clear();
        self.relay_links.clear();
        // Nothing of the meeting can be decrypted from here on.
        self.channels.clear();
        self.peers.clear();
        self.outputs.push_back(Output::Accept { keys: Vec::new() });
        self.emit(Event::Left(reason));
    }
}
