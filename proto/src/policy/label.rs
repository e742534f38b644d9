//! Short text from strangers that people will read: bounded, one line, nothing that moves a cursor.

use std::fmt;

use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

/// Text of 1 to `MAX` bytes of UTF-8 on one line, without control characters, without characters that are invisible
/// or that change the direction of writing, and without space at its ends.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label<const MAX: usize>(String);

/// Why text is not a [`Label`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// Nothing in it.
    #[error("the text is empty")]
    Empty,
    /// More than `max` bytes.
    #[error("the text has {bytes} bytes, {max} are allowed")]
    TooLong {
        /// How many it has.
        bytes: usize,
        /// How many it may have.
        max: usize,
    },
    /// A control, invisible or direction-changing character.
    #[error("the text holds the character U+{:04X}, which could hide or rewrite what people read", u32::from(*.0))]
    Forbidden(char),
    /// Space at the beginning or the end.
    #[error("the text begins or ends with space")]
    Padded,
}

impl<const MAX: usize> Label<MAX> {
    /// Checks `text`.
    ///
    /// # Errors
    /// [`LabelError`], one variant for each rule.
    pub fn new(text: impl Into<String>) -> Result<Self, LabelError> {
        let text = text.into();
        if text.is_empty() {
            return Err(LabelError::Empty);
        }
        if text.len() > MAX {
            return Err(LabelError::TooLong {
                bytes: text.len(),
                max: MAX,
            });
        }
        if let Some(bad) = text.chars().find(|&c| forbidden(c)) {
            return Err(LabelError::Forbidden(bad));
        }
        if text.trim() != text {
            return Err(LabelError::Padded);
        }
        Ok(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Controls, line and paragraph separators, invisible characters, and the bidirectional controls of Unicode
/// (UAX #9), which let one string look like another.
fn forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

impl<const MAX: usize> fmt::Display for Label<MAX> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<const MAX: usize> std::str::FromStr for Label<MAX> {
    type Err = LabelError;
    fn from_str(text: &str) -> Result<Self, LabelError> {
        Self::new(text)
    }
}

impl<const MAX: usize> Encode for Label<MAX> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C, const MAX: usize> Decode<C> for Label<MAX> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::new(String::decode(decoder)?).map_err(|_| DecodeError::Other("label"))
    }
}

impl<'de, C, const MAX: usize> BorrowDecode<'de, C> for Label<MAX> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(Label::<4>::new("rose").unwrap().as_str(), "rose");
        assert_eq!(Label::<4>::new(""), Err(LabelError::Empty));
        assert_eq!(
            Label::<4>::new("roses"),
            Err(LabelError::TooLong { bytes: 5, max: 4 })
        );
        assert_eq!(
            Label::<9>::new("a\u{1b}[2J"),
            Err(LabelError::Forbidden('\u{1b}'))
        );
        assert_eq!(
            Label::<9>::new("a\u{202e}b"),
            Err(LabelError::Forbidden('\u{202e}'))
        );
        assert_eq!(Label::<9>::new(" a"), Err(LabelError::Padded));
    }
}
