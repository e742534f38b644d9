//! The relay under sessions that keep to no rule. Quotas and queues hold, every notice decodes, a frame reaches only those
//! who asked for it and unchanged, every frame is accounted for, and nothing is left when all have gone. The same with another
//! relay of a cascade, whose rooms clients enter here, and which keeps to no rule either.
#![no_main]

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use arbitrary::{Result, Unstructured};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::{at, canonical, some_bytes, values};
use subrosa_proto::{
    ids::{RoomId, TrackAlias},
    relay::{
        AddressBlock, CASCADE_CLIENTS_MAX, CONTROL_BACKLOG_MAX, DropReason, ForwardId, MediaRate, Origin,
        Relay, RelayConfig, RelayLimits, RelayOutput, SessionId,
    },
    wire::{
        bounded::BoundedText,
        framing::FrameReader,
        media_packet::{MediaHeader, MediaKind},
        relay_message::{DescriptorBytes, Refusable, RefusalCode, RelayNotice, RelayRequest},
        stream_object::StreamHeader,
    },
};

const SESSIONS: u32 = 6;
/// The session with the other relay.
const UPSTREAM: SessionId = SessionId(SESSIONS);
/// The other relay, by the number of its identity.
const OTHER: u8 = 8;

struct World {
    relay: Relay,
    limits: RelayLimits,
    now: u64,
    up: BTreeSet<SessionId>,
    /// Everything that was sent.
    sent: BTreeSet<Vec<u8>>,
    /// What each session asked for and has not taken back, whatever the relay answered.
    wanted: BTreeMap<SessionId, BTreeSet<(RoomId, TrackAlias)>>,
    forwards: BTreeMap<(SessionId, ForwardId), StreamHeader>,
    /// Forwards to sessions that went: the driver has forgotten them, the relay may still end them.
    ended: BTreeSet<(SessionId, ForwardId)>,
    serial: u64,
    streams: u64,
    /// The other relay's descriptor.
    descriptor: DescriptorBytes,
    /// It is dialled.
    dialled: bool,
    /// How many clients a session may stand for: many as soon as one is with the other relay.
    clients: usize,
}

fuzz_target!(|data: &[u8]| {
    let mut u = Unstructured::new(data);
    let Ok(mut world) = World::new(&mut u) else { return };
    for _ in 0..300 {
        if u.is_empty() || world.step(&mut u).is_err() {
            break;
        }
        world.drain(&mut u);
    }
    world.end();
});

impl World {
    fn new(u: &mut Unstructured<'_>) -> Result<Self> {
        // Small limits, so that short inputs meet them.
        let rate = |bits_per_second| MediaRate {
            bits_per_second,
            burst_bytes: 3_000,
        };
        let small = RelayLimits {
            sessions_max: 4,
            rooms_max: 2,
            members_per_room_max: 3,
            rooms_per_session_max: 2,
            tracks_per_session_max: 2,
            subscriptions_per_session_max: 3,
            sessions_per_address_block_max: 3,
            session_media: rate(100_000),
            room_media: rate(200_000),
            address_block_media: rate(150_000),
            requests_per_second: 1,
            envelopes_per_second: 1,
            envelope_bytes_per_second: 4_000,
            monthly_bytes_max: if u.arbitrary()? { Some(20_000) } else { None },
            queue_frames_max: 4,
            ..RelayLimits::default()
        };
        let limits = if u.arbitrary()? {
            small
        } else {
            RelayLimits::default()
        };
        let config = RelayConfig {
            limits,
            descriptor: vec![1, 2, 3].try_into().expect("fits"),
            alternates: vec![vec![4; 8].try_into().expect("fits")]
                .try_into()
                .expect("one"),
            month_of: at(0).unix,
            cascade: BTreeSet::from([values::descriptor(OTHER, "DE").relay]),
            ..RelayConfig::default()
        };
        let descriptor = values::verified(OTHER, "DE").signed().to_bytes();
        Ok(Self {
            relay: Relay::new(config),
            limits,
            now: 0,
            up: BTreeSet::new(),
            sent: BTreeSet::new(),
            wanted: BTreeMap::new(),
            forwards: BTreeMap::new(),
            ended: BTreeSet::new(),
            serial: 0,
            streams: 0,
            descriptor: descriptor.try_into().expect("fits"),
            dialled: false,
            clients: 1,
        })
    }

    fn step(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let now = at(self.now);
        let id = SessionId(u.int_in_range(0..=SESSIONS - 1)?);
        match u.int_in_range(0..=20_u8)? {
            0 | 1 => {
                let block = AddressBlock(u.int_in_range(0..=1)?);
                let identity = u.ratio(1, 6)?.then(|| values::descriptor(OTHER, "DE").relay);
                self.gone(id);
                if identity.is_some() {
                    self.clients = CASCADE_CLIENTS_MAX;
                }
                let origin = Origin {
                    identity,
                    ..block.into()
                };
                self.relay.handle_session_up(now, id, origin);
                self.up.insert(id);
            }
            2 => {
                self.relay.handle_session_down(now, id);
                self.gone(id);
            }
            3 => {
                let frame = some_bytes(u, 100)?;
                self.relay.handle_request(now, id, frame);
            }
            4..=7 => {
                let request = self.request(u)?;
                if let RelayRequest::Subscribe { room, track } = request {
                    self.wanted.entry(id).or_default().insert((room, track));
                }
                self.relay.handle_request(now, id, &request.encode());
            }
            8..=10 => {
                let packet = Bytes::from(self.packet(u)?);
                self.sent.insert(packet.to_vec());
                self.relay.handle_datagram(now, id, &packet);
            }
            11 => self.stream(u, id)?,
            12 => self.now += u.int_in_range(0..=2_000_000)?,
            13 => {
                if u.ratio(1, 16)? {
                    // Into another month.
                    self.now += 40 * 86_400 * 1_000_000;
                }
                self.relay.handle_timeout(at(self.now));
            }
            14 => self.relay.handle_load(u.int_in_range(0..=1_100)?),
            15..=17 => self.other_says(u)?,
            18 => self.other(u)?,
            19 => {
                let packet = Bytes::from(self.packet(u)?);
                self.sent.insert(packet.to_vec());
                self.relay.handle_datagram(now, UPSTREAM, &packet);
            }
            _ => {
                if u.ratio(1, 16)? {
                    self.relay.drain(now, Duration::from_secs(u.int_in_range(0..=3)?));
                } else {
                    self.relay.handle_writable(id);
                }
            }
        }
        Ok(())
    }

    /// The other relay answers the dial, does not, or goes.
    fn other(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (now, relay) = (at(self.now), values::descriptor(OTHER, "DE").relay);
        match u.int_in_range(0..=3_u8)? {
            0 | 1 if self.dialled => {
                self.gone(UPSTREAM);
                self.relay.handle_upstream_up(now, relay, UPSTREAM);
                self.dialled = false;
            }
            2 if self.dialled => {
                self.relay.handle_upstream_failed(relay);
                self.dialled = false;
            }
            3 => {
                self.relay.handle_session_down(now, UPSTREAM);
                self.gone(UPSTREAM);
            }
            _ => {}
        }
        Ok(())
    }

    /// A notice of the other relay's.
    fn other_says(&mut self, u: &mut Unstructured<'_>) -> Result<()> {
        let (room, track, alias) = (values::room(u)?, values::track(u)?, values::alias(u)?);
        let notice = match u.int_in_range(0..=11_u8)? {
            0..=3 => RelayNotice::Joined {
                room,
                present: vec![alias].try_into().expect("one"),
            },
            4 => RelayNotice::Present { room, alias },
            5 => RelayNotice::Gone { room, alias },
            6 => {
                self.wanted.entry(UPSTREAM).or_default().insert((room, track));
                RelayNotice::Subscribe { room, track }
            }
            7 => RelayNotice::Unsubscribe { room, track },
            8 => RelayNotice::TrackGone { room, track },
            9 => RelayNotice::EnvelopeTo {
                room,
                to: alias,
                from: values::alias(u)?,
                bytes: some_bytes(u, 100)?.to_vec().try_into().expect("fits"),
            },
            10 => RelayNotice::Refused {
                what: match u.int_in_range(0..=4_u8)? {
                    0 => Refusable::Join(room),
                    1 => Refusable::Media(track),
                    2 => Refusable::Subscribe(room, track),
                    3 => Refusable::Announce(room, track),
                    _ => Refusable::EnvelopeFrom(room, alias, values::alias(u)?),
                },
                code: RefusalCode::NobodyThere,
                detail: BoundedText::cut("no"),
            },
            _ => RelayNotice::Pong {
                nonce: u.int_in_range(0..=3)?,
            },
        };
        self.relay
            .handle_request(at(self.now), UPSTREAM, &notice.encode());
        Ok(())
    }

    fn request(&self, u: &mut Unstructured<'_>) -> Result<RelayRequest> {
        if u.ratio(1, 4)? {
            return Ok(RelayRequest::JoinThrough {
                relay: self.descriptor.clone(),
                room: values::room(u)?,
                alias: values::alias(u)?,
                token: None,
            });
        }
        request(u)
    }

    fn gone(&mut self, id: SessionId) {
        self.up.remove(&id);
        self.wanted.remove(&id);
        let ended = self.forwards.extract_if(.., |(session, _), _| *session == id);
        self.ended.extend(ended.map(|(name, _)| name));
    }

    fn packet(&mut self, u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
        if u.ratio(1, 8)? {
            return Ok(some_bytes(u, 40)?.to_vec());
        }
        let mut packet = Vec::new();
        let header = MediaHeader {
            kind: MediaKind::Audio,
            layer: u.int_in_range(0..=7)?,
            track: values::track(u)?,
        };
        header.write(&mut packet);
        self.serial += 1;
        packet.extend_from_slice(&self.serial.to_be_bytes());
        packet.resize(packet.len() + u.int_in_range(0..=1_200)?, 0);
        Ok(packet)
    }

    fn stream(&mut self, u: &mut Unstructured<'_>, id: SessionId) -> Result<()> {
        // The driver never uses a number twice; what has ended may still be spoken of.
        let (now, stream) = (at(self.now), self.streams.saturating_sub(u.int_in_range(0..=20)?));
        match u.int_in_range(0..=3_u8)? {
            0 => {
                let header = StreamHeader {
                    room: values::room(u)?,
                    track: values::track(u)?,
                    group: u.arbitrary()?,
                    priority: u.arbitrary()?,
                };
                self.streams += 1;
                self.relay.handle_stream_object(now, id, self.streams, header);
            }
            1 => {
                let len = if u.ratio(1, 8)? {
                    1 << 20
                } else {
                    u.int_in_range(0..=2_000)?
                };
                self.relay
                    .handle_stream_data(now, id, stream, &Bytes::from(vec![7; len]));
            }
            2 => self.relay.handle_stream_end(id, stream, u.arbitrary()?),
            _ => {
                if let Some(&(session, forward)) = self.forwards.keys().next() {
                    self.relay.handle_forward_ended(session, forward);
                    self.forwards.remove(&(session, forward));
                }
            }
        }
        Ok(())
    }

    fn drain(&mut self, u: &mut Unstructured<'_>) {
        let now = at(self.now);
        while let Some(output) = self.relay.poll_output() {
            self.output(output);
        }
        for id in (0..=SESSIONS).map(SessionId) {
            assert!(self.relay.queued_bytes(id) <= self.limits.queue_frames_max * 1_350);
        }
        // A driver whose connections do not always take something.
        let busy = u.ratio(1, 4).unwrap_or(false);
        let mut named = 0;
        while let Some(id) = self.relay.poll_ready(now) {
            named += 1;
            assert!(named <= SESSIONS + 1, "a session is named twice");
            if busy {
                continue;
            }
            self.control(id);
            let bytes_max = if u.ratio(7, 8).unwrap_or(true) { 1_350 } else { 100 };
            while let Some(frame) = self.relay.poll_datagram(now, id, bytes_max) {
                assert!(
                    frame.len() <= bytes_max && self.sent.contains(&frame[..]),
                    "not what was sent"
                );
                let (header, _) = MediaHeader::parse(&frame).expect("only media packets are forwarded");
                let wanted = self
                    .wanted
                    .get(&id)
                    .is_some_and(|wanted| wanted.iter().any(|(_, track)| *track == header.track));
                assert!(wanted, "a frame for somebody who never asked");
            }
        }
        let stats = self.relay.stats();
        assert!(stats.sessions <= self.limits.sessions_max as u64 && stats.sessions <= self.up.len() as u64);
        assert!(stats.rooms <= self.limits.rooms_max as u64);
        let each = self.limits.tracks_per_session_max + self.limits.subscriptions_per_session_max;
        assert!(stats.tracks <= stats.sessions * (each * self.clients) as u64);
        let timeout = self.relay.poll_timeout();
        if timeout.is_some_and(|due| due <= now.monotonic) {
            self.relay.handle_timeout(now);
            let timeout = self.relay.poll_timeout();
            assert!(
                timeout.is_none_or(|due| due > now.monotonic),
                "a timer that never ends"
            );
        }
    }

    fn control(&mut self, id: SessionId) {
        let (mut reader, mut bytes) = (FrameReader::new(), 0);
        while let Some(frame) = self.relay.poll_control(id) {
            bytes += frame.len();
            reader.push(&frame);
            let content = reader.next_frame().expect("a frame").expect("whole");
            if id == UPSTREAM {
                canonical::<RelayRequest>(&content).expect("a request");
                continue;
            }
            let notice = canonical::<RelayNotice>(&content).expect("a notice");
            if let RelayNotice::Joined { present, .. } = notice {
                assert!(present.is_sorted_by(|a, b| a < b));
            }
        }
        assert!(reader.finish().is_ok() && bytes <= CONTROL_BACKLOG_MAX + 70_000);
    }

    fn output(&mut self, output: RelayOutput) {
        match output {
            RelayOutput::StreamOpen {
                session,
                stream,
                header,
            } => {
                let wanted = self
                    .wanted
                    .get(&session)
                    .is_some_and(|w| w.contains(&(header.room, header.track)));
                assert!(
                    wanted && self.up.contains(&session),
                    "a group for somebody who never asked"
                );
                assert!(
                    self.forwards.insert((session, stream), header).is_none(),
                    "a name twice"
                );
            }
            RelayOutput::StreamData { session, stream, .. } => {
                assert!(
                    self.forwards.contains_key(&(session, stream)),
                    "data before its header"
                );
            }
            RelayOutput::StreamFinish { session, stream } | RelayOutput::StreamReset { session, stream } => {
                let known = self.forwards.remove(&(session, stream)).is_some();
                assert!(
                    known || self.ended.contains(&(session, stream)),
                    "the end of nothing"
                );
            }
            RelayOutput::Dial { .. } => self.dialled = true,
            RelayOutput::Close { .. } | RelayOutput::StreamStop { .. } => {}
        }
    }

    /// Everybody goes.
    fn end(&mut self) {
        let now = at(self.now);
        for id in (0..=SESSIONS).map(SessionId) {
            self.relay.handle_session_down(now, id);
        }
        self.relay
            .handle_upstream_failed(values::descriptor(OTHER, "DE").relay);
        let stats = self.relay.stats();
        assert_eq!(
            (stats.sessions, stats.rooms, stats.tracks, stats.upstreams),
            (0, 0, 0, 0),
            "something was left"
        );
        assert!((0..=SESSIONS).all(|id| self.relay.queued_bytes(SessionId(id)) == 0));
        let before: u64 = [
            DropReason::Malformed,
            DropReason::NotAnnounced,
            DropReason::NoListener,
            DropReason::SessionBitrate,
            DropReason::RoomBitrate,
            DropReason::AddressBlockBitrate,
            DropReason::MonthlyTraffic,
        ]
        .into_iter()
        .map(|reason| stats.dropped(reason))
        .sum();
        let after = stats.dropped_total() - before;
        let fanned_out = stats.frames_received - before;
        let copies = stats.frames_forwarded + after;
        assert!(
            copies >= fanned_out && copies <= fanned_out * u64::from(SESSIONS + 1),
            "frames unaccounted for"
        );
        while self.relay.poll_output().is_some() {}
        assert!(self.relay.poll_ready(now).is_none());
    }
}

fn request(u: &mut Unstructured<'_>) -> Result<RelayRequest> {
    let (room, track) = (values::room(u)?, values::track(u)?);
    Ok(match u.int_in_range(0..=12_u8)? {
        10 => RelayRequest::JoinAs {
            room,
            alias: values::alias(u)?,
            token: None,
        },
        11 => RelayRequest::LeaveAs {
            room,
            alias: values::alias(u)?,
        },
        12 => RelayRequest::EnvelopeFrom {
            room,
            from: values::alias(u)?,
            to: values::alias(u)?,
            bytes: vec![5; u.int_in_range(0..=200)?].try_into().expect("fits"),
        },
        0..=2 => RelayRequest::Join {
            room,
            alias: values::alias(u)?,
            token: None,
        },
        3 => RelayRequest::Leave { room },
        4 => RelayRequest::Announce { room, track },
        5 => RelayRequest::Withdraw { room, track },
        6 => RelayRequest::Subscribe { room, track },
        7 => RelayRequest::Unsubscribe { room, track },
        8 => RelayRequest::Envelope {
            room,
            to: values::alias(u)?,
            bytes: vec![5; u.int_in_range(0..=16_384)?].try_into().expect("fits"),
        },
        _ => RelayRequest::Ping {
            nonce: u.arbitrary()?,
        },
    })
}
