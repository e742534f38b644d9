//! Coming back: the founder with what it kept, and whoever was sent back to the lobby.

use super::{
    Event, Output, Participant, ParticipantConfig,
    lobby::Phase,
    secrets::Secrets,
    timers::{JOIN_PATIENCE, Timer},
};
use crate::{
    ids::{MemberId, OperationHash},
    meeting::{
        kept::KeptRecord,
        operation::RemoveReason,
        passphrase::Record,
        room_secret::{RoomSecret, TicketSecret},
        roster_log::RosterLog,
    },
    random::Random,
    time::Now,
    wire::{control_message::ControlMessage, door_message::DoorMessage, ticket::Ticket},
};

/// Addresses that one run hands out to be kept. Reason: a member could change its own as often as it likes; these are for
/// convenience only.
const KEPT_PEERS_MAX: u16 = 4_096;

/// How long the way to the lobby may take to be told: some repetitions on a bad link.
const BACK_TO_LOBBY_PATIENCE: std::time::Duration = std::time::Duration::from_secs(3);

impl Participant {
    /// The founder comes back to its meeting with what it kept ([`Output::Keep`]), though nobody else may be there. If it
    /// did not keep enough, or is no longer in charge, it joins like anybody else.
    #[must_use]
    pub fn resume(
        now: Now,
        mut config: ParticipantConfig,
        ticket: Ticket,
        kept: Vec<KeptRecord>,
        random: Random,
    ) -> Self {
        let terms = ticket.terms();
        let me = config.identity.member_id();
        let mut log = RosterLog::new(terms.meeting, ticket.host());
        let mut secrets = Secrets::new(TicketSecret::from_bytes(*terms.secret), terms.epoch);
        let (mut peers, mut record, mut rooms) = (Vec::new(), None, Vec::new());
        for entry in kept {
            match entry {
                // What does not fit any more is refused like anybody's.
                KeptRecord::Checkpoint(checkpoint) => drop(log.take_checkpoint(*checkpoint)),
                KeptRecord::Operation(operation) => drop(log.insert(*operation)),
                KeptRecord::RoomSecret { operation, secret } => rooms.push((operation, secret)),
                KeptRecord::Peer(hint) => peers.push(hint),
                KeptRecord::Passphrase(bytes) => record = Record::from_bytes(&bytes),
            }
        }
        let roster = log.view();
        secrets.take_kept(now.monotonic, &roster.room_epochs, rooms);
        let leads = roster.role(&me).is_some_and(|role| role.is_in_charge());
        let epoch = roster.room_epoch().map(|epoch| epoch.operation);
        let complete = epoch.is_some_and(|epoch| secrets.get(&epoch).is_some());
        if me != ticket.host() || !leads || !complete {
            return Self::join(now, config, ticket, random);
        }
        config.relays.extend(ticket.relays(now.unix).flatten());
        let mut participant = Self::assemble(config, ticket, secrets, log, random, now);
        participant.doorway.kept = u32::try_from(participant.log.len()).unwrap_or(u32::MAX);
        participant.doorway.kept_base = participant.checkpoint();
        if let Some(record) = record {
            participant.doorway.gate.set(record);
        }
        participant.phase = Phase::Member;
        for hint in peers {
            if participant.log.view().members.contains_key(&hint.member) && hint.member != me {
                let addresses = hint.addresses.iter().map(|address| (*address).into()).collect();
                participant.peer_mut(now, hint.member).addresses = addresses;
            }
        }
        // Its address may be another one than before.
        if !participant.renew_ticket(now) {
            participant.emit(Event::Ticket(participant.ticket.to_text()));
        }
        participant.dirty.roster();
        participant.settle(now);
        participant
    }

    /// Whether this node keeps the meeting on disk.
    fn keeps(&self) -> bool {
        self.me == self.host && self.is_member()
    }

    /// Hands out what is new in the log, before anybody is told.
    pub(super) fn keep_news(&mut self) {
        if !self.keeps() {
            return;
        }
        if self.doorway.kept_base != self.checkpoint() {
            self.keep_anew();
            return;
        }
        let mut cursor = Some(self.doorway.kept);
        while let Some(from) = cursor {
            let batch = self.log.operations_since(&[], from);
            cursor = batch.next;
            for operation in batch.operations {
                self.outputs
                    .push_back(Output::Keep(KeptRecord::Operation(Box::new(operation))));
            }
        }
        self.doorway.kept = u32::try_from(self.log.len()).unwrap_or(u32::MAX);
    }

    /// The log begins with another checkpoint: hands out everything that is still needed, in place of what was kept.
    fn keep_anew(&mut self) {
        let Some(base) = self.log.checkpoint() else {
            return;
        };
        self.doorway.kept_base = Some(base.operation.hash());
        let mut records = vec![KeptRecord::Checkpoint(Box::new(base.clone()))];
        let mut cursor = Some(1);
        while let Some(from) = cursor {
            let batch = self.log.operations_since(&[], from);
            cursor = batch.next;
            let operations = batch.operations.into_iter().map(Box::new);
            records.extend(operations.map(KeptRecord::Operation));
        }
        records.extend(
            self.secrets
                .to_keep()
                .map(|(operation, secret)| KeptRecord::RoomSecret { operation, secret }),
        );
        self.doorway.kept_peers = 0;
        for member in self.log.view().members.keys().filter(|id| **id != self.me) {
            records.extend(self.peer_hint(*member).map(KeptRecord::Peer));
        }
        let record = self
            .doorway
            .gate
            .record()
            .map(|record| record.to_bytes().to_vec());
        records.extend(
            record
                .and_then(|bytes| bytes.try_into().ok())
                .map(KeptRecord::Passphrase),
        );
        self.doorway.kept = u32::try_from(self.log.len()).unwrap_or(u32::MAX);
        self.outputs.push_back(Output::KeepAnew(records));
    }

    /// Hands out the room secret of an epoch.
    pub(super) fn keep_secret(&mut self, operation: OperationHash) {
        if self.keeps()
            && let Some(secret) = self.secrets.get(&operation)
        {
            let secret = *secret.expose();
            self.outputs
                .push_back(Output::Keep(KeptRecord::RoomSecret { operation, secret }));
        }
    }

    /// Hands out where a member is.
    pub(super) fn keep_peer(&mut self, member: MemberId) {
        if self.keeps()
            && self.doorway.kept_peers < KEPT_PEERS_MAX
            && self.log.view().members.contains_key(&member)
            && let Some(hint) = self.peer_hint(member)
        {
            self.doorway.kept_peers += 1;
            self.outputs.push_back(Output::Keep(KeptRecord::Peer(hint)));
        }
    }

    /// Hands out what the passphrase is checked with.
    pub(super) fn keep_passphrase(&mut self, record: &Record) {
        if self.keeps()
            && let Ok(bytes) = record.to_bytes().to_vec().try_into()
        {
            self.outputs
                .push_back(Output::Keep(KeptRecord::Passphrase(bytes)));
        }
    }

    /// Sends a member back to the lobby: it is removed like anybody who is removed, but knows the lobby of the new epoch.
    pub(super) fn send_back(&mut self, now: Now, member: MemberId) {
        let may = self.log.view().role(&member).is_some_and(|theirs| {
            let act = crate::meeting::role::Act::Remove(theirs);
            self.log.view().role(&self.me).is_some_and(|ours| ours.may(act))
        });
        let secret = RoomSecret::generate(&mut self.random);
        if may {
            let numbers = self.log.view().room_epochs.iter().map(|epoch| epoch.number);
            let message = DoorMessage::BackToLobby {
                epoch: numbers.max().unwrap_or(0) + 1,
                secret: *secret.next_ticket_secret(&self.meeting).expose(),
            };
            self.send_to(Some(now), member, &ControlMessage::Door(message));
        }
        self.remove_with(now, member, RemoveReason::ToLobby, secret);
    }

    /// The Remove came that sends this node back. Where to is told on the link to whoever sent it; another member may have
    /// been faster.
    pub(super) fn begin_going_back(&mut self, now: Now) {
        match self.doorway.back_to.take() {
            Some(lobby) => {
                self.timers.clear(Timer::BackToLobby);
                self.go_back_to_lobby(now, lobby);
            }
            None => self
                .timers
                .set(Timer::BackToLobby, now.monotonic + BACK_TO_LOBBY_PATIENCE),
        }
    }

    /// This member was sent back: it forgets the meeting's keys and knocks.
    pub(super) fn go_back_to_lobby(&mut self, now: Now, (epoch, secret): (u32, [u8; 32])) {
        let links: Vec<_> = self.links.keys().copied().collect();
        for link in links {
            self.outputs.push_back(Output::Close { link });
        }
        self.links.clear();
        self.channels.clear();
        let leaders = self.people_in_charge();
        let gone: Vec<MemberId> = self.peers.keys().copied().collect();
        for member in gone {
            self.outputs.push_back(Output::MediaEnded { member });
            let addresses = self.peers.remove(&member).map(|peer| peer.addresses);
            if leaders.contains(&member) {
                self.peer_mut(now, member).addresses = addresses.unwrap_or_default();
            }
        }
        self.seen.clear();
        self.secrets = Secrets::new(TicketSecret::from_bytes(secret), epoch);
        // Whoever could be left to hear this node's old keys gets nothing under them.
        let heads = self.log.heads();
        let _ =
            self.publisher
                .set_recipients(now.monotonic, &std::collections::BTreeSet::new(), &heads, false);
        self.phase = Phase::Lobby { waiting: false };
        self.doorkeepers = leaders;
        self.doorway.since = now.monotonic;
        self.doorway.asked = false;
        self.timers.set(Timer::Knock, now.monotonic);
        self.timers
            .set(Timer::JoinDeadline, now.monotonic + JOIN_PATIENCE);
        self.emit(Event::SentBack);
        self.accept_keys();
        self.dirty.rooms();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        meeting::participant::fixture::{NOW, admit, config, host, identity, outputs},
        wire::control_message::FORMER_SECRETS_MAX,
    };

    /// A founder that let so many people in and put them out again, and what it kept.
    fn after_removals(count: u8) -> (Participant, Vec<KeptRecord>) {
        let mut founder = host();
        let mut kept = Vec::new();
        for seed in 0..count {
            let guest = identity(100 + seed);
            admit(&mut founder, &guest);
            founder.remove_member(NOW, guest.member_id(), RemoveReason::Unstated);
            for output in outputs(&mut founder) {
                match output {
                    Output::Keep(record) => kept.push(record),
                    Output::KeepAnew(records) => kept = records,
                    _ => {}
                }
            }
        }
        (founder, kept)
    }

    #[test]
    fn the_founder_comes_back_after_any_number_of_removals_with_the_last_secrets() {
        let (before, kept) = after_removals(60);
        let ticket = before.ticket().clone();
        let random = Random::from_seed([9; 32]);
        let after = Participant::resume(NOW, config(1), ticket, kept, random);
        assert!(after.is_member());
        assert_eq!(after.secrets.current_epoch(), before.secrets.current_epoch());
        assert_eq!(after.secrets.former().count(), FORMER_SECRETS_MAX);
    }
}
