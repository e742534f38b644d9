//! The command line's grammar. Every option of a meeting can also stand in the environment or in the config file;
//! flags win over the environment, the environment over the file ([`crate::settings`]).

use std::{net::SocketAddr, path::PathBuf};

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, builder::FalseyValueParser};
use clap_complete::Shell;

use crate::relay_args::{AttestArgs, RelayArgs};

const EXAMPLES: &str = "\
Examples:
  subrosa new --name Ada                  found a meeting, print its ticket
  subrosa join                            join; asks for the ticket
  subrosa new --policy eea --relay FILE   media only over relays in the EEA, or directly
  subrosa relay init                      write a relay's settings, asking what matters
  subrosa relay --config relay.toml       lend bandwidth to others' meetings, blindly
  subrosa demo                            watch three people talk, on this machine

Exit statuses: docs/exit-codes.md. For programs: docs/headless.md.";

/// Meetings without a meeting server: end-to-end encrypted, over routes that you allow.
#[derive(Debug, Parser)]
#[command(name = "subrosa", version, after_help = EXAMPLES, max_term_width = 100)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Action,
    #[command(flatten)]
    pub(crate) global: Global,
}

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// Say more on stderr: -v progress, -vv details, -vvv everything. SUBROSA_LOG sets a finer filter.
    #[arg(short, long, global = true, action = ArgAction::Count, display_order = 100)]
    pub(crate) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Found a meeting and print its ticket.
    New(NewArgs),
    /// Join a meeting by its ticket.
    Join(JoinArgs),
    /// Run a relay: forwards others' encrypted media, sees no content.
    Relay(RelayArgs),
    /// Vouch for a relay's jurisdiction, ask for it, or check what an issuer signed.
    Attest(AttestArgs),
    /// Run three members and two relays on this machine and check what was heard.
    Demo(DemoArgs),
    /// Show or replace this computer's identity.
    Identity(IdentityArgs),
    /// List relays of the public directory, and why each is or is not permitted.
    Relays(RelaysArgs),
    /// List or forget contacts: people whose identity you verified.
    Contacts(ContactsArgs),
    /// Run an organisation that certifies people, or trust one.
    Org(OrgArgs),
    /// Check network, clock, sound and relays, and say in one sentence what is wrong and who can mend it.
    #[command(visible_alias = "doctor")]
    Netcheck(NetcheckArgs),
    /// Print the completion script for a shell.
    Completions {
        /// Which shell.
        shell: Shell,
    },
    /// Print the manual page, or write those of all commands into a folder.
    Man {
        /// The folder; without it, the main page goes to stdout.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

/// `subrosa new`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subrosa new --name Ada
  subrosa new --policy eea --relay relay.txt --qr
  subrosa new --admit ticket --headless --json
  subrosa new --passphrase                prompts; guests have to say it before they can knock

The ticket reaches the lobby: with --admit ask (the default) you still decide who comes in.")]
pub(crate) struct NewArgs {
    /// Who may come in: `ask` lets you decide on each, `ticket` lets in whoever holds the ticket [default: ask].
    #[arg(long, value_enum, env = "SUBROSA_ADMIT")]
    pub(crate) admit: Option<Admit>,
    /// Ask everybody who knocks for a passphrase: prompts for it, unless --passphrase-file or SUBROSA_PASSPHRASE gives it.
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// A file whose first line is the passphrase.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Also print the ticket as a QR code.
    #[arg(long)]
    pub(crate) qr: bool,
    /// Routes that the meeting allows: `any`, `eu`, `eea`, `direct`, or a policy file [default: any].
    #[arg(long, value_name = "FILE|PRESET", env = "SUBROSA_POLICY")]
    pub(crate) policy: Option<String>,
    #[command(flatten)]
    pub(crate) meeting: MeetingArgs,
}

/// `subrosa join`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subrosa join --name Ben                  asks for the ticket: it stays out of the shell's history
  subrosa join --name Ben 'subrosa:…'      other users of this computer can see arguments while it runs
  subrosa join --ticket-file ticket.txt
  subrosa join acid-bridge-crew-dune --at 192.0.2.7:46321
  subrosa join - < ticket.txt              the first line of stdin")]
pub(crate) struct JoinArgs {
    /// The ticket (`subrosa:…`); `-` or nothing reads the first line of stdin. With --at, a code of words.
    #[arg(value_name = "TICKET", conflicts_with = "ticket_file")]
    pub(crate) ticket: Option<String>,
    /// What is given is a code of words, good once; its maker's node is at this address.
    #[arg(long, value_name = "ADDR")]
    pub(crate) at: Option<SocketAddr>,
    /// A file that holds the ticket.
    #[arg(long, value_name = "FILE")]
    pub(crate) ticket_file: Option<PathBuf>,
    /// Prompt for the meeting's passphrase before joining; otherwise it is asked for when the door asks.
    #[arg(long)]
    pub(crate) passphrase: bool,
    /// A file whose first line is the passphrase.
    #[arg(long, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Seconds to go on knocking while neither the host nor a co-host answers [default: 600].
    #[arg(long, value_name = "SECONDS", env = "SUBROSA_WAIT")]
    pub(crate) wait: Option<u32>,
    /// Join only if the meeting's policy is this: `any`, `eu`, `eea`, `direct`, or a policy file.
    #[arg(long, value_name = "FILE|PRESET", env = "SUBROSA_POLICY")]
    pub(crate) policy: Option<String>,
    #[command(flatten)]
    pub(crate) meeting: MeetingArgs,
}

/// Options of a participant.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct MeetingArgs {
    /// The name shown to others, at most 64 bytes [default: guest].
    #[arg(long, env = "SUBROSA_NAME")]
    pub(crate) name: Option<String>,
    /// `default`, `pulse[:SINK[,SOURCE]]`, `file:IN.wav,OUT.wav` or `null` [default: default].
    #[arg(long, value_name = "DEVICE", env = "SUBROSA_AUDIO")]
    pub(crate) audio: Option<String>,
    /// Milliseconds of sound in a packet: 20, or 10 for less delay [default: 20].
    #[arg(long, value_name = "MS", env = "SUBROSA_FRAME_MS")]
    pub(crate) frame_ms: Option<u8>,
    /// Start with the microphone muted.
    #[arg(long, env = "SUBROSA_MUTED", value_parser = FalseyValueParser::new())]
    pub(crate) muted: bool,
    /// Address of the media socket; port 0 takes a free one [default: any address, a free port].
    #[arg(long, value_name = "ADDR", env = "SUBROSA_LISTEN")]
    pub(crate) listen: Option<SocketAddr>,
    /// A relay to use if the policy permits it: its descriptor line, a file that holds one, or a known relay's
    /// address. Repeatable; in SUBROSA_RELAY, descriptors are separated by spaces.
    #[arg(long = "relay", value_name = "RELAY", env = "SUBROSA_RELAY")]
    pub(crate) relays: Vec<String>,
    /// A token for relays that ask for one: a file that holds it, or its line (which other users of this computer can
    /// see while the program runs). Repeatable; SUBROSA_RELAY_TOKEN holds one.
    #[arg(
        long = "relay-token",
        value_name = "TOKEN",
        env = "SUBROSA_RELAY_TOKEN",
        hide_env_values = true
    )]
    pub(crate) relay_tokens: Vec<String>,
    /// A GeoIP file (`.mmdb`) to ask where relays are, for policies with evidence `located`. Repeatable, at most 5; also
    /// `geoip` in the settings file.
    #[arg(long = "geoip", value_name = "FILE")]
    pub(crate) geoip: Vec<PathBuf>,
    /// Never connect to members directly: hides your addresses from them. Needs a permitted relay.
    #[arg(long, env = "SUBROSA_NO_DIRECT", value_parser = FalseyValueParser::new())]
    pub(crate) no_direct: bool,
    /// Forward other members' sound, as they sealed it, to members who would not get it otherwise: at most so much, in
    /// kbit/s, and only if the meeting's policy lets members forward [default: 0, nothing].
    #[arg(long, value_name = "KBPS", env = "SUBROSA_FORWARD")]
    pub(crate) forward: Option<u32>,
    /// What your network can send, in kbit/s: if that is less than a copy of your voice for everybody takes, members who
    /// forward and relays pass it on [default: not known, a copy for everybody].
    #[arg(long, value_name = "KBPS", env = "SUBROSA_UPLINK")]
    pub(crate) uplink: Option<u32>,
    /// How far to look for members whose address changed, and for relays: `off`, `lan`, `permitted-relays` or `any`. The
    /// meeting's policy narrows it further [default: any].
    #[arg(long, value_name = "REACH", env = "SUBROSA_DISCOVERY")]
    pub(crate) discovery: Option<String>,
    /// A node of the discovery network to begin with, beside the meeting's relays: a relay's descriptor line, or an
    /// address such as /ip4/192.0.2.1/tcp/4433/p2p/12D3Koo…. Repeatable.
    #[arg(long = "bootstrap", value_name = "NODE", env = "SUBROSA_BOOTSTRAP")]
    pub(crate) bootstrap: Vec<String>,
    /// Where the identity and known relays are kept [default: subrosa in the XDG data directory].
    #[arg(
        long,
        value_name = "DIR",
        env = "SUBROSA_DATA_DIR",
        conflicts_with = "ephemeral"
    )]
    pub(crate) data_dir: Option<PathBuf>,
    /// Where accepted files are put [default: XDG_DOWNLOAD_DIR, or Downloads in the home directory].
    #[arg(long, value_name = "DIR", env = "SUBROSA_DOWNLOADS")]
    pub(crate) downloads: Option<PathBuf>,
    /// Use a fresh identity and keep nothing on disk.
    #[arg(long)]
    pub(crate) ephemeral: bool,
    /// Leave by itself after this many seconds in the meeting.
    #[arg(long, value_name = "SECONDS")]
    pub(crate) leave_after: Option<f64>,
    /// A file whose first line is an organisation's credential for you (`subrosa-credential:…`); the others see it.
    #[arg(long, value_name = "FILE", env = "SUBROSA_CREDENTIAL")]
    pub(crate) credential: Option<PathBuf>,
    /// Settings file [default: subrosa/config.toml in the XDG configuration directory].
    #[arg(long, value_name = "FILE", env = "SUBROSA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// For programs: JSON commands on stdin, JSON events on stdout (docs/headless.md).
    #[arg(long)]
    pub(crate) headless: bool,
    /// Events as JSON lines; implied by --headless, and implies it.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Who may come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Admit {
    /// The host decides on each.
    Ask,
    /// Whoever holds the ticket.
    Ticket,
}

/// `subrosa demo`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subrosa demo
  subrosa demo --speech mine.wav --keep recordings/")]
pub(crate) struct DemoArgs {
    /// Speak from your own WAV file instead of the built-in sentences. Twice: one per speaker.
    #[arg(long, value_name = "FILE")]
    pub(crate) speech: Vec<PathBuf>,
    /// Where the received WAV files and the members' logs are put [default: a new temporary directory].
    #[arg(long, value_name = "DIR")]
    pub(crate) keep: Option<PathBuf>,
    /// Print the result as one line of JSON instead of a table.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `subrosa identity`.
#[derive(Debug, Args)]
pub(crate) struct IdentityArgs {
    /// What to do with it [default: show].
    #[command(subcommand)]
    pub(crate) what: Option<IdentityAction>,
    /// Where the identity is kept [default: subrosa in the XDG data directory].
    #[arg(long, value_name = "DIR", env = "SUBROSA_DATA_DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// As one line of JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do with the identity.
#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum IdentityAction {
    /// Show its fingerprint; makes one if there is none.
    Show,
    /// Make a new one.
    New {
        /// Allow replacing an existing identity; the old file is kept beside it.
        #[arg(long)]
        replace: bool,
    },
}

/// `subrosa relays`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subrosa relays --bootstrap relay.txt --policy eea
  subrosa relays --bootstrap /ip4/192.0.2.1/tcp/4433/p2p/12D3KooW… --country DE --json

Relays outside the policy get no packet: their descriptors come from other nodes. What a relay says of itself is declared,
not proven; docs/policy.md says what evidence is.")]
pub(crate) struct RelaysArgs {
    /// Only relays hosted in this country (ISO 3166-1 code).
    #[arg(long, value_name = "CODE")]
    pub(crate) country: Option<String>,
    /// Judge by this policy: `any`, `eu`, `eea`, `direct`, or a policy file [default: any].
    #[arg(long, value_name = "FILE|PRESET", env = "SUBROSA_POLICY")]
    pub(crate) policy: Option<String>,
    /// A node to begin with: a relay's descriptor line, a file that holds one, or an address such as
    /// /ip4/192.0.2.1/tcp/4433/p2p/12D3Koo…. Repeatable; also `bootstrap` in the settings file.
    #[arg(long = "bootstrap", value_name = "NODE", env = "SUBROSA_BOOTSTRAP")]
    pub(crate) bootstrap: Vec<String>,
    /// A GeoIP file (`.mmdb`) to ask where relays are, for policies with evidence `located`. Repeatable, at most 5; also
    /// `geoip` in the settings file.
    #[arg(long = "geoip", value_name = "FILE")]
    pub(crate) geoip: Vec<PathBuf>,
    /// How many seconds to search at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=300))]
    pub(crate) wait: u64,
    /// Settings file [default: subrosa/config.toml in the XDG configuration directory].
    #[arg(long, value_name = "FILE", env = "SUBROSA_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// As one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `subrosa contacts`.
#[derive(Debug, Args)]
#[command(after_help = "\
Somebody becomes a contact when you type /verify in a meeting, after comparing the safety code. From then on another key
under that name is shown with a warning.")]
pub(crate) struct ContactsArgs {
    /// What to do [default: list].
    #[command(subcommand)]
    pub(crate) what: Option<ContactsAction>,
    /// Where they are kept [default: subrosa in the XDG data directory].
    #[arg(long, value_name = "DIR", env = "SUBROSA_DATA_DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// As one line of JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do with contacts.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum ContactsAction {
    /// Show them all.
    List,
    /// Forget one, by name, fingerprint or id.
    Forget {
        /// Whom.
        who: String,
    },
}

/// `subrosa org`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subrosa org init 'Rose & Co.'                          prints the line that others trust
  subrosa org certify ID --name Ada --days 365 > ada     Ada's id: subrosa identity
  subrosa new --credential ada                           Ada shows it
  subrosa org trust 'subrosa-org:…'                      others check it
  subrosa org revoke 1 > list; subrosa org update list   and learn that it was taken back")]
pub(crate) struct OrgArgs {
    /// What to do.
    #[command(subcommand)]
    pub(crate) what: OrgAction,
    /// Where organisations are kept [default: subrosa in the XDG data directory].
    #[arg(long, value_name = "DIR", env = "SUBROSA_DATA_DIR", global = true)]
    pub(crate) data_dir: Option<PathBuf>,
    /// As one line of JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

/// What to do with organisations.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum OrgAction {
    /// Make an organisation with a fresh root key.
    Init {
        /// Its name.
        name: String,
    },
    /// Certify somebody: prints a credential.
    Certify {
        /// Whom: the id that `subrosa identity` shows, 64 hexadecimal digits.
        id: String,
        /// By which name the organisation knows them.
        #[arg(long)]
        name: String,
        /// For how many days.
        #[arg(long, default_value_t = 365)]
        days: u32,
    },
    /// Take credentials back: prints the new revocation list.
    Revoke {
        /// A credential's number, or the id of somebody all of whose credentials are taken back.
        which: String,
    },
    /// Show the organisation, what it certified, and which organisations are trusted.
    Show,
    /// Trust an organisation.
    Trust {
        /// Its line (`subrosa-org:…`), or a file that holds it.
        organisation: String,
    },
    /// Take an organisation's newest revocation list.
    Update {
        /// The list (`subrosa-revocations:…`), or a file that holds it.
        list: String,
    },
}

/// `subrosa netcheck`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  subrosa netcheck
  subrosa netcheck --relay relay.txt --policy eea --json

Exit status 60 if a check failed.")]
pub(crate) struct NetcheckArgs {
    /// Also try this relay, if --policy permits it. Repeatable.
    #[arg(long = "relay", value_name = "RELAY")]
    pub(crate) relays: Vec<String>,
    /// Relays outside this policy get no packet [default: any].
    #[arg(long, value_name = "FILE|PRESET")]
    pub(crate) policy: Option<String>,
    /// A GeoIP file (`.mmdb`) to ask where relays are, for policies with evidence `located`. Repeatable, at
    /// most 5.
    #[arg(long = "geoip", value_name = "FILE")]
    pub(crate) geoip: Vec<PathBuf>,
    /// Also try this node of the discovery network: a relay's descriptor line, or an address such as
    /// /ip4/192.0.2.1/tcp/4433/p2p/12D3Koo…. Repeatable.
    #[arg(long = "bootstrap", value_name = "NODE")]
    pub(crate) bootstrap: Vec<String>,
    /// Which audio device to check [default: default].
    #[arg(long, value_name = "DEVICE")]
    pub(crate) audio: Option<String>,
    /// As one line of JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_grammar_is_consistent() {
        Cli::command().debug_assert();
    }
}
