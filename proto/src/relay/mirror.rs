//! Rooms of other relays, as clients of this one see them: who is there, which tracks go which way.
//!
//! In a mirrored room the other relay is one more listener (of the tracks that it wants from here) and one more announcer
//! (of the tracks that clients want). Each track crosses the link once, and what came over it does not go back.

use std::collections::{BTreeSet, VecDeque};

use crate::{
    ids::{Alias, RelayId, RoomId, TrackAlias},
    relay::{
        limits::ENVELOPE_BACKLOG_MAX,
        machine::Relay,
        room::{Joining, Mirror},
        session::{Leg, SessionId, TrackRef, Upstream},
    },
    time::Now,
    wire::relay_message::{
        DescriptorBytes, EnvelopeBytes, Refusable, RefusalCode, RelayNotice, RelayRequest, TokenBytes,
    },
};

impl Relay {
    /// A client enters a room of another relay.
    pub(super) fn join_through(
        &mut self,
        now: Now,
        id: SessionId,
        descriptor: &DescriptorBytes,
        room: RoomId,
        alias: Alias,
        token: Option<TokenBytes>,
    ) {
        let what = Refusable::Join(room);
        if self.session_ref(id).is_none_or(|s| s.leg != Leg::Client) {
            let detail = "a relay enters no rooms of others through this one";
            return self.refuse(id, what, RefusalCode::NotCascaded, detail);
        }
        if self.room_by_id.contains_key(&room) && !self.is_mirrored(room) {
            let detail = "the room is this relay's own";
            return self.refuse(id, what, RefusalCode::NotCascaded, detail);
        }
        if self.has_joined(id, room, alias) || self.is_joining(id, room, alias) {
            return;
        }
        // Its own token first: who may not use this relay may not use others through it.
        let allowed = self
            .may_join(id, room, alias)
            .and_then(|()| self.may_enter(now, id, None))
            .and_then(|()| self.upstream_for(now, descriptor));
        let relay = match allowed {
            Ok(relay) => relay,
            Err((code, detail)) => return self.refuse(id, what, code, &detail),
        };
        let index = self.room_or_new(now, room);
        let mirror = self.rooms[index].mirror.get_or_insert_with(|| Mirror {
            relay,
            remote: BTreeSet::new(),
            joining: VecDeque::new(),
        });
        mirror.joining.push_back(Joining {
            session: Some(id),
            alias,
            token,
            asked: false,
        });
        let relay = mirror.relay;
        self.note_mirror(relay, room, true);
        self.ask_to_join(room);
    }

    /// Asks the other relay for those who were not asked for yet.
    pub(super) fn ask_to_join(&mut self, room: RoomId) {
        let Some(mirror) = self.mirror_mut(room) else {
            return;
        };
        let relay = mirror.relay;
        let Some(upstream) = self.cascade.session(relay) else {
            return;
        };
        let Some(mirror) = self.mirror_mut(room) else {
            return;
        };
        mirror
            .joining
            .retain(|joining| joining.asked || joining.session.is_some());
        let mut requests = Vec::new();
        for joining in mirror.joining.iter_mut().filter(|joining| !joining.asked) {
            joining.asked = true;
            let (alias, token) = (joining.alias, joining.token.take());
            requests.push(RelayRequest::JoinAs { room, alias, token });
        }
        for request in requests {
            self.ask(upstream, &request);
        }
    }

    pub(super) fn tell_all_in(&mut self, room: RoomId, notice: &RelayNotice) {
        if let Some(&index) = self.room_by_id.get(&room) {
            // Nobody has this number: all are told.
            self.broadcast(index, SessionId(u32::MAX), notice);
        }
    }

    /// Whether somebody is in the room under that alias here.
    pub(super) fn is_here(&self, room: RoomId, alias: Alias) -> bool {
        let index = self.room_by_id.get(&room);
        index.is_some_and(|&index| self.rooms[index].members.contains_key(&alias))
    }

    pub(super) fn local_sessions(&self, room: RoomId, alias: Alias) -> Vec<SessionId> {
        let index = self.room_by_id.get(&room);
        let sessions = index.and_then(|&index| self.rooms[index].members.get(&alias));
        sessions.cloned().unwrap_or_default()
    }

    /// An envelope for somebody at the other relay.
    pub(super) fn pass_envelope_on(
        &mut self,
        room: RoomId,
        from: Alias,
        to: Alias,
        bytes: EnvelopeBytes,
    ) -> Result<(), RefusalCode> {
        let mirror = self.mirror_mut(room).filter(|mirror| mirror.remote.contains(&to));
        let relay = mirror.ok_or(RefusalCode::NobodyThere)?.relay;
        let upstream = self.cascade.session(relay).ok_or(RefusalCode::UpstreamLost)?;
        let waiting = self.session_ref(upstream).map_or(0, |s| s.control_bytes);
        if waiting + bytes.len() > ENVELOPE_BACKLOG_MAX {
            return Err(RefusalCode::RecipientBusy);
        }
        self.stats.envelopes_forwarded += 1;
        self.stats.forward_bytes(bytes.len() as u64);
        let request = RelayRequest::EnvelopeFrom {
            room,
            from,
            to,
            bytes,
        };
        self.ask(upstream, &request);
        Ok(())
    }

    /// Brings what the other relay is asked for a track into line with what clients here send and want.
    pub(super) fn reconcile_track(&mut self, room: RoomId, track: TrackAlias) {
        let Some(relay) = self.mirror_mut(room).map(|mirror| mirror.relay) else {
            return;
        };
        let Some(id) = self.cascade.session(relay) else {
            return;
        };
        let index = self
            .room_by_id
            .get(&room)
            .and_then(|&at| self.rooms[at].tracks.get(&track))
            .copied();
        let others = |sessions: &[SessionId]| sessions.iter().any(|&session| session != id);
        let (sent, wanted) = index.map_or((false, false), |index| {
            let track = &self.tracks[index];
            (others(&track.announcers), others(&track.listeners))
        });
        let Some(upstream) = self.upstream_mut(id) else {
            return;
        };
        if sent && upstream.told.insert((room, track)) {
            self.ask(id, &RelayRequest::Announce { room, track });
        } else if !sent && upstream.told.remove(&(room, track)) {
            self.ask(id, &RelayRequest::Withdraw { room, track });
            self.unsubscribe(id, room, track);
        }
        let announced = self
            .session_ref(id)
            .and_then(|s| s.announced.get(&track).copied());
        match (wanted, announced, index) {
            (true, None, Some(index)) => {
                self.tracks[index].announcers.push(id);
                if let Some(session) = self.session(id) {
                    session.announced.insert(track, TrackRef { room, track: index });
                }
                self.ask(id, &RelayRequest::Subscribe { room, track });
            }
            // It was unsubscribed when the last who wanted it went.
            (false, Some(known), _) if known.room == room => self.withdraw(id, room, track),
            _ => {}
        }
    }

    /// The other relay sends and wants nothing any more: in one room, or in all.
    pub(super) fn drop_tracks_of_upstream(&mut self, id: SessionId, only: Option<RoomId>) {
        let Some(session) = self.session_ref(id) else {
            return;
        };
        let concerns = |room: &RoomId| only.is_none_or(|only| only == *room);
        let announced = session.announced.iter().filter(|(_, at)| concerns(&at.room));
        let announced: Vec<(RoomId, TrackAlias)> = announced.map(|(track, at)| (at.room, *track)).collect();
        let subscribed = session.subscribed.keys().filter(|(room, _)| concerns(room));
        let subscribed: Vec<(RoomId, TrackAlias)> = subscribed.copied().collect();
        if let Some(upstream) = self.upstream_mut(id) {
            upstream.told.retain(|(room, _)| !concerns(room));
        }
        for (room, track) in announced {
            self.withdraw(id, room, track);
        }
        for (room, track) in subscribed {
            self.unsubscribe(id, room, track);
        }
    }

    /// The last client under an alias went.
    pub(super) fn tell_upstream_gone(&mut self, room: RoomId, alias: Alias) {
        let Some(relay) = self.mirror_mut(room).map(|mirror| mirror.relay) else {
            return;
        };
        if let Some(upstream) = self.cascade.session(relay) {
            self.ask(upstream, &RelayRequest::LeaveAs { room, alias });
        }
    }

    /// Nobody is in a mirrored room any more.
    pub(super) fn forget_mirror(&mut self, room: RoomId) {
        let Some(relay) = self.mirror_mut(room).map(|mirror| mirror.relay) else {
            return;
        };
        if let Some(upstream) = self.cascade.session(relay) {
            self.drop_tracks_of_upstream(upstream, Some(room));
        }
        self.note_mirror(relay, room, false);
    }

    /// The link is gone, and with it everybody who waited.
    pub(super) fn abandon_mirror(&mut self, room: RoomId) {
        if let Some(mirror) = self.mirror_mut(room) {
            mirror.joining.clear();
        }
        self.forget_empty_room(room);
    }

    /// Everybody here who is in a mirrored room, or waits.
    pub(super) fn clients_in_mirror(&self, room: RoomId) -> Vec<SessionId> {
        let Some(room) = self.room_by_id.get(&room).map(|&index| &self.rooms[index]) else {
            return Vec::new();
        };
        let waiting = room.mirror.iter().flat_map(|mirror| &mirror.joining);
        let waiting = waiting.filter_map(|joining| joining.session);
        let clients: BTreeSet<SessionId> = room.members.values().flatten().copied().chain(waiting).collect();
        clients.into_iter().collect()
    }

    /// Whether the room is another relay's.
    pub(super) fn is_mirrored(&self, room: RoomId) -> bool {
        let index = self.room_by_id.get(&room);
        index.is_some_and(|&index| self.rooms[index].mirror.is_some())
    }

    fn is_joining(&self, id: SessionId, room: RoomId, alias: Alias) -> bool {
        let index = self.room_by_id.get(&room);
        let mirror = index.and_then(|&index| self.rooms[index].mirror.as_ref());
        let mut joining = mirror.into_iter().flat_map(|mirror| &mirror.joining);
        joining.any(|joining| joining.session == Some(id) && joining.alias == alias)
    }

    /// A session ended, or leaves a room that it is on its way into.
    pub(super) fn forget_joining(&mut self, id: SessionId) {
        for room in self.cascade.all_rooms() {
            self.stop_joining(id, room);
        }
    }

    /// A session does not want to enter a room any more.
    pub(super) fn stop_joining(&mut self, id: SessionId, room: RoomId) {
        let Some(mirror) = self.mirror_mut(room) else {
            return;
        };
        for joining in mirror
            .joining
            .iter_mut()
            .filter(|joining| joining.session == Some(id))
        {
            joining.session = None;
        }
        // Those who were asked for are answered, and then leave.
        mirror
            .joining
            .retain(|joining| joining.asked || joining.session.is_some());
        self.forget_empty_room(room);
    }

    pub(super) fn take_joining(&mut self, room: RoomId) -> Option<(RelayId, Joining)> {
        let mirror = self.mirror_mut(room)?;
        Some((mirror.relay, mirror.joining.pop_front()?))
    }

    pub(super) fn mirror_mut(&mut self, room: RoomId) -> Option<&mut Mirror> {
        let &index = self.room_by_id.get(&room)?;
        self.rooms[index].mirror.as_mut()
    }

    pub(super) fn upstream_mut(&mut self, id: SessionId) -> Option<&mut Upstream> {
        match &mut self.session(id)?.leg {
            Leg::Upstream(upstream) => Some(upstream),
            Leg::Client | Leg::Downstream(_) => None,
        }
    }
}
