//! Rooms at relays and the aliases in them, derived from the secrets in force.

use std::collections::{BTreeMap, BTreeSet};

use super::Participant;
use crate::{
    ids::{Alias, LinkId, MemberId, RelayId, RoomId, StreamId, TrackAlias},
    meeting::room_secret::{Day, RoomSecret, TrackContext},
    mesh::{relay_session::RoomTracks, route::Path},
    noise::Psk,
    time::Now,
};

/// What a room is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RoomKind {
    /// People at the door meet those in charge.
    Lobby,
    /// Members meet.
    Members,
}

/// One room at one relay.
pub(super) struct Room {
    pub(super) relay: RelayId,
    pub(super) kind: RoomKind,
    /// The key of the channels whose envelopes go through it.
    pub(super) psk: Psk,
    pub(super) my_alias: Alias,
    pub(super) my_track: Option<TrackAlias>,
    /// Who is behind an alias.
    pub(super) members: BTreeMap<Alias, MemberId>,
    alias_of: BTreeMap<MemberId, Alias>,
    /// Whose track is behind an alias, and the way back.
    pub(super) tracks: BTreeMap<TrackAlias, MemberId>,
    track_of: BTreeMap<MemberId, TrackAlias>,
}

/// All rooms that this node is in, or wants to be in.
#[derive(Default)]
pub(super) struct Rooms {
    pub(super) by_id: BTreeMap<RoomId, Room>,
    /// The day for which they were derived.
    day: Option<(Day, Option<Day>)>,
}

impl Rooms {
    /// The members' rooms at one relay.
    pub(super) fn of_members(&self, relay: RelayId) -> impl Iterator<Item = (&RoomId, &Room)> {
        self.by_id
            .iter()
            .filter(move |(_, room)| room.relay == relay && room.kind == RoomKind::Members)
    }

    /// Whose track it is, in any room at the relay.
    pub(super) fn publisher_of(&self, relay: RelayId, track: TrackAlias) -> Option<MemberId> {
        self.of_members(relay)
            .find_map(|(_, room)| room.tracks.get(&track).copied())
    }
}

impl Participant {
    /// Derives rooms anew and tells each relay session.
    pub(super) fn rebuild_rooms(&mut self, now: Now) {
        let days = (Day::of(now.unix), Day::neighbour(now.unix));
        let mut rooms = BTreeMap::new();
        for relay in self.relays.keys().copied().collect::<Vec<_>>() {
            for day in std::iter::once(days.0).chain(days.1) {
                if self.uses_lobby() {
                    let (id, room) = self.lobby_room(relay, day);
                    rooms.insert(id, room);
                }
                for secret in self.secrets.current().into_iter().chain(self.secrets.former()) {
                    let (id, room) = self.member_room(secret, relay, day);
                    rooms.insert(id, room);
                }
            }
        }
        self.rooms = Rooms {
            by_id: rooms,
            day: Some(days),
        };
        self.channels
            .retain(|key, _| self.rooms.by_id.contains_key(&key.room));
        self.derive_incoming();
        for (relay, session) in &mut self.relays {
            let rooms = self.rooms.by_id.iter().filter(|(_, room)| room.relay == *relay);
            session.set_rooms(&rooms.map(|(id, room)| (*id, room.my_alias)).collect());
        }
    }

    /// At midnight (UTC) the rooms change.
    pub(super) fn watch_day(&mut self, now: Now) {
        if self.rooms.day != Some((Day::of(now.unix), Day::neighbour(now.unix))) {
            self.dirty.rooms();
        }
    }

    fn lobby_room(&self, relay: RelayId, day: Day) -> (RoomId, Room) {
        let secret = &self.secrets.ticket;
        let id = secret.lobby_room(&self.meeting, &relay, day);
        let in_charge: BTreeSet<MemberId> = self.people_in_charge();
        let room = Room {
            relay,
            kind: RoomKind::Lobby,
            psk: self.secrets.lobby_psk(&self.meeting),
            my_alias: secret.lobby_alias(&id, &self.me),
            my_track: None,
            members: in_charge
                .iter()
                .map(|member| (secret.lobby_alias(&id, member), *member))
                .collect(),
            alias_of: BTreeMap::new(),
            tracks: BTreeMap::new(),
            track_of: BTreeMap::new(),
        };
        (id, room)
    }

    fn member_room(&self, secret: &RoomSecret, relay: RelayId, day: Day) -> (RoomId, Room) {
        let id = secret.member_room(&self.meeting, &relay, day);
        let context = TrackContext::Room(id);
        let track = |member: &MemberId| secret.track_alias(&context, member, StreamId::AUDIO);
        let roster = self.log.view();
        let others: Vec<MemberId> = roster
            .members
            .keys()
            .filter(|id| **id != self.me)
            .copied()
            .collect();
        let room = Room {
            relay,
            kind: RoomKind::Members,
            psk: Psk(*secret.member_psk(&self.meeting)),
            my_alias: secret.alias(&id, &self.me),
            my_track: Some(track(&self.me)),
            members: others
                .iter()
                .map(|member| (secret.alias(&id, member), *member))
                .collect(),
            alias_of: others
                .iter()
                .map(|member| (*member, secret.alias(&id, member)))
                .collect(),
            tracks: others.iter().map(|member| (track(member), *member)).collect(),
            track_of: others.iter().map(|member| (*member, track(member))).collect(),
        };
        (id, room)
    }

    /// The alias of `publisher`'s audio on the direct link between it and this member or `other`.
    pub(super) fn link_tracks(&self, publisher: MemberId, other: MemberId) -> Vec<TrackAlias> {
        let context = TrackContext::Link(publisher, other);
        let secrets = self.secrets.current().into_iter().chain(self.secrets.former());
        secrets
            .map(|secret| secret.track_alias(&context, &publisher, StreamId::AUDIO))
            .collect()
    }

    /// The aliases of `publisher`'s audio on the direct link between `forwarder` and `listener`, the present secret's first.
    pub(super) fn forwarded_tracks(
        &self,
        forwarder: MemberId,
        listener: MemberId,
        publisher: MemberId,
    ) -> Vec<TrackAlias> {
        let context = TrackContext::Link(forwarder, listener);
        let secrets = self.secrets.current().into_iter().chain(self.secrets.former());
        secrets
            .map(|secret| secret.track_alias(&context, &publisher, StreamId::AUDIO))
            .collect()
    }

    /// Tells each relay which tracks this member sends and wants.
    pub(super) fn tell_tracks(&mut self) {
        let announce = self.may_speak();
        let mut wanted: BTreeMap<RelayId, BTreeSet<MemberId>> = BTreeMap::new();
        for (id, peer) in &self.peers {
            for path in peer.subscribed_paths() {
                if let Path::Relay(relay) = path {
                    wanted.entry(relay).or_default().insert(*id);
                }
            }
        }
        for (relay, session) in &mut self.relays {
            for (id, room) in self.rooms.of_members(*relay) {
                // In a room that is being left, only what the present one does not bring.
                let members = wanted.get(relay).into_iter().flatten();
                let tracks = RoomTracks {
                    announced: room.my_track.iter().filter(|_| announce).copied().collect(),
                    subscribed: members
                        .filter_map(|member| room.track_of.get(member).copied())
                        .collect(),
                };
                session.set_tracks(*id, tracks);
            }
        }
    }

    /// Whether `member` can be reached over `relay` now.
    pub(super) fn is_at_relay(&self, relay: RelayId, member: MemberId) -> bool {
        let Some(session) = self.relays.get(&relay) else {
            return false;
        };
        self.rooms.of_members(relay).any(|(id, room)| {
            room.alias_of
                .get(&member)
                .is_some_and(|alias| session.is_present(*id, *alias))
        })
    }

    /// On which links a datagram of ours goes out, with the track alias for each.
    /// `turn` counts frames.
    pub(super) fn outgoing_tracks(&self, now: Now, turn: u64) -> Vec<(LinkId, TrackAlias)> {
        let mut out = Vec::new();
        let served = self.served_directly(now, turn);
        for (id, peer) in &self.peers {
            if let Some(link) = peer.listening.last()
                && served.as_ref().is_none_or(|served| served.contains(id))
                && let Some(track) = self.link_tracks(self.me, *id).first()
                && self.judge.direct(now.unix).is_ok()
            {
                out.push((*link, *track));
            }
        }
        let policy = self.judge.policy().hash();
        for (relay, session) in &self.relays {
            for (id, room) in self.rooms.of_members(*relay) {
                if let Some(track) = room.my_track
                    && let Some(link) = session.link_for(now, policy, *id, track)
                {
                    out.push((link, track));
                }
            }
        }
        out
    }
}
