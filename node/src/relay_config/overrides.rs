//! What overrides the file: environment variables, and flags over them.

use std::path::{Path, PathBuf};

use subrosa_proto::policy::nearest::nearest;
use toml::{Table, Value};

use super::{RelayConfigError, RelaySettings};

/// What the environment variables of a relay's settings begin with.
pub const VARIABLE_PREFIX: &str = "SUBROSA_RELAY_";
/// Variables with that beginning that are no settings.
const OTHER_VARIABLES: [&str; 2] = ["SUBROSA_RELAY_CONFIG", "SUBROSA_RELAY_TOKEN"];

/// Every key of the file, with its table.
pub const KEYS: [&str; 44] = [
    "listen",
    "public_addresses",
    "listen_tcp",
    "public_tcp_addresses",
    "data_dir",
    "hosting",
    "asn",
    "family",
    "metrics",
    "alternates",
    "attestations",
    "drain_seconds",
    "operator.name",
    "operator.contact",
    "operator.legal_seat",
    "operator.parent_seat",
    "access.open",
    "access.address_blocks",
    "access.token_issuers",
    "access.revoked_tokens",
    "cascade.relays",
    "logs.addresses",
    "logs.days",
    "limits.sessions",
    "limits.sessions_per_address_block",
    "limits.rooms",
    "limits.members_per_room",
    "limits.tracks_per_session",
    "limits.session_kbit_per_s",
    "limits.session_burst_kbyte",
    "limits.room_kbit_per_s",
    "limits.room_burst_kbyte",
    "limits.address_block_kbit_per_s",
    "limits.address_block_burst_kbyte",
    "limits.total_kbit_per_s",
    "limits.total_burst_kbyte",
    "limits.monthly_gbyte",
    "limits.memory_mbyte",
    "limits.handshakes_per_s",
    "limits.handshakes_per_address_block_per_s",
    "discovery.enabled",
    "discovery.bootstrap",
    "discovery.quic",
    "discovery.lan",
];

/// One setting that wins over the file's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Override {
    /// `hosting`, or `limits.sessions`.
    key: &'static str,
    value: String,
    /// The variable or the flag, for messages.
    place: PathBuf,
}

impl Override {
    /// A flag's `KEY=VALUE`.
    ///
    /// # Errors
    /// [`RelayConfigError`] if it has another form, or no key has that name.
    pub fn from_flag(text: &str) -> Result<Self, RelayConfigError> {
        let place = PathBuf::from(format!("--set {text}"));
        let Some((key, value)) = text.split_once('=') else {
            return Err(RelayConfigError::nowhere(
                &place,
                "write KEY=VALUE, for example limits.sessions=500".to_owned(),
            ));
        };
        let key = known(key.trim(), KEYS.iter().copied(), &place, |key| key)?;
        Ok(Self {
            key,
            value: value.trim().to_owned(),
            place,
        })
    }

    /// The settings in the environment: `SUBROSA_RELAY_LIMITS_SESSIONS` is `limits.sessions`.
    ///
    /// # Errors
    /// [`RelayConfigError`] for a variable with that beginning that names no setting.
    pub fn from_environment(
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<Vec<Self>, RelayConfigError> {
        let names: Vec<String> = KEYS
            .iter()
            .map(|key| format!("{VARIABLE_PREFIX}{}", key.replace('.', "_").to_uppercase()))
            .collect();
        let ours = |name: &str| name.starts_with(VARIABLE_PREFIX) && !OTHER_VARIABLES.contains(&name);
        let mut found = Vec::new();
        for (name, value) in variables.filter(|(name, _)| ours(name)) {
            let place = PathBuf::from(&name);
            let at = known(&name, names.iter().map(String::as_str), &place, |name| name)?;
            let key = names.iter().position(|n| n == at).map_or("", |at| KEYS[at]);
            found.push(Self { key, value, place });
        }
        Ok(found)
    }

    /// The value as the file would have it: TOML if it is TOML, else text.
    fn values(&self) -> Vec<Value> {
        let text = Value::String(self.value.clone());
        match toml::from_str::<Table>(&format!("v = {}", self.value)) {
            // `family=2026` is text to us and a number to TOML: both are tried.
            Ok(mut table) => table.remove("v").into_iter().chain([text]).collect(),
            // A list of words without TOML's quotes.
            Err(_) if self.value.contains(',') => {
                let words = self.value.split(',').map(|word| word.trim().to_owned().into());
                vec![text, Value::Array(words.collect())]
            }
            Err(_) => vec![text.clone(), Value::Array(vec![text])],
        }
    }

    fn apply(&self, table: &Table, value: Value) -> Table {
        let mut table = table.clone();
        match self.key.split_once('.') {
            Some((section, key)) => {
                let section = table.entry(section).or_insert_with(|| Value::Table(Table::new()));
                if let Value::Table(section) = section {
                    section.insert(key.to_owned(), value);
                }
            }
            None => {
                table.insert(self.key.to_owned(), value);
            }
        }
        table
    }
}

fn known<'a, T>(
    name: &str,
    mut names: impl Iterator<Item = &'a str> + Clone,
    place: &Path,
    found: impl Fn(&'a str) -> T,
) -> Result<T, RelayConfigError> {
    let all = names.clone();
    match names.find(|n| *n == name) {
        Some(name) => Ok(found(name)),
        None => Err(RelayConfigError {
            nearest: nearest(name, all).map(str::to_owned),
            ..RelayConfigError::nowhere(place, format!("unknown setting `{name}`"))
        }),
    }
}

/// Settings of a file's text under `overrides`, of which later ones win.
pub(super) fn merge(
    text: &str,
    file: &Path,
    overrides: &[Override],
) -> Result<RelaySettings, RelayConfigError> {
    let alone = RelaySettings::parse(text, file);
    if overrides.is_empty() {
        return alone;
    }
    let Ok(mut table) = toml::from_str::<Table>(text) else {
        return alone;
    };
    let checked = |table: &Table| {
        let text = toml::to_string(table).unwrap_or_default();
        RelaySettings::parse(&text, file)
    };
    let mut last = alone.clone();
    for one in overrides {
        let tries = one.values().into_iter().map(|value| one.apply(&table, value));
        let tried: Vec<_> = tries.map(|table| (checked(&table), table)).collect();
        let best = tried.iter().position(|(result, _)| result.is_ok()).unwrap_or(0);
        let (result, changed) = &tried[best];
        // A mistake that is new is the override's.
        if let Err(error) = result
            && last.is_ok()
        {
            return Err(RelayConfigError {
                nearest: error.nearest.clone(),
                ..RelayConfigError::nowhere(&one.place, error.message.clone())
            });
        }
        (last, table) = (result.clone(), changed.clone());
    }
    // What no override mended is the file's mistake, with its line.
    last.or_else(|error| alone.and(Err(error)))
}
