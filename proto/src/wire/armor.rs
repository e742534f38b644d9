//! Binary records as one line of text that people pass on: `prefix` and base64url (`proto/spec/ticket.md`).
//!
//! What people and programs do to such a line without harm (line breaks, spaces, quotes, a final full stop) is undone.
//! All else is told apart by a length and a checksum, which stay in place in every version of every record.

use aws_lc_rs::digest;
use data_encoding::BASE64URL_NOPAD;
use zeroize::Zeroizing;

/// The longest text in characters, after repair. Reason: the largest ticket has about 7,000.
pub const TEXT_CHARS_MAX: usize = 8_192;

/// Version and length before the payload, in bytes.
const HEAD_BYTES: usize = 3;
/// The checksum after the payload, in bytes: one damaged line in 2³² goes unnoticed here, and fails its signature.
const CHECK_BYTES: usize = 4;

/// From how many characters on a line without a capital letter is taken to have lost them: by chance, one of 10¹⁰ has
/// none.
const CASE_CHARS_MIN: usize = 50;

/// Why a line is not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArmorError {
    /// It does not begin with the prefix, or is longer than [`TEXT_CHARS_MAX`].
    #[error("it is other text")]
    OtherText,
    /// It was a record once.
    #[error(transparent)]
    Damaged(#[from] Damage),
}

/// What happened to a record on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// Its end is missing.
    #[error("it is cut short: {have} characters{}", .want.map(|want| format!(" instead of {want}")).unwrap_or_default())]
    CutShort {
        /// Characters that are there, prefix excluded.
        have: usize,
        /// Characters that it had, if its beginning still tells.
        want: Option<usize>,
    },
    /// A character that no record has.
    #[error("character {position} is {found:?}, which never occurs in it")]
    Character {
        /// Position in the line without spaces and quotes, from 1.
        position: usize,
        /// The character.
        found: char,
    },
    /// The record is whole, and more follows.
    #[error("it is followed by {extra} characters that are not part of it")]
    Appended {
        /// How many.
        extra: usize,
    },
    /// Characters were exchanged.
    #[error("some characters are not what they were{}", if *.lower_case { " (all are lower case)" } else { "" })]
    Changed {
        /// No upper-case letter is left, so a program probably changed the case.
        lower_case: bool,
    },
}

/// Writes `payload` as one line.
///
/// # Panics
/// If the payload has 64 KiB or more: every record bounds itself far below.
#[must_use]
pub fn write(prefix: &str, version: u8, payload: &[u8]) -> String {
    let length = u16::try_from(payload.len()).expect("records are far shorter than 64 KiB");
    let mut bytes = Zeroizing::new(Vec::with_capacity(HEAD_BYTES + payload.len() + CHECK_BYTES));
    bytes.push(version);
    bytes.extend_from_slice(&length.to_be_bytes());
    bytes.extend_from_slice(payload);
    bytes.extend_from_slice(&check(prefix, version, payload));
    let mut text = String::from(prefix);
    BASE64URL_NOPAD.encode_append(&bytes, &mut text);
    text
}

/// Reads a line that [`write()`] made with the same `prefix`: its version and payload.
///
/// # Errors
/// [`ArmorError`] if it is other text or damaged.
pub fn read(prefix: &str, text: &str) -> Result<(u8, Zeroizing<Vec<u8>>), ArmorError> {
    if text.len() > 4 * TEXT_CHARS_MAX {
        return Err(ArmorError::OtherText);
    }
    let line = Zeroizing::new(repaired(text));
    let body = body(prefix, &line).ok_or(ArmorError::OtherText)?;
    if line.len() > TEXT_CHARS_MAX {
        return Err(ArmorError::OtherText);
    }
    let foreign = |c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_');
    if let Some((at, found)) = body.chars().enumerate().find(|&(_, c)| foreign(c)) {
        return Err(Damage::Character {
            position: prefix.len() + at + 1,
            found,
        }
        .into());
    }
    let have = body.len();
    let Some(want) = body.get(..4).and_then(announced_chars) else {
        return Err(Damage::CutShort { have, want: None }.into());
    };
    // The checksum does not cover the length, so a line that is whole but for its length is seen to be whole.
    if let Some(record) = checked(prefix, body) {
        return if have == want {
            Ok(record)
        } else {
            Err(Damage::Changed { lower_case: false }.into())
        };
    }
    let lower_case = have >= CASE_CHARS_MIN && !body.contains(|c: char| c.is_ascii_uppercase());
    Err(if lower_case || want > TEXT_CHARS_MAX {
        // The first characters are damaged too: the length that they give means nothing.
        Damage::Changed { lower_case }.into()
    } else if have < want {
        Damage::CutShort {
            have,
            want: Some(want),
        }
        .into()
    } else if have > want && checked(prefix, &body[..want]).is_some() {
        Damage::Appended { extra: have - want }.into()
    } else {
        Damage::Changed { lower_case }.into()
    })
}

/// Undoes what does no harm: white space and invisible characters anywhere, quotes around, marks after.
fn repaired(text: &str) -> String {
    let invisible =
        |c: char| matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}') || c.is_control();
    let quote = |c: char| {
        matches!(
            c,
            '"' | '\'' | '`' | '<' | '>' | '(' | '[' | '“' | '”' | '„' | '‘' | '’' | '«' | '»'
        )
    };
    let after = |c: char| quote(c) || matches!(c, '.' | ',' | ';' | '!' | ')' | ']' | '=');
    let line: String = text
        .chars()
        .filter(|&c| !c.is_whitespace() && !invisible(c))
        .collect();
    line.trim_start_matches(quote).trim_end_matches(after).to_owned()
}

/// What follows `prefix`, in whichever case a program left it.
fn body<'a>(prefix: &str, line: &'a str) -> Option<&'a str> {
    let (head, body) = line.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(body)
}

/// How many characters the first four say that there are.
fn announced_chars(first_four: &str) -> Option<usize> {
    let head = BASE64URL_NOPAD.decode(first_four.as_bytes()).ok()?;
    let payload = usize::from(u16::from_be_bytes([*head.get(1)?, *head.get(2)?]));
    Some(BASE64URL_NOPAD.encode_len(HEAD_BYTES + payload + CHECK_BYTES))
}

/// Version and payload, if the checksum is right for all of `body`.
fn checked(prefix: &str, body: &str) -> Option<(u8, Zeroizing<Vec<u8>>)> {
    let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(body.as_bytes()).ok()?);
    let (version, rest) = bytes.split_first()?;
    let (payload, sum) = rest.get(2..)?.split_last_chunk::<CHECK_BYTES>()?;
    (check(prefix, *version, payload) == *sum).then(|| (*version, Zeroizing::new(payload.to_vec())))
}

fn check(prefix: &str, version: u8, payload: &[u8]) -> [u8; CHECK_BYTES] {
    let mut hash = digest::Context::new(&digest::SHA256);
    hash.update(b"subrosa-text-check\0");
    hash.update(prefix.as_bytes());
    hash.update(&[version]);
    hash.update(payload);
    let digest = hash.finish();
    let (sum, _) = digest.as_ref().split_first_chunk().expect("SHA-256 has 32 bytes");
    *sum
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PREFIX: &str = "subrosa-test:";

    fn opened(text: &str) -> Result<Vec<u8>, ArmorError> {
        read(PREFIX, text).map(|(_, payload)| payload.to_vec())
    }

    fn line() -> String {
        write(PREFIX, 1, &(0..90).collect::<Vec<u8>>())
    }

    #[test]
    fn harmless_changes_are_undone() {
        let line = line();
        let (a, b) = line.split_at(40);
        let want: Result<Vec<u8>, _> = Ok((0..90).collect());
        for text in [
            format!("  {line}\r\n"),
            format!("\"{line}\""),
            format!("“{line}”."),
            format!("<{line}>"),
            format!("{a}\n{b}"),
            format!("{a}  \u{200b}{b}"),
            line.replace("subrosa", "Subrosa"),
        ] {
            assert_eq!(opened(&text), want, "{text}");
        }
    }

    #[test]
    fn damage_is_told_apart() {
        let line = line();
        let body = line.len() - PREFIX.len();
        let cut = |have| {
            Err(ArmorError::Damaged(Damage::CutShort {
                have,
                want: Some(body),
            }))
        };
        assert_eq!(opened(&line[..line.len() - 1]), cut(body - 1));
        assert_eq!(opened(&line[..PREFIX.len() + 4]), cut(4));
        assert_eq!(
            opened(PREFIX),
            Err(Damage::CutShort { have: 0, want: None }.into())
        );
        assert_eq!(
            opened(&format!("{line}abc")),
            Err(Damage::Appended { extra: 3 }.into())
        );
        assert_eq!(
            opened(&line.to_lowercase()),
            Err(Damage::Changed { lower_case: true }.into())
        );
        let dash = line.replacen('B', "–", 1);
        assert!(matches!(
            opened(&dash),
            Err(ArmorError::Damaged(Damage::Character { found: '–', .. }))
        ));
        assert_eq!(opened("see you at eight"), Err(ArmorError::OtherText));
        assert_eq!(opened("subrosa:AAAA"), Err(ArmorError::OtherText));
        assert_eq!(opened(&"a".repeat(100_000)), Err(ArmorError::OtherText));
    }

    proptest! {
        #[test]
        fn records_round_trip(version: u8, payload in proptest::collection::vec(any::<u8>(), 0..600)) {
            let (read_version, read_payload) = read(PREFIX, &write(PREFIX, version, &payload)).unwrap();
            prop_assert_eq!((read_version, &*read_payload), (version, &payload));
        }

        #[test]
        fn any_exchanged_letter_is_noticed(at in 0_usize..128, letter in "[A-Za-z0-9_-]") {
            let good = line();
            let at = PREFIX.len() + at % (good.len() - PREFIX.len());
            let mut bad = good.clone();
            bad.replace_range(at..=at, &letter);
            if bad != good {
                prop_assert!(matches!(opened(&bad), Err(ArmorError::Damaged(_))));
            }
        }

        #[test]
        fn no_text_panics(text: String) {
            let _ = opened(&text);
            let _ = opened(&format!("{PREFIX}{text}"));
        }
    }
}
