//! Lists, bytes and text that cannot outgrow their bound: the bound is part of the type and is checked when decoding,
//! before anything is allocated for the elements.

use bincode::{
    Decode, Encode,
    de::{BorrowDecode, BorrowDecoder, Decoder},
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

/// A value is longer than its type allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} where at most {max} are allowed")]
pub struct TooLong {
    /// What was given.
    pub len: usize,
    /// What is allowed.
    pub max: usize,
}

/// At most `MAX` elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundedVec<T, const MAX: usize>(Vec<T>);

/// At most `MAX` bytes.
pub type BoundedBytes<const MAX: usize> = BoundedVec<u8, MAX>;

impl<T, const MAX: usize> BoundedVec<T, MAX> {
    /// The elements, as a vector.
    #[must_use]
    pub fn into_inner(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for BoundedVec<T, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MAX: usize> std::ops::Deref for BoundedVec<T, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MAX: usize> TryFrom<Vec<T>> for BoundedVec<T, MAX> {
    type Error = TooLong;
    fn try_from(elements: Vec<T>) -> Result<Self, TooLong> {
        let len = elements.len();
        if len > MAX {
            Err(TooLong { len, max: MAX })
        } else {
            Ok(Self(elements))
        }
    }
}

impl<T: Encode + 'static, const MAX: usize> Encode for BoundedVec<T, MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C, T: Decode<C> + 'static, const MAX: usize> Decode<C> for BoundedVec<T, MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        // The elements are read one by one up to the bound: a peer that announces more is refused at its length field.
        let len = u64::decode(decoder)?;
        if len > MAX as u64 {
            return Err(DecodeError::Other("a list is longer than its bound"));
        }
        decoder.claim_container_read::<T>(len as usize)?;
        let mut elements = Vec::with_capacity(len as usize);
        for _ in 0..len {
            decoder.unclaim_bytes_read(size_of::<T>());
            elements.push(T::decode(decoder)?);
        }
        Ok(Self(elements))
    }
}

impl<'de, C, T: Decode<C> + 'static, const MAX: usize> BorrowDecode<'de, C> for BoundedVec<T, MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

/// UTF-8 text of at most `MAX` bytes without control characters, so that it can be shown on a terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BoundedText<const MAX: usize>(String);

impl<const MAX: usize> BoundedText<MAX> {
    /// `text` as it stands; `None` if it is too long or has control characters.
    #[must_use]
    pub fn exact(text: &str) -> Option<Self> {
        (text.len() <= MAX && !text.chars().any(char::is_control)).then(|| Self(text.to_owned()))
    }

    /// `text` without its control characters, cut at the last character that fits.
    #[must_use]
    pub fn cut(text: &str) -> Self {
        let mut out = String::new();
        for c in text.chars().filter(|c| !c.is_control()) {
            if out.len() + c.len_utf8() > MAX {
                break;
            }
            out.push(c);
        }
        Self(out)
    }
}

impl<const MAX: usize> std::ops::Deref for BoundedText<MAX> {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize> Encode for BoundedText<MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C, const MAX: usize> Decode<C> for BoundedText<MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = BoundedBytes::<MAX>::decode(decoder)?.into_inner();
        let text = String::from_utf8(bytes).map_err(|_| DecodeError::Other("text is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(DecodeError::Other("text has control characters"));
        }
        Ok(Self(text))
    }
}

impl<'de, C, const MAX: usize> BorrowDecode<'de, C> for BoundedText<MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::codec;

    #[test]
    fn a_list_beyond_its_bound_is_refused_on_both_sides() {
        assert!(BoundedBytes::<4>::try_from(vec![0; 5]).is_err());
        let bytes = codec::encode(&vec![0_u8; 5]);
        assert_eq!(
            codec::decode::<BoundedBytes<4>>(&bytes),
            Err(codec::DecodeError::Malformed)
        );
        assert!(codec::decode::<BoundedBytes<5>>(&bytes).is_ok());
    }

    #[test]
    fn bytes_and_text_encode_as_plain_lists() {
        let bounded = BoundedBytes::<8>::try_from(vec![1, 2, 3]).unwrap();
        assert_eq!(codec::encode(&bounded), codec::encode(&vec![1_u8, 2, 3]));
        let text = BoundedText::<8>::cut("roses");
        assert_eq!(codec::encode(&text), codec::encode(&String::from("roses")));
    }

    #[test]
    fn text_is_cut_at_a_character_and_loses_control_characters() {
        assert_eq!(&*BoundedText::<4>::cut("a\x1bbéé"), "abé");
        let hostile = codec::encode(&String::from("a\x1b[2J"));
        assert_eq!(
            codec::decode::<BoundedText<16>>(&hostile),
            Err(codec::DecodeError::Malformed)
        );
    }
}
