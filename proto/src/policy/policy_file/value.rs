//! Values of a TOML document that know their place in it, so that each mistake can be shown there.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{policy::nearest::nearest, time::UnixSeconds};

/// Byte offset of a mistake and its message.
pub(super) type Mistake = (usize, String);
/// A value and its place.
pub(super) type Value<'a> = Spanned<DeValue<'a>>;

/// A table whose keys are checked and looked up.
pub(super) struct Table<'a, 'i> {
    /// The table.
    pub(super) table: &'a DeTable<'i>,
    /// Where it begins in the file, in bytes.
    pub(super) start: usize,
}

impl<'a, 'i> Table<'a, 'i> {
    /// The first key in the file that is not one of `known`, as a mistake.
    pub(super) fn check_keys(&self, known: &[&str]) -> Result<(), Mistake> {
        let unknown = self
            .table
            .keys()
            .filter(|key| !known.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown.min_by_key(|key| key.span().start) else {
            return Ok(());
        };
        let word = key.get_ref().as_ref();
        let hint = match nearest(word, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("known keys: {}", known.join(", ")),
        };
        Err((key.span().start, format!("unknown key `{word}`; {hint}")))
    }

    pub(super) fn get(&self, key: &str) -> Option<&'a Value<'i>> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }
}

pub(super) fn mistake<T>(value: &Value<'_>, message: impl Into<String>) -> Result<T, Mistake> {
    Err((value.span().start, message.into()))
}

pub(super) fn wrong_kind<T>(value: &Value<'_>, wanted: &str) -> Result<T, Mistake> {
    mistake(
        value,
        format!("{wanted} is expected here, not {}", value.get_ref().type_str()),
    )
}

pub(super) fn boolean(value: &Value<'_>) -> Result<bool, Mistake> {
    value
        .get_ref()
        .as_bool()
        .map_or_else(|| wrong_kind(value, "true or false"), Ok)
}

pub(super) fn string<'a>(value: &'a Value<'_>, wanted: &str) -> Result<&'a str, Mistake> {
    value
        .get_ref()
        .as_str()
        .map_or_else(|| wrong_kind(value, wanted), Ok)
}

pub(super) fn keyword<T: Copy>(
    value: &Value<'_>,
    all: &[T],
    word_of: fn(T) -> &'static str,
    what: &str,
) -> Result<T, Mistake> {
    let word = string(value, "a word in quotes")?;
    if let Some(found) = all
        .iter()
        .copied()
        .find(|&known| word_of(known).eq_ignore_ascii_case(word))
    {
        return Ok(found);
    }
    let words: Vec<&str> = all.iter().copied().map(word_of).collect();
    let hint = match nearest(word, words.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known: {}", words.join(", ")),
    };
    mistake(value, format!("unknown {what} \"{word}\"; {hint}"))
}

pub(super) fn integer(value: &Value<'_>) -> Result<u32, Mistake> {
    let wanted = "a whole number from 0 to 4294967295";
    let Some(number) = value.get_ref().as_integer() else {
        return wrong_kind(value, wanted);
    };
    u32::from_str_radix(number.as_str(), number.radix()).or_else(|_| wrong_kind(value, wanted))
}

/// A date (its beginning in UTC) or a moment with its offset from UTC.
pub(super) fn date(value: &Value<'_>) -> Result<UnixSeconds, Mistake> {
    let wanted = "a date like 2027-01-31 or a moment like 2027-01-31T18:00:00Z, without quotes,";
    let Some(moment) = value.get_ref().as_datetime() else {
        return wrong_kind(value, wanted);
    };
    let (Some(date), offset_minutes) = (moment.date, moment.offset) else {
        return mistake(value, format!("{wanted} is expected here"));
    };
    let days = days_since_1970(i64::from(date.year), i64::from(date.month), i64::from(date.day));
    let seconds_of_day = match (moment.time, offset_minutes) {
        (None, _) => 0,
        (Some(_), None) => {
            return mistake(
                value,
                "the offset from UTC is missing; write e.g. 2027-01-31T18:00:00Z",
            );
        }
        (Some(time), Some(offset)) => {
            let minutes = match offset {
                toml::value::Offset::Z => 0,
                toml::value::Offset::Custom { minutes } => i64::from(minutes),
            };
            i64::from(time.hour) * 3_600 + i64::from(time.minute) * 60 + i64::from(time.second.unwrap_or(0))
                - minutes * 60
        }
    };
    u64::try_from(days * 86_400 + seconds_of_day)
        .map(UnixSeconds)
        .or_else(|_| mistake(value, "the policy would have expired before 1970"))
}

/// Days from 1970-01-01 to a day of the Gregorian calendar (after Howard Hinnant's `days_from_civil`).
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
