//! What relays and receivers read without a key: media packet, stream object and SFrame headers. Whatever parses writes
//! back to the same bytes and lies within the format's bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_proto::{
    sframe::{
        KeyId,
        header::{HEADER_BYTES_MAX, Header},
    },
    wire::{
        media_packet::{MEDIA_PACKET_BYTES_MAX, MediaHeader},
        stream_object::{STREAM_HEADER_BYTES, STREAM_VERSION, StreamHeader, StreamHeaderError},
    },
};

fuzz_target!(|data: &[u8]| {
    let Some((selector, bytes)) = data.split_first() else {
        return;
    };
    match selector % 4 {
        0 => media(bytes),
        1 => stream(bytes),
        2 => sframe(bytes),
        // The two as a receiver meets them: one behind the other.
        _ => {
            if let Ok((_, rest)) = MediaHeader::parse(bytes) {
                sframe(rest);
            }
            media(bytes);
        }
    }
});

fn media(bytes: &[u8]) {
    if let Ok((header, rest)) = MediaHeader::parse(bytes) {
        assert!(bytes.len() <= MEDIA_PACKET_BYTES_MAX && header.layer <= MediaHeader::LAYER_MAX);
        let mut again = Vec::new();
        header.write(&mut again);
        again.extend_from_slice(rest);
        assert_eq!(again, bytes);
    }
}

fn stream(bytes: &[u8]) {
    match StreamHeader::parse(bytes) {
        Ok((header, rest)) => {
            let mut again = header.encode().to_vec();
            again.extend_from_slice(rest);
            assert_eq!(again, bytes);
        }
        Err(StreamHeaderError::TooShort) => assert!(bytes.len() < STREAM_HEADER_BYTES),
        Err(_) => assert_ne!(bytes[0], STREAM_VERSION),
    }
}

fn sframe(bytes: &[u8]) {
    if let Ok((header, rest)) = Header::parse(bytes) {
        assert!(bytes.len() - rest.len() <= HEADER_BYTES_MAX);
        let mut again = header.encode().as_slice().to_vec();
        again.extend_from_slice(rest);
        assert_eq!(again, bytes);
        if let Ok(key) = KeyId::try_from(header.kid) {
            assert!(key.step() <= KeyId::STEP_MAX);
            assert_eq!(key.to_u64(), header.kid);
        }
    }
}
