//! The machine as a whole: who hears what, what is refused, and what a slow listener costs.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::{
    ids::{Alias, RoomId, TrackAlias},
    time::{Now, Timestamp, UnixSeconds},
    wire::{
        framing::FrameReader,
        media_packet::{MediaHeader, MediaKind},
        relay_message::{ENVELOPE_BYTES_MAX, Refusable, RefusalCode, RelayNotice, RelayRequest},
        stream_object::StreamHeader,
    },
};

mod access;
mod cascade;
mod change;

const ROOM: RoomId = RoomId([1; 16]);
const DATAGRAM_MAX: usize = 1_300;

/// A relay with a clock and a reader for each session's control stream.
struct Bench {
    relay: Relay,
    now: Now,
    readers: BTreeMap<SessionId, FrameReader>,
}

fn track(n: u8) -> TrackAlias {
    TrackAlias([n; 8])
}

fn alias(n: u8) -> Alias {
    Alias([n; 8])
}

fn packet(track: TrackAlias, body: &[u8]) -> Bytes {
    let mut out = Vec::new();
    MediaHeader {
        kind: MediaKind::Audio,
        layer: 0,
        track,
    }
    .write(&mut out);
    out.extend_from_slice(body);
    out.into()
}

impl Bench {
    fn new(limits: RelayLimits) -> Self {
        let now = Now {
            monotonic: Timestamp::from_micros(1),
            unix: UnixSeconds(1_800_000_000),
        };
        let config = RelayConfig {
            limits,
            month_of: now.unix,
            ..RelayConfig::default()
        };
        Self {
            relay: Relay::new(config),
            now,
            readers: BTreeMap::new(),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.monotonic += time;
        if self
            .relay
            .poll_timeout()
            .is_some_and(|at| at <= self.now.monotonic)
        {
            self.relay.handle_timeout(self.now);
        }
    }

    fn up(&mut self, n: u32) -> SessionId {
        self.up_from(n, 0)
    }

    fn up_from(&mut self, n: u32, block: u64) -> SessionId {
        let id = SessionId(n);
        self.relay.handle_session_up(self.now, id, AddressBlock(block));
        self.readers.insert(id, FrameReader::new());
        id
    }

    fn ask(&mut self, id: SessionId, request: &RelayRequest) {
        self.relay.handle_request(self.now, id, &request.encode());
    }

    fn join(&mut self, id: SessionId, room: RoomId) {
        let alias = alias(id.0 as u8);
        self.ask(
            id,
            &RelayRequest::Join {
                room,
                alias,
                token: None,
            },
        );
    }

    /// A session that is in `ROOM`, publishes its own track and listens to those named.
    fn member(&mut self, n: u32, listens: &[u8]) -> SessionId {
        let id = self.up(n);
        self.join(id, ROOM);
        self.ask(
            id,
            &RelayRequest::Announce {
                room: ROOM,
                track: track(n as u8),
            },
        );
        for &t in listens {
            self.ask(
                id,
                &RelayRequest::Subscribe {
                    room: ROOM,
                    track: track(t),
                },
            );
        }
        id
    }

    fn notices(&mut self, id: SessionId) -> Vec<RelayNotice> {
        let reader = self.readers.get_mut(&id).unwrap();
        while let Some(frame) = self.relay.poll_control(id) {
            reader.push(&frame);
        }
        let mut out = Vec::new();
        while let Some(frame) = reader.next_frame().unwrap() {
            out.push(RelayNotice::decode(&frame).unwrap());
        }
        out
    }

    fn refusals(&mut self, id: SessionId) -> Vec<RefusalCode> {
        let code = |notice| match notice {
            RelayNotice::Refused { code, .. } => Some(code),
            _ => None,
        };
        self.notices(id).into_iter().filter_map(code).collect()
    }

    fn heard(&mut self, id: SessionId) -> Vec<Bytes> {
        std::iter::from_fn(|| self.relay.poll_datagram(self.now, id, DATAGRAM_MAX)).collect()
    }

    fn outputs(&mut self) -> Vec<RelayOutput> {
        std::iter::from_fn(|| self.relay.poll_output()).collect()
    }
}

fn limits() -> RelayLimits {
    RelayLimits::default()
}

#[test]
fn media_go_unchanged_and_uncopied_to_the_subscribers_and_to_nobody_else() {
    let mut bench = Bench::new(limits());
    let speaker = bench.member(1, &[1, 2]);
    let listener = bench.member(2, &[1]);
    let other = bench.member(3, &[2]);
    let stranger = bench.up(4);
    let frame = packet(track(1), b"sealed");
    bench.relay.handle_datagram(bench.now, speaker, &frame);
    let heard = bench.heard(listener);
    assert_eq!(heard, std::slice::from_ref(&frame));
    assert_eq!(heard[0].as_ptr(), frame.as_ptr(), "the payload is not copied");
    assert!(bench.heard(other).is_empty() && bench.heard(stranger).is_empty());
    assert!(bench.heard(speaker).is_empty(), "nobody hears itself");
    assert_eq!(bench.relay.stats().frames_forwarded, 1);
}

#[test]
fn a_frame_for_an_idle_relay_is_ready_at_once() {
    let mut bench = Bench::new(limits());
    let speaker = bench.member(1, &[]);
    let listener = bench.member(2, &[1]);
    while bench.relay.poll_ready(bench.now).is_some() {}
    bench
        .relay
        .handle_datagram(bench.now, speaker, &packet(track(1), b"x"));
    assert_eq!(bench.relay.poll_ready(bench.now), Some(listener));
}

#[test]
fn under_load_frames_wait_for_company_but_never_beyond_the_window() {
    let mut bench = Bench::new(limits());
    let speaker = bench.member(1, &[]);
    let listener = bench.member(2, &[1]);
    while bench.relay.poll_ready(bench.now).is_some() {}
    bench.relay.handle_load(1_000);
    bench
        .relay
        .handle_datagram(bench.now, speaker, &packet(track(1), b"x"));
    assert_eq!(bench.relay.poll_ready(bench.now), None);
    let due = bench.relay.poll_timeout().unwrap();
    assert_eq!(due - bench.now.monotonic, GATHER_WINDOW_MAX);
    bench.pass(GATHER_WINDOW_MAX);
    assert_eq!(bench.relay.poll_ready(bench.now), Some(listener));
    // A packet's worth does not wait.
    assert_eq!(bench.heard(listener).len(), 1);
    bench
        .relay
        .handle_datagram(bench.now, speaker, &packet(track(1), &[0; GATHER_BYTES]));
    assert_eq!(bench.relay.poll_ready(bench.now), Some(listener));
}

#[test]
fn subscriptions_are_merged_upstream() {
    let mut bench = Bench::new(limits());
    let speaker = bench.member(1, &[1]);
    bench.notices(speaker);
    let wants = |n: &[RelayNotice]| -> Vec<bool> {
        n.iter()
            .filter_map(|n| match n {
                RelayNotice::Subscribe { .. } => Some(true),
                RelayNotice::Unsubscribe { .. } => Some(false),
                _ => None,
            })
            .collect()
    };
    let a = bench.member(2, &[1]);
    let b = bench.member(3, &[1]);
    assert_eq!(wants(&bench.notices(speaker)), [true]);
    bench.ask(
        a,
        &RelayRequest::Unsubscribe {
            room: ROOM,
            track: track(1),
        },
    );
    assert_eq!(wants(&bench.notices(speaker)), Vec::<bool>::new());
    bench.relay.handle_session_down(bench.now, b);
    assert_eq!(wants(&bench.notices(speaker)), [false]);
    // Subscribed before it is announced: told on announcing. Withdrawn: the subscriber is told.
    bench.ask(
        a,
        &RelayRequest::Subscribe {
            room: ROOM,
            track: track(9),
        },
    );
    bench.ask(
        speaker,
        &RelayRequest::Announce {
            room: ROOM,
            track: track(9),
        },
    );
    assert_eq!(wants(&bench.notices(speaker)), [true]);
    bench.notices(a);
    bench.ask(
        speaker,
        &RelayRequest::Withdraw {
            room: ROOM,
            track: track(9),
        },
    );
    assert_eq!(
        bench.notices(a),
        [RelayNotice::TrackGone {
            room: ROOM,
            track: track(9)
        }]
    );
}

#[test]
fn a_restarted_member_is_present_anew_and_gone_only_once() {
    let mut bench = Bench::new(limits());
    let watcher = bench.member(1, &[]);
    let old = bench.up(2);
    let new = bench.up(3);
    bench.notices(watcher);
    for id in [old, new] {
        bench.ask(
            id,
            &RelayRequest::Join {
                room: ROOM,
                alias: alias(7),
                token: None,
            },
        );
    }
    let present = RelayNotice::Present {
        room: ROOM,
        alias: alias(7),
    };
    assert_eq!(bench.notices(watcher), [present.clone(), present]);
    bench.relay.handle_session_down(bench.now, old);
    assert_eq!(bench.notices(watcher), []);
    bench.relay.handle_session_down(bench.now, new);
    assert_eq!(
        bench.notices(watcher),
        [RelayNotice::Gone {
            room: ROOM,
            alias: alias(7)
        }]
    );
}

#[test]
fn envelopes_reach_their_alias_in_the_room_and_nobody_else() {
    let mut bench = Bench::new(limits());
    let a = bench.member(1, &[]);
    let b = bench.member(2, &[]);
    let c = bench.member(3, &[]);
    for id in [a, b, c] {
        bench.notices(id);
    }
    let bytes: crate::wire::relay_message::EnvelopeBytes = vec![6; ENVELOPE_BYTES_MAX].try_into().unwrap();
    bench.ask(
        a,
        &RelayRequest::Envelope {
            room: ROOM,
            to: alias(2),
            bytes: bytes.clone(),
        },
    );
    assert_eq!(
        bench.notices(b),
        [RelayNotice::Envelope {
            room: ROOM,
            from: alias(1),
            bytes: bytes.clone()
        }]
    );
    assert!(bench.notices(c).is_empty());
    bench.ask(
        a,
        &RelayRequest::Envelope {
            room: ROOM,
            to: alias(99),
            bytes: bytes.clone(),
        },
    );
    assert_eq!(bench.refusals(a), [RefusalCode::NobodyThere]);
    bench.ask(
        a,
        &RelayRequest::Envelope {
            room: RoomId([8; 16]),
            to: alias(2),
            bytes,
        },
    );
    assert_eq!(bench.refusals(a), [RefusalCode::NotJoined]);
}

#[test]
fn a_slow_listener_loses_its_oldest_frames_and_costs_others_nothing() {
    let mut bench = Bench::new(RelayLimits {
        queue_frames_max: 10,
        ..limits()
    });
    let speaker = bench.member(1, &[]);
    let slow = bench.member(2, &[1]);
    let quick = bench.member(3, &[1]);
    for i in 0..100_u8 {
        bench
            .relay
            .handle_datagram(bench.now, speaker, &packet(track(1), &[i]));
        assert_eq!(bench.heard(quick), [packet(track(1), &[i])]);
        bench.pass(Duration::from_millis(1));
    }
    let newest: Vec<Bytes> = (90..100).map(|i| packet(track(1), &[i])).collect();
    assert_eq!(bench.heard(slow), newest);
    let stats = bench.relay.stats();
    assert_eq!(stats.dropped(DropReason::QueueFull), 90);
    assert_eq!(stats.frames_forwarded, 110);
    // What waited beyond any playout is dropped too.
    bench
        .relay
        .handle_datagram(bench.now, speaker, &packet(track(1), b"late"));
    bench.pass(Duration::from_millis(201));
    assert!(bench.heard(slow).is_empty());
    assert_eq!(bench.relay.stats().dropped(DropReason::Stale), 1);
}

#[test]
fn each_quota_refuses_with_its_code_while_others_are_served() {
    let mut bench = Bench::new(RelayLimits {
        sessions_max: 6,
        sessions_per_address_block_max: 5,
        rooms_max: 2,
        members_per_room_max: 3,
        rooms_per_session_max: 2,
        tracks_per_session_max: 1,
        subscriptions_per_session_max: 1,
        ..limits()
    });
    let rooms: Vec<RoomId> = (0..4).map(|n| RoomId([n; 16])).collect();
    let ids: Vec<SessionId> = (0..5).map(|n| bench.up_from(n, 0)).collect();
    let crowded = bench.up_from(5, 0);
    assert_eq!(bench.refusals(crowded), [RefusalCode::AddressBlockFull]);
    assert_eq!(
        bench.outputs(),
        [RelayOutput::Close {
            session: crowded,
            reason: CloseReason::Refused
        }]
    );
    bench.up_from(6, 1);
    let surplus = bench.up_from(7, 2);
    assert_eq!(bench.refusals(surplus), [RefusalCode::SessionsFull]);

    for &id in &ids[..4] {
        bench.join(id, rooms[0]);
    }
    assert_eq!(bench.refusals(ids[3]), [RefusalCode::RoomFull]);
    bench.join(ids[0], rooms[1]);
    bench.join(ids[0], rooms[2]);
    assert_eq!(bench.refusals(ids[0]), [RefusalCode::SessionRoomsFull]);
    bench.join(ids[3], rooms[3]);
    assert_eq!(bench.refusals(ids[3]), [RefusalCode::RoomsFull]);

    let announce = |room: RoomId, n| RelayRequest::Announce {
        room,
        track: track(n),
    };
    bench.ask(ids[0], &announce(rooms[0], 1));
    bench.ask(ids[0], &announce(rooms[1], 1));
    bench.ask(ids[0], &announce(rooms[0], 2));
    bench.ask(ids[4], &announce(rooms[0], 3));
    assert_eq!(
        bench.refusals(ids[0]),
        [RefusalCode::TrackElsewhere, RefusalCode::TracksFull]
    );
    assert_eq!(bench.refusals(ids[4]), [RefusalCode::NotJoined]);
    for n in [1, 2] {
        bench.ask(
            ids[1],
            &RelayRequest::Subscribe {
                room: rooms[0],
                track: track(n),
            },
        );
    }
    assert_eq!(bench.refusals(ids[1]), [RefusalCode::SubscriptionsFull]);

    // Others are served all the same.
    bench
        .relay
        .handle_datagram(bench.now, ids[0], &packet(track(1), b"x"));
    assert_eq!(bench.heard(ids[1]).len(), 1);
    assert_eq!(bench.relay.stats().refusals.values().sum::<u64>(), 9);
}

#[test]
fn aliases_and_announcers_are_limited_for_lingering_sessions() {
    let mut bench = Bench::new(limits());
    let ids: Vec<SessionId> = (0..5).map(|n| bench.up(n)).collect();
    for &id in &ids {
        bench.ask(
            id,
            &RelayRequest::Join {
                room: ROOM,
                alias: alias(1),
                token: None,
            },
        );
    }
    assert_eq!(bench.refusals(ids[4]), [RefusalCode::AliasFull]);
    bench.join(ids[4], ROOM);
    for &id in &ids {
        bench.ask(
            id,
            &RelayRequest::Announce {
                room: ROOM,
                track: track(1),
            },
        );
    }
    assert_eq!(bench.refusals(ids[4]), [RefusalCode::AnnouncersFull]);
    let listener = bench.member(6, &[1]);
    for &id in &ids[..4] {
        bench
            .relay
            .handle_datagram(bench.now, id, &packet(track(1), b"x"));
    }
    assert_eq!(bench.heard(listener).len(), 4, "all announcers are forwarded");
}

#[test]
fn media_quotas_name_themselves_and_spare_others() {
    let rate = |bytes: u32| MediaRate {
        bits_per_second: 8_000,
        burst_bytes: bytes,
    };
    let wide = MediaRate {
        bits_per_second: 1 << 40,
        burst_bytes: 1 << 30,
    };
    let cases = [
        (
            RelayLimits {
                session_media: rate(1_500),
                ..limits()
            },
            DropReason::SessionBitrate,
        ),
        (
            RelayLimits {
                session_media: wide,
                room_media: rate(1_500),
                ..limits()
            },
            DropReason::RoomBitrate,
        ),
        (
            RelayLimits {
                session_media: wide,
                address_block_media: rate(1_500),
                ..limits()
            },
            DropReason::AddressBlockBitrate,
        ),
        (
            RelayLimits {
                monthly_bytes_max: Some(1_500),
                ..limits()
            },
            DropReason::MonthlyTraffic,
        ),
    ];
    for (limits, reason) in cases {
        let mut bench = Bench::new(limits);
        let speaker = bench.member(1, &[]);
        let listener = bench.member(2, &[1]);
        // Another room, another address block.
        let room = RoomId([5; 16]);
        let (a, b) = (bench.up_from(3, 9), bench.up_from(4, 9));
        bench.join(a, room);
        bench.join(b, room);
        bench.ask(
            a,
            &RelayRequest::Announce {
                room,
                track: track(3),
            },
        );
        bench.ask(
            b,
            &RelayRequest::Subscribe {
                room,
                track: track(3),
            },
        );
        for _ in 0..5 {
            bench
                .relay
                .handle_datagram(bench.now, speaker, &packet(track(1), &[0; 990]));
            bench.heard(listener);
        }
        let dropped = bench.relay.stats().dropped(reason);
        assert!(dropped >= 3, "{reason:?}: {dropped}");
        assert_eq!(
            bench.refusals(speaker).len(),
            1,
            "{reason:?} is told once in a while"
        );
        bench.relay.handle_datagram(bench.now, a, &packet(track(3), b"x"));
        let served = usize::from(reason != DropReason::MonthlyTraffic);
        assert_eq!(bench.heard(b).len(), served, "{reason:?}");
    }
}

#[test]
fn what_a_full_room_refuses_costs_the_address_block_nothing() {
    let packets = 20;
    let rate = |packets: u32| MediaRate {
        bits_per_second: 8,
        burst_bytes: packets * 1_010,
    };
    let mut bench = Bench::new(RelayLimits {
        room_media: rate(1),
        address_block_media: rate(packets),
        ..limits()
    });
    let (sender, _listener) = (bench.member(1, &[2]), bench.member(2, &[1]));
    let frame = packet(track(1), &[0; 1_000]);
    for _ in 0..2 * packets {
        bench.relay.handle_datagram(bench.now, sender, &frame);
    }
    let stats = bench.relay.stats();
    assert_eq!(stats.dropped(DropReason::RoomBitrate), u64::from(2 * packets - 1));
    assert_eq!(stats.dropped(DropReason::AddressBlockBitrate), 0);
}

#[test]
fn refused_stream_objects_count_as_streams_and_not_as_frames() {
    let mut bench = Bench::new(limits());
    let sender = bench.member(1, &[]);
    for (n, of) in [(4, 9), (8, 1)] {
        let header = StreamHeader {
            room: ROOM,
            track: track(of),
            group: 0,
            priority: 0,
        };
        bench.relay.handle_stream_object(bench.now, sender, n, header);
    }
    let stats = bench.relay.stats();
    assert_eq!((stats.dropped_total(), stats.frames_received), (0, 0));
    assert_eq!(stats.streams_dropped, 2);
}

#[test]
fn the_monthly_cap_ends_with_the_month() {
    let mut bench = Bench::new(RelayLimits {
        monthly_bytes_max: Some(1_000),
        ..limits()
    });
    let speaker = bench.member(1, &[]);
    let listener = bench.member(2, &[1]);
    bench
        .relay
        .handle_datagram(bench.now, speaker, &packet(track(1), &[0; 1_000]));
    assert_eq!(bench.heard(listener).len(), 1);
    let late = bench.up(3);
    bench.join(late, ROOM);
    assert_eq!(bench.refusals(late), [RefusalCode::MonthlyTraffic]);
    bench.now.unix = bench.now.unix.after(Duration::from_secs(32 * 86_400));
    bench
        .relay
        .handle_datagram(bench.now, speaker, &packet(track(1), b"x"));
    assert_eq!(bench.heard(listener).len(), 1);
}

#[test]
fn requests_and_envelopes_are_rate_limited() {
    let mut bench = Bench::new(RelayLimits {
        requests_per_second: 10,
        envelopes_per_second: 2,
        ..limits()
    });
    let a = bench.member(1, &[]);
    bench.member(2, &[]);
    bench.notices(a);
    let envelope = RelayRequest::Envelope {
        room: ROOM,
        to: alias(2),
        bytes: vec![1].try_into().unwrap(),
    };
    for _ in 0..25 {
        bench.ask(a, &envelope);
    }
    assert_eq!(bench.refusals(a), [RefusalCode::RequestRate; 5]);
    for nonce in 0..300 {
        bench.ask(a, &RelayRequest::Ping { nonce });
    }
    assert!(bench.refusals(a).contains(&RefusalCode::RequestRate));
    bench.pass(Duration::from_secs(5));
    bench.ask(a, &envelope);
    assert_eq!(bench.refusals(a), []);
}

#[test]
fn one_who_reads_no_control_frames_loses_envelopes_and_then_the_session() {
    let mut bench = Bench::new(RelayLimits {
        requests_per_second: 1_000,
        envelopes_per_second: 1_000,
        envelope_bytes_per_second: 1 << 24,
        ..limits()
    });
    let a = bench.member(1, &[]);
    let deaf = bench.member(2, &[]);
    let bytes: crate::wire::relay_message::EnvelopeBytes = vec![1; ENVELOPE_BYTES_MAX].try_into().unwrap();
    for _ in 0..60 {
        bench.ask(
            a,
            &RelayRequest::Envelope {
                room: ROOM,
                to: alias(2),
                bytes: bytes.clone(),
            },
        );
    }
    assert!(bench.refusals(a).contains(&RefusalCode::RecipientBusy));
    assert!(bench.outputs().is_empty(), "envelopes alone do not end a session");
    for nonce in 0..u64::MAX {
        bench.ask(deaf, &RelayRequest::Ping { nonce });
        bench.pass(Duration::from_millis(1));
        if let Some(output) = bench.relay.poll_output() {
            assert_eq!(
                output,
                RelayOutput::Close {
                    session: deaf,
                    reason: CloseReason::ControlBacklog
                }
            );
            break;
        }
    }
}

#[test]
fn a_drain_tells_everybody_refuses_the_new_and_ends() {
    let alternates = vec![vec![1, 2, 3].try_into().unwrap()];
    let mut bench = Bench::new(limits());
    bench.relay.set_alternates(alternates.clone().try_into().unwrap());
    let a = bench.member(1, &[]);
    bench.notices(a);
    bench.relay.drain(bench.now, Duration::from_secs(5));
    let redirect = RelayNotice::Redirect {
        room: ROOM,
        relays: alternates.try_into().unwrap(),
    };
    assert_eq!(
        bench.notices(a),
        [RelayNotice::Draining { deadline_s: 5 }, redirect]
    );
    let late = bench.up(2);
    assert_eq!(bench.refusals(late), [RefusalCode::Draining]);
    bench.join(a, RoomId([9; 16]));
    assert_eq!(bench.refusals(a), [RefusalCode::Draining]);
    bench.outputs();
    bench.pass(Duration::from_secs(5));
    assert_eq!(
        bench.outputs(),
        [RelayOutput::Close {
            session: a,
            reason: CloseReason::Drained
        }]
    );
    bench.relay.handle_session_down(bench.now, late);
    assert!(!bench.relay.is_drained());
    bench.relay.handle_session_down(bench.now, a);
    assert!(bench.relay.is_drained() && bench.relay.poll_timeout().is_none());
}

#[test]
fn a_stream_object_is_forwarded_as_it_comes_and_ends_with_its_track() {
    let mut bench = Bench::new(limits());
    let speaker = bench.member(1, &[]);
    let a = bench.member(2, &[1]);
    let b = bench.member(3, &[1]);
    let header = StreamHeader {
        room: ROOM,
        track: track(1),
        group: 5,
        priority: 9,
    };
    bench.relay.handle_stream_object(bench.now, speaker, 2, header);
    let [
        RelayOutput::StreamOpen {
            session: s1,
            stream: f1,
            header: h1,
        },
        RelayOutput::StreamOpen { stream: f2, .. },
    ] = bench.outputs()[..]
    else {
        panic!("two streams")
    };
    assert_eq!((s1, h1), (a, header));
    let bytes = Bytes::from_static(b"group");
    bench.relay.handle_stream_data(bench.now, speaker, 2, &bytes);
    assert_eq!(
        bench.outputs(),
        [
            RelayOutput::StreamData {
                session: a,
                stream: f1,
                bytes: bytes.clone()
            },
            RelayOutput::StreamData {
                session: b,
                stream: f2,
                bytes: bytes.clone()
            },
        ]
    );
    // One listener fell behind; the other goes on.
    bench.relay.handle_forward_ended(a, f1);
    bench.relay.handle_stream_data(bench.now, speaker, 2, &bytes);
    assert_eq!(
        bench.outputs(),
        [RelayOutput::StreamData {
            session: b,
            stream: f2,
            bytes
        }]
    );
    bench.ask(
        speaker,
        &RelayRequest::Withdraw {
            room: ROOM,
            track: track(1),
        },
    );
    assert_eq!(
        bench.outputs(),
        [
            RelayOutput::StreamReset {
                session: b,
                stream: f2
            },
            RelayOutput::StreamStop {
                session: speaker,
                stream: 2
            },
        ]
    );
    // Not announced: stopped, and the refusal says why.
    bench.relay.handle_stream_object(bench.now, speaker, 6, header);
    assert_eq!(
        bench.outputs(),
        [RelayOutput::StreamStop {
            session: speaker,
            stream: 6
        }]
    );
    assert!(bench.notices(speaker).iter().any(|n| matches!(
        n,
        RelayNotice::Refused {
            what: Refusable::Media(_),
            code: RefusalCode::NotAnnounced,
            ..
        }
    )));
}

/// A step of a hostile or ordinary client.
#[derive(Clone, Debug)]
enum Step {
    Up(u32),
    Down(u32),
    Request(u32, Vec<u8>),
    Ask(u32, u8, u8, u8),
    Datagram(u32, Vec<u8>),
    Media(u32, u8),
    Stream(u32, u64, u8),
    Data(u32, u64),
    End(u32, u64, bool),
    Pass(u16),
    Load(u16),
}

fn step() -> impl Strategy<Value = Step> {
    let session = 0_u32..6;
    prop_oneof![
        2 => session.clone().prop_map(Step::Up),
        1 => session.clone().prop_map(Step::Down),
        1 => (session.clone(), proptest::collection::vec(any::<u8>(), 0..60)).prop_map(|(s, b)| Step::Request(s, b)),
        12 => (session.clone(), 0_u8..7, 0_u8..3, 0_u8..4).prop_map(|(s, k, r, t)| Step::Ask(s, k, r, t)),
        1 => (session.clone(), proptest::collection::vec(any::<u8>(), 0..40)).prop_map(|(s, b)| Step::Datagram(s, b)),
        8 => (session.clone(), 0_u8..4).prop_map(|(s, t)| Step::Media(s, t)),
        3 => (session.clone(), 0_u64..3, 0_u8..4).prop_map(|(s, n, t)| Step::Stream(s, n, t)),
        3 => (session.clone(), 0_u64..3).prop_map(|(s, n)| Step::Data(s, n)),
        2 => (session, 0_u64..3, any::<bool>()).prop_map(|(s, n, w)| Step::End(s, n, w)),
        1 => any::<u16>().prop_map(Step::Pass),
        1 => (0_u16..1_000).prop_map(Step::Load),
    ]
}

fn request(kind: u8, room: u8, t: u8) -> RelayRequest {
    let (room, track) = (RoomId([room; 16]), track(t));
    match kind {
        0 => RelayRequest::Join {
            room,
            alias: alias(t),
            token: None,
        },
        1 => RelayRequest::Leave { room },
        2 => RelayRequest::Announce { room, track },
        3 => RelayRequest::Withdraw { room, track },
        4 => RelayRequest::Subscribe { room, track },
        5 => RelayRequest::Unsubscribe { room, track },
        _ => RelayRequest::Envelope {
            room,
            to: alias(t),
            bytes: vec![1].try_into().unwrap(),
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever clients do, in whatever order: no panic, each frame is forwarded or counted, and when everybody has
    /// gone nothing is left.
    #[test]
    fn no_order_of_events_breaks_the_relay_or_leaves_anything_behind(steps in proptest::collection::vec(step(), 0..120)) {
        let mut bench = Bench::new(RelayLimits { rooms_max: 2, tracks_per_session_max: 2, queue_frames_max: 3, ..limits() });
        for step in steps {
            match step {
                Step::Up(s) => { bench.up_from(s, u64::from(s / 2)); }
                Step::Down(s) => bench.relay.handle_session_down(bench.now, SessionId(s)),
                Step::Request(s, bytes) => bench.relay.handle_request(bench.now, SessionId(s), &bytes),
                Step::Ask(s, kind, room, t) => bench.ask(SessionId(s), &request(kind, room, t)),
                Step::Datagram(s, bytes) => bench.relay.handle_datagram(bench.now, SessionId(s), &bytes.into()),
                Step::Media(s, t) => bench.relay.handle_datagram(bench.now, SessionId(s), &packet(track(t), b"m")),
                Step::Stream(s, n, t) => {
                    let header = StreamHeader { room: RoomId([t % 3; 16]), track: track(t), group: n, priority: 0 };
                    bench.relay.handle_stream_object(bench.now, SessionId(s), n, header);
                }
                Step::Data(s, n) => bench.relay.handle_stream_data(bench.now, SessionId(s), n, &Bytes::from_static(b"d")),
                Step::End(s, n, whole) => bench.relay.handle_stream_end(SessionId(s), n, whole),
                Step::Pass(micros) => bench.pass(Duration::from_micros(u64::from(micros))),
                Step::Load(permille) => bench.relay.handle_load(permille),
            }
            while let Some(id) = bench.relay.poll_ready(bench.now) {
                bench.relay.poll_datagram(bench.now, id, DATAGRAM_MAX);
            }
        }
        for s in 0..6 {
            bench.relay.handle_session_down(bench.now, SessionId(s));
        }
        bench.outputs();
        let stats = bench.relay.stats();
        prop_assert_eq!((stats.sessions, stats.rooms, stats.tracks), (0, 0, 0));
        prop_assert!(bench.relay.is_empty());
    }
}
