//! One relay as a member sees it: a dial that is repeated, rooms that are entered, tracks that are announced and wanted.
//!
//! The owner states what it wants ([`RelaySession::set_rooms`], [`RelaySession::set_tracks`]); the session sends the
//! difference to what the relay has been told. After a broken link everything is told anew.
//!
//! A relay that is not reached may be used through another one ([`RelaySession::go_through`]), by that one's link, until a
//! link of its own is up.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::SocketAddr,
    time::Duration,
};

mod through;

use self::through::{Leaving, RETRY_THROUGH, Through};
use super::link::LinkMonitor;
use crate::{
    ids::{Alias, LinkId, PolicyHash, RelayId, RoomId, TrackAlias},
    policy::{permit::Permit, signed_descriptor::VerifiedDescriptor},
    relay::token::AccessToken,
    time::{Now, Timestamp},
    wire::relay_message::{Refusable, RefusalCode, RelayNotice, RelayRequest, TokenBytes},
};

/// First pause after a failed dial; doubled up to [`RETRY_MAX`].
pub const RETRY_FIRST: Duration = Duration::from_millis(250);
/// Longest pause between dials. Reason: a relay that comes back should be used within seconds.
pub const RETRY_MAX: Duration = Duration::from_secs(4);
/// A relay that is not reached for so long is looked for a replacement of. Reason: a restart takes a few seconds.
pub const GIVE_UP_AFTER: Duration = Duration::from_secs(10);
/// Requests that may wait for the link. Reason: two rooms of 200 members with two tracks each, twice.
const REQUESTS_MAX: usize = 2_048;

/// The tracks of one room that the owner sends and wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomTracks {
    /// Tracks that the owner can send.
    pub announced: BTreeSet<TrackAlias>,
    /// Tracks that the owner wants.
    pub subscribed: BTreeSet<TrackAlias>,
}

/// A room that the owner is, or wants to be, in.
#[derive(Debug)]
struct Room {
    alias: Alias,
    joined: bool,
    present: BTreeSet<Alias>,
    /// What the owner wants the relay to know.
    tracks: RoomTracks,
    /// What the relay has been told.
    told: RoomTracks,
    /// Announced tracks that somebody wants.
    wanted: BTreeSet<TrackAlias>,
    /// The token that was shown at the last try to enter: see [`RelaySession::shown`].
    tried: Option<usize>,
}

#[derive(Debug)]
enum State {
    /// Not connected; to be dialled at this time.
    Down { retry_at: Timestamp },
    /// The driver dials.
    Dialling,
    /// Connected.
    Up { link: LinkId, monitor: LinkMonitor },
}

/// What a notice means to the owner.
#[derive(Debug, PartialEq, Eq)]
pub enum SessionEvent {
    /// The room was entered; these aliases are there.
    Joined(RoomId, Vec<Alias>),
    /// Somebody came, or came anew.
    Present(RoomId, Alias),
    /// Somebody went.
    Gone(RoomId, Alias),
    /// An envelope.
    Envelope(RoomId, Alias, Vec<u8>),
    /// The relay offers others instead of itself; encoded descriptors, to be judged.
    Redirect(Vec<Vec<u8>>),
    /// The relay's newest descriptor.
    Descriptor(Vec<u8>),
    /// Where the relay sees this client.
    Observed(SocketAddr),
    /// The relay refused something; [`RefusalCode::name`] and sentence.
    Refused(String, String),
    /// The relay ends soon.
    Draining,
}

/// See the module.
#[derive(Debug)]
pub struct RelaySession {
    descriptor: VerifiedDescriptor,
    permit: Permit,
    state: State,
    backoff: Duration,
    draining: bool,
    /// Since when nothing came from it, or another relay was last tried for it, while there is no link.
    down_since: Timestamp,
    /// Since when nothing came from it, whatever was tried, while it is not reached.
    unreached_since: Timestamp,
    through: Option<Through>,
    /// The way of before, while a link of its own takes over.
    leaving: Option<Leaving>,
    /// Relays that did not lead there, and until when they are not asked again.
    not_through: BTreeMap<RelayId, Timestamp>,
    rooms: BTreeMap<RoomId, Room>,
    requests: VecDeque<RelayRequest>,
    /// Tokens that may be shown to this relay, in the order of trying.
    tokens: Vec<TokenBytes>,
    /// How many of them name this relay: those are shown without being asked for.
    naming: usize,
    /// Which of them is shown; `None` as long as the relay has not asked: a token tells whose guest one is.
    shown: Option<usize>,
}

impl RelaySession {
    /// A session with a relay that the policy permits; it is dialled at once.
    #[must_use]
    pub fn new(descriptor: VerifiedDescriptor, permit: Permit, now: Timestamp) -> Self {
        Self {
            descriptor,
            permit,
            state: State::Down { retry_at: now },
            backoff: RETRY_FIRST,
            draining: false,
            down_since: now,
            unreached_since: now,
            through: None,
            leaving: None,
            not_through: BTreeMap::new(),
            rooms: BTreeMap::new(),
            requests: VecDeque::new(),
            tokens: Vec::new(),
            naming: 0,
            shown: None,
        }
    }

    /// The tokens that the owner holds. Those that name other relays are left out.
    pub fn set_tokens(&mut self, tokens: &[AccessToken]) {
        let names_this = |token: &&AccessToken| token.terms().relays.contains(&self.descriptor.relay);
        let for_any = |token: &&AccessToken| token.terms().relays.is_empty();
        let naming: Vec<TokenBytes> = tokens
            .iter()
            .filter(names_this)
            .map(AccessToken::to_bytes)
            .collect();
        self.naming = naming.len();
        self.tokens = naming;
        self.tokens
            .extend(tokens.iter().filter(for_any).map(AccessToken::to_bytes));
        self.shown = (self.naming > 0).then_some(0);
    }

    /// Which relay.
    #[must_use]
    pub fn relay(&self) -> RelayId {
        self.descriptor.relay
    }

    /// What the relay declares.
    #[must_use]
    pub fn descriptor(&self) -> &VerifiedDescriptor {
        &self.descriptor
    }

    /// The permit under which it is used.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// A newer descriptor that the policy permits too.
    pub fn renew(&mut self, descriptor: VerifiedDescriptor, permit: Permit) {
        self.descriptor = descriptor;
        self.permit = permit;
    }

    /// The link, its own or another relay's, if it is up and every permit on the way holds: to be asked at every send.
    #[must_use]
    pub fn link(&self, now: Now, policy: PolicyHash) -> Option<LinkId> {
        if !self.permit.is_valid(now.unix, policy) {
            return None;
        }
        match &self.state {
            State::Up { link, .. } => Some(*link),
            State::Down { .. } | State::Dialling => self.through.as_ref()?.link(now, policy),
        }
    }

    /// Its own link whatever the permit says: to recognise what comes from it, and to close it.
    #[must_use]
    pub fn any_link(&self) -> Option<LinkId> {
        match self.state {
            State::Up { link, .. } => Some(link),
            _ => None,
        }
    }

    /// The link's monitor.
    pub fn monitor(&mut self) -> Option<&mut LinkMonitor> {
        match &mut self.state {
            State::Up { monitor, .. } => Some(monitor),
            _ => None,
        }
    }

    /// Whether nothing was heard lately on its own link, or the relay is about to end.
    #[must_use]
    pub fn is_doubtful(&self, now: Timestamp) -> bool {
        match &self.state {
            State::Up { monitor, .. } => self.draining || monitor.is_silent(now),
            _ => true,
        }
    }

    /// Whether it can be counted on: it is reached, or was lately, and does not end soon.
    #[must_use]
    pub fn serves(&self, now: Timestamp) -> bool {
        let unheard = match &self.state {
            State::Up { monitor, .. } => monitor.silent_for(now),
            State::Down { .. } | State::Dialling => now.saturating_since(self.unreached_since),
        };
        !self.draining && (self.is_reached_through() || unheard < GIVE_UP_AFTER)
    }

    /// Whether what is sent on its own link waits in a queue.
    #[must_use]
    pub fn is_congested(&self) -> bool {
        match &self.state {
            State::Up { monitor, .. } => monitor.is_congested(),
            _ => false,
        }
    }

    /// The round-trip time to the relay on its own link.
    #[must_use]
    pub fn rtt(&self) -> Option<Duration> {
        match &self.state {
            State::Up { monitor, .. } => monitor.rtt(),
            _ => None,
        }
    }

    /// Whether the relay is to be dialled now; the owner then dials and answers with a link or a failure.
    pub fn poll_dial(&mut self, now: Now, policy: PolicyHash) -> bool {
        let State::Down { retry_at } = &mut self.state else {
            return false;
        };
        if *retry_at > now.monotonic {
            return false;
        }
        if !self.permit.is_valid(now.unix, policy) {
            *retry_at = now.monotonic + RETRY_FIRST;
            return false;
        }
        self.state = State::Dialling;
        true
    }

    /// When [`RelaySession::poll_dial`] or a ping is due.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Timestamp> {
        match &self.state {
            State::Down { retry_at } => Some(*retry_at),
            State::Dialling => None,
            State::Up { monitor, .. } => Some(monitor.poll_timeout()),
        }
    }

    /// The dial failed, or the link ended.
    pub fn handle_down(&mut self, now: Timestamp) {
        let last_heard = match &self.state {
            State::Up { monitor, .. } => Some(monitor.last_heard()),
            State::Down { .. } | State::Dialling => None,
        };
        if let Some(at) = last_heard {
            // QUIC gives a link up seconds after the relay is gone.
            (self.down_since, self.unreached_since) = (at, at);
            self.stay_through();
        }
        let pause = self.through.map_or(self.backoff, |_| RETRY_THROUGH);
        self.state = State::Down {
            retry_at: now + pause,
        };
        self.backoff = (self.backoff * 2).min(RETRY_MAX);
        if last_heard.is_some() || self.through.is_none() {
            self.draining = false;
            self.start_anew();
            self.enter_all();
        }
    }

    /// The link is up: the rooms are entered. Another way is left once they are.
    pub fn handle_up(&mut self, now: Timestamp, link: LinkId) {
        self.state = State::Up {
            link,
            monitor: LinkMonitor::new(now),
        };
        self.begin_to_leave();
        self.start_anew();
        self.enter_all();
    }

    /// Nothing of what the relay was told holds.
    fn start_anew(&mut self) {
        self.shown = (self.naming > 0).then_some(0);
        self.requests.clear();
        for room in self.rooms.values_mut() {
            room.forget();
        }
    }

    fn enter_all(&mut self) {
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        for room in rooms {
            self.enter(room);
        }
    }

    /// Asks to be let into a room, with the token that is shown at present.
    fn enter(&mut self, id: RoomId) {
        let shown = self.shown;
        let Some(room) = self.rooms.get_mut(&id) else {
            return;
        };
        room.tried = shown;
        let (room, alias) = (id, room.alias);
        let token = shown.and_then(|at| self.tokens.get(at).cloned());
        let request = if self.through.is_none() {
            RelayRequest::Join { room, alias, token }
        } else {
            // No descriptor is longer than what a ticket or a peer told it in.
            let relay = self.descriptor.signed().to_bytes().try_into().unwrap_or_default();
            RelayRequest::JoinThrough {
                relay,
                room,
                alias,
                token,
            }
        };
        self.push(request);
    }

    /// The relay wants a token, or another one. Returns whether one was left to try.
    fn try_next_token(&mut self, id: RoomId) -> bool {
        let Some(room) = self.rooms.get(&id).filter(|room| !room.joined) else {
            return false;
        };
        // Of several rooms that were refused with one token, the first moves on to the next token, for all.
        if room.tried == self.shown {
            let next = self.shown.map_or(0, |at| at + 1);
            if next >= self.tokens.len() {
                return false;
            }
            self.shown = Some(next);
        }
        self.enter(id);
        true
    }

    /// States the rooms to be in, each with the owner's alias there. Others are left.
    pub fn set_rooms(&mut self, rooms: &BTreeMap<RoomId, Alias>) {
        let gone: Vec<RoomId> = self
            .rooms
            .keys()
            .filter(|id| !rooms.contains_key(*id))
            .copied()
            .collect();
        for room in gone {
            self.rooms.remove(&room);
            self.push(RelayRequest::Leave { room });
        }
        for (&room, &alias) in rooms {
            if self.rooms.contains_key(&room) {
                continue;
            }
            self.rooms.insert(
                room,
                Room {
                    alias,
                    joined: false,
                    present: BTreeSet::new(),
                    tracks: RoomTracks::default(),
                    told: RoomTracks::default(),
                    wanted: BTreeSet::new(),
                    tried: None,
                },
            );
            self.enter(room);
        }
    }

    /// States the tracks of one room; tells the relay what changed once the room is entered.
    pub fn set_tracks(&mut self, room: RoomId, tracks: RoomTracks) {
        if let Some(state) = self.rooms.get_mut(&room) {
            state.tracks = tracks;
        }
        self.tell(room);
    }

    /// Sends an envelope; `false` if the room is not entered.
    pub fn send_envelope(&mut self, room: RoomId, to: Alias, content: Vec<u8>) -> bool {
        let joined = self.rooms.get(&room).is_some_and(|room| room.joined);
        match content.try_into() {
            Ok(bytes) if joined => {
                self.push(RelayRequest::Envelope { room, to, bytes });
                true
            }
            _ => false,
        }
    }

    /// Sends a ping.
    pub fn send_ping(&mut self, nonce: u64) {
        self.push(RelayRequest::Ping { nonce });
    }

    /// Takes a notice.
    pub fn handle_notice(&mut self, now: Timestamp, notice: RelayNotice) -> Option<SessionEvent> {
        let reached = self.through.is_some();
        match self.monitor() {
            Some(monitor) => monitor.handle_heard(now),
            None if reached => {}
            None => return None,
        }
        match notice {
            RelayNotice::Welcome { descriptor, .. } => {
                Some(SessionEvent::Descriptor(descriptor.into_inner()))
            }
            RelayNotice::Joined { room, present } => {
                let state = self.rooms.get_mut(&room)?;
                state.joined = true;
                state.present = present.iter().copied().collect();
                // A relay that lets one in has recovered: the next failure starts with a short pause again.
                if self.through.is_none() {
                    self.backoff = RETRY_FIRST;
                }
                self.tell(room);
                Some(SessionEvent::Joined(room, present.into_inner()))
            }
            RelayNotice::Present { room, alias } => {
                self.rooms.get_mut(&room)?.present.insert(alias);
                Some(SessionEvent::Present(room, alias))
            }
            RelayNotice::Gone { room, alias } => {
                self.rooms.get_mut(&room)?.present.remove(&alias);
                Some(SessionEvent::Gone(room, alias))
            }
            RelayNotice::Subscribe { room, track } => {
                let state = self.rooms.get_mut(&room)?;
                if state.tracks.announced.contains(&track) {
                    state.wanted.insert(track);
                }
                None
            }
            RelayNotice::Unsubscribe { room, track } => {
                self.rooms.get_mut(&room)?.wanted.remove(&track);
                None
            }
            RelayNotice::Envelope { room, from, bytes } => self
                .rooms
                .contains_key(&room)
                .then(|| SessionEvent::Envelope(room, from, bytes.into_inner())),
            // It went while the envelope was on its way.
            RelayNotice::Refused {
                what: Refusable::Envelope(room, alias),
                code: RefusalCode::NobodyThere,
                ..
            } => {
                self.rooms.get_mut(&room)?.present.remove(&alias);
                Some(SessionEvent::Gone(room, alias))
            }
            RelayNotice::Refused {
                what: Refusable::Join(room),
                code,
                ..
            } if code.is_about_the_token() && self.try_next_token(room) => None,
            RelayNotice::Refused {
                what: Refusable::Join(_),
                code: RefusalCode::NotCascaded | RefusalCode::UpstreamLost,
                ..
            } => {
                if let Some(relay) = self.through() {
                    self.lose_through(now, relay);
                }
                None
            }
            RelayNotice::Refused { what, code, detail } => Some(SessionEvent::Refused(
                code.name().to_owned(),
                format!("{}: {}", what.words(), &*detail),
            )),
            RelayNotice::Redirect { relays, .. } => Some(SessionEvent::Redirect(
                relays.iter().map(|bytes| bytes.to_vec()).collect(),
            )),
            RelayNotice::Draining { .. } => {
                self.draining = true;
                Some(SessionEvent::Draining)
            }
            RelayNotice::Pong { nonce } => {
                self.monitor()?.handle_pong(now, nonce);
                None
            }
            RelayNotice::Observed { address } => Some(SessionEvent::Observed(address.into())),
            RelayNotice::TrackGone { .. }
            | RelayNotice::EnvelopeTo { .. }
            | RelayNotice::Through { .. }
            | RelayNotice::State { .. } => None,
        }
    }

    /// Whether it let this node into a room.
    #[must_use]
    pub fn has_joined(&self) -> bool {
        self.rooms.values().any(|room| room.joined)
    }

    /// Whether somebody is in the room under that alias.
    #[must_use]
    pub fn is_present(&self, room: RoomId, alias: Alias) -> bool {
        self.rooms
            .get(&room)
            .is_some_and(|room| room.joined && room.present.contains(&alias))
    }

    /// Everybody in a room.
    pub fn present(&self, room: RoomId) -> impl Iterator<Item = Alias> + '_ {
        self.rooms
            .get(&room)
            .into_iter()
            .flat_map(|room| room.present.iter().copied())
    }

    /// Whether somebody wants an announced track.
    fn is_wanted(&self, room: RoomId, track: TrackAlias) -> bool {
        self.rooms
            .get(&room)
            .is_some_and(|room| room.wanted.contains(&track))
    }

    /// The next request for the relay. The owner asks [`RelaySession::link`] first.
    pub fn poll_request(&mut self) -> Option<RelayRequest> {
        self.requests.pop_front()
    }

    fn push(&mut self, request: RelayRequest) {
        // Without a link nothing is queued: `handle_up` and `Joined` tell everything anew.
        let linked = matches!(self.state, State::Up { .. }) || self.through.is_some();
        if linked && self.requests.len() < REQUESTS_MAX {
            self.requests.push_back(request);
        }
    }

    /// Queues the difference between what the owner wants and what the relay has been told.
    fn tell(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id).filter(|room| room.joined) else {
            return;
        };
        let mut requests = Vec::new();
        let (want, told) = (&room.tracks, &room.told);
        requests.extend(told.announced.difference(&want.announced).map(|&track| {
            room.wanted.remove(&track);
            RelayRequest::Withdraw { room: id, track }
        }));
        requests.extend(
            told.subscribed
                .difference(&want.subscribed)
                .map(|&track| RelayRequest::Unsubscribe { room: id, track }),
        );
        requests.extend(
            want.announced
                .difference(&told.announced)
                .map(|&track| RelayRequest::Announce { room: id, track }),
        );
        requests.extend(
            want.subscribed
                .difference(&told.subscribed)
                .map(|&track| RelayRequest::Subscribe { room: id, track }),
        );
        room.told = room.tracks.clone();
        for request in requests {
            self.push(request);
        }
    }
}

impl Room {
    fn forget(&mut self) {
        self.joined = false;
        self.present.clear();
        self.told = RoomTracks::default();
        self.wanted.clear();
    }
}
