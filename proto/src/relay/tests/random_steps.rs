//! Clients that do anything in any order.

use proptest::prelude::*;

use super::*;

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
