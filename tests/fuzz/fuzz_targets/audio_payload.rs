//! The decrypted audio payload. Whatever parses writes back to the same bytes, and can be packed again from its frames.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_proto::media::payload::{
    AUDIO_PAYLOAD_BYTES_MAX, AudioPayload, FRAME_BYTES_MAX, HEADER_BYTES, REDUNDANCY_MAX, SPACING_MAX,
};

fuzz_target!(|data: &[u8]| {
    let Ok(payload) = AudioPayload::parse(data) else {
        return;
    };
    assert!(data.len() <= AUDIO_PAYLOAD_BYTES_MAX && payload.wire_bytes() == data.len());
    let mut again = Vec::new();
    payload.write(&mut again);
    assert_eq!(again, data, "not canonical");

    let header = *payload.header();
    assert!(header.redundancy <= REDUNDANCY_MAX && (1..=SPACING_MAX).contains(&header.spacing));
    let frames: Vec<_> = payload.frames().collect();
    assert_eq!(frames[0].0, 0, "the newest frame is there");
    assert!(frames.is_sorted_by(|a, b| a.0 < b.0));
    assert!(
        frames
            .iter()
            .all(|(_, frame)| (1..=FRAME_BYTES_MAX).contains(&frame.len()))
    );
    let last = u32::from(header.redundancy) * u32::from(header.spacing);
    assert!(frames.iter().all(|(back, _)| *back <= last));
    assert_eq!(payload.span(), header.duration.as_duration() * last);

    let slots = usize::from(header.redundancy) + 1;
    let frame_bytes = (data.len() - HEADER_BYTES) / slots - 1;
    let packed: Vec<&[u8]> = (0..slots as u32)
        .map(|copy| {
            let back = copy * u32::from(header.spacing);
            let found = frames.iter().find(|(at, _)| *at == back);
            found.map_or(&[][..], |(_, frame)| frame)
        })
        .collect();
    assert_eq!(
        AudioPayload::new(header, frame_bytes, &packed).as_ref(),
        Ok(&payload)
    );
});
