//! What another relay says to this one, its client: passed on to those whom it is about.

use std::collections::BTreeSet;

use crate::{
    ids::{Alias, RelayId, RoomId, TrackAlias},
    relay::{
        machine::{CloseReason, Relay},
        room::Track,
        session::SessionId,
    },
    time::Now,
    wire::relay_message::{PRESENT_MAX, Refusable, RefusalCode, RelayNotice, RelayRequest},
};

impl Relay {
    /// Something from a relay whose client this one is.
    pub(super) fn handle_upstream_notice(&mut self, now: Now, id: SessionId, relay: RelayId, frame: &[u8]) {
        // As much as many clients may ask for; beyond that it would only drown clients here.
        let allowed = self
            .session(id)
            .is_some_and(|session| session.requests.take(now.monotonic, 1));
        if !allowed {
            return self.close(id, CloseReason::Unneeded);
        }
        let Ok(notice) = RelayNotice::decode(frame) else {
            return self.close(id, CloseReason::Malformed);
        };
        let answers = match notice {
            RelayNotice::Pong { nonce } => Some(nonce),
            _ => None,
        };
        self.note_heard(now.monotonic, relay, answers);
        // A relay speaks of its own rooms.
        if let Some(room) = notice.room()
            && self.mirror_mut(room).is_none_or(|mirror| mirror.relay != relay)
        {
            if matches!(notice, RelayNotice::Joined { .. }) {
                self.ask(id, &RelayRequest::Leave { room });
            }
            return;
        }
        match notice {
            RelayNotice::Welcome { descriptor, .. } => self.note_upstream_state(relay, Some(descriptor)),
            RelayNotice::Draining { .. } => self.note_upstream_state(relay, None),
            RelayNotice::Joined { room, present } => self.upstream_joined(id, room, &present),
            RelayNotice::Present { room, alias } => self.remote_came(room, alias),
            RelayNotice::Gone { room, alias } => self.remote_went(room, alias),
            RelayNotice::Subscribe { room, track } => {
                let told = self
                    .upstream_mut(id)
                    .is_some_and(|up| up.told.contains(&(room, track)));
                let listens = self
                    .session_ref(id)
                    .is_some_and(|s| s.subscribed.contains_key(&(room, track)));
                if told && !listens {
                    self.listen(id, room, track);
                }
            }
            RelayNotice::Unsubscribe { room, track } => self.unsubscribe(id, room, track),
            RelayNotice::TrackGone { room, track } => self.remote_track_gone(id, room, track),
            RelayNotice::EnvelopeTo {
                room,
                to,
                from,
                bytes,
            } if self.is_here(room, to) => {
                // A client that does not keep up is told nothing: the sender is another relay's.
                let _ = self.deliver_envelope(room, from, to, bytes);
            }
            RelayNotice::Refused { what, code, detail } => self.upstream_refused(id, what, code, &detail),
            RelayNotice::Redirect { room, .. } => {
                if let Some(&index) = self.room_by_id.get(&room) {
                    self.broadcast(index, id, &notice);
                }
            }
            RelayNotice::EnvelopeTo { .. }
            | RelayNotice::Envelope { .. }
            | RelayNotice::Through { .. }
            | RelayNotice::Observed { .. }
            | RelayNotice::State { .. }
            | RelayNotice::Pong { .. } => {}
        }
    }

    /// The other relay let in the first of those who wait; if it is gone, it leaves again.
    fn upstream_joined(&mut self, upstream: SessionId, room: RoomId, present: &[Alias]) {
        let Some(&index) = self.room_by_id.get(&room) else {
            return;
        };
        let Some((relay, joining)) = self.take_joining(room) else {
            return;
        };
        let local: BTreeSet<Alias> = self.rooms[index].members.keys().copied().collect();
        if let Some(mirror) = &mut self.rooms[index].mirror {
            mirror.remote = present
                .iter()
                .filter(|alias| !local.contains(alias))
                .copied()
                .collect();
            mirror.remote.remove(&joining.alias);
        }
        match joining.session {
            Some(client) => {
                self.tell_client_through(relay, client);
                self.enter(index, client, joining.alias);
            }
            None if !local.contains(&joining.alias) => {
                let alias = joining.alias;
                self.ask(upstream, &RelayRequest::LeaveAs { room, alias });
                self.forget_empty_room(room);
            }
            None => {}
        }
    }

    /// Passes a refusal on to whom it is about.
    fn upstream_refused(&mut self, upstream: SessionId, what: Refusable, code: RefusalCode, detail: &str) {
        match what {
            Refusable::Join(room) => {
                if let Some((_, joining)) = self.take_joining(room)
                    && let Some(client) = joining.session
                {
                    self.refuse(client, what, code, detail);
                }
                self.forget_empty_room(room);
            }
            Refusable::EnvelopeFrom(room, from, to) => {
                if code == RefusalCode::NobodyThere {
                    self.remote_went(room, to);
                }
                for client in self.local_sessions(room, from) {
                    self.refuse(client, Refusable::Envelope(room, to), code, detail);
                }
            }
            Refusable::Announce(room, track) => self.refuse_those(upstream, room, track, what, code, detail),
            Refusable::Subscribe(room, track) => self.refuse_those(upstream, room, track, what, code, detail),
            Refusable::Media(track) => {
                let room = self.session_ref(upstream).and_then(|s| {
                    let mut subscribed = s.subscribed.keys();
                    subscribed
                        .find(|(_, known)| *known == track)
                        .map(|(room, _)| *room)
                });
                if let Some(room) = room {
                    self.refuse_those(upstream, room, track, what, code, detail);
                }
            }
            Refusable::Envelope(..) | Refusable::Room(_) | Refusable::Session | Refusable::Request => {}
        }
    }

    /// Tells those who send a track, or those who want it.
    fn refuse_those(
        &mut self,
        upstream: SessionId,
        room: RoomId,
        track: TrackAlias,
        what: Refusable,
        code: RefusalCode,
        detail: &str,
    ) {
        let Some(track) = self.track_in(room, track) else {
            return;
        };
        let sessions = match what {
            Refusable::Subscribe(..) => &track.listeners,
            _ => &track.announcers,
        };
        for client in sessions
            .clone()
            .into_iter()
            .filter(|&session| session != upstream)
        {
            self.refuse(client, what, code, detail);
        }
    }

    fn remote_came(&mut self, room: RoomId, alias: Alias) {
        let Some(&index) = self.room_by_id.get(&room) else {
            return;
        };
        let local = self.rooms[index].members.contains_key(&alias);
        if let Some(mirror) = &mut self.rooms[index].mirror
            && !local
            && mirror.remote.len() < PRESENT_MAX
        {
            mirror.remote.insert(alias);
            self.tell_all_in(room, &RelayNotice::Present { room, alias });
        }
    }

    fn remote_went(&mut self, room: RoomId, alias: Alias) {
        if self
            .mirror_mut(room)
            .is_some_and(|mirror| mirror.remote.remove(&alias))
        {
            self.tell_all_in(room, &RelayNotice::Gone { room, alias });
        }
    }

    fn remote_track_gone(&mut self, upstream: SessionId, room: RoomId, track: TrackAlias) {
        let Some(track_entry) = self.track_in(room, track) else {
            return;
        };
        if track_entry
            .announcers
            .iter()
            .any(|&announcer| announcer != upstream)
        {
            return;
        }
        for listener in track_entry.listeners.clone() {
            self.notify(listener, &RelayNotice::TrackGone { room, track });
        }
    }

    fn track_in(&self, room: RoomId, track: TrackAlias) -> Option<&Track> {
        let room = &self.rooms[*self.room_by_id.get(&room)?];
        Some(&self.tracks[*room.tracks.get(&track)?])
    }
}
