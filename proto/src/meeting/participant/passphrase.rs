//! The passphrase at the door: asked for, said, checked.

use super::{
    Event, Participant,
    conduits::{Conduit, fit},
    doorway::Guess,
    lobby::Phase,
    timers::{Timer, WAITING_PATIENCE},
};
use crate::{
    ids::MemberId,
    meeting::{
        admission::RefusalReason,
        passphrase::{Passphrase, Proving},
    },
    time::Now,
    wire::{
        control_message::ControlMessage,
        door_message::{DoorMessage, RefusalWords},
    },
};

/// An exchange takes a round trip and some tens of milliseconds; after so long it may begin again.
const GUESS_PATIENCE: std::time::Duration = std::time::Duration::from_secs(5);

impl Participant {
    // --- the guest ----------------------------------------------------------------------------------------------

    /// A person said the passphrase.
    pub(super) fn say_passphrase(&mut self, now: Now, passphrase: Passphrase) {
        self.doorway.passphrase = Some(passphrase);
        self.doorway.asked = false;
        self.doorway.guess = None;
        self.knock_again(now);
    }

    pub(super) fn handle_passphrase_wanted(&mut self, now: Now, door: MemberId, conduit: Conduit) {
        let under_way = self
            .doorway
            .guess
            .as_ref()
            .is_some_and(|guess| now.monotonic - guess.since < GUESS_PATIENCE);
        if under_way {
            return;
        }
        self.found_somebody();
        let Some(passphrase) = self.doorway.passphrase.clone() else {
            self.ask_for_passphrase(false);
            return;
        };
        // Without a binding the answer might be somebody else's: nothing is said.
        let Some(context) = self.exchange_context(conduit, self.me, door) else {
            return;
        };
        let (proving, start) = Proving::start(passphrase, &mut self.random);
        self.doorway.guess = Some(Guess {
            door,
            proving,
            context,
            since: now.monotonic,
        });
        self.send_on(
            conduit,
            &ControlMessage::Door(DoorMessage::PassphraseStart(fit(start))),
        );
    }

    pub(super) fn handle_passphrase_answer(
        &mut self,
        now: Now,
        from: MemberId,
        conduit: Conduit,
        answer: &[u8],
    ) {
        let Some(guess) = self.doorway.guess.take_if(|guess| guess.door == from) else {
            return;
        };
        match guess.proving.finish(answer, &guess.context, &mut self.random) {
            Ok((proof, _)) => {
                let proof = DoorMessage::PassphraseProof(fit(proof));
                self.send_on(conduit, &ControlMessage::Door(proof));
                // From here on it is somebody's decision again; people are told when that is known.
                self.phase = Phase::Lobby { waiting: false };
                self.timers
                    .set(Timer::JoinDeadline, now.monotonic + WAITING_PATIENCE);
                self.knock_on(now, conduit);
                // One exchange at a time: the others in charge have asked in vain meanwhile.
                self.knock_again(now);
            }
            Err(_) => {
                self.doorway.passphrase = None;
                self.ask_for_passphrase(true);
            }
        }
    }

    /// Somebody answers: it is for a person to act now, however long that takes.
    fn found_somebody(&mut self) {
        self.phase = Phase::Lobby { waiting: true };
        self.timers.clear(Timer::JoinDeadline);
    }

    fn ask_for_passphrase(&mut self, wrong: bool) {
        if !std::mem::replace(&mut self.doorway.asked, true) || wrong {
            self.emit(Event::PassphraseWanted { wrong });
        }
    }

    // --- the door -----------------------------------------------------------------------------------------------

    /// Whether somebody who knocks has to say the passphrase first; asks for it.
    pub(super) fn wants_passphrase(&mut self, now: Now, member: MemberId, conduit: Conduit) -> bool {
        if !self.doorway.gate.wants(&member) {
            return false;
        }
        let address = self.address_of(conduit);
        match self.doorway.gate.may_try(now.monotonic, member, address) {
            Ok(()) => {
                self.send_on(conduit, &ControlMessage::Door(DoorMessage::PassphraseWanted));
            }
            Err(reason) => self.refuse_on(conduit, reason),
        }
        true
    }

    pub(super) fn handle_passphrase_start(
        &mut self,
        now: Now,
        member: MemberId,
        conduit: Conduit,
        start: &[u8],
    ) {
        let Some(context) = self.exchange_context(conduit, member, self.me) else {
            return;
        };
        if !self.doorway.gate.wants(&member) {
            return;
        }
        let (address, was_locked) = (self.address_of(conduit), self.doorway.gate.is_locked());
        let answered =
            self.doorway
                .gate
                .start(now.monotonic, member, address, (start, context), &mut self.random);
        match answered {
            Ok(answer) => {
                let answer = DoorMessage::PassphraseAnswer(fit(answer));
                self.send_on(conduit, &ControlMessage::Door(answer));
            }
            Err(reason) => self.refuse_on(conduit, reason),
        }
        if self.doorway.gate.is_locked() && !was_locked {
            self.fault(
                "passphrase_locked",
                "thirty wrong passphrases were tried: nobody else may try".to_owned(),
                "unlock lets people try again; a new meeting has a new ticket",
            );
        }
    }

    pub(super) fn handle_passphrase_proof(&mut self, member: MemberId, conduit: Conduit, proof: &[u8]) {
        if let Err(reason) = self.doorway.gate.finish(member, proof) {
            self.refuse_on(conduit, reason);
        }
    }

    fn refuse_on(&mut self, conduit: Conduit, reason: RefusalReason) {
        let refused = DoorMessage::Refused(reason, RefusalWords::default());
        self.send_on(conduit, &ControlMessage::Door(refused));
    }

    /// Gives somebody in charge what it needs to check the passphrase.
    pub(super) fn share_passphrase(&mut self, member: MemberId) {
        let shares = self.is_in_charge() && self.leads(member) && member != self.me;
        let Some(record) = self.doorway.gate.record().filter(|_| shares) else {
            return;
        };
        let record = DoorMessage::PassphraseRecord(fit(record.to_bytes().to_vec()));
        self.send_to(None, member, &ControlMessage::Door(record));
    }

    /// Lets people try again after too many wrong guesses; whether that was necessary.
    pub(super) fn unlock_passphrase(&mut self) -> bool {
        let was_locked = self.doorway.gate.is_locked();
        if was_locked {
            self.doorway.gate.unlock();
            self.tell_those_in_charge(&ControlMessage::Door(DoorMessage::PassphraseUnlocked));
        }
        was_locked
    }

    /// Tells everybody else in charge.
    pub(super) fn tell_those_in_charge(&mut self, message: &ControlMessage) {
        for member in self.people_in_charge() {
            if self.leads(member) {
                self.send_to(None, member, message);
            }
        }
    }
}
