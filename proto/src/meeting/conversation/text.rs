//! Text that people write to each other: bounded, and without characters that hide, move the cursor or turn the writing.

use bincode::{Decode, Encode, de::Decoder, error::DecodeError};

use crate::meeting::name::is_forbidden;

/// Bytes of one chat message. Reason: two pages of a terminal; what is longer is a file.
pub const CHAT_BYTES_MAX: usize = 4_000;
/// Bytes of a poll's question.
pub const QUESTION_BYTES_MAX: usize = 300;
/// Bytes of one option of a poll.
pub const OPTION_BYTES_MAX: usize = 120;

/// A chat message's text; lines end with `\n`.
pub type ChatText = Text<CHAT_BYTES_MAX, true>;
/// A poll's question.
pub type Question = Text<QUESTION_BYTES_MAX, false>;
/// A poll's option.
pub type OptionText = Text<OPTION_BYTES_MAX, false>;

/// 1 to `MAX` bytes of UTF-8 without white space at either end; line ends only if `LINES`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct Text<const MAX: usize, const LINES: bool>(String);

/// Why something is not a [`Text`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TextError {
    /// Nothing, or nothing but white space.
    #[error("there is nothing to say")]
    Empty,
    /// Too many bytes.
    #[error("at most {max} bytes are allowed, this has {len}")]
    TooLong {
        /// What was given.
        len: usize,
        /// What is allowed.
        max: usize,
    },
    /// White space at the beginning or the end.
    #[error("there is white space at an end")]
    NotTrimmed,
    /// A control character, or one that hides or turns the writing direction.
    #[error("the character U+{:04X} is not allowed", *.0 as u32)]
    Forbidden(char),
}

impl<const MAX: usize, const LINES: bool> Text<MAX, LINES> {
    /// `text` exactly as it stands; what comes from a peer is never repaired.
    ///
    /// # Errors
    /// [`TextError`] says which rule it breaks.
    pub fn new(text: &str) -> Result<Self, TextError> {
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(TextError::Empty);
        }
        if text.len() > MAX {
            let len = text.len();
            return Err(TextError::TooLong { len, max: MAX });
        }
        if trimmed.len() != text.len() {
            return Err(TextError::NotTrimmed);
        }
        match text.chars().find(|&c| is_forbidden(c) && !(LINES && c == '\n')) {
            Some(c) => Err(TextError::Forbidden(c)),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// What a person typed or pasted: white space at both ends is cut, line ends are `\n`, tabs become spaces, and
    /// invisible characters are left out.
    ///
    /// # Errors
    /// [`TextError::Empty`] and [`TextError::TooLong`].
    pub fn from_input(text: &str) -> Result<Self, TextError> {
        let unix = text.replace("\r\n", "\n").replace('\t', " ");
        let clean = unix.chars().filter_map(|c| match c {
            '\n' if LINES => Some('\n'),
            '\n' => Some(' '),
            c => (!is_forbidden(c)).then_some(c),
        });
        Self::new(clean.collect::<String>().trim())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<const MAX: usize, const LINES: bool> std::fmt::Debug for Text<MAX, LINES> {
    /// Its length only: what people say is not for logs.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

impl<C, const MAX: usize, const LINES: bool> Decode<C> for Text<MAX, LINES> {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = crate::wire::bounded::BoundedBytes::<MAX>::decode(decoder)?.into_inner();
        let text = String::from_utf8(bytes).map_err(|_| DecodeError::Other("text is not UTF-8"))?;
        Self::new(&text).map_err(|_| DecodeError::Other("text breaks a rule"))
    }
}

impl<'de, C, const MAX: usize, const LINES: bool> bincode::BorrowDecode<'de, C> for Text<MAX, LINES> {
    fn borrow_decode<D: bincode::de::BorrowDecoder<'de, Context = C>>(
        decoder: &mut D,
    ) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::codec;

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(ChatText::new(""), Err(TextError::Empty));
        assert_eq!(ChatText::new("a "), Err(TextError::NotTrimmed));
        assert_eq!(ChatText::new("a\u{202e}b"), Err(TextError::Forbidden('\u{202e}')));
        assert_eq!(Question::new("a\nb"), Err(TextError::Forbidden('\n')));
        assert!(ChatText::new("a\nb").is_ok() && ChatText::new(&"x".repeat(4_000)).is_ok());
        assert!(matches!(
            ChatText::new(&"x".repeat(4_001)),
            Err(TextError::TooLong { len: 4_001, .. })
        ));
        assert_eq!(ChatText::from_input(" a\x1b[2J\r\nb\t"), ChatText::new("a[2J\nb"));
        assert_eq!(Question::from_input("a\nb"), Question::new("a b"));
    }

    proptest! {
        #[test]
        fn text_round_trips_and_bad_text_does_not_decode(text in ".{0,130}") {
            let bytes = codec::encode(&text);
            match OptionText::new(&text) {
                Ok(good) => {
                    prop_assert_eq!(codec::encode(&good), bytes.clone());
                    prop_assert_eq!(codec::decode::<OptionText>(&bytes), Ok(good));
                }
                Err(_) => prop_assert_eq!(codec::decode::<OptionText>(&bytes), Err(codec::DecodeError::Malformed)),
            }
        }
    }
}
