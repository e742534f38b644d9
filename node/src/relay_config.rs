//! `relay.toml`: what an operator decides about a relay (`docs/relay.toml` is a commented example).
//!
//! Unknown keys are mistakes. Each mistake is answered with file, line and, where there is one, the nearest known word.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use subrosa_proto::{
    policy::{
        Country, SignedDescriptor,
        descriptor::{Contact, Family, LogPolicy, Operator, OperatorName},
        nearest::nearest,
    },
    relay::{MediaRate, RelayLimits},
    wire::relay_message::REDIRECT_MAX,
};
use toml::Spanned;

use crate::discovery::bootstrap_address;

/// The largest file that is read, in bytes: a hundred times what a relay needs.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// A relay's settings, checked.
#[derive(Clone, Debug)]
pub struct RelaySettings {
    /// The UDP address that the relay listens on; port 0 takes any.
    pub listen: SocketAddr,
    /// The addresses that clients dial. Empty: the address that it listens on, which must then not be a wildcard.
    pub public_addresses: Vec<SocketAddr>,
    /// Where identity, static key, descriptor chain and monthly count are kept.
    pub data_dir: PathBuf,
    /// The country in which the hardware stands.
    pub hosting: Country,
    /// The autonomous system that announces the addresses.
    pub asn: Option<u32>,
    /// Who runs the relay, and under which law.
    pub operator: Operator,
    /// The name that all relays of one operator share.
    pub family: Option<Family>,
    /// What the relay's logs hold.
    pub log_policy: LogPolicy,
    /// Quotas.
    pub limits: RelayLimits,
    /// Relays to which clients are sent when this one is full or drains.
    pub alternates: Vec<SignedDescriptor>,
    /// How long clients get to move away when the relay is told to end.
    pub drain: Duration,
    /// The relay's part in the network by which members find each other and relays.
    pub discovery: RelayDiscovery,
}

/// What a relay does for discovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayDiscovery {
    /// Whether it takes part at all. Default: yes.
    pub enabled: bool,
    /// Nodes to begin with: libp2p addresses or relays' descriptor lines.
    pub bootstrap: Vec<String>,
    /// Where libp2p's QUIC listens, beside TCP on the port of `listen`. Default: nowhere.
    pub quic: Option<SocketAddr>,
    /// Whether it answers on the local network (mDNS). Default: no.
    pub lan: bool,
}

impl Default for RelayDiscovery {
    fn default() -> Self {
        Self {
            enabled: true,
            bootstrap: Vec::new(),
            quic: None,
            lan: false,
        }
    }
}

/// A mistake in `relay.toml`. Displays as `relay.toml:12: …; did you mean …?`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: {message}{}", .file.display(), .nearest.as_deref().map(|n| format!("; did you mean `{n}`?")).unwrap_or_default())]
pub struct RelayConfigError {
    /// The file.
    pub file: PathBuf,
    /// Line of the mistake, from 1; 0 if the file could not be read.
    pub line: usize,
    /// What is wrong.
    pub message: String,
    /// The known word that was probably meant.
    pub nearest: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    listen: Spanned<SocketAddr>,
    public_addresses: Option<Spanned<Vec<SocketAddr>>>,
    data_dir: PathBuf,
    hosting: Spanned<String>,
    asn: Option<u32>,
    family: Option<Spanned<String>>,
    operator: OperatorTable,
    #[serde(default)]
    logs: LogsTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    alternates: Vec<Spanned<String>>,
    #[serde(default = "default_drain_seconds")]
    drain_seconds: u64,
    #[serde(default)]
    discovery: DiscoveryTable,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct DiscoveryTable {
    enabled: Option<bool>,
    #[serde(default)]
    bootstrap: Vec<Spanned<String>>,
    quic: Option<SocketAddr>,
    lan: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OperatorTable {
    name: Spanned<String>,
    contact: Spanned<String>,
    legal_seat: Spanned<String>,
    parent_seat: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogsTable {
    #[serde(default)]
    addresses: bool,
    days: Option<u16>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    sessions: Option<usize>,
    sessions_per_address_block: Option<usize>,
    rooms: Option<usize>,
    members_per_room: Option<usize>,
    tracks_per_session: Option<usize>,
    session_kbit_per_s: Option<u64>,
    session_burst_kbyte: Option<u32>,
    room_kbit_per_s: Option<u64>,
    room_burst_kbyte: Option<u32>,
    address_block_kbit_per_s: Option<u64>,
    address_block_burst_kbyte: Option<u32>,
    monthly_gbyte: Option<u64>,
}

fn default_drain_seconds() -> u64 {
    60
}

/// Byte offset of a mistake, what it is, and what was probably meant.
type Mistake = (usize, String, Option<String>);

impl RelaySettings {
    /// Reads and checks a file. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// [`RelayConfigError`] for the first mistake, with line 0 if the file cannot be read.
    pub fn load(file: &Path) -> Result<Self, RelayConfigError> {
        let unreadable = |message: String| RelayConfigError {
            file: file.to_owned(),
            line: 0,
            message,
            nearest: None,
        };
        let size = std::fs::metadata(file)
            .map_err(|e| unreadable(format!("cannot be read: {e}")))?
            .len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(format!(
                "has {size} bytes, at most {FILE_BYTES_MAX} are read"
            )));
        }
        let text = std::fs::read_to_string(file).map_err(|e| unreadable(format!("cannot be read: {e}")))?;
        let mut settings = Self::parse(&text, file)?;
        if settings.data_dir.is_relative()
            && let Some(folder) = file.parent()
        {
            settings.data_dir = folder.join(&settings.data_dir);
        }
        Ok(settings)
    }

    /// Checks a file's text; `file` is its name in messages.
    ///
    /// # Errors
    /// [`RelayConfigError`] for the first mistake.
    pub fn parse(text: &str, file: &Path) -> Result<Self, RelayConfigError> {
        let parsed = toml::from_str::<File>(text)
            .map_err(|error| syntax_mistake(&error, text))
            .and_then(Self::check);
        parsed.map_err(|(offset, message, nearest)| {
            let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
            let line = before.iter().filter(|&&b| b == b'\n').count() + 1;
            RelayConfigError {
                file: file.to_owned(),
                line,
                message,
                nearest,
            }
        })
    }

    fn check(file: File) -> Result<Self, Mistake> {
        let operator = Operator {
            name: label::<OperatorName>(&file.operator.name)?,
            contact: label::<Contact>(&file.operator.contact)?,
            legal_seat: country(&file.operator.legal_seat)?,
            parent_seat: country(
                file.operator
                    .parent_seat
                    .as_ref()
                    .unwrap_or(&file.operator.legal_seat),
            )?,
        };
        let family = file.family.as_ref().map(label::<Family>).transpose()?;
        let listen = *file.listen.get_ref();
        let public_at = file.public_addresses.as_ref().map_or(0, |list| list.span().start);
        let public = file.public_addresses.map(Spanned::into_inner).unwrap_or_default();
        if public.is_empty() && listen.ip().is_unspecified() {
            let message = format!(
                "`public_addresses` is missing: clients cannot dial {}, so say which addresses they dial",
                listen.ip()
            );
            return Err((file.listen.span().start, message, None));
        }
        if let Some(bad) = public.iter().find(|a| a.ip().is_unspecified() || a.port() == 0) {
            let message = format!("nobody can dial the public address {bad}");
            return Err((public_at, message, None));
        }
        Ok(Self {
            listen,
            public_addresses: public,
            data_dir: file.data_dir,
            hosting: country(&file.hosting)?,
            asn: file.asn,
            operator,
            family,
            log_policy: if file.logs.addresses {
                LogPolicy::Addresses {
                    days: file.logs.days.unwrap_or(7),
                }
            } else {
                LogPolicy::CountersOnly
            },
            limits: file.limits.limits(),
            alternates: alternates(&file.alternates)?,
            drain: Duration::from_secs(file.drain_seconds),
            discovery: file.discovery.check()?,
        })
    }
}

impl DiscoveryTable {
    fn check(self) -> Result<RelayDiscovery, Mistake> {
        for text in &self.bootstrap {
            bootstrap_address(text.get_ref()).map_err(|error| (text.span().start, error, None))?;
        }
        let default = RelayDiscovery::default();
        Ok(RelayDiscovery {
            enabled: self.enabled.unwrap_or(default.enabled),
            bootstrap: self.bootstrap.into_iter().map(Spanned::into_inner).collect(),
            quic: self.quic,
            lan: self.lan.unwrap_or(default.lan),
        })
    }
}

impl LimitsTable {
    fn limits(&self) -> RelayLimits {
        let default = RelayLimits::default();
        let rate = |default: MediaRate, kbit: Option<u64>, kbyte: Option<u32>| MediaRate {
            bits_per_second: kbit.map_or(default.bits_per_second, |k| k.saturating_mul(1_000)),
            burst_bytes: kbyte.map_or(default.burst_bytes, |k| k.saturating_mul(1_000)),
        };
        RelayLimits {
            sessions_max: self.sessions.unwrap_or(default.sessions_max),
            sessions_per_address_block_max: self
                .sessions_per_address_block
                .unwrap_or(default.sessions_per_address_block_max),
            rooms_max: self.rooms.unwrap_or(default.rooms_max),
            members_per_room_max: self.members_per_room.unwrap_or(default.members_per_room_max),
            tracks_per_session_max: self.tracks_per_session.unwrap_or(default.tracks_per_session_max),
            session_media: rate(
                default.session_media,
                self.session_kbit_per_s,
                self.session_burst_kbyte,
            ),
            room_media: rate(default.room_media, self.room_kbit_per_s, self.room_burst_kbyte),
            address_block_media: rate(
                default.address_block_media,
                self.address_block_kbit_per_s,
                self.address_block_burst_kbyte,
            ),
            monthly_bytes_max: self.monthly_gbyte.map(|g| g.saturating_mul(1_000_000_000)),
            ..default
        }
        .clamped()
    }
}

fn country(word: &Spanned<String>) -> Result<Country, Mistake> {
    word.get_ref()
        .parse()
        .map_err(|error: subrosa_proto::policy::country::UnknownCountry| {
            (word.span().start, error.to_string(), None)
        })
}

fn label<L>(text: &Spanned<String>) -> Result<L, Mistake>
where
    L: std::str::FromStr,
    L::Err: std::fmt::Display,
{
    text.get_ref()
        .parse()
        .map_err(|error: L::Err| (text.span().start, error.to_string(), None))
}

fn alternates(lines: &[Spanned<String>]) -> Result<Vec<SignedDescriptor>, Mistake> {
    if let Some(surplus) = lines.get(REDIRECT_MAX) {
        return Err((
            surplus.span().start,
            format!("at most {REDIRECT_MAX} alternates are used"),
            None,
        ));
    }
    let parse = |line: &Spanned<String>| {
        SignedDescriptor::from_text(line.get_ref())
            .map_err(|error| (line.span().start, error.to_string(), None))
    };
    lines.iter().map(parse).collect()
}

/// What serde and the TOML parser found, with the nearest known key for an unknown one.
fn syntax_mistake(error: &toml::de::Error, text: &str) -> Mistake {
    let message = error.message().trim().to_owned();
    let offset = error.span().map_or(0, |span| span.start);
    let Some(rest) = message.strip_prefix("unknown field `") else {
        return (offset, message, None);
    };
    let mut quoted = rest.split('`');
    let unknown = quoted.next().unwrap_or_default();
    // "…, expected one of `a`, `b`": every second piece is a key.
    let known: Vec<&str> = quoted
        .skip(1)
        .step_by(2)
        .filter(|piece| !piece.is_empty())
        .collect();
    let nearest = nearest(unknown, known.iter().copied()).map(str::to_owned);
    let list = if nearest.is_some() {
        String::new()
    } else {
        format!("; known here: {}", known.join(", "))
    };
    let offset = if error.span().is_some() {
        offset
    } else {
        text.find(unknown).unwrap_or(0)
    };
    (offset, format!("unknown key `{unknown}`{list}"), nearest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = include_str!("../../docs/relay.toml");

    fn parse(text: &str) -> Result<RelaySettings, RelayConfigError> {
        RelaySettings::parse(text, Path::new("relay.toml"))
    }

    #[test]
    fn the_documented_example_is_valid_and_says_the_defaults() {
        let settings = parse(GOOD).unwrap();
        assert_eq!(settings.hosting.code(), "DE");
        assert_eq!(
            settings.limits,
            RelayLimits {
                monthly_bytes_max: None,
                ..RelayLimits::default()
            }
        );
        assert_eq!(settings.log_policy, LogPolicy::CountersOnly);
        assert_eq!(settings.public_addresses.len(), 2);
    }

    #[test]
    fn each_key_of_the_example_is_needed_or_known() {
        // Every commented-out setting of the example is valid too.
        let all: String = GOOD
            .lines()
            .map(|line| {
                let setting = line
                    .strip_prefix("#")
                    .filter(|rest| rest.contains(" = ") && !rest.starts_with(' '));
                format!("{}\n", setting.unwrap_or(line))
            })
            .collect();
        let settings = parse(&all).unwrap();
        assert_eq!(settings.limits.monthly_bytes_max, Some(5_000_000_000_000));
        assert!(settings.asn.is_some() && settings.family.is_some());
    }

    #[test]
    fn a_slip_is_answered_with_line_and_nearest_key() {
        let error = parse(&GOOD.replace("\nhosting =", "\nhostng =")).unwrap_err();
        assert_eq!(error.nearest.as_deref(), Some("hosting"));
        let line = GOOD.lines().position(|l| l.starts_with("hosting =")).unwrap() + 1;
        assert_eq!(error.line, line);
        assert_eq!(
            error.to_string(),
            format!("relay.toml:{line}: unknown key `hostng`; did you mean `hosting`?")
        );
    }

    #[test]
    fn a_country_that_does_not_exist_is_named_with_its_line() {
        let error = parse(&GOOD.replace("hosting = \"DE\"", "hosting = \"GERMANY\"")).unwrap_err();
        assert!(error.line > 1 && error.message.contains("GERMANY"), "{error}");
    }

    #[test]
    fn a_wildcard_needs_public_addresses() {
        let text: String = GOOD
            .lines()
            .filter(|l| !l.starts_with("public_addresses"))
            .map(|l| format!("{l}\n"))
            .collect();
        assert!(parse(&text).unwrap_err().message.contains("public_addresses"));
    }

    #[test]
    fn a_file_that_is_not_there_says_so() {
        let error = RelaySettings::load(Path::new("/nonexistent/relay.toml")).unwrap_err();
        assert_eq!(error.line, 0);
    }
}
