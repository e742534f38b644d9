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
        if let Some(relay) = session.upstream() {
            return self.handle_upstream_notice(now, id, relay, frame);
        }
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
            RelayRequest::Envelope { room, to, bytes } => {
                let from = self.session_ref(id).and_then(|s| s.alias_in(&room));
                self.envelope(now, id, Refusable::Envelope(room, to), from, (room, to), bytes);
            }
            RelayRequest::Ping { nonce } => self.notify(id, &RelayNotice::Pong { nonce }),
            RelayRequest::JoinThrough {
                relay,
                room,
                alias,
                token,
            } => self.join_through(now, id, &relay, room, alias, token),
            RelayRequest::JoinAs { room, alias, token } => {
                if self.session_ref(id).is_some_and(|s| s.is_downstream()) {
                    return self.join_room(now, id, room, alias, token.as_ref());
                }
                let detail = "this relay takes no other relay's clients";
                self.refuse(id, Refusable::Join(room), RefusalCode::NotCascaded, detail);
            }
            RelayRequest::EnvelopeFrom {
                room,
                from,
                to,
                bytes,
            } => {
                let session = self.session_ref(id).filter(|s| s.is_downstream());
                let known = session
                    .and_then(|s| s.rooms.get(&room))
                    .is_some_and(|aliases| aliases.contains(&from));
                let what = Refusable::EnvelopeFrom(room, from, to);
                self.envelope(now, id, what, known.then_some(from), (room, to), bytes);
            }
            RelayRequest::LeaveAs { room, alias } => self.leave_as(id, room, alias),
            RelayRequest::State => {
                let (load, time) = (self.load(), now.unix);
                self.notify(id, &RelayNotice::State { load, time });
            }
        }
    }

    fn envelope(
        &mut self,
        now: Now,
        id: SessionId,
        what: Refusable,
        from: Option<Alias>,
        (room, to): (RoomId, Alias),
        bytes: EnvelopeBytes,
    ) {
        let Some(from) = from else {
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
        if let Err(code) = self.deliver_envelope(room, from, to, bytes) {
            let detail = match code {
                RefusalCode::NobodyThere => "nobody is there under that alias",
                _ => "the recipient does not keep up",
            };
            self.refuse(id, what, code, detail);
        }
    }

    /// Hands an envelope to every session under an alias, here or at the relay whose room it is.
    pub(super) fn deliver_envelope(
        &mut self,
        room: RoomId,
        from: Alias,
        to: Alias,
        bytes: EnvelopeBytes,
    ) -> Result<(), RefusalCode> {
        let recipients = self
            .room_by_id
            .get(&room)
            .and_then(|&index| self.rooms[index].members.get(&to))
            .cloned()
            .unwrap_or_default();
        if recipients.is_empty() {
            return self.pass_envelope_on(room, from, to, bytes);
        }
        let mut delivered = false;
        for recipient in recipients {
            let Some(session) = self.session_ref(recipient).filter(|s| s.closing.is_none()) else {
                continue;
            };
            let bytes = bytes.clone();
            let size = bytes.len() as u64;
            let notice = if session.is_downstream() {
                RelayNotice::EnvelopeTo {
                    room,
                    to,
                    from,
                    bytes,
                }
            } else {
                RelayNotice::Envelope { room, from, bytes }
            };
            let frame = framing::frame(&notice.encode());
            if session.control_bytes + frame.len() <= ENVELOPE_BACKLOG_MAX {
                delivered = true;
                self.stats.envelopes_forwarded += 1;
                self.stats.forward_bytes(size);
                self.queue_control(recipient, frame);
            }
        }
        if delivered {
            Ok(())
        } else {
            Err(RefusalCode::RecipientBusy)
        }
    }
}

/// What a refusal of `request` names.
fn subject(request: &RelayRequest) -> Refusable {
    match *request {
        RelayRequest::Join { room, .. }
        | RelayRequest::JoinThrough { room, .. }
        | RelayRequest::JoinAs { room, .. } => Refusable::Join(room),
        RelayRequest::Announce { room, track } => Refusable::Announce(room, track),
        RelayRequest::Subscribe { room, track } => Refusable::Subscribe(room, track),
        RelayRequest::Envelope { room, to, .. } => Refusable::Envelope(room, to),
        RelayRequest::EnvelopeFrom { room, from, to, .. } => Refusable::EnvelopeFrom(room, from, to),
        RelayRequest::Leave { room }
        | RelayRequest::LeaveAs { room, .. }
        | RelayRequest::Withdraw { room, .. }
        | RelayRequest::Unsubscribe { room, .. } => Refusable::Room(room),
        RelayRequest::Ping { .. } | RelayRequest::State => Refusable::Request,
    }
}
