//! Who is in which room: join, leave, presence.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    ids::{Alias, RoomId, TrackAlias},
    relay::{
        limits::SESSIONS_PER_ALIAS_MAX,
        machine::Relay,
        rate_limiter::RateLimiter,
        room::{Index, Room},
        session::SessionId,
    },
    time::Now,
    wire::{
        framing,
        relay_message::{PRESENT_MAX, Refusable, RefusalCode, RelayNotice, TokenBytes},
    },
};

impl Relay {
    pub(super) fn join_room(
        &mut self,
        now: Now,
        id: SessionId,
        room: RoomId,
        alias: Alias,
        token: Option<&TokenBytes>,
    ) {
        if self.is_mirrored(room) {
            let detail = "the room is another relay's";
            return self.refuse(id, Refusable::Join(room), RefusalCode::NotCascaded, detail);
        }
        if self.has_joined(id, room, alias) {
            return;
        }
        let allowed = self.may_join(id, room, alias);
        if let Err((code, detail)) = allowed.and_then(|()| self.may_enter(now, id, token)) {
            self.refuse(id, Refusable::Join(room), code, &detail);
            if matches!(
                code,
                RefusalCode::RoomsFull | RefusalCode::Draining | RefusalCode::MonthlyTraffic
            ) {
                self.redirect(id, room);
            }
            return;
        }
        let index = self.room_or_new(now, room);
        self.enter(index, id, alias);
    }

    /// Whether the session is in the room under this alias: then it is answered again. If it is there under another one, it
    /// leaves first, unless it is a relay that stands for several.
    pub(super) fn has_joined(&mut self, id: SessionId, room: RoomId, alias: Alias) -> bool {
        let Some(session) = self.session_ref(id) else {
            return true;
        };
        let aliases = session.rooms.get(&room);
        let (there, known) = (aliases.is_some(), aliases.is_some_and(|a| a.contains(&alias)));
        let downstream = session.is_downstream();
        if known {
            // Asked twice: answered twice.
            self.tell_joined(id, room, alias);
            if let Some(&index) = self.room_by_id.get(&room).filter(|_| downstream) {
                // Of a relay's clients, somebody came anew.
                self.broadcast(index, id, &RelayNotice::Present { room, alias });
            }
        } else if there && !downstream {
            self.leave_room(id, room);
        }
        known
    }

    /// The session is in from now on. The caller has checked that it may.
    pub(super) fn enter(&mut self, index: Index, id: SessionId, alias: Alias) {
        let entry = &mut self.rooms[index];
        let room = entry.id;
        entry.sessions += 1;
        entry.members.entry(alias).or_default().push(id);
        if let Some(session) = self.session(id) {
            session.rooms.entry(room).or_default().insert(alias);
        }
        self.tell_joined(id, room, alias);
        self.broadcast(index, id, &RelayNotice::Present { room, alias });
    }

    pub(super) fn may_join(
        &mut self,
        id: SessionId,
        room: RoomId,
        alias: Alias,
    ) -> Result<(), (RefusalCode, String)> {
        let limits = self.limits;
        if self.is_draining() {
            return Err((RefusalCode::Draining, "this relay is about to end".into()));
        }
        if self.month_is_used_up() {
            return Err((
                RefusalCode::MonthlyTraffic,
                "the month's traffic is used up".into(),
            ));
        }
        let (rooms, clients) = self
            .session_ref(id)
            .map_or((0, 1), |s| (s.rooms.len(), s.clients()));
        let known = self.session_ref(id).is_some_and(|s| s.rooms.contains_key(&room));
        if !known && rooms >= limits.rooms_per_session_max * clients {
            return Err((
                RefusalCode::SessionRoomsFull,
                format!("a session may be in {rooms} rooms"),
            ));
        }
        let Some(room) = self.room_by_id.get(&room).map(|&index| &self.rooms[index]) else {
            return if self.rooms.len() >= limits.rooms_max {
                Err((
                    RefusalCode::RoomsFull,
                    format!("this relay serves at most {} rooms", limits.rooms_max),
                ))
            } else {
                Ok(())
            };
        };
        let joining = room.mirror.as_ref().map_or(0, |mirror| mirror.joining.len());
        if room.sessions + joining >= limits.members_per_room_max {
            return Err((
                RefusalCode::RoomFull,
                format!("a room may have {} members", room.sessions),
            ));
        }
        if room
            .members
            .get(&alias)
            .is_some_and(|s| s.len() >= SESSIONS_PER_ALIAS_MAX)
        {
            return Err((
                RefusalCode::AliasFull,
                "old sessions under this alias have to end first".into(),
            ));
        }
        Ok(())
    }

    pub(super) fn room_or_new(&mut self, now: Now, room: RoomId) -> Index {
        if let Some(&index) = self.room_by_id.get(&room) {
            return index;
        }
        let index = self.rooms.insert(Room {
            id: room,
            members: BTreeMap::new(),
            sessions: 0,
            tracks: BTreeMap::new(),
            media: RateLimiter::media(self.limits.room_media, now.monotonic),
            mirror: None,
        });
        self.room_by_id.insert(room, index);
        index
    }

    pub(super) fn tell_joined(&mut self, id: SessionId, room: RoomId, own: Alias) {
        let Some(&index) = self.room_by_id.get(&room) else {
            return;
        };
        let entry = &self.rooms[index];
        let remote = entry.mirror.iter().flat_map(|mirror| &mirror.remote);
        let mut present: BTreeSet<Alias> = entry.members.keys().chain(remote).copied().collect();
        present.remove(&own);
        let present: Vec<Alias> = present.into_iter().take(PRESENT_MAX).collect();
        // Aliases are at most as many as sessions, and those are limited to PRESENT_MAX.
        if let Ok(present) = present.try_into() {
            self.notify(id, &RelayNotice::Joined { room, present });
        }
    }

    /// Everything of a session in a room ends. Not being there is no error: the wish is fulfilled.
    pub(super) fn leave_room(&mut self, id: SessionId, room: RoomId) {
        self.stop_joining(id, room);
        let Some(aliases) = self.session(id).and_then(|s| s.rooms.remove(&room)) else {
            return;
        };
        let Some(session) = self.session_ref(id) else {
            return;
        };
        let announced: Vec<TrackAlias> = session
            .announced
            .iter()
            .filter(|(_, t)| t.room == room)
            .map(|(&track, _)| track)
            .collect();
        let subscribed: Vec<TrackAlias> = session
            .subscribed
            .keys()
            .filter(|(r, _)| *r == room)
            .map(|&(_, track)| track)
            .collect();
        for track in announced {
            self.withdraw(id, room, track);
        }
        for track in subscribed {
            self.unsubscribe(id, room, track);
        }
        for alias in aliases {
            self.leave_alias(id, room, alias);
        }
    }

    /// A relay's client leaves: everything ends with the last one.
    pub(super) fn leave_as(&mut self, id: SessionId, room: RoomId, alias: Alias) {
        let Some(aliases) = self.session(id).and_then(|s| s.rooms.get_mut(&room)) else {
            return;
        };
        if !aliases.contains(&alias) {
            return;
        }
        if aliases.len() == 1 {
            return self.leave_room(id, room);
        }
        aliases.remove(&alias);
        self.leave_alias(id, room, alias);
    }

    /// A session is in a room under one alias less.
    fn leave_alias(&mut self, id: SessionId, room: RoomId, alias: Alias) {
        let Some(&index) = self.room_by_id.get(&room) else {
            return;
        };
        let entry = &mut self.rooms[index];
        entry.sessions -= 1;
        let last = entry.members.get_mut(&alias).is_some_and(|sessions| {
            sessions.retain(|&s| s != id);
            sessions.is_empty()
        });
        if last {
            entry.members.remove(&alias);
            self.tell_upstream_gone(room, alias);
        }
        if !self.forget_empty_room(room) && last {
            self.broadcast(index, id, &RelayNotice::Gone { room, alias });
        }
    }

    /// Forgets a room in which nobody is, or is about to be.
    pub(super) fn forget_empty_room(&mut self, room: RoomId) -> bool {
        let Some(&index) = self.room_by_id.get(&room) else {
            return true;
        };
        let entry = &self.rooms[index];
        let awaited = entry
            .mirror
            .as_ref()
            .is_some_and(|mirror| !mirror.joining.is_empty());
        if entry.sessions > 0 || awaited {
            return false;
        }
        self.forget_mirror(room);
        if let Some(index) = self.room_by_id.remove(&room) {
            self.rooms.remove(index);
        }
        true
    }

    /// Tells everybody in a room but one.
    pub(super) fn broadcast(&mut self, room: Index, except: SessionId, notice: &RelayNotice) {
        let frame = framing::frame(&notice.encode());
        // A relay is under several aliases, and told once.
        let sessions: BTreeSet<SessionId> = self.rooms[room]
            .members
            .values()
            .flatten()
            .copied()
            .filter(|&s| s != except)
            .collect();
        for session in sessions {
            self.queue_control(session, frame.clone());
        }
    }
}
