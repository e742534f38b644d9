//! Decryption of one frame (RFC 9605 §4.4.4).

use aws_lc_rs::aead::Aad;

use super::{
    encrypt::AdditionalData,
    header::Header,
    key_schedule::{FrameKey, TAG_BYTES},
};

/// The tag does not hold: some byte of header, metadata or payload is not what the sender sealed, or the key differs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the frame is not authentic")]
pub struct BadTag;

/// Appends the plaintext to `out`; decrypts in place there. `sealed` is what follows `header` ([`Header::parse`]).
/// On an error `out` is as before.
///
/// # Errors
/// [`BadTag`].
///
/// # Panics
/// If `metadata` is longer than [`super::encrypt::METADATA_BYTES_MAX`]: it is of our own making.
pub fn open(
    key: &FrameKey,
    header: Header,
    metadata: &[u8],
    sealed: &[u8],
    out: &mut Vec<u8>,
) -> Result<(), BadTag> {
    if sealed.len() < TAG_BYTES {
        return Err(BadTag);
    }
    // The header was parsed strictly, so encoding it again gives the bytes that arrived.
    let aad = AdditionalData::new(&header.encode(), metadata);
    let start = out.len();
    out.extend_from_slice(sealed);
    let opened = key
        .aead
        .open_in_place(
            key.nonce(header.counter),
            Aad::from(aad.as_slice()),
            &mut out[start..],
        )
        .map(|plaintext| plaintext.len());
    match opened {
        Ok(len) => {
            out.truncate(start + len);
            Ok(())
        }
        Err(_) => {
            out.truncate(start);
            Err(BadTag)
        }
    }
}
