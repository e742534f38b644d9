//! The way of a frame through the participant: sealed once, sent on every path that wants it; received, opened, handed on.

use super::{
    Event, MediaFrame, Output, Participant,
    peer::{ALTERED_MAX, EarlyPacket, TAMPERING_PENALTY},
    routes::path_id,
};
use crate::{
    ids::{LinkId, MemberId, StreamId},
    media::{payload::AUDIO_PAYLOAD_BYTES_MAX, reception_report::ReceptionReport},
    meeting::keys::OpenError,
    mesh::{relay_session::RelaySession, route::Path, route_planner::Carrier},
    sframe::{MediaContext, source_authentication::SourceAuthentication},
    time::{Now, Timestamp},
    wire::{
        codec,
        control_message::ControlMessage,
        media_packet::{MediaHeader, MediaKind},
    },
};

/// Links on which packets wait, from which on it is taken to be before the uplink that they share.
const CONGESTED_LINKS_OF_AN_UPLINK: usize = 2;

impl Participant {
    /// An encoded audio payload of this member's microphone ([`crate::media::payload`]).
    pub fn handle_audio(&mut self, now: Now, payload: &[u8]) {
        if self.may_speak() && payload.len() <= AUDIO_PAYLOAD_BYTES_MAX {
            self.publish(now, MediaKind::Audio, payload);
        }
        self.settle(now);
    }

    /// What this node's listener measured of `member`'s audio; passed on to its sender.
    pub fn handle_reception_report(&mut self, now: Now, member: MemberId, report: ReceptionReport) {
        if self.is_member() {
            self.send_to(Some(now), member, &ControlMessage::Report(report));
        }
        self.settle(now);
    }

    /// Whether what goes to `member` waits in a queue on the way: on the direct link, without one at a relay, or, if others wait
    /// too, before this node's own uplink, which a link that is younger than the queue cannot tell.
    pub(super) fn is_congested_towards(&self, member: MemberId) -> bool {
        let direct = || self.links.values().filter(|link| link.member == member);
        let to_member = match direct().next() {
            Some(_) => direct().all(|link| link.monitor.is_congested()),
            None => self.relays.values().any(RelaySession::is_congested),
        };
        let links = self.links.values().filter(|link| link.monitor.is_congested());
        let sessions = self.relays.values().filter(|session| session.is_congested());
        to_member || links.count() + sessions.count() >= CONGESTED_LINKS_OF_AN_UPLINK
    }

    /// Seals once; the same ciphertext goes out on every path, each with its own track alias in front.
    fn publish(&mut self, now: Now, kind: MediaKind, plaintext: &[u8]) {
        let context = self.context(kind, 0, self.me);
        let mut sframe = Vec::with_capacity(plaintext.len() + 40);
        let Ok(sealed) = self
            .publisher
            .seal(now.monotonic, &context, plaintext, &mut sframe)
        else {
            // Nobody to talk to.
            return;
        };
        if kind == MediaKind::Audio {
            self.authenticator
                .handle_sealed(now.monotonic, &context, sealed, &sframe);
        }
        self.note_sealed(now, sframe.len());
        let mut outgoing = self.outgoing_tracks(now, sealed.counter);
        // Each frame begins with another listener: a full uplink drops what comes last, and would starve the same ones.
        let turn = sealed.counter % outgoing.len().max(1) as u64;
        outgoing.rotate_left(usize::try_from(turn).unwrap_or(0));
        for (link, track) in outgoing {
            let mut bytes = Vec::with_capacity(sframe.len() + 10);
            MediaHeader {
                kind,
                layer: 0,
                track,
            }
            .write(&mut bytes);
            bytes.extend_from_slice(&sframe);
            self.outputs.push_back(Output::Datagram { link, bytes });
        }
    }

    /// Signs what went out over relays lately.
    pub(super) fn send_source_authentication(&mut self, now: Now) {
        while let Some(object) = self.authenticator.poll_object(now.monotonic) {
            self.publish(now, MediaKind::SourceAuthentication, &codec::encode(&object));
        }
    }

    /// One datagram arrived on a link.
    pub fn handle_datagram(&mut self, now: Now, link: LinkId, datagram: &[u8]) {
        if let Ok((header, sframe)) = MediaHeader::parse(datagram)
            && let Some((path, member)) = self.source_of(now, link, &header)
        {
            self.receive(now, path, member, &header, sframe);
        }
        self.settle(now);
    }

    /// Whose track it is, and which way it came.
    fn source_of(&mut self, now: Now, link: LinkId, header: &MediaHeader) -> Option<(Path, MemberId)> {
        if let Some(relay) = self.relay_links.get(&link).copied() {
            let others = self.relays.iter().filter(|(_, session)| session.comes_by(relay));
            let mut relays = std::iter::once(relay).chain(others.map(|(far, _)| *far));
            let (relay, member) = relays.find_map(|relay| {
                let member = self.rooms.publisher_of(relay, header.track)?;
                Some((relay, member))
            })?;
            let blocked = self
                .peers
                .get(&member)?
                .blocked
                .contains_key(&Carrier::Relay(relay));
            return (!blocked).then_some((Path::Relay(relay), member));
        }
        let state = self.links.get_mut(&link)?;
        state.monitor.handle_heard(now.monotonic);
        let forwarder = state.member;
        if let Some(member) = self.forwarded_by(now, forwarder, header.track) {
            let blocked = self
                .peers
                .get(&member)?
                .blocked
                .contains_key(&Carrier::Member(forwarder));
            return (!blocked).then_some((Path::Member(forwarder), member));
        }
        // Else a direct link carries its peer's own track. Its alias cannot be derived before the welcome, nor while a new
        // room secret is on its way; whether the packet is what it seems is for its key to say.
        Some((Path::Direct(link), forwarder))
    }

    fn receive(&mut self, now: Now, path: Path, member: MemberId, header: &MediaHeader, sframe: &[u8]) {
        let in_roster = self.log.view().members.contains_key(&member);
        if in_roster && !self.speaks(member) {
            self.peer_mut(now, member).counters.refused += 1;
            return;
        }
        let packet = EarlyPacket {
            arrival: now.monotonic,
            path,
            kind: header.kind,
            layer: header.layer,
            stream: StreamId::AUDIO,
            sframe: sframe.to_vec(),
        };
        self.open_packet(now, member, packet);
    }

    /// Packets that waited for a key.
    pub(super) fn open_early(&mut self, now: Now, member: MemberId) {
        let Some(peer) = self.peers.get_mut(&member) else {
            return;
        };
        for packet in std::mem::take(&mut peer.early) {
            self.open_packet(now, member, packet);
        }
    }

    fn open_packet(&mut self, now: Now, member: MemberId, packet: EarlyPacket) {
        let context = self.context(packet.kind, packet.layer, member);
        let mut plaintext = Vec::with_capacity(packet.sframe.len());
        let Some(peer) = self.peers.get_mut(&member) else {
            return;
        };
        let mut key_came = false;
        let opened = peer
            .keys
            .open(now.monotonic, &context, &packet.sframe, &mut plaintext);
        match opened {
            Ok(_) => {
                peer.counters.opened += 1;
                if let Some(carrier) = packet.path.carrier() {
                    peer.altered.remove(&carrier);
                }
                peer.heard_at = Some(now.monotonic);
                key_came = peer.missing_key.frame_opened();
            }
            Err(OpenError::Replay) => peer.counters.duplicates += 1,
            Err(OpenError::UnknownKey) => {
                peer.keep_early(packet);
                return;
            }
            Err(OpenError::BadTag) => {
                peer.counters.tampered += 1;
                let first = peer.counters.tampered == 1;
                if let Some(carrier) = packet.path.carrier() {
                    let altered = peer.altered.entry(carrier).or_default();
                    *altered = altered.saturating_add(1);
                    if *altered >= ALTERED_MAX {
                        peer.altered.remove(&carrier);
                        peer.blocked.insert(carrier, now.monotonic + TAMPERING_PENALTY);
                        self.dirty.routes();
                    }
                }
                self.report_tampering(member, packet.path, first);
                return;
            }
            Err(_) => {
                peer.counters.refused += 1;
                return;
            }
        }
        if let (Some(carrier), Some(instance), MediaKind::Audio) =
            (packet.path.carrier(), peer.keys.instance(), packet.kind)
        {
            peer.verifier.handle_packet(
                now.monotonic,
                path_id(carrier),
                instance,
                &context,
                &packet.sframe,
            );
        }
        if let Path::Member(forwarder) = packet.path {
            self.note_feed(now.monotonic, member, forwarder);
        }
        if opened.is_ok() {
            let head = (packet.kind, packet.layer);
            self.forward(now, member, packet.path, head, &packet.sframe);
        }
        if key_came {
            self.emit(Event::KeyCame { member });
        }
        if opened.is_ok() {
            self.hand_on(now.monotonic, member, &packet, plaintext);
        }
    }

    fn hand_on(&mut self, now: Timestamp, member: MemberId, packet: &EarlyPacket, plaintext: Vec<u8>) {
        match packet.kind {
            MediaKind::Audio => self.outputs.push_back(Output::Media(MediaFrame {
                member,
                stream: packet.stream,
                arrival: packet.arrival,
                payload: plaintext,
            })),
            MediaKind::SourceAuthentication => {
                let Some(peer) = self.peers.get_mut(&member) else {
                    return;
                };
                // After its restart a publisher on a direct link sends objects only.
                if let Some(instance) = peer.keys.instance() {
                    peer.verifier.follow(instance);
                }
                let accepted = codec::decode::<SourceAuthentication>(&plaintext)
                    .is_ok_and(|object| peer.verifier.handle_authentication(now, &object).is_ok());
                if !accepted {
                    peer.counters.refused += 1;
                }
            }
        }
    }

    /// Bytes were altered on the way. The first time, people are told where.
    fn report_tampering(&mut self, member: MemberId, path: Path, first: bool) {
        if !first {
            return;
        }
        let name = self.name_of(member);
        let way = match path {
            Path::Direct(_) => "on the direct link".to_owned(),
            Path::Member(forwarder) => {
                format!(
                    "by {} ({}), who forwards",
                    self.name_of(forwarder),
                    forwarder.fingerprint()
                )
            }
            Path::Relay(relay) => match self.relays.get(&relay) {
                Some(session) => {
                    format!(
                        "by relay {} ({})",
                        session.descriptor().operator.name,
                        relay.fingerprint()
                    )
                }
                None => "by a relay".to_owned(),
            },
        };
        self.fault(
            "tampering",
            format!("sound of {name} was altered {way}; the altered frames were dropped"),
            "if it goes on, another way is taken",
        );
    }

    fn context(&self, kind: MediaKind, layer: u8, sender: MemberId) -> MediaContext {
        MediaContext {
            kind,
            layer,
            meeting: self.meeting,
            sender,
            stream: StreamId::AUDIO,
        }
    }
}
