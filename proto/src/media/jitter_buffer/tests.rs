use proptest::prelude::*;

use super::*;
use crate::media::payload::{AudioHeader, SpeechLevel};

const T: u64 = 20_000;

fn at(us: u64) -> Timestamp {
    Timestamp::from_micros(us)
}

/// A payload whose frames name their sequence number.
fn payload(sequence: u32, redundancy: u8, spacing: u8) -> AudioPayload {
    flagged(sequence, redundancy, spacing, false, false)
}

fn flagged(
    sequence: u32,
    redundancy: u8,
    spacing: u8,
    in_band_fec: bool,
    pause_follows: bool,
) -> AudioPayload {
    let header = AudioHeader {
        sequence,
        duration: FrameDuration::Ms20,
        level: SpeechLevel::SILENCE,
        in_band_fec,
        pause_follows,
        redundancy,
        spacing,
    };
    let frames: Vec<[u8; 4]> = (0..=u32::from(redundancy))
        .map(|copy| sequence.wrapping_sub(copy * u32::from(spacing)).to_be_bytes())
        .collect();
    let frames: Vec<&[u8]> = frames.iter().map(|frame| &frame[..]).collect();
    AudioPayload::new(header, 4, &frames).unwrap()
}

fn frame(sequence: u32) -> Bytes {
    Bytes::copy_from_slice(&sequence.to_be_bytes())
}

/// A buffer in which `first` was played at [`START`] and whose playing is due 15 ms after sending: the next frames are
/// due at `START + T`, `START + 2T`, …
fn playing(first: u32) -> JitterBuffer {
    let mut buffer = JitterBuffer::default();
    buffer.insert(at(0), &payload(first, 0, 1));
    assert_eq!(buffer.pull(at(0)), Decision::Silence, "not yet due");
    assert_eq!(buffer.pull(at(START)), Decision::Play(frame(first)));
    buffer
}

const START: u64 = 15_000;

#[test]
fn frames_play_in_order_across_the_wrap_of_the_sequence() {
    let mut buffer = playing(u32::MAX - 1);
    for (n, sequence) in [u32::MAX, 0, 1, 2].into_iter().enumerate() {
        let sent = (n as u64 + 1) * T;
        buffer.insert(at(sent), &payload(sequence, 0, 1));
        assert_eq!(buffer.pull(at(sent + START)), Decision::Play(frame(sequence)));
    }
    assert_eq!(buffer.stats().played, 5);
}

#[test]
fn reordered_packets_are_put_in_order_and_duplicates_dropped() {
    let mut buffer = playing(10);
    for sequence in [12, 11, 12, 11, 10] {
        buffer.insert(at(T), &payload(sequence, 0, 1));
    }
    assert_eq!(buffer.pull(at(START + T)), Decision::Play(frame(11)));
    assert_eq!(buffer.pull(at(START + 2 * T)), Decision::Play(frame(12)));
    let stats = buffer.stats();
    assert_eq!(
        (stats.duplicates, stats.reordered, stats.late, stats.lost),
        (3, 1, 0, 0)
    );
}

#[test]
fn a_redundant_copy_takes_the_place_of_a_lost_packet() {
    let mut buffer = playing(10);
    buffer.insert(at(2 * T), &payload(12, 1, 1));
    assert_eq!(buffer.pull(at(2 * T)), Decision::Play(frame(11)));
    assert_eq!(buffer.pull(at(3 * T)), Decision::Play(frame(12)));
    let stats = buffer.stats();
    assert_eq!(
        (stats.lost, stats.recovered_redundancy, stats.concealed),
        (1, 1, 0)
    );
}

#[test]
fn in_band_fec_rebuilds_the_frame_before() {
    let mut buffer = playing(10);
    buffer.insert(at(2 * T), &flagged(12, 0, 1, true, false));
    assert_eq!(buffer.pull(at(2 * T)), Decision::Fec(frame(12)));
    assert_eq!(buffer.pull(at(3 * T)), Decision::Play(frame(12)));
    let stats = buffer.stats();
    assert_eq!(
        (
            stats.lost,
            stats.recovered_fec,
            stats.recovered(),
            stats.concealed
        ),
        (1, 1, 1, 0)
    );
}

#[test]
fn an_unprotected_loss_is_concealed_once() {
    let mut buffer = playing(10);
    assert_eq!(buffer.pull(at(START + T)), Decision::Conceal);
    buffer.insert(at(START + T + 5_000), &payload(12, 0, 1));
    assert_eq!(
        buffer.pull(at(START + 2 * T)),
        Decision::Play(frame(12)),
        "11 has been bridged already"
    );
    buffer.insert(at(4 * T), &payload(14, 0, 1));
    assert_eq!(buffer.pull(at(START + 4 * T)), Decision::Conceal);
    assert_eq!(buffer.pull(at(START + 5 * T)), Decision::Play(frame(14)));
    let stats = buffer.stats();
    assert_eq!((stats.lost, stats.concealed, stats.inserted), (2, 2, 0));
}

#[test]
fn a_frame_that_comes_just_too_late_is_still_played() {
    let mut buffer = playing(10);
    assert_eq!(buffer.pull(at(START + T)), Decision::Conceal);
    buffer.insert(at(START + T + 3_000), &payload(11, 0, 1));
    assert_eq!(buffer.pull(at(START + 2 * T)), Decision::Play(frame(11)));
    let stats = buffer.stats();
    assert_eq!(
        (stats.lost, stats.concealed, stats.inserted, stats.late),
        (0, 1, 1, 0)
    );
}

#[test]
fn a_packet_whose_turn_has_passed_is_late() {
    let mut buffer = playing(10);
    buffer.insert(at(2 * T), &payload(12, 0, 1));
    assert_eq!(buffer.pull(at(START + T)), Decision::Conceal);
    assert_eq!(buffer.pull(at(START + 2 * T)), Decision::Play(frame(12)));
    buffer.insert(at(3 * T), &payload(11, 0, 1));
    assert_eq!((buffer.stats().late, buffer.stats().lost), (1, 1));
}

#[test]
fn an_announced_pause_is_silence_without_concealment() {
    let mut buffer = playing(10);
    buffer.insert(at(T), &flagged(11, 0, 1, false, true));
    assert_eq!(buffer.pull(at(START + T)), Decision::Play(frame(11)));
    for n in 2..100 {
        assert_eq!(buffer.pull(at(START + n * T)), Decision::Silence);
    }
    let resumed = 100 * T;
    buffer.insert(at(resumed), &payload(12, 0, 1));
    assert_eq!(buffer.pull(at(resumed + START)), Decision::Play(frame(12)));
    let stats = buffer.stats();
    assert_eq!((stats.lost, stats.concealed, stats.silence), (0, 0, 99));
}

#[test]
fn a_silent_path_is_concealed_for_a_tenth_of_a_second() {
    let mut buffer = playing(10);
    let decisions: Vec<_> = (1..20).map(|n| buffer.pull(at(START + n * T))).collect();
    assert_eq!(decisions.iter().filter(|d| **d == Decision::Conceal).count(), 5);
    assert_eq!(decisions.last(), Some(&Decision::Silence));
    buffer.insert(at(30 * T), &payload(40, 0, 1));
    assert_eq!(buffer.pull(at(30 * T + START)), Decision::Play(frame(40)));
    assert_eq!(buffer.stats().lost, 29);
}

#[test]
fn a_restarted_sender_is_heard_after_four_packets() {
    let mut buffer = playing(1_000_000);
    for n in 0..5_u32 {
        buffer.insert(at((u64::from(n) + 1) * T), &payload(77 + n, 0, 1));
    }
    assert_eq!(buffer.pull(at(5 * T)), Decision::Play(frame(80)));
    assert_eq!(buffer.pull(at(6 * T)), Decision::Play(frame(81)));
    assert_eq!(buffer.stats().restarts, 1);
}

#[test]
fn another_frame_duration_begins_another_stream() {
    let mut buffer = playing(10);
    let header = AudioHeader {
        duration: FrameDuration::Ms10,
        sequence: 11,
        ..*payload(11, 0, 1).header()
    };
    buffer.insert(at(T), &AudioPayload::new(header, 4, &[&[7; 4]]).unwrap());
    assert_eq!(buffer.frame_duration(), FrameDuration::Ms10);
    assert_eq!(
        buffer.pull(at(T + START)),
        Decision::Play(Bytes::from_static(&[7; 4]))
    );
}

#[test]
fn a_flood_is_bounded_and_the_newest_survives() {
    let mut buffer = playing(10);
    for n in 11..1_000 {
        buffer.insert(at(T), &payload(n, 0, 1));
    }
    assert_eq!(buffer.len(), FRAMES_MAX);
    let Decision::Play(first) = buffer.pull(at(START + T)) else {
        panic!("frames are here")
    };
    assert!(first >= frame(900));
    let stats = buffer.stats();
    assert_eq!(
        stats.played + stats.lost + stats.discarded + buffer.len() as u64,
        990
    );
}

#[derive(Clone, Debug)]
enum Step {
    Insert {
        ahead: i32,
        redundancy: u8,
        spacing: u8,
        fec: bool,
        pause: bool,
    },
    Pull,
    Wait(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let jump = prop_oneof![
        20 => Just(1), 4 => -3..5_i32, 1 => -200..300_i32, 1 => any::<i32>(),
    ];
    let insert = (
        jump,
        0..=3_u8,
        1..=4_u8,
        any::<bool>(),
        prop::bool::weighted(0.05),
    )
        .prop_map(|(ahead, redundancy, spacing, fec, pause)| Step::Insert {
            ahead,
            redundancy,
            spacing: if redundancy == 0 { 1 } else { spacing },
            fec,
            pause,
        });
    prop::collection::vec(
        prop_oneof![5 => insert, 5 => Just(Step::Pull), 5 => (0..30_000_u64).prop_map(Step::Wait)],
        0..400,
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Whatever a peer sends: bounded, in order, every pull counted, every position settled once.
    #[test]
    fn any_sequence_of_packets_keeps_the_invariants(start: u32, steps in steps()) {
        let mut buffer = JitterBuffer::default();
        let (mut now, mut sequence, mut pulls) = (0, start, 0_u64);
        let mut last: Option<u32> = None;
        let mut restarts = 0;
        for step in steps {
            match step {
                Step::Insert { ahead, redundancy, spacing, fec, pause } => {
                    sequence = sequence.wrapping_add_signed(ahead);
                    buffer.insert(at(now), &flagged(sequence, redundancy, spacing, fec, pause));
                }
                Step::Pull => {
                    pulls += 1;
                    let decision = buffer.pull(at(now));
                    if let Decision::Play(frame) = decision {
                        let number = u32::from_be_bytes(frame[..].try_into().unwrap());
                        if buffer.stats().restarts == restarts && let Some(last) = last {
                            prop_assert!(number.wrapping_sub(last).cast_signed() > 0, "{last} then {number}");
                        }
                        last = Some(number);
                        restarts = buffer.stats().restarts;
                    }
                }
                Step::Wait(us) => now += us,
            }
            prop_assert!(buffer.len() <= FRAMES_MAX);
            let stats = buffer.stats();
            let decisions = stats.played + stats.recovered() + stats.concealed + stats.silence;
            prop_assert_eq!(decisions, pulls);
            prop_assert!(stats.recovered() <= stats.lost);
            prop_assert!(stats.inserted <= stats.concealed);
        }
    }
}
