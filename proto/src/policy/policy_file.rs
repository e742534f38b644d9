//! Policy files: TOML in which each mistake is answered with its line and the word that was probably meant.
//!
//! A file either names a `preset` and changes parts of it, or says everything about relays itself. What it leaves out
//! is denied. A key that this version does not know is a mistake: it might be a restriction.

use std::collections::BTreeSet;

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    Country, CountryRule, CountrySet, DeniedAsns, DiscoveryRule, EvidenceLevel, EvidenceRule, IssuerRule,
    Preset, Region, RoutePolicy, attestation::IssuerId, nearest::nearest,
};
use crate::time::UnixSeconds;

/// A mistake in a policy file. Displays as `line 3, column 1: …`; who opened the file adds its name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct PolicyFileError {
    /// Line of the mistake, from 1.
    pub line: usize,
    /// Column of the mistake in characters, from 1.
    pub column: usize,
    /// What is wrong and what was probably meant.
    pub message: String,
}

/// The largest policy file in bytes. Reason: all countries, issuers and networks fit ten times over.
pub const FILE_BYTES_MAX: usize = 64 * 1024;

const KEYS: [&str; 11] = [
    "preset",
    "hosting",
    "legal_seat",
    "parent_seat",
    "evidence",
    "issuers",
    "denied_asns",
    "direct_only",
    "members_may_forward",
    "discovery",
    "expires",
];

const ISSUER_KEYS: [&str; 2] = ["at_least", "of"];

/// The word for any country.
const ANY: &str = "any";

/// Byte offset of a mistake and its message.
type Mistake = (usize, String);
type Value<'a> = Spanned<DeValue<'a>>;

impl RoutePolicy {
    /// Reads a policy file (`docs/policy.md`).
    ///
    /// # Errors
    /// [`PolicyFileError`] for the first mistake.
    pub fn from_toml(text: &str) -> Result<Self, PolicyFileError> {
        let parsed = if text.len() > FILE_BYTES_MAX {
            Err((0, format!("the file has more than {FILE_BYTES_MAX} bytes")))
        } else {
            parse(text)
        };
        parsed.map_err(|(offset, message)| {
            let before = text.get(..offset.min(text.len())).unwrap_or(text);
            let line_start = before.rfind('\n').map_or(0, |at| at + 1);
            PolicyFileError {
                line: before.matches('\n').count() + 1,
                column: before[line_start..].chars().count() + 1,
                message,
            }
        })
    }
}

fn parse(text: &str) -> Result<RoutePolicy, Mistake> {
    let document = DeTable::parse(text).map_err(|error| {
        (
            error.span().map_or(0, |span| span.start),
            format!("not TOML: {}", error.message()),
        )
    })?;
    let file = Table {
        table: document.get_ref(),
        start: 0,
    };
    file.check_keys(&KEYS)?;

    let preset = match file.get("preset") {
        Some(value) => Some(keyword(value, &Preset::ALL, Preset::keyword, "preset")?),
        None => None,
    };
    let mut policy = preset.map_or_else(RoutePolicy::default, RoutePolicy::from);
    // A file without a preset speaks about relays unless it says that it wants none.
    policy.direct_only = match file.get("direct_only") {
        Some(value) => boolean(value)?,
        None => preset == Some(Preset::Direct),
    };
    for key in ["hosting", "legal_seat", "parent_seat"] {
        let rule = match file.get(key) {
            Some(value) => countries(value)?,
            None if preset.is_some() && preset != Some(Preset::Direct) || policy.direct_only => continue,
            None => return Err(missing_countries(key)),
        };
        match key {
            "hosting" => policy.hosting = rule,
            "legal_seat" => policy.legal_seat = rule,
            _ => policy.parent_seat = rule,
        }
    }
    policy.evidence = evidence(&file, policy.direct_only || preset.is_some())?;
    if let Some(value) = file.get("denied_asns") {
        policy.denied_asns = denied_asns(value)?;
    }
    if let Some(value) = file.get("members_may_forward") {
        policy.members_may_forward = boolean(value)?;
    }
    if let Some(value) = file.get("discovery") {
        policy.discovery = keyword(value, &DiscoveryRule::ALL, DiscoveryRule::keyword, "discovery")?;
    }
    if let Some(value) = file.get("expires") {
        policy.expires = Some(date(value)?);
    }
    Ok(policy)
}

fn missing_countries(key: &str) -> Mistake {
    let message = format!(
        "`{key}` is missing: without it no relay would be permitted; write e.g. `{key} = [\"eea\"]`, \
         or start from `preset = \"eea\"`, or write `direct_only = true`"
    );
    (0, message)
}

/// A table whose keys are checked and looked up.
struct Table<'a, 'i> {
    table: &'a DeTable<'i>,
    start: usize,
}

impl<'a, 'i> Table<'a, 'i> {
    /// The first key in the file that is not one of `known`, as a mistake.
    fn check_keys(&self, known: &[&str]) -> Result<(), Mistake> {
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

    fn get(&self, key: &str) -> Option<&'a Value<'i>> {
        self.table
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }
}

fn mistake<T>(value: &Value<'_>, message: impl Into<String>) -> Result<T, Mistake> {
    Err((value.span().start, message.into()))
}

fn wrong_kind<T>(value: &Value<'_>, wanted: &str) -> Result<T, Mistake> {
    mistake(
        value,
        format!("{wanted} is expected here, not {}", value.get_ref().type_str()),
    )
}

fn boolean(value: &Value<'_>) -> Result<bool, Mistake> {
    value
        .get_ref()
        .as_bool()
        .map_or_else(|| wrong_kind(value, "true or false"), Ok)
}

fn string<'a>(value: &'a Value<'_>, wanted: &str) -> Result<&'a str, Mistake> {
    value
        .get_ref()
        .as_str()
        .map_or_else(|| wrong_kind(value, wanted), Ok)
}

fn keyword<T: Copy>(
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

/// `"eea"`, `["eea", "CH"]` or `"any"`.
fn countries(value: &Value<'_>) -> Result<CountryRule, Mistake> {
    let Some(items) = value.get_ref().as_array() else {
        return countries_in(std::slice::from_ref(value));
    };
    if items.is_empty() {
        return mistake(
            value,
            "the list is empty, so no relay would be permitted; write `direct_only = true` if that is meant",
        );
    }
    countries_in(items)
}

fn countries_in(items: &[Value<'_>]) -> Result<CountryRule, Mistake> {
    let mut set = CountrySet::default();
    for item in items {
        let word = string(item, "a country code or a region in quotes")?;
        if word.eq_ignore_ascii_case(ANY) {
            if items.len() > 1 {
                return mistake(
                    item,
                    "\"any\" stands alone: the other entries would have no effect",
                );
            }
            return Ok(CountryRule::Any);
        }
        set = set.union(&country_or_region(item, word)?);
    }
    Ok(CountryRule::Only(set))
}

fn country_or_region(item: &Value<'_>, word: &str) -> Result<CountrySet, Mistake> {
    if let Some(region) = Region::from_keyword(word) {
        return Ok(region.countries());
    }
    let error = match word.parse::<Country>() {
        Ok(country) => return Ok(std::iter::once(country).collect()),
        Err(error) => error,
    };
    if error.suggestion.is_some() {
        return mistake(item, error.to_string());
    }
    let regions: Vec<&str> = Region::ALL
        .into_iter()
        .map(Region::keyword)
        .chain([ANY])
        .collect();
    let hint = match nearest(word, regions.iter().copied()) {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("regions are {}", regions.join(", ")),
    };
    mistake(
        item,
        format!("\"{word}\" is neither an ISO 3166-1 alpha-2 country code nor a region; {hint}"),
    )
}

fn evidence(file: &Table<'_, '_>, optional: bool) -> Result<EvidenceRule, Mistake> {
    let level = match file.get("evidence") {
        Some(value) => keyword(
            value,
            &EvidenceLevel::ALL,
            EvidenceLevel::keyword,
            "evidence level",
        )?,
        None if optional => EvidenceLevel::Declared,
        None => {
            return Err((
                0,
                "`evidence` is missing; write `evidence = \"declared\"` if the operators' signed word is enough"
                    .into(),
            ));
        }
    };
    match (level, file.get("issuers")) {
        (EvidenceLevel::Declared, None) => Ok(EvidenceRule::Declared),
        (EvidenceLevel::Declared, Some(value)) => mistake(
            value,
            "issuers are named, yet nothing asks for them; write `evidence = \"attested\"`",
        ),
        (level, None) => {
            let at = file
                .get("evidence")
                .map_or(file.start, |value| value.span().start);
            Err((
                at,
                format!(
                    "evidence \"{level}\" needs to know whose word counts; write \
                     `issuers = {{ at_least = 1, of = [\"…\"] }}`"
                ),
            ))
        }
        (EvidenceLevel::Attested, Some(value)) => issuers(value).map(EvidenceRule::Attested),
        (EvidenceLevel::Located, Some(value)) => issuers(value).map(EvidenceRule::Located),
        (EvidenceLevel::Measured, Some(value)) => issuers(value).map(EvidenceRule::Measured),
    }
}

fn issuers(value: &Value<'_>) -> Result<IssuerRule, Mistake> {
    let Some(table) = value.get_ref().as_table() else {
        return wrong_kind(value, "a table with `at_least` and `of`");
    };
    let table = Table {
        table,
        start: value.span().start,
    };
    table.check_keys(&ISSUER_KEYS)?;
    let Some(of) = table.get("of") else {
        return mistake(value, "`of` is missing: the list of the issuers' keys");
    };
    let Some(items) = of.get_ref().as_array() else {
        return wrong_kind(of, "a list of keys");
    };
    let mut keys = BTreeSet::new();
    for item in items {
        let word = string(item, "an issuer's key in quotes")?;
        let key: IssuerId = word.parse().or_else(|error| mistake(item, format!("{error}")))?;
        if !keys.insert(key) {
            return mistake(item, "this issuer is named twice");
        }
    }
    let Some(count) = table.get("at_least") else {
        return mistake(value, "`at_least` is missing: how many of the issuers must agree");
    };
    let at_least = u8::try_from(integer(count)?).unwrap_or(u8::MAX);
    IssuerRule::new(at_least, keys).or_else(|error| mistake(count, error.to_string()))
}

fn integer(value: &Value<'_>) -> Result<u32, Mistake> {
    let wanted = "a whole number from 0 to 4294967295";
    let Some(number) = value.get_ref().as_integer() else {
        return wrong_kind(value, wanted);
    };
    u32::from_str_radix(number.as_str(), number.radix()).or_else(|_| wrong_kind(value, wanted))
}

fn denied_asns(value: &Value<'_>) -> Result<DeniedAsns, Mistake> {
    let Some(items) = value.get_ref().as_array() else {
        return wrong_kind(value, "a list of numbers of autonomous systems");
    };
    let asns = items.iter().map(integer).collect::<Result<_, _>>()?;
    DeniedAsns::new(asns).or_else(|error| mistake(value, error.to_string()))
}

/// A date (its beginning in UTC) or a moment with its offset from UTC.
fn date(value: &Value<'_>) -> Result<UnixSeconds, Mistake> {
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

#[cfg(test)]
mod tests;
