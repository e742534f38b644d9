//! Encryption of one frame (RFC 9605 §4.4.3).

use aws_lc_rs::aead::Aad;

use super::{
    header::{HEADER_BYTES_MAX, Header, HeaderBytes},
    key_schedule::FrameKey,
};

/// The longest metadata, in bytes; [`super::media_context::CONTEXT_BYTES`] and room for a later field.
pub const METADATA_BYTES_MAX: usize = 64;

/// Appends `header ‖ ciphertext ‖ tag` to `out`; encrypts in place there. Allocates only if `out` has no room for
/// `plaintext` and [`super::OVERHEAD_BYTES_MAX`].
///
/// The caller never repeats a counter under one key.
///
/// # Panics
/// If `metadata` is longer than [`METADATA_BYTES_MAX`]: it is of our own making.
pub fn seal(key: &FrameKey, header: Header, metadata: &[u8], plaintext: &[u8], out: &mut Vec<u8>) {
    let encoded = header.encode();
    out.extend_from_slice(encoded.as_slice());
    let start = out.len();
    out.extend_from_slice(plaintext);
    let aad = AdditionalData::new(&encoded, metadata);
    let tag = key
        .aead
        .seal_in_place_separate_tag(
            key.nonce(header.counter),
            Aad::from(aad.as_slice()),
            &mut out[start..],
        )
        .expect("a frame is far shorter than AES-GCM's limit");
    out.extend_from_slice(tag.as_ref());
}

/// `header ‖ metadata` on the stack.
pub(super) struct AdditionalData {
    bytes: [u8; HEADER_BYTES_MAX + METADATA_BYTES_MAX],
    len: usize,
}

impl AdditionalData {
    pub(super) fn new(header: &HeaderBytes, metadata: &[u8]) -> Self {
        assert!(metadata.len() <= METADATA_BYTES_MAX, "metadata outgrew its bound");
        let header = header.as_slice();
        let len = header.len() + metadata.len();
        let mut bytes = [0; HEADER_BYTES_MAX + METADATA_BYTES_MAX];
        bytes[..header.len()].copy_from_slice(header);
        bytes[header.len()..len].copy_from_slice(metadata);
        Self { bytes, len }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}
