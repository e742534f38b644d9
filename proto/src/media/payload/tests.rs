use proptest::prelude::*;

use super::*;

fn header() -> impl Strategy<Value = AudioHeader> {
    (
        any::<u32>(),
        any::<[bool; 3]>(),
        0..=127_u8,
        0..=REDUNDANCY_MAX,
        1..=SPACING_MAX,
    )
        .prop_map(
            |(sequence, [short, in_band_fec, pause_follows], level, redundancy, spacing)| AudioHeader {
                sequence,
                duration: if short {
                    FrameDuration::Ms10
                } else {
                    FrameDuration::Ms20
                },
                level: SpeechLevel::new(level),
                in_band_fec,
                pause_follows,
                redundancy,
                spacing: if redundancy == 0 { 1 } else { spacing },
            },
        )
}

fn payload() -> impl Strategy<Value = AudioPayload> {
    (header(), 1..=FRAME_BYTES_MAX).prop_flat_map(|(header, frame_bytes)| {
        let newest = prop::collection::vec(any::<u8>(), 1..=frame_bytes);
        let older = prop::collection::vec(
            prop::collection::vec(any::<u8>(), 0..=frame_bytes),
            usize::from(header.redundancy),
        );
        (newest, older).prop_map(move |(newest, older)| {
            let mut frames = vec![&newest[..]];
            frames.extend(older.iter().map(Vec::as_slice));
            AudioPayload::new(header, frame_bytes, &frames).unwrap()
        })
    })
}

proptest! {
    #[test]
    fn payloads_round_trip(payload in payload()) {
        let mut bytes = Vec::new();
        payload.write(&mut bytes);
        prop_assert_eq!(bytes.len(), payload.wire_bytes());
        prop_assert!(bytes.len() <= AUDIO_PAYLOAD_BYTES_MAX);
        prop_assert_eq!(AudioPayload::parse(&bytes), Ok(payload));
    }

    #[test]
    fn whatever_parses_writes_back_to_the_same_bytes(
        first in 0x40..0x80_u8, rest in prop::collection::vec(0..4_u8, 0..60),
    ) {
        let bytes = [&[first][..], &rest].concat();
        if let Ok(payload) = AudioPayload::parse(&bytes) {
            let mut again = Vec::new();
            payload.write(&mut again);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..1_200)) {
        let _ = AudioPayload::parse(&bytes).map(|payload| payload.frames().count());
    }

    #[test]
    fn a_truncated_or_lengthened_payload_is_never_the_same(payload in payload(), cut in 1..40_usize) {
        let mut bytes = Vec::new();
        payload.write(&mut bytes);
        let short = &bytes[..bytes.len().saturating_sub(cut)];
        prop_assert_ne!(AudioPayload::parse(short), Ok(payload.clone()));
        bytes.resize(bytes.len() + cut, 0);
        prop_assert_ne!(AudioPayload::parse(&bytes), Ok(payload));
    }

    #[test]
    fn size_depends_on_settings_only(header in header(), a in 1..60_u8, b in 1..60_u8) {
        let (a, b) = (vec![1; a.into()], vec![2; b.into()]);
        let count = usize::from(header.redundancy) + 1;
        let x = AudioPayload::new(header, 60, &vec![&a[..]; count]).unwrap();
        let y = AudioPayload::new(header, 60, &vec![&b[..]; count]).unwrap();
        prop_assert_eq!(x.wire_bytes(), y.wire_bytes());
    }
}

fn example() -> Vec<u8> {
    let header = AudioHeader {
        sequence: 0x0102_0304,
        duration: FrameDuration::Ms20,
        level: SpeechLevel::new(30),
        in_band_fec: true,
        pause_follows: false,
        redundancy: 1,
        spacing: 2,
    };
    let mut bytes = Vec::new();
    AudioPayload::new(header, 4, &[&[0xaa, 0xbb], &[0xcc, 0xdd, 0xee, 0xff]])
        .unwrap()
        .write(&mut bytes);
    bytes
}

#[test]
fn the_layout_is_frozen() {
    assert_eq!(
        example(),
        [
            0x55, 1, 2, 3, 4, 30, 2, 0xaa, 0xbb, 0, 0, 4, 0xcc, 0xdd, 0xee, 0xff
        ]
    );
    let payload = AudioPayload::parse(&example()).unwrap();
    let frames: Vec<_> = payload
        .frames()
        .map(|(back, frame)| (back, frame.to_vec()))
        .collect();
    assert_eq!(frames, [(0, vec![0xaa, 0xbb]), (2, vec![0xcc, 0xdd, 0xee, 0xff])]);
    assert_eq!(payload.span(), Duration::from_millis(40));
}

#[test]
fn each_fault_has_its_error() {
    let with = |index: usize, value: u8| {
        let mut bytes = example();
        bytes[index] = value;
        AudioPayload::parse(&bytes).unwrap_err()
    };
    assert_eq!(with(0, 0x95), AudioPayloadError::UnknownVersion(2));
    assert_eq!(with(0, 0x51), AudioPayloadError::Redundancy);
    assert_eq!(with(0, 0x5d), AudioPayloadError::UnevenSlots);
    assert_eq!(with(6, 0), AudioPayloadError::Padding);
    assert_eq!(with(6, 5), AudioPayloadError::FrameTooLong);
    assert_eq!(with(9, 1), AudioPayloadError::Padding);
    let mut empty = example();
    empty[6..9].fill(0);
    assert_eq!(AudioPayload::parse(&empty), Err(AudioPayloadError::Empty));
    assert_eq!(
        AudioPayload::parse(&[0x40; 5]),
        Err(AudioPayloadError::TooShort(5))
    );
    assert_eq!(
        AudioPayload::parse(&[0x40; 7]),
        Err(AudioPayloadError::TooShort(7))
    );
    assert_eq!(
        AudioPayload::parse(&[0x40; 300]),
        Err(AudioPayloadError::TooLong(300))
    );
    assert_eq!(
        AudioPayload::parse(&[0x40; 1_031]),
        Err(AudioPayloadError::TooLong(1_031))
    );
}

#[test]
fn levels_follow_rfc_6464() {
    assert_eq!(SpeechLevel::from_pcm(&[0.0; 480]), SpeechLevel::SILENCE);
    assert_eq!(SpeechLevel::from_pcm(&[f32::NAN; 480]), SpeechLevel::SILENCE);
    assert_eq!(SpeechLevel::from_pcm(&[1.0; 480]).minus_dbov(), 0);
    assert_eq!(SpeechLevel::from_pcm(&[0.1; 480]).minus_dbov(), 20);
    assert_eq!(SpeechLevel::from_pcm(&[]), SpeechLevel::SILENCE);
}
