//! The SFrame header (RFC 9605 §4.3): a config byte, then the key id and the counter in as few bytes as they need.

/// Bytes of the longest header: config byte, eight of key id, eight of counter.
pub const HEADER_BYTES_MAX: usize = 17;

/// Values below this fit the three bits in the config byte.
const INLINE_MAX: u64 = 7;
const EXTENDED_KID: u8 = 0x80;
const EXTENDED_CTR: u8 = 0x08;

/// Which key sealed a frame, and the frame's number under that key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Header {
    /// Key id; see [`super::KeyId`] for its parts.
    pub kid: u64,
    /// Counter, never used twice under one key.
    pub counter: u64,
}

/// Why bytes do not start with an SFrame header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// The bytes end inside the header.
    #[error("the SFrame header is cut short")]
    TooShort,
    /// A number is written in more bytes than it needs. RFC 9605 §4.3 wants the minimum; we hold senders to it, so
    /// that one (key id, counter) has one encoding.
    #[error("the SFrame header is not in its shortest form")]
    NotCanonical,
}

/// A header as bytes, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct HeaderBytes {
    bytes: [u8; HEADER_BYTES_MAX],
    len: usize,
}

impl HeaderBytes {
    /// The encoded header.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn push_number(&mut self, value: u64) {
        let width = width(value);
        self.bytes[self.len..self.len + width].copy_from_slice(&value.to_be_bytes()[8 - width..]);
        self.len += width;
    }
}

impl Header {
    /// The one encoding of this header.
    #[must_use]
    pub fn encode(&self) -> HeaderBytes {
        let mut out = HeaderBytes {
            bytes: [0; HEADER_BYTES_MAX],
            len: 1,
        };
        let (kid_flag, kid_bits) = config_bits(self.kid, EXTENDED_KID);
        let (counter_flag, counter_bits) = config_bits(self.counter, EXTENDED_CTR);
        out.bytes[0] = kid_flag | kid_bits << 4 | counter_flag | counter_bits;
        if kid_flag != 0 {
            out.push_number(self.kid);
        }
        if counter_flag != 0 {
            out.push_number(self.counter);
        }
        out
    }

    /// Splits `sframe` into its header and what follows.
    ///
    /// # Errors
    /// [`HeaderError`] if the bytes are cut short or not in the shortest form.
    pub fn parse(sframe: &[u8]) -> Result<(Self, &[u8]), HeaderError> {
        let (&config, rest) = sframe.split_first().ok_or(HeaderError::TooShort)?;
        let (kid, rest) = number(config & EXTENDED_KID != 0, config >> 4 & 0x07, rest)?;
        let (counter, rest) = number(config & EXTENDED_CTR != 0, config & 0x07, rest)?;
        Ok((Self { kid, counter }, rest))
    }
}

/// The extension flag (or 0) and the three bits of the config byte for `value`.
fn config_bits(value: u64, extended: u8) -> (u8, u8) {
    if value <= INLINE_MAX {
        (0, value.to_le_bytes()[0])
    } else {
        (extended, width(value).to_le_bytes()[0] - 1)
    }
}

/// Bytes that `value` needs, 1 to 8.
fn width(value: u64) -> usize {
    8 - (value.leading_zeros() as usize / 8).min(7)
}

fn number(extended: bool, bits: u8, rest: &[u8]) -> Result<(u64, &[u8]), HeaderError> {
    if !extended {
        return Ok((u64::from(bits), rest));
    }
    let (bytes, rest) = rest
        .split_at_checked(usize::from(bits) + 1)
        .ok_or(HeaderError::TooShort)?;
    let value = bytes
        .iter()
        .fold(0_u64, |value, &byte| value << 8 | u64::from(byte));
    if value <= INLINE_MAX || width(value) != bytes.len() {
        return Err(HeaderError::NotCanonical);
    }
    Ok((value, rest))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_round_trip(kid: u64, counter: u64, kid_shift in 0..64_u32, counter_shift in 0..64_u32) {
            let header = Header { kid: kid >> kid_shift, counter: counter >> counter_shift };
            let mut bytes = header.encode().as_slice().to_vec();
            bytes.extend_from_slice(b"rest");
            prop_assert_eq!(Header::parse(&bytes), Ok((header, &b"rest"[..])));
        }

        #[test]
        fn whatever_parses_writes_back_to_the_same_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            if let Ok((header, rest)) = Header::parse(&bytes) {
                let mut again = header.encode().as_slice().to_vec();
                again.extend_from_slice(rest);
                prop_assert_eq!(again, bytes);
            }
        }
    }

    #[test]
    fn longer_forms_are_refused() {
        // Key id 3 in an extension byte; key id 255 in two bytes.
        assert_eq!(Header::parse(&[0x80, 3]), Err(HeaderError::NotCanonical));
        assert_eq!(Header::parse(&[0x90, 0, 255]), Err(HeaderError::NotCanonical));
        assert_eq!(Header::parse(&[0x80]), Err(HeaderError::TooShort));
        assert_eq!(Header::parse(&[]), Err(HeaderError::TooShort));
    }
}
