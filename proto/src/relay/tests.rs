//! The machine as a whole: who hears what, what is refused, and what a slow listener costs.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;

use super::*;
use crate::{
    ids::{Alias, RoomId, TrackAlias},
    time::{Now, Timestamp, UnixSeconds},
    wire::{
        framing::FrameReader,
        media_packet::{MediaHeader, MediaKind},
        relay_message::{ENVELOPE_BYTES_MAX, Load, Refusable, RefusalCode, RelayNotice, RelayRequest},
        stream_object::StreamHeader,
    },
};

mod access;
mod cascade;
mod change;
mod limits;
mod random_steps;

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
