//! What a client asks for: parsing, rates, envelopes.

use crate::{
    ids::{Alias, RoomId},
    relay::{limits::ENVELOPE_BACKLOG_MAX, machine::Relay, session::SessionId},
    time::Now,
    wire::{
        framing,
        relay_message::{EnvelopeBytes, Refusable, RefusalCode, RelayNotice, RelayRequest},
    },
};

impl Relay {
    /// One control frame's content from a client. Each request is served or answered by a typed refusal.
    pub fn handle_request(&mut self, now: Now, id: SessionId, frame: &[u8]) {
        let Some(session) = self.session(id).filter(|s| s.closing.is_none()) else {
            return;
        };
        let allowed = session.requests.take(now.monotonic, 1);
        let Ok(request) = RelayRequest::decode(frame) else {
            self.refuse(
                id,
                Refusable::Request,
                RefusalCode::Malformed,
                "not a request of this version",
            );
            return;
        };
        if !allowed {
            let detail = format!("at most {} requests per second", self.limits.requests_per_second);
            self.refuse(id, subject(&request), RefusalCode::RequestRate, &detail);
            return;
        }
        match request {
            RelayRequest::Join { room, alias, token } => {
                self.join_room(now, id, room, alias, token.as_ref());
            }
            RelayRequest::Leave { room } => self.leave_room(id, room),
            RelayRequest::Announce { room, track } => self.announce(id, room, track),
            RelayRequest::Withdraw { room, track } => self.withdraw(id, room, track),
            RelayRequest::Subscribe { room, track } => self.subscribe(id, room, track),
            RelayRequest::Unsubscribe { room, track } => self.unsubscribe(id, room, track),
            RelayRequest::Envelope { room, to, bytes } => self.envelope(now, id, room, to, bytes),
            RelayRequest::Ping { nonce } => self.notify(id, &RelayNotice::Pong { nonce }),
        }
    }

    fn envelope(&mut self, now: Now, id: SessionId, room: RoomId, to: Alias, bytes: EnvelopeBytes) {
        let what = Refusable::Envelope(room, to);
        let Some(from) = self.session_ref(id).and_then(|s| s.rooms.get(&room).copied()) else {
            return self.refuse(id, what, RefusalCode::NotJoined, "join the room first");
        };
        let size = bytes.len() as u64;
        let Some(session) = self.session(id) else { return };
        let within =
            session.envelopes.allows(now.monotonic, 1) && session.envelope_bytes.take(now.monotonic, size);
        if !within || !session.envelopes.take(now.monotonic, 1) {
            let detail = format!(
                "at most {} envelopes and {} bytes of them per second",
                self.limits.envelopes_per_second, self.limits.envelope_bytes_per_second
            );
            return self.refuse(id, what, RefusalCode::RequestRate, &detail);
        }
        if self.month_is_used_up() {
            return self.refuse(
                id,
                what,
                RefusalCode::MonthlyTraffic,
                "the month's traffic is used up",
            );
        }
        let recipients = self
            .room_by_id
            .get(&room)
            .and_then(|&index| self.rooms[index].members.get(&to))
            .cloned()
            .unwrap_or_default();
        if recipients.is_empty() {
            return self.refuse(
                id,
                what,
                RefusalCode::NobodyThere,
                "nobody is there under that alias",
            );
        }
        let frame = framing::frame(&RelayNotice::Envelope { room, from, bytes }.encode());
        let mut delivered = false;
        for recipient in recipients {
            let open = self.session_ref(recipient).is_some_and(|s| {
                s.closing.is_none() && s.control_bytes + frame.len() <= ENVELOPE_BACKLOG_MAX
            });
            if open {
                delivered = true;
                self.stats.envelopes_forwarded += 1;
                self.stats.forward_bytes(size);
                self.notify_framed(recipient, frame.clone());
            }
        }
        if !delivered {
            self.refuse(
                id,
                what,
                RefusalCode::RecipientBusy,
                "the recipient does not keep up",
            );
        }
    }
}

/// What a refusal of `request` names.
fn subject(request: &RelayRequest) -> Refusable {
    match *request {
        RelayRequest::Join { room, .. } => Refusable::Join(room),
        RelayRequest::Announce { room, track } => Refusable::Announce(room, track),
        RelayRequest::Subscribe { room, track } => Refusable::Subscribe(room, track),
        RelayRequest::Envelope { room, to, .. } => Refusable::Envelope(room, to),
        RelayRequest::Leave { room }
        | RelayRequest::Withdraw { room, .. }
        | RelayRequest::Unsubscribe { room, .. } => Refusable::Room(room),
        RelayRequest::Ping { .. } => Refusable::Request,
    }
}
