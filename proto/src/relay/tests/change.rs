//! Limits in all, and what an operator changes while the relay runs.

use super::*;

fn send(bench: &mut Bench, id: SessionId, bytes: usize) {
    let frame = packet(track(id.0 as u8), &vec![0; bytes - 10]);
    bench.relay.handle_datagram(bench.now, id, &frame);
}

#[test]
fn what_is_forwarded_in_all_is_bounded() {
    let mut bench = Bench::new(RelayLimits {
        total_media: Some(MediaRate {
            bits_per_second: 16_000,
            burst_bytes: 4_000,
        }),
        ..limits()
    });
    let speaker = bench.member(1, &[]);
    bench.member(2, &[1]);
    bench.member(3, &[1]);
    for _ in 0..3 {
        send(&mut bench, speaker, 1_000);
    }
    // An eighth is kept for signatures.
    assert_eq!(bench.relay.stats().dropped(DropReason::TotalBitrate), 2);
    assert_eq!(bench.refusals(speaker), [RefusalCode::TotalBitrate]);
    bench.pass(Duration::from_secs(1));
    send(&mut bench, speaker, 1_000);
    assert_eq!(bench.relay.stats().dropped(DropReason::TotalBitrate), 2);
}

#[test]
fn memory_for_sessions_and_waiting_frames_is_bounded() {
    let mut bench = Bench::new(RelayLimits {
        memory_bytes_max: 2 * SESSION_BYTES + 10_000,
        ..limits()
    });
    let speaker = bench.member(1, &[]);
    let listener = bench.member(2, &[1]);
    let third = bench.up(3);
    assert_eq!(bench.refusals(third), [RefusalCode::MemoryFull]);
    for _ in 0..11 {
        send(&mut bench, speaker, 1_000);
    }
    let stats = bench.relay.stats();
    assert_eq!(
        (stats.queued_bytes, stats.dropped(DropReason::MemoryFull)),
        (10_000, 1)
    );
    assert_eq!(bench.heard(listener).len(), 10);
    assert_eq!(bench.relay.stats().queued_bytes, 0);
    send(&mut bench, speaker, 1_000);
    bench.relay.handle_session_down(bench.now, listener);
    assert_eq!(bench.relay.stats().queued_bytes, 0);
}

#[test]
fn new_limits_hold_at_once_and_cost_no_frame_and_no_session() {
    let mut bench = Bench::new(limits());
    let speaker = bench.member(1, &[]);
    let listener = bench.member(2, &[1]);
    bench.notices(listener);
    send(&mut bench, speaker, 1_000);
    let small = RelayLimits {
        sessions_max: 1,
        session_media: MediaRate {
            bits_per_second: 8_000,
            burst_bytes: 3_500,
        },
        ..limits()
    };
    bench.relay.set_limits(bench.now, small);
    assert!(bench.outputs().is_empty(), "nobody is closed");
    assert!(
        matches!(&bench.notices(listener)[..], [RelayNotice::Welcome { limits, .. }] if limits.burst_bytes == 3_500)
    );
    for _ in 0..3 {
        send(&mut bench, speaker, 1_000);
    }
    assert_eq!(
        bench.heard(listener).len(),
        3,
        "one before, two within the new burst"
    );
    assert_eq!(bench.relay.stats().dropped(DropReason::SessionBitrate), 1);
    let late = bench.up(3);
    assert_eq!(bench.refusals(late), [RefusalCode::SessionsFull]);
}

#[test]
fn a_new_descriptor_is_told_to_every_session() {
    let mut bench = Bench::new(limits());
    let member = bench.member(1, &[]);
    bench.notices(member);
    let descriptor: crate::wire::relay_message::DescriptorBytes = vec![1, 2, 3].try_into().unwrap();
    bench.relay.set_descriptor(descriptor.clone());
    assert!(
        matches!(&bench.notices(member)[..], [RelayNotice::Welcome { descriptor: told, .. }] if *told == descriptor)
    );
}

#[test]
fn waits_are_counted_in_buckets() {
    let mut bench = Bench::new(limits());
    let speaker = bench.member(1, &[]);
    let listener = bench.member(2, &[1]);
    for wait in [0, 200, 150_000] {
        send(&mut bench, speaker, 100);
        bench.pass(Duration::from_micros(wait));
        bench.heard(listener);
    }
    let mut counts = [0; QUEUE_DELAY_BUCKETS_US.len() + 1];
    (counts[0], counts[1], counts[QUEUE_DELAY_BUCKETS_US.len()]) = (1, 1, 1);
    assert_eq!(bench.relay.stats().queue_delay_counts, counts);
}
