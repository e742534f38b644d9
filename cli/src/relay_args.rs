//! The grammar of `subrosa relay` and `subrosa attest`.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, Subcommand, ValueEnum};

/// `subrosa relay`.
#[derive(Debug, Args)]
#[command(
    subcommand_negates_reqs = true,
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  subrosa relay init                      write relay.toml, asking what matters
  subrosa relay check --config relay.toml
  subrosa relay --config relay.toml       run it; prints the signed descriptor that others give to --relay
  subrosa relay token new-key --out issuer.key

Each setting can also come from the environment (SUBROSA_RELAY_LIMITS_SESSIONS=500) or from --set; flags win over the
environment, the environment over the file. Every key: docs/relay.toml; running a relay: docs/operate-a-relay.md.
SIGHUP reloads the settings. Ctrl-C or SIGTERM drains: sessions are told and get time to move; again ends it at once."
)]
pub(crate) struct RelayArgs {
    /// What to do [default: run].
    #[command(subcommand)]
    pub(crate) what: Option<RelayAction>,
    #[command(flatten)]
    pub(crate) settings: SettingsArgs,
    /// One line of JSON per event: the descriptor, then statistics every second.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Where a relay's settings come from.
#[derive(Clone, Debug, Args)]
pub(crate) struct SettingsArgs {
    /// The relay's settings.
    #[arg(long, value_name = "FILE", env = "SUBROSA_RELAY_CONFIG", required = true)]
    pub(crate) config: Option<PathBuf>,
    /// A setting that wins over the file and the environment, such as limits.sessions=500. Repeatable.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
}

/// What to do with a relay.
#[derive(Debug, Subcommand)]
pub(crate) enum RelayAction {
    /// Write a commented settings file; asks for what no flag says.
    Init(Box<InitArgs>),
    /// Check the settings and say what is wrong: line, reason, nearest known key.
    Check {
        #[command(flatten)]
        settings: SettingsArgs,
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Print the settings in force, defaults included.
    Show {
        #[command(flatten)]
        settings: SettingsArgs,
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Ask a relay that runs on this machine how it does; fails unless it does well. For checks of containers.
    Health(HealthArgs),
    /// Make keys and tokens for those who may use a relay. Needs no network.
    Token {
        /// What.
        #[command(subcommand)]
        what: TokenAction,
    },
    /// Say which relays are yours: a family's key signs for each of them. Needs no network.
    Family {
        /// What.
        #[command(subcommand)]
        what: FamilyAction,
    },
}

/// `subrosa relay health`.
#[derive(Debug, Args)]
pub(crate) struct HealthArgs {
    /// Where the relay tells its health: `metrics` of its settings.
    #[arg(long, value_name = "ADDR", env = "SUBROSA_RELAY_METRICS")]
    pub(crate) at: SocketAddr,
    /// Fail also while it takes no new rooms: it drains, sleeps or is full.
    #[arg(long)]
    pub(crate) ready: bool,
    /// How long to go on asking until it does well.
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    pub(crate) wait: u16,
}

/// `subrosa relay family`.
#[derive(Debug, Subcommand)]
pub(crate) enum FamilyAction {
    /// Make a family's key; prints its public half.
    NewKey {
        /// The file for the secret key; must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign that a relay belongs to the family; prints what goes into `family` of that relay's file.
    Sign {
        /// The relay: its descriptor, a file with it, or its identity in hexadecimal.
        relay: String,
        /// The family's secret key.
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// For how long it holds.
        #[arg(long, value_name = "DAYS", default_value_t = 365)]
        days: u64,
    },
}

/// `subrosa relay init`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  subrosa relay init --hosting DE --operator 'Example e.V.' --contact relay@example.org --legal-seat DE \\
      --parent-seat DE --access open --monthly-gbyte 5000 --listen '[::]:4433' --public 192.0.2.10:4433")]
pub(crate) struct InitArgs {
    /// The file to write, or `-` for stdout.
    #[arg(long, value_name = "FILE", default_value = "relay.toml")]
    pub(crate) out: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    pub(crate) force: bool,
    /// The country in which the hardware stands (two letters).
    #[arg(long, value_name = "COUNTRY")]
    pub(crate) hosting: Option<String>,
    /// Who runs the relay.
    #[arg(long, value_name = "NAME")]
    pub(crate) operator: Option<String>,
    /// How to reach the operator: a mail or web address.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) contact: Option<String>,
    /// The country of the operator's legal seat.
    #[arg(long, value_name = "COUNTRY")]
    pub(crate) legal_seat: Option<String>,
    /// The country in which whoever controls the operator has its seat.
    #[arg(long, value_name = "COUNTRY")]
    pub(crate) parent_seat: Option<String>,
    /// Who may use it.
    #[arg(long, value_enum)]
    pub(crate) access: Option<AccessChoice>,
    /// With --access blocks: addresses that may use it, such as 192.0.2.0/24. Repeatable.
    #[arg(long = "allow", value_name = "BLOCK")]
    pub(crate) blocks: Vec<String>,
    /// With --access tokens: whose tokens are accepted. Repeatable.
    #[arg(long = "issuer", value_name = "KEY")]
    pub(crate) issuers: Vec<String>,
    /// Traffic in a calendar month, in gigabytes, after which it sleeps; 0: no limit.
    #[arg(long, value_name = "GBYTE")]
    pub(crate) monthly_gbyte: Option<u64>,
    /// The UDP address to listen on.
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// An address that clients dial. Repeatable; needed if it listens on all addresses.
    #[arg(long = "public", value_name = "ADDR")]
    pub(crate) public: Vec<SocketAddr>,
    /// Where keys and state are kept.
    #[arg(long, value_name = "DIR", default_value = "relay-data")]
    pub(crate) data_dir: PathBuf,
    /// Tell metrics and health on this loopback address.
    #[arg(long, value_name = "ADDR")]
    pub(crate) metrics: Option<SocketAddr>,
}

/// Who may use a relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessChoice {
    /// Everybody.
    Open,
    /// Certain addresses.
    Blocks,
    /// Holders of a token.
    Tokens,
}

/// `subrosa relay token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make an issuer's key; prints what goes into the relay's `token_issuers`.
    NewKey {
        /// The file for the secret key; must not exist.
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Sign a token and print its line.
    Issue(IssueArgs),
    /// Say what a token allows, and whether its signature holds.
    Show {
        /// The token's line, a file that holds it, or `-` for stdin.
        token: String,
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
}

/// `subrosa relay token issue`.
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  subrosa relay token issue --key issuer.key --days 90 --sessions 50 --kbit-per-s 20000 --gbyte 500")]
pub(crate) struct IssueArgs {
    /// The issuer's secret key.
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// For how long it holds, at most 400 days.
    #[arg(long, value_name = "DAYS", default_value_t = 90, conflicts_with = "seconds")]
    pub(crate) days: u64,
    /// For how long it holds, in seconds.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) seconds: Option<u64>,
    /// A relay at which it holds: its descriptor, a file with it, or its identity in hexadecimal. Repeatable [default: every relay
    /// that accepts the issuer].
    #[arg(long = "relay", value_name = "RELAY")]
    pub(crate) relays: Vec<String>,
    /// Sessions that may use it at one time, at each relay.
    #[arg(long, value_name = "N")]
    pub(crate) sessions: Option<u32>,
    /// What all its sessions may send together.
    #[arg(long, value_name = "N")]
    pub(crate) kbit_per_s: Option<u64>,
    /// Traffic over its whole life, at each relay, in gigabytes.
    #[arg(long, value_name = "N")]
    pub(crate) gbyte: Option<f64>,
}

/// `subrosa attest`.
#[derive(Debug, Args)]
#[command(after_help = "\
An operator asks, an issuer that meetings trust signs, the operator puts the line into `attestations` of the relay's file:
  subrosa attest request --config relay.toml > request.txt
  subrosa attest sign request.txt --key issuer.key --days 365 > attestation.txt
  subrosa attest verify attestation.txt --relay descriptor.txt")]
pub(crate) struct AttestArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) what: AttestAction,
}

/// What to do about attestations.
#[derive(Debug, Subcommand)]
pub(crate) enum AttestAction {
    /// Print a request, signed by the relay, with what its settings say.
    Request {
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Vouch for what a request says, after checking it by other means.
    Sign {
        /// The request's line, a file that holds it, or `-` for stdin.
        request: String,
        /// The issuer's secret key (`subrosa relay token new-key` makes one).
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        /// For how long it holds.
        #[arg(long, value_name = "DAYS", default_value_t = 365)]
        days: u64,
        /// Vouch for these only [default: all three].
        #[arg(long, value_enum)]
        only: Vec<ClaimKind>,
    },
    /// Check an attestation and say what it says.
    Verify {
        /// The attestation's line, a file that holds it, or `-` for stdin.
        attestation: String,
        /// The relay that it is about: its descriptor, a file with it, or its identity in hexadecimal.
        #[arg(long, value_name = "RELAY")]
        relay: String,
        /// Fail unless this issuer signed it.
        #[arg(long, value_name = "KEY")]
        issuer: Option<String>,
        /// As one line of JSON.
        #[arg(long)]
        json: bool,
    },
}

/// A part of a relay's jurisdiction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ClaimKind {
    /// The country of the hardware.
    Hosting,
    /// The operator's legal seat.
    LegalSeat,
    /// The seat of whoever controls the operator.
    ParentSeat,
}
