//! Quotas and bounds: each refuses with its reason while others are served.

use super::*;

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
fn whoever_asks_is_told_the_load_in_coarse_steps_and_the_time() {
    let mut bench = Bench::new(RelayLimits {
        sessions_max: 8,
        ..limits()
    });
    let a = bench.up(1);
    let told = |bench: &mut Bench| {
        bench.ask(a, &RelayRequest::State);
        match bench.notices(a).pop() {
            Some(RelayNotice::State { load, time }) => {
                assert_eq!(time, bench.now.unix);
                load
            }
            other => panic!("not the state: {other:?}"),
        }
    };
    assert_eq!(told(&mut bench), Load::Idle);
    bench.up(2);
    assert_eq!(told(&mut bench), Load::Light, "a quarter of the sessions");
    (3..=7).for_each(|n| {
        bench.up(n);
    });
    assert_eq!(told(&mut bench), Load::Heavy);
    bench.up(8);
    assert_eq!(told(&mut bench), Load::Full);
    bench.relay.handle_session_down(bench.now, SessionId(8));
    for n in 2..=7 {
        bench.relay.handle_session_down(bench.now, SessionId(n));
    }
    bench.relay.handle_load(600);
    assert_eq!(told(&mut bench), Load::Half, "the machine is the scarcest");
    bench.relay.drain(bench.now, Duration::from_secs(9));
    bench.notices(a);
    assert_eq!(told(&mut bench), Load::Full, "newcomers are refused");
}
