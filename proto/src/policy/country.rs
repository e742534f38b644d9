//! Countries, as ISO 3166-1 alpha-2 codes.

use std::fmt;

use bincode::{
    BorrowDecode, Decode, Encode,
    de::{BorrowDecoder, Decoder},
    enc::Encoder,
    error::{DecodeError, EncodeError},
};

use super::{country_table::ASSIGNED, nearest::nearest};

/// A country or territory that has an officially assigned ISO 3166-1 alpha-2 code. On the wire: its two letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

/// A word that is no country code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not an ISO 3166-1 alpha-2 country code{}", .suggestion.as_deref().map(|s| format!("; did you mean {s}?")).unwrap_or_default())]
pub struct UnknownCountry {
    /// What was written.
    pub word: String,
    /// The code that was probably meant, with its name.
    pub suggestion: Option<String>,
}

/// What people write in capitals for a country that has another code, or another short name in ISO 3166-1.
const OFTEN_WRITTEN: [(&str, &str); 18] = [
    ("AMERICA", "US"),
    ("BRITAIN", "GB"),
    ("CZECH REPUBLIC", "CZ"),
    ("DEUTSCHLAND", "DE"),
    ("EL", "GR"),
    ("ENGLAND", "GB"),
    ("GREAT BRITAIN", "GB"),
    ("HOLLAND", "NL"),
    ("NORTH KOREA", "KP"),
    ("RUSSIA", "RU"),
    ("SCOTLAND", "GB"),
    ("SOUTH KOREA", "KR"),
    ("SU", "RU"),
    ("TURKEY", "TR"),
    ("UAE", "AE"),
    ("UK", "GB"),
    ("USA", "US"),
    ("VIETNAM", "VN"),
];

impl Country {
    /// The country with the code `code`, two upper-case letters, if it is assigned.
    #[must_use]
    pub fn from_code(code: [u8; 2]) -> Option<Self> {
        ASSIGNED
            .binary_search_by_key(&code, |&(assigned, _)| letters(assigned))
            .ok()
            .map(|_| Self(code))
    }

    /// A code that is known to be assigned, for the tables of this crate.
    ///
    /// # Panics
    /// If it is not.
    pub(super) fn known(code: &str) -> Self {
        Self::from_code(letters(code)).expect("the tables hold assigned codes only")
    }

    /// All countries, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        ASSIGNED.iter().map(|&(code, _)| Self(letters(code)))
    }

    /// The two letters, e.g. `DE`.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("codes are ASCII")
    }

    /// The English short name as ISO 3166-1 writes it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        ASSIGNED
            .binary_search_by_key(&self.0, |&(assigned, _)| letters(assigned))
            .map(|at| ASSIGNED[at].1)
            .expect("a Country is assigned")
    }

    /// Position among all pairs of letters: `AA` is 0, `ZZ` is 675.
    pub(super) fn index(self) -> u16 {
        u16::from(self.0[0] - b'A') * 26 + u16::from(self.0[1] - b'A')
    }

    /// The inverse of [`Self::index`], if the pair of letters is assigned.
    pub(super) fn from_index(index: u16) -> Option<Self> {
        let high = u8::try_from(index / 26).ok().filter(|&high| high < 26)?;
        let low = u8::try_from(index % 26).ok()?;
        Self::from_code([b'A' + high, b'A' + low])
    }
}

/// The first two bytes of a table entry.
fn letters(code: &str) -> [u8; 2] {
    let bytes = code.as_bytes();
    [
        bytes.first().copied().unwrap_or(0),
        bytes.get(1).copied().unwrap_or(0),
    ]
}

impl std::str::FromStr for Country {
    type Err = UnknownCountry;

    /// Takes a code in either case. A name, a slip or a code of everyday use (`UK`) gives an error with a suggestion.
    fn from_str(word: &str) -> Result<Self, UnknownCountry> {
        let upper = word.trim().to_uppercase();
        if let Ok(code) = <[u8; 2]>::try_from(upper.as_bytes())
            && let Some(country) = Self::from_code(code)
        {
            return Ok(country);
        }
        Err(UnknownCountry {
            word: word.chars().take(64).collect(),
            suggestion: suggest(&upper).map(|country| format!("{} ({})", country.code(), country.name())),
        })
    }
}

/// The country that `upper` probably stands for.
fn suggest(upper: &str) -> Option<Country> {
    if let Some((_, code)) = OFTEN_WRITTEN.iter().find(|(written, _)| *written == upper) {
        return Some(Country::known(code));
    }
    if upper.len() < 3 || upper.len() > 64 {
        // Any two letters are one edit away from dozens of codes: a guess would mislead.
        return None;
    }
    // The shortest of those that begin so: "united states" is not its minor outlying islands.
    let by_beginning = ASSIGNED
        .iter()
        .filter(|(_, name)| name.to_uppercase().starts_with(upper))
        .min_by_key(|(_, name)| name.len());
    let found = by_beginning
        .map(|&(_, name)| name)
        .or_else(|| nearest(upper, ASSIGNED.iter().map(|&(_, name)| name)));
    found
        .and_then(|name| ASSIGNED.iter().find(|entry| entry.1 == name))
        .map(|&(code, _)| Country::known(code))
}

impl fmt::Display for Country {
    /// The code.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl Encode for Country {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<C> Decode<C> for Country {
    fn decode<D: Decoder<Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::from_code(<[u8; 2]>::decode(decoder)?).ok_or(DecodeError::Other("country"))
    }
}

impl<'de, C> BorrowDecode<'de, C> for Country {
    fn borrow_decode<D: BorrowDecoder<'de, Context = C>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_holds_249_codes_in_order() {
        assert_eq!(Country::all().count(), 249);
        assert!(Country::all().is_sorted_by(|a, b| a < b));
        assert!(Country::all().all(|c| c.name().is_ascii() || c.name().len() > 4));
        assert_eq!(Country::known("DE").name(), "Germany");
        for country in Country::all() {
            assert_eq!(Country::from_index(country.index()), Some(country));
        }
    }

    #[test]
    fn codes_parse_in_either_case_and_others_get_a_suggestion() {
        assert_eq!("de".parse(), Ok(Country::known("DE")));
        let suggestion = |word: &str| {
            word.parse::<Country>()
                .unwrap_err()
                .suggestion
                .unwrap_or_default()
        };
        assert!(suggestion("UK").starts_with("GB "));
        assert!(suggestion("el").starts_with("GR "));
        assert!(suggestion("Germnay").starts_with("DE "));
        assert!(suggestion("united states").starts_with("US "));
        assert!(suggestion("South Korea").starts_with("KR "));
        assert_eq!(suggestion("XK"), "");
        assert_eq!(suggestion("ÄÖ"), "");
        assert_eq!(suggestion(&"x".repeat(10_000)), "");
    }
}
