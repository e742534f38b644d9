//! Who is in which room: join, leave, presence.

use std::collections::BTreeMap;

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
        relay_message::{Refusable, RefusalCode, RelayNotice, TokenBytes},
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
        let joined_as = self.session_ref(id).and_then(|s| s.rooms.get(&room).copied());
        if joined_as == Some(alias) {
            // Asked twice: answered twice.
            return self.tell_joined(id, room, alias);
        }
        if joined_as.is_some() {
            self.leave_room(id, room);
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
        let entry = &mut self.rooms[index];
        entry.sessions += 1;
        entry.members.entry(alias).or_default().push(id);
        if let Some(session) = self.session(id) {
            session.rooms.insert(room, alias);
        }
        self.tell_joined(id, room, alias);
        self.broadcast(index, id, &RelayNotice::Present { room, alias });
    }

    fn may_join(&mut self, id: SessionId, room: RoomId, alias: Alias) -> Result<(), (RefusalCode, String)> {
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
        let rooms = self.session_ref(id).map_or(0, |s| s.rooms.len());
        if rooms >= limits.rooms_per_session_max {
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
        if room.sessions >= limits.members_per_room_max {
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

    fn room_or_new(&mut self, now: Now, room: RoomId) -> Index {
        if let Some(&index) = self.room_by_id.get(&room) {
            return index;
        }
        let index = self.rooms.insert(Room {
            id: room,
            members: BTreeMap::new(),
            sessions: 0,
            tracks: BTreeMap::new(),
            media: RateLimiter::media(self.limits.room_media, now.monotonic),
        });
        self.room_by_id.insert(room, index);
        index
    }

    fn tell_joined(&mut self, id: SessionId, room: RoomId, own: Alias) {
        let Some(&index) = self.room_by_id.get(&room) else {
            return;
        };
        let present: Vec<Alias> = self.rooms[index]
            .members
            .keys()
            .copied()
            .filter(|&a| a != own)
            .collect();
        // Aliases are at most as many as sessions, and those are limited to PRESENT_MAX.
        if let Ok(present) = present.try_into() {
            self.notify(id, &RelayNotice::Joined { room, present });
        }
    }

    /// Everything of a session in a room ends. Not being there is no error: the wish is fulfilled.
    pub(super) fn leave_room(&mut self, id: SessionId, room: RoomId) {
        let Some(alias) = self.session(id).and_then(|s| s.rooms.remove(&room)) else {
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
        }
        if entry.sessions == 0 {
            self.room_by_id.remove(&room);
            self.rooms.remove(index);
        } else if last {
            self.broadcast(index, id, &RelayNotice::Gone { room, alias });
        }
    }

    /// Tells everybody in a room but one.
    fn broadcast(&mut self, room: Index, except: SessionId, notice: &RelayNotice) {
        let frame = framing::frame(&notice.encode());
        let sessions: Vec<SessionId> = self.rooms[room]
            .members
            .values()
            .flatten()
            .copied()
            .filter(|&s| s != except)
            .collect();
        for session in sessions {
            self.notify_framed(session, frame.clone());
        }
    }
}
