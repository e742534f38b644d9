//! The one codec for control data: bincode behind a trait-sized door (security.md §7).
//!
//! bincode is pinned and no longer maintained (RUSTSEC-2025-0141): nothing outside this file calls it, the format is
//! written down in `proto/spec/codec.md`, and frozen vectors hold it in place.

use bincode::{
    Decode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
};

/// The largest control message, in bytes, length prefix excluded. Reason: a Welcome to a meeting of 200 fits.
pub const CONTROL_BYTES_MAX: usize = 64 * 1024;

/// The largest value that travels or is kept in parts, in bytes. Reason: the checkpoint of a meeting of 512 with full lists
/// of those who left and were removed takes some 400 KiB.
pub const LONG_BYTES_MAX: usize = 512 * 1024;

type Config<const MAX: usize> = Configuration<LittleEndian, Varint, Limit<MAX>>;

const fn config<const MAX: usize>() -> Config<MAX> {
    bincode::config::standard().with_limit::<MAX>()
}

/// Why bytes from a peer are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Longer than [`CONTROL_BYTES_MAX`], or [`LONG_BYTES_MAX`] for what comes in parts.
    #[error("{0} bytes are more than a message may have")]
    TooLong(usize),
    /// Cut short, an unknown variant, a length beyond the limit, or text that is not UTF-8.
    #[error("the bytes are not a message of this version")]
    Malformed,
    /// A whole message, and then more.
    #[error("{0} bytes follow the message")]
    TrailingBytes(usize),
    /// The same value has a shorter or differently ordered encoding; accepting both would break hashes.
    #[error("the message is not in canonical form")]
    NotCanonical,
}

/// Encodes `value`.
///
/// # Panics
/// If the encoding exceeds [`CONTROL_BYTES_MAX`]: every type that is sent bounds itself below that.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    encode_within::<CONTROL_BYTES_MAX, T>(value)
}

/// As [`encode`], up to [`LONG_BYTES_MAX`].
///
/// # Panics
/// If the encoding exceeds that: every type that is sent in parts or kept bounds itself below it.
pub fn encode_long<T: Encode>(value: &T) -> Vec<u8> {
    encode_within::<LONG_BYTES_MAX, T>(value)
}

fn encode_within<const MAX: usize, T: Encode>(value: &T) -> Vec<u8> {
    let bytes = bincode::encode_to_vec(value, config::<MAX>()).expect("wire types encode infallibly");
    assert!(bytes.len() <= MAX, "a wire type outgrew its bound");
    bytes
}

/// Decodes one value that fills `bytes` exactly and is in canonical form. Allocates at most in proportion to
/// [`CONTROL_BYTES_MAX`].
///
/// # Errors
/// [`DecodeError`], one variant for each way in which bytes can be wrong.
pub fn decode<T: Encode + Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_within::<CONTROL_BYTES_MAX, T>(bytes)
}

/// As [`decode`], up to [`LONG_BYTES_MAX`].
///
/// # Errors
/// As [`decode`].
pub fn decode_long<T: Encode + Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    decode_within::<LONG_BYTES_MAX, T>(bytes)
}

fn decode_within<const MAX: usize, T: Encode + Decode<()>>(bytes: &[u8]) -> Result<T, DecodeError> {
    if bytes.len() > MAX {
        return Err(DecodeError::TooLong(bytes.len()));
    }
    let (value, used) = bincode::decode_from_slice::<T, Config<MAX>>(bytes, config::<MAX>())
        .map_err(|_| DecodeError::Malformed)?;
    if used != bytes.len() {
        return Err(DecodeError::TrailingBytes(bytes.len() - used));
    }
    // A BTreeMap or a set decodes from any order and drops doubles; comparing the encodings closes that.
    let again = bincode::encode_to_vec(&value, config::<MAX>()).map_err(|_| DecodeError::Malformed)?;
    if again != bytes {
        return Err(DecodeError::NotCanonical);
    }
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn values_round_trip() {
        let value = (7_u32, String::from("rose"), vec![1_u8, 2, 3]);
        assert_eq!(decode::<(u32, String, Vec<u8>)>(&encode(&value)), Ok(value));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let mut bytes = encode(&5_u16);
        bytes.push(0);
        assert_eq!(decode::<u16>(&bytes), Err(DecodeError::TrailingBytes(1)));
    }

    #[test]
    fn unordered_sets_are_refused() {
        let bytes = encode(&vec![3_u8, 1]);
        assert_eq!(decode::<BTreeSet<u8>>(&bytes), Err(DecodeError::NotCanonical));
    }

    #[test]
    fn a_length_beyond_the_limit_allocates_nothing() {
        // Varint marker 253 announces a u64 length.
        let bytes = [253, 255, 255, 255, 255, 255, 255, 255, 127];
        assert_eq!(decode::<Vec<u8>>(&bytes), Err(DecodeError::Malformed));
    }

    #[test]
    fn a_longer_varint_of_the_same_number_is_refused() {
        assert_eq!(decode::<u16>(&[251, 5, 0]), Err(DecodeError::NotCanonical));
    }
}
