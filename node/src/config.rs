//! What a participant's node is started with.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use subrosa_proto::meeting::passphrase::Passphrase;
use subrosa_proto::policy::DiscoveryRule;

/// How the host's node treats those who knock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AdmitMode {
    /// The host decides on each.
    #[default]
    Ask,
    /// Whoever holds the ticket is let in.
    Ticket,
}

/// How far a node looks for members whose addresses changed, and for relays. The meeting's policy narrows it further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiscoveryConfig {
    /// The widest service that is used, whatever a policy allows. Default: off.
    pub rule: DiscoveryRule,
    /// Nodes of the distributed hash table to begin with, beside the meeting's permitted relays:
    /// `/ip4/192.0.2.1/tcp/4433/p2p/12D3Koo…`, or a relay's descriptor line.
    pub bootstrap: Vec<String>,
}

impl Default for DiscoveryConfig {
    fn default() -> Self {
        Self {
            rule: DiscoveryRule::Off,
            bootstrap: Vec::new(),
        }
    }
}

/// What this node does: found a meeting, or join one.
#[derive(Clone, Debug)]
pub enum Start {
    /// Found a meeting.
    New {
        /// `any`, `eu`, `eea`, `direct`, or the path of a policy file.
        policy: String,
        /// See [`AdmitMode`].
        admit: AdmitMode,
    },
    /// Join by ticket.
    Join {
        /// The line that starts with `subrosa:`.
        ticket: String,
        /// If given, the join fails when the meeting's policy is another: a preset's name or a policy file.
        policy: Option<String>,
    },
}

/// A participant's settings; every interface fills this in.
#[derive(Clone, Debug)]
pub struct NodeConfig {
    /// Found or join.
    pub start: Start,
    /// The name shown to others, at most 64 bytes. Proves nothing.
    pub name: String,
    /// `default`, `null`, `file:IN.wav,OUT.wav`, `pulse[:SINK[,SOURCE]]` (docs/audio.md).
    pub audio: String,
    /// Opus frame duration in ms: 20 or 10.
    pub frame_ms: u8,
    /// Where the media socket listens. Port 0 takes a free one. Default `[::]:0`.
    pub listen: SocketAddr,
    /// Relays to use if the policy permits them: descriptor lines, files that hold one, or addresses whose descriptor
    /// lies in the data directory.
    pub relays: Vec<String>,
    /// Tokens for relays that ask for one: lines that begin with `subrosa-token:`, or files that hold one.
    pub relay_tokens: Vec<String>,
    /// GeoIP files (`.mmdb`), at most [`subrosa_proto::policy::location::SOURCES_MAX`]: asked where relays are. Default: none.
    pub geoip: Vec<PathBuf>,
    /// Never connect to members directly: hides this node's addresses from them.
    pub no_direct: bool,
    /// What this node forwards for other members at most, in kbit/s, if the policy lets members forward. Default 0: nothing.
    pub forward_kbps: u32,
    /// What its network can send in all, in kbit/s; `None` if nobody knows.
    pub uplink_kbps: Option<u32>,
    /// Where identity and meeting state live; created with mode 0700. `None` keeps everything in memory.
    pub data_dir: Option<PathBuf>,
    /// Where accepted files are put; made when the first is accepted. `None` accepts none.
    pub downloads: Option<PathBuf>,
    /// Leave by itself after this time in the meeting.
    pub leave_after: Option<Duration>,
    /// Start muted.
    pub muted: bool,
    /// How far to look for members and relays.
    pub discovery: DiscoveryConfig,
    /// The door: what is asked there, what is said, how long it is waited for.
    pub door: DoorConfig,
}

/// What a node asks at its door, or says at another's.
#[derive(Clone, Debug)]
pub struct DoorConfig {
    /// When joining: how long to go on knocking while nobody in charge answers. Default 10 minutes.
    pub wait: Duration,
    /// When founding: what everybody who knocks has to say. When joining: what to say when the door asks.
    pub passphrase: Option<Passphrase>,
    /// What an organisation says about this node's owner: a line that begins with `subrosa-credential:`.
    pub credential: Option<String>,
}

impl Default for DoorConfig {
    fn default() -> Self {
        Self {
            wait: Duration::from_secs(600),
            passphrase: None,
            credential: None,
        }
    }
}
