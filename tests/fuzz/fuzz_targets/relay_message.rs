//! What clients and relays say to each other. Whatever decodes is canonical and within its bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use subrosa_fuzz::canonical;
use subrosa_proto::wire::relay_message::{
    DESCRIPTOR_BYTES_MAX, DETAIL_BYTES_MAX, ENVELOPE_BYTES_MAX, PRESENT_MAX, REDIRECT_MAX, RelayNotice,
    RelayRequest, TOKEN_BYTES_MAX,
};

fuzz_target!(|data: &[u8]| {
    let Some((selector, bytes)) = data.split_first() else {
        return;
    };
    if selector % 2 == 0 {
        match canonical::<RelayRequest>(bytes) {
            Some(RelayRequest::Join { token, .. }) => {
                assert!(token.is_none_or(|token| token.len() <= TOKEN_BYTES_MAX));
            }
            Some(RelayRequest::Envelope { bytes, .. }) => assert!(bytes.len() <= ENVELOPE_BYTES_MAX),
            _ => {}
        }
        return;
    }
    match canonical::<RelayNotice>(bytes) {
        Some(RelayNotice::Welcome { descriptor, .. }) => assert!(descriptor.len() <= DESCRIPTOR_BYTES_MAX),
        Some(RelayNotice::Joined { present, .. }) => assert!(present.len() <= PRESENT_MAX),
        Some(RelayNotice::Envelope { bytes, .. }) => assert!(bytes.len() <= ENVELOPE_BYTES_MAX),
        Some(RelayNotice::Refused { detail, .. }) => {
            assert!(detail.len() <= DETAIL_BYTES_MAX && !detail.chars().any(char::is_control));
        }
        Some(RelayNotice::Redirect { relays, .. }) => {
            assert!(relays.len() <= REDIRECT_MAX);
            assert!(relays.iter().all(|relay| relay.len() <= DESCRIPTOR_BYTES_MAX));
        }
        _ => {}
    }
});
