//! Relays: judged by the policy before anything is sent, entered, and used to carry envelopes.

use super::{
    DialId, DialTarget, Event, Output, Participant,
    conduits::{ChannelKey, Conduit},
    links::DialPurpose,
    lobby::Phase,
    rooms::RoomKind,
};
use crate::{
    channel::pairwise::{ChannelContext, ChannelEvent},
    ids::{Alias, LinkId, MemberId, RelayId, RoomId},
    mesh::relay_session::{RelaySession, SessionEvent},
    policy::signed_descriptor::{DescriptorError, SignedDescriptor, VerifiedDescriptor},
    relay::token::AccessToken,
    time::Now,
    wire::{control_message::ControlMessage, relay_message::RelayNotice},
};

/// Relays that one meeting uses at once. Reason: two carry each frame, two stand by.
pub(super) const RELAYS_MAX: usize = 4;
/// Tokens that a member shows to relays. Reason: a relay closes sessions that try very many.
pub const RELAY_TOKENS_MAX: usize = 8;
/// Pairwise channels over one relay. Reason: as many members as a key can have, in the present and the former room, and
/// a full lobby.
const CHANNELS_PER_RELAY_MAX: usize = 640;
/// Refusals that are remembered, so that each is told once.
const REFUSED_MAX: usize = 64;

impl Participant {
    /// Tokens to show to relays that ask for one; at most [`RELAY_TOKENS_MAX`] are used.
    pub fn set_relay_tokens(&mut self, mut tokens: Vec<AccessToken>) {
        tokens.truncate(RELAY_TOKENS_MAX);
        for session in self.relays.values_mut() {
            session.set_tokens(&tokens);
        }
        self.relay_tokens = tokens;
    }

    /// Takes a relay into use if the policy permits it; says why if not. Nothing is sent to a relay before this.
    pub(super) fn consider_relay(&mut self, now: Now, descriptor: VerifiedDescriptor) {
        let judged = self.judge.permit(&descriptor, &self.gathering.book, now.unix);
        if !self.awaits_evidence(&descriptor, &judged) {
            self.judge_relay(now, descriptor);
        }
    }

    /// The same, once all evidence about it is at hand that can be had.
    pub(super) fn judge_relay(&mut self, now: Now, descriptor: VerifiedDescriptor) {
        let relay = descriptor.relay;
        let known = self.descriptors.newest_hash(relay).is_some();
        let judged = self.judge.permit(&descriptor, &self.gathering.book, now.unix);
        // Refused relays are remembered, too, so that an older descriptor does not bring one back.
        if judged.is_ok() || known || self.refused_relays.len() < REFUSED_MAX {
            match self.descriptors.insert(descriptor.clone(), now.unix) {
                // Peers learn of renewals at different times: older ones are no offence.
                Err(DescriptorError::Replayed { .. } | DescriptorError::BookFull) => return,
                Err(error @ DescriptorError::Forked(_)) => {
                    let reason = format!("refused relay {}: {error}", relay.fingerprint());
                    self.refuse_relay(now, relay, "descriptor", reason);
                    return;
                }
                _ => {}
            }
        }
        match judged {
            Ok(permit) => {
                if let Some(session) = self.relays.get_mut(&relay) {
                    if descriptor.sequence > session.descriptor().sequence {
                        session.renew(descriptor, permit);
                    }
                } else if self.relays.len() < RELAYS_MAX {
                    let mut session = RelaySession::new(descriptor, permit, now.monotonic);
                    session.set_tokens(&self.relay_tokens);
                    self.relays.insert(relay, session);
                    self.dirty.rooms();
                    self.say_hello_to_all();
                }
            }
            Err(refusal) => self.refuse_relay(now, relay, refusal.clause.name(), refusal.to_string()),
        }
    }

    /// Ends the use of a relay and says why, once for each relay.
    fn refuse_relay(&mut self, now: Now, relay: RelayId, clause: &str, reason: String) {
        self.stop_using(now, relay);
        if !self.refused_relays.contains_key(&relay) && self.refused_relays.len() < REFUSED_MAX {
            self.refused_relays.insert(relay, reason.clone());
            self.emit(Event::Refused {
                what: "relay",
                clause: clause.to_owned(),
                reason,
            });
        }
    }

    /// A descriptor from a peer or a relay; one that does not verify is ignored.
    pub(super) fn consider_encoded_relay(&mut self, now: Now, bytes: &[u8]) {
        let verified = SignedDescriptor::from_bytes(bytes).and_then(|signed| signed.verify(now.unix));
        if let Ok(descriptor) = verified {
            self.consider_relay(now, descriptor);
        }
    }

    /// Ends the use of relays whose permit has run out or was withdrawn.
    pub(super) fn watch_permits(&mut self, now: Now) {
        let policy = self.judge.policy().hash();
        let lapsed: Vec<RelayId> = self
            .relays
            .iter()
            .filter(|(_, session)| !session.permit().is_valid(now.unix, policy))
            .map(|(relay, _)| *relay)
            .collect();
        for relay in lapsed {
            let descriptor = self.relays[&relay].descriptor().clone();
            self.stop_using(now, relay);
            // Judged again: the refusal names the clause, mostly that the descriptor has expired.
            self.consider_relay(now, descriptor);
        }
    }

    /// Ends the use of a relay that does not serve, if there is no room for another one.
    pub(super) fn make_room_for_relay(&mut self, now: Now) {
        let useless = self
            .relays
            .iter()
            .find(|(_, session)| !session.serves(now.monotonic))
            .map(|(relay, _)| *relay);
        if self.relays.len() >= RELAYS_MAX
            && let Some(relay) = useless
        {
            self.stop_using(now, relay);
        }
    }

    fn stop_using(&mut self, now: Now, relay: RelayId) {
        if let Some(session) = self.relays.remove(&relay) {
            self.reflexive.forget(&relay);
            self.lose_ways_through(now.monotonic, relay);
            if let Some(link) = session.any_link() {
                self.relay_links.remove(&link);
                self.outputs.push_back(Output::Close { link });
            }
            // Another relay would go on asking it for this node's rooms.
            if let Some((link, rooms)) = session.into_leave() {
                self.leave_rooms(link, &rooms);
            }
            self.dirty.rooms();
        }
    }

    pub(super) fn handle_relay_up(&mut self, now: Now, relay: RelayId, link: LinkId) {
        let Some(session) = self.relays.get_mut(&relay) else {
            self.outputs.push_back(Output::Close { link });
            return;
        };
        session.handle_up(now.monotonic, link);
        self.relay_links.insert(link, relay);
    }

    pub(super) fn handle_relay_down(&mut self, now: Now, relay: RelayId, link: LinkId) {
        if let Some(session) = self.relays.get_mut(&relay)
            && session.any_link() == Some(link)
        {
            session.handle_down(now.monotonic);
            self.channels.retain(|key, _| key.relay != relay);
            self.lose_ways_through(now.monotonic, relay);
            self.dirty.routes();
        }
    }

    /// A control frame from a relay.
    pub(super) fn handle_relay_frame(&mut self, now: Now, relay: RelayId, bytes: &[u8]) {
        let Some(session) = self.relays.get_mut(&relay) else {
            return;
        };
        let Ok(notice) = RelayNotice::decode(bytes) else {
            if let Some(link) = session.any_link() {
                self.outputs.push_back(Output::Close { link });
            }
            return;
        };
        if let Some(monitor) = session.monitor() {
            monitor.handle_heard(now.monotonic);
        }
        if let RelayNotice::Through {
            descriptor,
            rtt_us,
            draining,
        } = &notice
        {
            self.handle_through(now, relay, descriptor, *rtt_us, *draining);
            return self.dirty.routes();
        }
        let relay = self.speaker_of(relay, &notice);
        let Some(session) = self.relays.get_mut(&relay) else {
            return;
        };
        let through = session.through();
        let event = session.handle_notice(now.monotonic, notice);
        if through.is_some() && session.through().is_none() {
            self.channels.retain(|key, _| key.relay != relay);
            self.dirty.routes();
        }
        let Some(event) = event else {
            return;
        };
        match event {
            SessionEvent::Joined(room, present) => {
                for alias in present {
                    self.greet_alias(now, ChannelKey { relay, room, alias });
                }
            }
            SessionEvent::Present(room, alias) => {
                // Whoever comes anew has forgotten the channel.
                self.channels.remove(&ChannelKey { relay, room, alias });
                self.greet_alias(now, ChannelKey { relay, room, alias });
            }
            SessionEvent::Gone(room, alias) => {
                self.channels.remove(&ChannelKey { relay, room, alias });
            }
            SessionEvent::Envelope(room, from, bytes) => {
                self.handle_envelope(
                    now,
                    ChannelKey {
                        relay,
                        room,
                        alias: from,
                    },
                    &bytes,
                );
            }
            SessionEvent::Redirect(descriptors) => {
                for descriptor in descriptors {
                    self.consider_encoded_relay(now, &descriptor);
                }
            }
            SessionEvent::Descriptor(bytes) => self.handle_own_descriptor(now, relay, &bytes),
            SessionEvent::Observed(address) => self.note_observed(now, relay, address),
            SessionEvent::Refused(clause, reason) => {
                self.emit(Event::Refused {
                    what: "relay_request",
                    clause,
                    reason: format!("relay {} refuses {reason}", relay.fingerprint()),
                });
            }
            SessionEvent::Draining => {}
        }
        self.dirty.routes();
    }

    /// The relay's newest descriptor, from itself: it may say something else than the one by which it was chosen.
    pub(super) fn handle_own_descriptor(&mut self, now: Now, relay: RelayId, bytes: &[u8]) {
        let verified = SignedDescriptor::from_bytes(bytes).and_then(|signed| signed.verify(now.unix));
        match verified {
            Ok(descriptor) if descriptor.relay == relay => self.consider_relay(now, descriptor),
            Ok(_) | Err(_) => {
                self.emit(Event::Refused {
                    what: "relay",
                    clause: "descriptor".to_owned(),
                    reason: format!(
                        "refused relay {}: its own descriptor does not verify",
                        relay.fingerprint()
                    ),
                });
                self.stop_using(now, relay);
            }
        }
    }

    /// Starts a channel to whoever is behind an alias, if it is for this side to start.
    fn greet_alias(&mut self, now: Now, key: ChannelKey) {
        let Some(room) = self.rooms.by_id.get(&key.room) else {
            return;
        };
        let expected = room.members.get(&key.alias).copied();
        let starts = match (room.kind, self.phase) {
            (RoomKind::Lobby, Phase::Lobby { .. }) => expected == Some(self.host),
            // Somebody from the ticket is at its own door again; anybody else of whom nothing is known looks for somebody in charge.
            // Such people greet the host themselves.
            (RoomKind::Lobby, Phase::Member) => match expected {
                Some(member) => self.is_named_by_ticket(member) && !self.is_reachable(member),
                None => self.me != self.host && self.is_in_charge(),
            },
            (RoomKind::Members, Phase::Member) => expected.is_some_and(|member| self.me < member),
            _ => false,
        };
        if starts && self.needs_channel(expected) {
            self.start_channel(now, key, expected);
        }
    }

    /// Channels are for those to whom there is no direct link.
    fn needs_channel(&self, member: Option<MemberId>) -> bool {
        let linked = member
            .and_then(|member| self.peers.get(&member))
            .is_some_and(|peer| !peer.links.is_empty());
        !linked
    }

    fn start_channel(&mut self, now: Now, key: ChannelKey, expected: Option<MemberId>) {
        let Some(room) = self.rooms.by_id.get(&key.room) else {
            return;
        };
        let mut context = ChannelContext {
            identity: &self.identity,
            meeting: self.meeting,
            psk: &room.psk,
            random: &mut self.random,
        };
        self.channels
            .entry(key)
            .or_default()
            .start(now, expected, &mut context);
    }

    /// Starts channels again that nobody answered, and those that a lost link made necessary.
    pub(super) fn open_missing_channels(&mut self, now: Now) {
        let mut present: Vec<(RelayId, RoomId, Alias)> = Vec::new();
        for (id, room) in &self.rooms.by_id {
            if let Some(session) = self.relays.get(&room.relay) {
                present.extend(session.present(*id).map(|alias| (room.relay, *id, alias)));
            }
        }
        for (relay, room, alias) in present {
            let key = ChannelKey { relay, room, alias };
            if self
                .channels
                .get(&key)
                .is_none_or(|channel| channel.peer().is_none())
            {
                self.greet_alias(now, key);
            }
        }
    }

    fn handle_envelope(&mut self, now: Now, key: ChannelKey, bytes: &[u8]) {
        let Some(room) = self
            .rooms
            .by_id
            .get(&key.room)
            .filter(|room| room.relay == key.relay)
        else {
            return;
        };
        let mut context = ChannelContext {
            identity: &self.identity,
            meeting: self.meeting,
            psk: &room.psk,
            random: &mut self.random,
        };
        // A relay can invent aliases: what it cannot do is crowd out the channels over another relay.
        let at_relay = self.channels.keys().filter(|other| other.relay == key.relay);
        if !self.channels.contains_key(&key) && at_relay.count() >= CHANNELS_PER_RELAY_MAX {
            return;
        }
        let channel = self.channels.entry(key).or_default();
        match channel.handle_envelope(now, bytes, &mut context) {
            Ok(Some(ChannelEvent::Opened(member))) => self.handle_channel_open(now, key, member),
            Ok(Some(ChannelEvent::Message(member, message))) => {
                if let Ok(message) = ControlMessage::decode(&message) {
                    self.handle_message(now, member, Conduit::Channel(key), message);
                }
            }
            Ok(None) | Err(_) => {}
        }
    }

    fn handle_channel_open(&mut self, now: Now, key: ChannelKey, member: MemberId) {
        // In the members' rooms an alias belongs to one member: somebody else behind it plays a trick.
        let room = &self.rooms.by_id[&key.room];
        let claimed = room
            .members
            .get(&key.alias)
            .is_some_and(|expected| *expected != member);
        let removed = room.kind == RoomKind::Members && self.is_unadmitted(&member);
        if claimed || removed || member == self.me || !self.has_room_for(member) {
            self.channels.remove(&key);
            return;
        }
        self.peer_mut(now, member);
        self.conduit_opened(now, member, Conduit::Channel(key));
    }

    pub(super) fn ping_relays(&mut self, now: Now) {
        for session in self.relays.values_mut() {
            if let Some(nonce) = session
                .monitor()
                .and_then(|monitor| monitor.poll_ping(now.monotonic))
            {
                session.send_ping(nonce);
            }
        }
    }

    /// Hands envelopes to the relays' sessions.
    pub(super) fn flush_channels(&mut self) {
        for (key, channel) in &mut self.channels {
            while let Some(content) = channel.poll_envelope() {
                if let Some(session) = self.relays.get_mut(&key.relay) {
                    session.send_envelope(key.room, key.alias, content);
                }
            }
        }
    }

    /// Sends what waits for relays: dials, envelopes, requests. Only with a valid permit.
    pub(super) fn pump_relays(&mut self, now: Now) {
        self.flush_channels();
        self.leave_ways_through(now.monotonic);
        let policy = self.judge.policy().hash();
        for (relay, session) in &mut self.relays {
            if session.poll_dial(now, policy) {
                let dial = DialId(self.next_dial);
                self.next_dial += 1;
                self.dials.insert(dial, DialPurpose::Relay(*relay));
                let target = DialTarget::Relay {
                    permit: *session.permit(),
                    static_key: session.descriptor().static_key,
                    addresses: session.descriptor().addresses.clone(),
                    tcp_addresses: session.descriptor().tcp_addresses.clone(),
                };
                self.outputs.push_back(Output::Dial { dial, target });
            }
            if let Some(link) = session.link(now, policy) {
                while let Some(request) = session.poll_request() {
                    self.outputs.push_back(Output::Control {
                        link,
                        bytes: request.encode(),
                    });
                }
            }
        }
    }
}
