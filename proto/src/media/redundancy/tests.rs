use super::*;
use crate::media::reception_report::ReceptionReportValues;

fn report(expected: u32, lost: u32, bursts: u32) -> ReceptionReport {
    let longest_burst = if lost == 0 {
        0
    } else {
        lost.div_ceil(bursts).max(lost - bursts + 1)
    };
    ReceptionReportValues {
        expected,
        lost,
        bursts,
        longest_burst,
        ..Default::default()
    }
    .try_into()
    .unwrap()
}

fn second(s: u64) -> Timestamp {
    Timestamp::from_micros(s * 1_000_000)
}

const A: MemberId = MemberId([1; 32]);
const B: MemberId = MemberId([2; 32]);

/// Room for three copies.
fn wide() -> LadderConfig {
    LadderConfig {
        bitrate_bps_max: 72_000,
        span_max: Duration::from_millis(60),
        ..LadderConfig::default()
    }
}

/// Settings after 20 s of the same reports.
fn settled(lost: u32, bursts: u32) -> ProtectionSettings {
    let mut ladder = RedundancyLadder::new(wide());
    for s in 0..10 {
        ladder.handle_report(second(2 * s), A, &report(100, lost, bursts), false);
    }
    ladder.settings(second(20))
}

#[test]
fn the_rung_follows_the_loss() {
    assert_eq!(
        settled(0, 0),
        ProtectionSettings {
            frame_bitrate_bps: 32_000,
            expected_loss_percent: 0,
            redundancy: 0,
            spacing: 1
        }
    );
    let light = settled(2, 2);
    assert_eq!((light.redundancy, light.expected_loss_percent), (0, 2));
    assert_eq!(settled(8, 7).redundancy, 1);
    assert_eq!(settled(20, 16).redundancy, 2);
    assert_eq!(settled(20, 16).frame_bitrate_bps, 24_000);
    assert_eq!(settled(30, 21).redundancy, 3);
    assert_eq!(settled(30, 21).frame_bitrate_bps, 18_000);
}

#[test]
fn bursts_are_met_by_distance_not_by_number() {
    let bursty = settled(20, 5);
    assert!(
        bursty.redundancy * bursty.spacing >= 3 && bursty.spacing >= 2,
        "{bursty:?}"
    );
}

#[test]
fn the_cap_and_the_span_hold_on_every_rung() {
    for lost in 0..60_u32 {
        for bursts in [lost, lost.div_ceil(2), lost.div_ceil(4)] {
            let settings = settled(lost, bursts);
            let copies = u32::from(settings.redundancy) + 1;
            assert!(settings.frame_bitrate_bps * copies <= 72_000);
            assert!(u64::from(settings.redundancy * settings.spacing) * 20 <= 60);
        }
    }
}

#[test]
fn protection_comes_with_the_first_report_and_goes_after_calm() {
    let mut ladder = RedundancyLadder::new(wide());
    ladder.handle_report(second(0), A, &report(100, 20, 16), false);
    assert_eq!(ladder.settings(second(0)).redundancy, 2);
    let mut changes = Vec::new();
    for s in 1..60 {
        if s % 2 == 0 {
            ladder.handle_report(second(s), A, &report(100, 0, 0), false);
        }
        let settings = ladder.settings(second(s));
        if changes
            .last()
            .is_none_or(|(_, last)| *last != settings.redundancy)
        {
            changes.push((s, settings.redundancy));
        }
    }
    assert!(changes.len() <= 3, "{changes:?}");
    assert!(changes[1].0 > 10 && changes.last().unwrap().1 == 0, "{changes:?}");
}

#[test]
fn a_steady_loss_between_two_rungs_does_not_flap() {
    let mut ladder = RedundancyLadder::new(wide());
    let (mut changes, mut last) = (0, 0);
    for s in 0..150 {
        let lost = [11, 16, 13, 9, 15, 12][s as usize % 6];
        ladder.handle_report(second(2 * s), A, &report(100, lost, lost - 1), false);
        let redundancy = ladder.settings(second(2 * s)).redundancy;
        changes += u32::from(redundancy != last);
        last = redundancy;
    }
    assert!(changes <= 3, "{changes} changes in five minutes");
}

#[test]
fn the_worst_receiver_decides_until_it_leaves() {
    let mut ladder = RedundancyLadder::new(wide());
    for s in 0..20 {
        ladder.handle_report(second(2 * s), A, &report(100, 0, 0), false);
        ladder.handle_report(second(2 * s), B, &report(100, 20, 16), false);
        ladder.settings(second(2 * s));
    }
    assert_eq!(ladder.settings(second(40)).redundancy, 2);
    ladder.remove_receiver(&B);
    for s in 20..30 {
        ladder.handle_report(second(2 * s), A, &report(100, 0, 0), false);
        ladder.settings(second(2 * s));
    }
    assert_eq!(ladder.settings(second(60)).redundancy, 0);
}

#[test]
fn where_packets_wait_in_a_queue_copies_do_not_fill_it_further() {
    let mut ladder = RedundancyLadder::new(wide());
    ladder.handle_report(second(0), A, &report(100, 40, 30), true);
    let settings = ladder.settings(second(0));
    assert_eq!(settings.redundancy, 0);
    assert!(
        settings.expected_loss_percent > 0,
        "FEC costs nothing: {settings:?}"
    );
    // Somebody else's loss on the way is helped, until the queue is there for both.
    ladder.handle_report(second(1), B, &report(100, 20, 16), false);
    assert_eq!(ladder.settings(second(1)).redundancy, 2);
    ladder.handle_report(second(2), B, &report(100, 20, 16), true);
    assert_eq!(ladder.settings(second(2)).redundancy, 0, "at once");
}

#[test]
fn small_and_excessive_reports_are_ignored() {
    let mut ladder = RedundancyLadder::new(wide());
    ladder.handle_report(second(0), A, &report(10, 10, 1), false);
    assert_eq!(ladder.settings(second(0)).redundancy, 0);
    for n in 0..1_000_u32 {
        let mut id = [0; 32];
        id[..4].copy_from_slice(&n.to_be_bytes());
        ladder.handle_report(second(0), MemberId(id), &report(100, 0, 0), false);
    }
    assert_eq!(ladder.receivers.len(), RECEIVERS_MAX);
}
