//! The secrets that this member holds: the ticket's, and those of the room's epochs.

use std::collections::BTreeMap;

use super::{
    Participant,
    former_secrets::{FormerSecrets, Whereabouts},
    timers::{FORMER_ROOMS_LINGER, ROOM_SECRET_INTERVAL, ROOM_SECRET_PATIENCE, Timer},
};
use crate::{
    ids::{MeetingId, MemberId, OperationHash},
    meeting::{
        operation::{Op, RemoveReason},
        room_secret::{RoomSecret, TicketSecret},
        roster::RoomEpoch,
    },
    noise::Psk,
    time::{Now, Timestamp},
    wire::{
        bounded::{BoundedText, BoundedVec},
        control_message::{ControlMessage, FORMER_SECRETS_MAX, FormerSecret, RoomSecretGrant},
        ticket::Ticket,
    },
};

/// Secrets kept for epochs that the roster does not name at the moment. Reason: a secret may arrive before its operation;
/// more than a few concurrent removals are an attack.
const SECRETS_MAX: usize = 32;

/// See the module.
pub(super) struct Secrets {
    /// Opens the lobby.
    pub(super) ticket: TicketSecret,
    pub(super) ticket_epoch: u32,
    /// Whatever was granted, by the operation that began the epoch.
    granted: BTreeMap<OperationHash, RoomSecret>,
    /// The epoch in use.
    current: Option<Epoch>,
    /// A ticket that may take the place of ours once its room secret is in use.
    pub(super) newer_ticket: Option<Ticket>,
    /// Those before, while somebody may need them.
    former: FormerSecrets,
}

/// A room secret in use.
struct Epoch {
    /// Where it began.
    operation: OperationHash,
    secret: RoomSecret,
    since: Timestamp,
}

impl Secrets {
    pub(super) fn new(ticket: TicketSecret, ticket_epoch: u32) -> Self {
        Self {
            ticket,
            ticket_epoch,
            granted: BTreeMap::new(),
            current: None,
            newer_ticket: None,
            former: FormerSecrets::default(),
        }
    }

    /// The secret in use.
    pub(super) fn current(&self) -> Option<&RoomSecret> {
        self.current.as_ref().map(|epoch| &epoch.secret)
    }

    /// The operation that began the epoch in use.
    pub(super) fn current_epoch(&self) -> Option<OperationHash> {
        self.current.as_ref().map(|epoch| epoch.operation)
    }

    /// The secrets in use before that somebody may need.
    pub(super) fn former(&self) -> impl Iterator<Item = &RoomSecret> {
        self.former.iter()
    }

    /// As [`Self::former`], for somebody who comes in.
    pub(super) fn former_to_wire(&self) -> BoundedVec<FormerSecret, FORMER_SECRETS_MAX> {
        self.former.to_wire()
    }

    /// Keeps a secret of before that was not in use here.
    pub(super) fn keep_former(&mut self, now: Timestamp, operation: OperationHash, secret: RoomSecret) {
        if self.current_epoch() != Some(operation) {
            self.former.take_back(operation);
            self.former.keep(now, operation, secret, now);
        }
    }

    /// Keeps a secret for when the roster names its epoch.
    pub(super) fn grant(&mut self, operation: OperationHash, secret: RoomSecret) {
        if self.granted.len() < SECRETS_MAX || self.granted.contains_key(&operation) {
            self.granted.insert(operation, secret);
        }
    }

    /// What the founder keeps on disk, those of before first.
    pub(super) fn to_keep(&self) -> impl Iterator<Item = (OperationHash, [u8; 32])> + '_ {
        let former = self.former.to_wire().into_inner().into_iter();
        let former = former.map(|former| (former.operation, former.secret));
        let granted = self.granted.iter();
        former.chain(granted.map(|(operation, secret)| (*operation, *secret.expose())))
    }

    /// Takes what the founder kept, oldest first: those of the epochs that the roster names, and the last of before, which
    /// members beyond a partition may use.
    pub(super) fn take_kept(
        &mut self,
        now: Timestamp,
        named: &[RoomEpoch],
        kept: Vec<(OperationHash, [u8; 32])>,
    ) {
        let is_named = |operation: &OperationHash| named.iter().any(|epoch| epoch.operation == *operation);
        let (present, before): (Vec<_>, Vec<_>) =
            kept.into_iter().partition(|(operation, _)| is_named(operation));
        for (operation, secret) in present {
            self.grant(operation, RoomSecret::from_bytes(secret));
        }
        for (operation, secret) in before.into_iter().rev().take(FORMER_SECRETS_MAX).rev() {
            self.keep_former(now, operation, RoomSecret::from_bytes(secret));
        }
    }

    /// Whether the secret of an epoch is here, in use, of before, or to come.
    pub(super) fn holds(&self, operation: &OperationHash) -> bool {
        self.granted.contains_key(operation)
            || self.current_epoch() == Some(*operation)
            || self.former.holds(operation)
    }

    pub(super) fn get(&self, operation: &OperationHash) -> Option<&RoomSecret> {
        self.granted.get(operation)
    }

    /// Takes the epoch that the roster names, if its secret is here and is the one that the operation commits to.
    /// Returns whether the epoch in use changed.
    fn adopt(&mut self, now: Timestamp, meeting: &MeetingId, epoch: &RoomEpoch, named: &[RoomEpoch]) -> bool {
        if self.current_epoch() == Some(epoch.operation) {
            return false;
        }
        let Some(secret) = self.granted.get(&epoch.operation) else {
            return false;
        };
        if secret.commitment(meeting) != epoch.commitment {
            self.granted.remove(&epoch.operation);
            return false;
        }
        let secret = secret.clone();
        if epoch.number > 0 {
            self.ticket = secret.next_ticket_secret(meeting);
            self.ticket_epoch = epoch.number;
        }
        let next = Epoch {
            operation: epoch.operation,
            secret,
            since: now,
        };
        self.former.take_back(epoch.operation);
        if let Some(former) = self.current.replace(next) {
            self.former
                .keep(now, former.operation, former.secret, former.since);
        }
        self.granted
            .retain(|operation, _| named.iter().any(|epoch| epoch.operation == *operation));
        true
    }

    /// The key of links and channels to the lobby.
    pub(super) fn lobby_psk(&self, meeting: &MeetingId) -> Psk {
        Psk(*self.ticket.lobby_psk(meeting, self.ticket_epoch))
    }

    /// The keys between members before, while they are still needed.
    pub(super) fn former_psks(&self, meeting: &MeetingId) -> impl Iterator<Item = Psk> {
        self.former().map(|secret| Psk(*secret.member_psk(meeting)))
    }

    /// The key of links and channels between members.
    pub(super) fn member_psk(&self, meeting: &MeetingId) -> Option<Psk> {
        self.current().map(|secret| Psk(*secret.member_psk(meeting)))
    }
}

impl Participant {
    /// After the roster or the granted secrets changed: moves to the epoch that the roster names, or asks for its secret.
    pub(super) fn follow_epoch(&mut self, now: Now) {
        let roster = self.log.view();
        let Some(epoch) = roster.room_epoch().cloned() else {
            return;
        };
        let named = roster.room_epochs.clone();
        if self.secrets.adopt(now.monotonic, &self.meeting, &epoch, &named) {
            self.forget_former_secrets(now);
            self.dirty.rooms();
            self.accept_keys();
            self.dial_with_new_key(now);
            self.broadcast(&ControlMessage::Moved(epoch.operation));
            self.adopt_ticket();
            self.renew_ticket(now);
        } else if self.secrets.current_epoch() != Some(epoch.operation) && self.is_member() {
            // It mostly follows the operation at once; if it does not, whoever has it may soon leave the former rooms.
            self.timers
                .set_if_unset(Timer::RoomSecret, now.monotonic + ROOM_SECRET_PATIENCE);
        }
    }

    /// This node came in while others cannot be reached by those who were in: it may reach them, with what they use.
    pub(super) fn take_former_secrets(&mut self, now: Now, former: &[FormerSecret]) {
        for FormerSecret { operation, secret } in former {
            let secret = RoomSecret::from_bytes(*secret);
            self.secrets.keep_former(now.monotonic, *operation, secret);
        }
        self.forget_former_secrets(now);
    }

    /// Leaves the rooms of secrets that nobody needs any more.
    pub(super) fn leave_former_rooms(&mut self, now: Now) {
        if self.forget_former_secrets(now) {
            self.dirty.rooms();
            self.accept_keys();
        }
    }

    /// Forgets former room secrets that nobody in the roster needs, and looks again later. Returns whether any went.
    fn forget_former_secrets(&mut self, now: Now) -> bool {
        let current = self.secrets.current_epoch();
        let others = self.log.view().members.keys().filter(|id| **id != self.me);
        let places = others.map(|id| {
            self.peers
                .get(id)
                .map_or_else(Whereabouts::default, |peer| peer.place)
        });
        let behind = places.filter(|place| place.epoch() != current);
        let behind: Vec<Whereabouts> = behind.collect();
        let forgot = self.secrets.former.forget_unneeded(now.monotonic, &behind);
        if !self.secrets.former.is_empty() {
            self.timers
                .set(Timer::FormerRooms, now.monotonic + FORMER_ROOMS_LINGER);
        }
        forgot
    }

    /// The secret of the present epoch never came: ask everybody who can be reached.
    pub(super) fn ask_for_room_secret(&mut self, now: Now) {
        let Some(epoch) = self.log.view().room_epoch().map(|epoch| epoch.operation) else {
            return;
        };
        if self.secrets.current_epoch() == Some(epoch) {
            return;
        }
        self.timers
            .set(Timer::RoomSecret, now.monotonic + ROOM_SECRET_INTERVAL);
        self.broadcast(&ControlMessage::WantRoomSecret(epoch));
    }

    /// What a member needs to be in the present epoch.
    pub(super) fn grant_of(&self, operation: &OperationHash) -> Option<RoomSecretGrant> {
        let secret = self.secrets.get(operation)?;
        Some(RoomSecretGrant {
            operation: *operation,
            secret: *secret.expose(),
            ticket: BoundedText::exact(&self.ticket.to_text()),
        })
    }

    /// Gives everybody the room secret of an epoch, and the ticket.
    pub(super) fn tell_room_secret(&mut self, operation: &OperationHash) {
        if let Some(grant) = self.grant_of(operation) {
            self.broadcast(&ControlMessage::RoomSecret(grant));
        }
    }

    /// Takes a secret that another member granted.
    pub(super) fn handle_grant(&mut self, now: Now, grant: &RoomSecretGrant) {
        self.secrets
            .grant(grant.operation, RoomSecret::from_bytes(grant.secret));
        self.keep_secret(grant.operation);
        if let Some(ticket) = &grant.ticket {
            self.handle_ticket(now, ticket);
        }
        self.follow_epoch(now);
    }

    /// Writes a Remove that moves the meeting to a fresh room secret, and grants it to those who remain.
    pub(super) fn remove_member(&mut self, now: Now, member: MemberId, reason: RemoveReason) {
        let secret = RoomSecret::generate(&mut self.random);
        self.remove_with(now, member, reason, secret);
    }

    /// As [`Self::remove_member`], with this room secret.
    pub(super) fn remove_with(
        &mut self,
        now: Now,
        member: MemberId,
        reason: RemoveReason,
        secret: RoomSecret,
    ) {
        let op = Op::Remove {
            member,
            reason,
            room_secret: secret.commitment(&self.meeting),
        };
        let Some(operation) = self.author(now, op) else {
            return;
        };
        self.secrets.grant(operation, secret);
        self.keep_secret(operation);
        // Keys turn and the peer is cut off while the roster is applied; then those who remain get the secret, unless it
        // went with the ticket.
        let ticket_epoch = self.ticket.terms().epoch;
        self.settle(now);
        if self.ticket.terms().epoch == ticket_epoch {
            self.tell_room_secret(&operation);
        }
    }
}
