//! What is protected by public knowledge only: Initial packets and the Retry integrity tag (RFC 9001 §5.2, §5.8).

use aws_lc_rs::{constant_time, hkdf, hmac};
use quinn_proto::{ConnectionId, crypto::Keys};

use super::{
    key_schedule::{Level, Role},
    packet_protection,
};

/// The salt of Initial keys. Public: whoever sees the first connection id can open Initials. They hide nothing; what is
/// in them is Noise's messages, which protect themselves.
const INITIAL_SALT: &[u8] = b"subrosa-nq/1 initial salt";

/// The key of the Retry integrity tag. Public, as in QUIC: the tag shows that the sender saw the Initial.
const RETRY_KEY: &[u8] = b"subrosa-nq/1 retry integrity";

/// Length of the Retry integrity tag in bytes; fixed by QUIC's packet layout.
pub(super) const RETRY_TAG_LEN: usize = 16;

/// The keys of Initial packets for the side `local`.
pub(super) fn keys(dst_cid: &ConnectionId, local: Role) -> Keys {
    let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, INITIAL_SALT).extract(dst_cid);
    packet_protection::keys(&prk, Level::Initial, local)
}

/// The tag of a Retry packet: HMAC-SHA-256, cut to 16 bytes, over the first connection id with its length, and the packet
/// without the tag.
pub(super) fn retry_tag(orig_dst_cid: &ConnectionId, packet: &[&[u8]]) -> [u8; RETRY_TAG_LEN] {
    let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, RETRY_KEY));
    // A connection id has at most 20 bytes.
    mac.update(&[u8::try_from(orig_dst_cid.len()).unwrap_or(u8::MAX)]);
    mac.update(orig_dst_cid);
    for part in packet {
        mac.update(part);
    }
    let mut tag = [0; RETRY_TAG_LEN];
    tag.copy_from_slice(&mac.sign().as_ref()[..RETRY_TAG_LEN]);
    tag
}

/// Whether `payload`, what follows `header` in a Retry packet, ends with the right tag. Compares in constant time.
pub(super) fn is_valid_retry(orig_dst_cid: &ConnectionId, header: &[u8], payload: &[u8]) -> bool {
    let Some((token, tag)) = payload.split_last_chunk::<RETRY_TAG_LEN>() else {
        return false;
    };
    let expected = retry_tag(orig_dst_cid, &[header, token]);
    constant_time::verify_slices_are_equal(tag, &expected).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_retry_holds_for_its_connection_and_bytes_only() {
        let cid = ConnectionId::new(&[1; 16]);
        let mut payload = b"token".to_vec();
        payload.extend(retry_tag(&cid, &[b"header", b"token"]));
        assert!(is_valid_retry(&cid, b"header", &payload));
        assert!(!is_valid_retry(&ConnectionId::new(&[2; 16]), b"header", &payload));
        assert!(!is_valid_retry(&cid, b"Header", &payload));
        for len in 0..payload.len() {
            assert!(!is_valid_retry(&cid, b"header", &payload[..len]));
        }
    }
}
