//! Policy files: TOML in which each mistake is answered with its line and the word that was probably meant.
//!
//! A file either names a `preset` and changes parts of it, or says everything about relays itself. What it leaves out
//! is denied. A key that this version does not know is a mistake: it might be a restriction.

use std::collections::BTreeSet;

use toml::de::DeTable;

use self::value::{Mistake, Table, Value, boolean, date, integer, keyword, mistake, string, wrong_kind};
use super::{
    Country, CountryRule, CountrySet, DeniedAsns, DiscoveryRule, EvidenceLevel, EvidenceRule, IssuerRule,
    Preset, Region, RoutePolicy, attestation::IssuerId, nearest::nearest,
};

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

fn denied_asns(value: &Value<'_>) -> Result<DeniedAsns, Mistake> {
    let Some(items) = value.get_ref().as_array() else {
        return wrong_kind(value, "a list of numbers of autonomous systems");
    };
    let asns = items.iter().map(integer).collect::<Result<_, _>>()?;
    DeniedAsns::new(asns).or_else(|error| mistake(value, error.to_string()))
}

mod value;

#[cfg(test)]
mod tests;
