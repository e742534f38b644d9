//! Who sends which track and who wants it; subscriptions are merged upstream.

use crate::{
    ids::{RoomId, TrackAlias},
    relay::{
        limits::ANNOUNCERS_PER_TRACK_MAX,
        machine::Relay,
        room::{Index, Track},
        session::{SessionId, TrackRef},
    },
    wire::relay_message::{Refusable, RefusalCode, RelayNotice},
};

impl Relay {
    pub(super) fn announce(&mut self, id: SessionId, room: RoomId, track: TrackAlias) {
        let what = Refusable::Announce(room, track);
        let Some(session) = self.session_ref(id).filter(|s| s.rooms.contains_key(&room)) else {
            return self.refuse(id, what, RefusalCode::NotJoined, "join the room first");
        };
        match session.announced.get(&track) {
            Some(known) if known.room == room => return,
            Some(_) => {
                let detail = "the track is announced in another room";
                return self.refuse(id, what, RefusalCode::TrackElsewhere, detail);
            }
            None => {}
        }
        let tracks_max = self.limits.tracks_per_session_max * session.clients();
        if session.announced.len() >= tracks_max {
            let detail = format!("a session may announce {tracks_max} tracks");
            return self.refuse(id, what, RefusalCode::TracksFull, &detail);
        }
        let index = self.track_or_new(room, track);
        if self.tracks[index].announcers.len() >= ANNOUNCERS_PER_TRACK_MAX {
            let detail = "old sessions that announce this track have to end first";
            return self.refuse(id, what, RefusalCode::AnnouncersFull, detail);
        }
        self.tracks[index].announcers.push(id);
        if let Some(session) = self.session(id) {
            session.announced.insert(track, TrackRef { room, track: index });
        }
        if self.tracks[index].wanted_from(id) {
            self.notify(id, &RelayNotice::Subscribe { room, track });
        }
        self.reconcile_track(room, track);
    }

    /// Not having announced the track is no error.
    pub(super) fn withdraw(&mut self, id: SessionId, room: RoomId, track: TrackAlias) {
        let Some(session) = self.session(id) else { return };
        if session.announced.get(&track).is_none_or(|t| t.room != room) {
            return;
        }
        let Some(TrackRef { track: index, .. }) = session.announced.remove(&track) else {
            return;
        };
        self.cut_streams_of_track(id, track);
        let entry = &mut self.tracks[index];
        entry.announcers.retain(|&s| s != id);
        if entry.announcers.is_empty() {
            for listener in entry.listeners.clone() {
                if listener != id {
                    self.notify(listener, &RelayNotice::TrackGone { room, track });
                }
            }
        }
        self.forget_if_unused(index);
        self.reconcile_track(room, track);
    }

    pub(super) fn subscribe(&mut self, id: SessionId, room: RoomId, track: TrackAlias) {
        let what = Refusable::Subscribe(room, track);
        let Some(session) = self.session_ref(id).filter(|s| s.rooms.contains_key(&room)) else {
            return self.refuse(id, what, RefusalCode::NotJoined, "join the room first");
        };
        if session.subscribed.contains_key(&(room, track)) {
            return;
        }
        let max = self.limits.subscriptions_per_session_max * session.clients();
        if session.subscribed.len() >= max {
            let detail = format!("a session may subscribe to {max} tracks");
            return self.refuse(id, what, RefusalCode::SubscriptionsFull, &detail);
        }
        self.listen(id, room, track);
        self.reconcile_track(room, track);
    }

    /// The caller has checked that the room exists and that the session may.
    pub(super) fn listen(&mut self, id: SessionId, room: RoomId, track: TrackAlias) {
        let index = self.track_or_new(room, track);
        let wanted = self.announcers_wanted(index);
        self.tracks[index].listeners.push(id);
        if let Some(session) = self.session(id) {
            session.subscribed.insert((room, track), index);
        }
        self.tell_announcers(index, &wanted);
    }

    /// Not having subscribed is no error.
    pub(super) fn unsubscribe(&mut self, id: SessionId, room: RoomId, track: TrackAlias) {
        let Some(index) = self.session(id).and_then(|s| s.subscribed.remove(&(room, track))) else {
            return;
        };
        let wanted = self.announcers_wanted(index);
        self.tracks[index].listeners.retain(|&s| s != id);
        self.stop_forwards(id, room, track);
        self.tell_announcers(index, &wanted);
        self.forget_if_unused(index);
        self.reconcile_track(room, track);
    }

    /// Each announcer of a track, and whether anybody else wants the track from it.
    fn announcers_wanted(&self, index: Index) -> Vec<(SessionId, bool)> {
        let track = &self.tracks[index];
        track
            .announcers
            .iter()
            .map(|&a| (a, track.wanted_from(a)))
            .collect()
    }

    /// Tells those announcers for whom the answer changed since `before`.
    fn tell_announcers(&mut self, index: Index, before: &[(SessionId, bool)]) {
        let (room, track) = (self.rooms[self.tracks[index].room].id, self.tracks[index].alias);
        for &(announcer, was_wanted) in before {
            let is_wanted = self.tracks[index].wanted_from(announcer);
            if is_wanted && !was_wanted {
                self.notify(announcer, &RelayNotice::Subscribe { room, track });
            } else if was_wanted && !is_wanted {
                self.notify(announcer, &RelayNotice::Unsubscribe { room, track });
            }
        }
    }

    /// The caller has checked that the room exists.
    pub(super) fn track_or_new(&mut self, room: RoomId, alias: TrackAlias) -> Index {
        let room = self.room_by_id[&room];
        if let Some(&index) = self.rooms[room].tracks.get(&alias) {
            return index;
        }
        let track = Track {
            room,
            alias,
            announcers: Vec::new(),
            listeners: Vec::new(),
        };
        let index = self.tracks.insert(track);
        self.rooms[room].tracks.insert(alias, index);
        index
    }

    fn forget_if_unused(&mut self, index: Index) {
        let track = &self.tracks[index];
        if track.announcers.is_empty() && track.listeners.is_empty() {
            let track = self.tracks.remove(index);
            self.rooms[track.room].tracks.remove(&track.alias);
        }
    }
}
