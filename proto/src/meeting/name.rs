//! The name that a person goes by in a meeting. It proves nothing: identities do (security.md §4).

use bincode::{Decode, Encode, de::Decoder, error::DecodeError};

/// The longest name, in bytes of UTF-8. Reason: it fits a line of a terminal and keeps operations small.
pub const NAME_BYTES_MAX: usize = 64;

/// Text for people: 1 to [`NAME_BYTES_MAX`] bytes of UTF-8, no space at either end, no character that moves the
/// cursor, hides itself or turns the writing direction.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Encode)]
pub struct Name(String);

/// Why a text is not a [`Name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Nothing, or nothing but spaces.
    #[error("a name has at least one character")]
    Empty,
    /// Longer than [`NAME_BYTES_MAX`].
    #[error("a name has at most {NAME_BYTES_MAX} bytes of UTF-8, this one has {0}")]
    TooLong(usize),
    /// White space at the beginning or the end.
    #[error("a name neither begins nor ends with a space")]
    NotTrimmed,
    /// A control character, line or paragraph separator, or a character that changes the writing direction.
    #[error("a name may not contain the character U+{:04X}", *.0 as u32)]
    Forbidden(char),
}

impl Name {
    /// The name `text`, exactly as it stands; what comes from a peer is never repaired.
    ///
    /// # Errors
    /// [`NameError`] says which rule `text` breaks.
    pub fn new(text: &str) -> Result<Self, NameError> {
        if text.len() > NAME_BYTES_MAX {
            return Err(NameError::TooLong(text.len()));
        }
        let trimmed = text.trim();
        if trimmed.is_empty() {
            return Err(NameError::Empty);
        }
        if trimmed.len() != text.len() {
            return Err(NameError::NotTrimmed);
        }
        match text.chars().find(|&c| is_forbidden(c)) {
            Some(c) => Err(NameError::Forbidden(c)),
            None => Ok(Self(text.to_owned())),
        }
    }

    /// The name that a person typed: spaces at both ends are cut first.
    ///
    /// # Errors
    /// As [`Name::new`].
    pub fn from_input(text: &str) -> Result<Self, NameError> {
        Self::new(text.trim())
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Beside control characters: separators that end lines, and Unicode's invisible and direction-changing format
/// characters. U+200C and U+200D stay: Persian and Indic names and emoji need them.
pub(super) fn is_forbidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{00AD}' | '\u{061C}' | '\u{180E}' | '\u{200B}' | '\u{200E}' | '\u{200F}'
            | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E007F}')
}

impl std::fmt::Debug for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.0)
    }
}

impl std::fmt::Display for Name {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::str::FromStr for Name {
    type Err = NameError;
    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::new(text)
    }
}

impl<C> Decode<C> for Name {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let text = String::decode(decoder)?;
        Self::new(&text).map_err(|_| DecodeError::Other("not a name"))
    }
}
bincode::impl_borrow_decode!(Name);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::wire::codec;

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(Name::new(""), Err(NameError::Empty));
        assert_eq!(Name::new("  "), Err(NameError::Empty));
        assert_eq!(Name::new(" Ada"), Err(NameError::NotTrimmed));
        assert_eq!(Name::new(&"x".repeat(65)), Err(NameError::TooLong(65)));
        assert_eq!(Name::new("A\u{7}b"), Err(NameError::Forbidden('\u{7}')));
        assert_eq!(Name::new("A\u{202e}b"), Err(NameError::Forbidden('\u{202e}')));
        assert_eq!(Name::from_input(" Ada "), Name::new("Ada"));
        assert!(Name::new(&"x".repeat(64)).is_ok());
    }

    proptest! {
        #[test]
        fn names_round_trip_and_bad_ones_do_not_decode(text in ".{0,70}") {
            let bytes = codec::encode(&text);
            match Name::new(&text) {
                Ok(name) => {
                    prop_assert_eq!(codec::encode(&name), bytes.clone());
                    prop_assert_eq!(codec::decode::<Name>(&bytes), Ok(name));
                }
                Err(_) => prop_assert_eq!(codec::decode::<Name>(&bytes), Err(codec::DecodeError::Malformed)),
            }
        }
    }
}
