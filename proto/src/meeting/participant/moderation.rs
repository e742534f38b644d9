//! What those in charge ask of members, and what becomes of members who act as if they were in charge.

use super::{Event, Participant};
use crate::{
    ids::MemberId,
    meeting::{operation::RemoveReason, roster_log::InsertError},
    time::Now,
    wire::{control_message::ControlMessage, moderation::Moderation},
};

/// How long each of those in charge waits for the ones before it to put out an equivocator: a message's way and a half
/// within a meeting of 200.
pub(super) const EXPULSION_TURN: std::time::Duration = std::time::Duration::from_secs(2);
/// How long nobody in charge may be out of reach before people are told.
const LEADERLESS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(15);

impl Participant {
    pub(super) fn handle_moderation(&mut self, from: MemberId, request: Moderation) {
        match request {
            Moderation::Mute if self.leads(from) => self.emit(Event::MuteRequested { by: from }),
            Moderation::Mute => self.count_forbidden(from, "asks others to be silent"),
            Moderation::AskToSpeak if self.is_in_charge() => self.emit(Event::AskedToSpeak { member: from }),
            Moderation::AskToSpeak => {}
        }
    }

    /// Asks one member to switch its microphone off.
    pub(super) fn request_mute(&mut self, member: MemberId) {
        self.send_to(None, member, &ControlMessage::Moderation(Moderation::Mute));
    }

    /// Asks everybody who is not in charge.
    pub(super) fn request_mute_of_all(&mut self) {
        let members: Vec<MemberId> = self.log.view().members.keys().copied().collect();
        for member in members {
            if member != self.me && !self.leads(member) {
                self.request_mute(member);
            }
        }
    }

    /// A listener asks those in charge for the word.
    pub(super) fn ask_to_speak(&mut self) {
        self.tell_those_in_charge(&ControlMessage::Moderation(Moderation::AskToSpeak));
    }

    /// Somebody did what is not its to do. It had no effect; it is counted, and told once.
    pub(super) fn count_forbidden(&mut self, from: MemberId, what: &str) {
        let Some(peer) = self.peers.get_mut(&from) else {
            return;
        };
        peer.counters.forbidden += 1;
        if peer.counters.forbidden == 1 {
            let name = self.name_of(from);
            self.fault(
                "forbidden",
                format!("{name} {what}, which is not theirs to do; it had no effect"),
                "those in charge can remove them",
            );
        }
    }

    /// An operation that everybody refuses, from its own author: an honest node makes none.
    pub(super) fn note_refused_operation(&mut self, from: MemberId, author: MemberId, error: InsertError) {
        let guilty = matches!(
            error,
            InsertError::NotAllowed(_)
                | InsertError::NotAMember
                | InsertError::NotTheHost
                | InsertError::Signature
        );
        if from == author && guilty {
            self.count_forbidden(from, "changes the roster");
        }
    }

    /// Two operations with one number prove that `member` deceives: it is out at once, and one of those in charge moves the
    /// meeting to a room that it does not know.
    pub(super) fn handle_equivocation(&mut self, now: Now, member: MemberId) {
        let (name, _) = self.seen.get(&member).cloned().unwrap_or_else(|| {
            let name = member.fingerprint();
            (name, crate::meeting::role::Role::Listener)
        });
        let proof = self.log.equivocations().find(|proof| proof.author == member);
        let proof = proof.map_or_else(String::new, |proof| {
            format!(" ({:?} and {:?})", proof.first.hash(), proof.second.hash())
        });
        self.fault(
            "equivocation",
            format!(
                "{name} told different members different things, and is out: their signatures prove it{proof}"
            ),
            "those in charge renew keys and ticket by themselves",
        );
        if self.is_in_charge() {
            let before = self.people_in_charge().into_iter().filter(|id| *id < self.me);
            let before = before
                .filter(|id| self.leads(*id) && self.is_reachable(*id))
                .count();
            let turn = EXPULSION_TURN * u32::try_from(before).unwrap_or(u32::MAX);
            self.timers
                .set(super::timers::Timer::Expulsion, now.monotonic + turn);
        }
    }

    /// Writes the Remove of each proven equivocator that nobody has removed yet. It rests on both halves of the proof.
    pub(super) fn expel_equivocators(&mut self, now: Now) {
        let roster = self.log.view();
        let left: Vec<MemberId> = roster
            .equivocators
            .iter()
            .filter(|id| roster.removed.get(id).is_some_and(|removal| removal.by.is_none()))
            .copied()
            .collect();
        for member in left {
            if self.is_in_charge() {
                self.remove_member(now, member, RemoveReason::Equivocation);
            }
        }
    }

    /// Whether nobody can let people in any more: people are told, once, and the meeting goes on.
    pub(super) fn watch_leaders(&mut self, now: Now) {
        if !self.is_member() {
            return;
        }
        let roster = self.log.view();
        let exists = roster.has_somebody_in_charge();
        let reached = self.is_in_charge()
            || (exists
                && self
                    .people_in_charge()
                    .into_iter()
                    .any(|id| self.leads(id) && self.is_reachable(id)));
        if reached {
            self.doorway.leaderless = None;
            return;
        }
        let (since, told) = self.doorway.leaderless.unwrap_or((now.monotonic, false));
        let due = !exists || now.monotonic - since >= LEADERLESS_PATIENCE;
        self.doorway.leaderless = Some((since, told || due));
        if due && !told {
            let why = if exists {
                "nobody in charge can be reached"
            } else {
                "nobody is in charge any more"
            };
            self.fault(
                "nobody_in_charge",
                format!(
                    "{why}: the meeting goes on with those who are in, and nobody can be admitted or removed"
                ),
                "agree on a new meeting if others have to come in",
            );
        }
    }
}
