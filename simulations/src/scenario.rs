//! A scenario: who takes part over which network, what happens when, and what is expected. TOML; unknown keys are
//! refused.

use std::path::Path;

use serde::{Deserialize, Serialize};

pub use crate::world::planted::Planted;

/// Clocks that are more wrong than that are no clocks.
const CLOCK_SKEW_MAX_S: u64 = 86_400;

/// See the module. Times are in milliseconds of virtual time since the host founded the meeting.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The scenario's name.
    pub name: String,
    /// What it shows, in a sentence.
    pub summary: String,
    /// How long it runs, in seconds of virtual time.
    pub seconds: u64,
    /// The meeting's route policy: a preset's name.
    #[serde(default = "any")]
    pub policy: String,
    /// What everybody who knocks has to say.
    #[serde(default)]
    pub passphrase: Option<String>,
    /// `ticket` (default) or `ask`.
    #[serde(default)]
    pub admission: Admission,
    /// After how many operations the host writes a checkpoint of the roster log; as the protocol says if absent.
    #[serde(default)]
    pub checkpoint_after: Option<usize>,
    /// The network.
    #[serde(default)]
    pub network: NetworkSpec,
    /// Relays.
    #[serde(default, rename = "relay", skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<RelaySpec>,
    /// Members; the first is the host.
    #[serde(rename = "member")]
    pub members: Vec<MemberSpec>,
    /// What happens when.
    #[serde(default, rename = "action", skip_serializing_if = "Vec::is_empty")]
    pub actions: Vec<TimedAction>,
    /// What must hold beside the invariants.
    #[serde(default)]
    pub expect: Expect,
}

fn any() -> String {
    "any".to_owned()
}

/// How people get in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Admission {
    /// Whoever holds a ticket.
    #[default]
    Ticket,
    /// Somebody in charge decides.
    Ask,
}

/// The modelled network.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSpec {
    /// Round-trip time between any two places, in milliseconds.
    pub rtt_ms: f64,
    /// Each packet is late by up to so much more, in milliseconds.
    pub jitter_ms: f64,
    /// Packets lost on each hop, in percent, independently. Control frames are repeated, which delays them.
    pub loss_percent: f64,
    /// Datagrams that arrive twice, in percent.
    pub duplicate_percent: f64,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self {
            rtt_ms: 40.0,
            jitter_ms: 5.0,
            loss_percent: 0.0,
            duplicate_percent: 0.0,
        }
    }
}

/// A relay.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySpec {
    /// Its operator's name.
    pub name: String,
    /// ISO 3166-1 code of the country it is hosted in.
    pub hosting: String,
    /// Where its operator has its seat; where it is hosted unless said otherwise.
    pub legal_seat: Option<String>,
    /// Relays to which it carries its clients, and whose clients it takes.
    #[serde(default)]
    pub cascade: Vec<String>,
}

/// A participant.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MemberSpec {
    /// The name.
    pub name: String,
    /// Whether it takes direct links.
    #[serde(default = "yes")]
    pub direct: bool,
    /// Whether it speaks all the time.
    #[serde(default = "yes")]
    pub speaks: bool,
    /// Relays that it knows of itself.
    #[serde(default)]
    pub relays: Vec<String>,
    /// Relays that it does not reach, say, for a firewall.
    #[serde(default)]
    pub cannot_reach: Vec<String>,
    /// How many seconds it stays at the door while nobody in charge answers.
    #[serde(default = "ten")]
    pub patience_s: u64,
    /// What it says when the door asks for the passphrase.
    #[serde(default)]
    pub passphrase: Option<String>,
    /// When it joins; the host founds at 0.
    #[serde(default)]
    pub joins_at_ms: Option<u64>,
    /// Whose newest ticket it comes with; the host's unless said otherwise.
    #[serde(default)]
    pub invited_by: Option<String>,
    /// How many seconds its clock is ahead of the true time.
    #[serde(default)]
    pub clock_skew_s: i64,
}

fn yes() -> bool {
    true
}

fn ten() -> u64 {
    10
}

/// An action and its time.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct TimedAction {
    /// When.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub action: Action,
}

/// What can be made to happen.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// Somebody joins with its own ticket, or the one of who invited it.
    Join {
        /// Who.
        who: String,
    },
    /// Nothing is in the way of somebody any more: it reaches every relay.
    Reach {
        /// Who.
        who: String,
    },
    /// Somebody says goodbye.
    Leave {
        /// Who.
        who: String,
    },
    /// Somebody in charge lets somebody in.
    Admit {
        /// Who.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge turns somebody away.
    Refuse {
        /// Who.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge removes a member.
    Remove {
        /// Who.
        who: String,
        /// In charge.
        by: String,
        /// The removed one does not go: it keeps its keys and listens to everything that is sent from then on.
        #[serde(default)]
        stays: bool,
    },
    /// Somebody in charge locks or unlocks.
    Lock {
        /// In charge.
        by: String,
        /// Locked from now on.
        locked: bool,
    },
    /// Another role.
    Role {
        /// Whose.
        who: String,
        /// In charge.
        by: String,
        /// `host`, `co-host`, `speaker`, `listener`.
        role: String,
    },
    /// Writes to everybody, or to one.
    Say {
        /// Who.
        who: String,
        /// What.
        text: String,
        /// To whom; everybody if absent.
        #[serde(default)]
        to: Option<String>,
    },
    /// Raises or lowers a hand.
    Hand {
        /// Whose.
        who: String,
        /// Up (default) or down.
        #[serde(default = "yes")]
        up: bool,
    },
    /// Somebody in charge takes down a hand.
    LowerHand {
        /// Whose.
        who: String,
        /// In charge.
        by: String,
    },
    /// Ceases to speak.
    Mute {
        /// Who.
        who: String,
    },
    /// Speaks again.
    Unmute {
        /// Who.
        who: String,
    },
    /// A process ends without a word.
    Crash {
        /// Whose.
        who: String,
    },
    /// It starts again with its identity and newest ticket.
    Restart {
        /// Whose.
        who: String,
        /// Its disk is gone, but for the ticket.
        #[serde(default)]
        forgets: bool,
    },
    /// Somebody in charge sends a member back to the lobby.
    SendBack {
        /// Who.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge turns somebody away, and says why.
    RefuseBecause {
        /// Who.
        who: String,
        /// In charge.
        by: String,
        /// Why.
        words: String,
    },
    /// Somebody in charge lets in those of these who wait.
    AdmitAll {
        /// Whom.
        whom: Vec<String>,
        /// In charge.
        by: String,
    },
    /// Says the passphrase at the door.
    SayPassphrase {
        /// Who.
        who: String,
        /// What.
        passphrase: String,
    },
    /// Somebody in charge asks a member for silence.
    RequestMute {
        /// Whom.
        who: String,
        /// In charge.
        by: String,
    },
    /// Somebody in charge asks all for silence.
    RequestMuteOfAll {
        /// In charge.
        by: String,
    },
    /// A listener asks for the word.
    AskToSpeak {
        /// Who.
        who: String,
    },
    /// Somebody in charge says who may share.
    Sharing {
        /// In charge.
        by: String,
        /// Only those in charge.
        in_charge_only: bool,
    },
    /// Somebody in charge takes a member's reactions away, or gives them back.
    Reactions {
        /// Whose.
        who: String,
        /// In charge.
        by: String,
        /// Whether they are shown.
        allowed: bool,
    },
    /// A relay's process ends without a word.
    KillRelay {
        /// Which.
        relay: String,
    },
    /// A relay begins to alter what it forwards.
    Tamper {
        /// Which.
        relay: String,
    },
    /// Something is wrong with somebody's machine from now on: a checker must catch it.
    Plant {
        /// Whose.
        who: String,
        /// What.
        fault: Planted,
    },
    /// These (members and relays) and the others reach each other no more.
    Partition {
        /// One side.
        side: Vec<String>,
    },
    /// These reach each other no more, but everybody else.
    Cut {
        /// Members and relays.
        side: Vec<String>,
    },
    /// Partition and cut end.
    Heal {},
    /// The report tells what was said until here.
    Mark {
        /// What for.
        name: String,
    },
}

/// What must hold beside the invariants.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// Who is in at the end; everybody who is in must have exactly this roster.
    pub members: Vec<String>,
    /// The longest silence between frames of one speaker at one listener, in milliseconds; 0: not checked.
    pub gap_ms_max: u64,
    /// Frames lost per thousand without loss on the network.
    pub lost_permille_max: Option<f64>,
    /// From dialling to the first audio of the host, in round trips plus a frame and jitter.
    pub first_audio_rtts_max: Option<f64>,
    /// From being admitted to hearing everybody, in milliseconds; 0: not checked.
    pub connect_ms_max: u64,
    /// From the end of a partition to one roster on all machines, in milliseconds; 0: not checked.
    pub heal_ms_max: u64,
    /// How long somebody who is in may lack the key of somebody who speaks, in milliseconds; 0: not checked.
    pub keyless_ms_max: u64,
    /// Every frame is heard by everybody who is in, or somebody's coming or going explains why not; for networks that lose
    /// nothing.
    pub every_frame_explained: bool,
    /// Everybody's roster log begins with a checkpoint.
    pub compacted: bool,
    /// What people must be told.
    #[serde(rename = "event")]
    pub events: Vec<ExpectEvent>,
}

/// An event that somebody must see.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectEvent {
    /// Who.
    pub who: String,
    /// The beginning of the event's line in the report.
    pub event: String,
}

impl Scenario {
    /// Reads a scenario.
    ///
    /// # Errors
    /// A sentence that names the place.
    pub fn parse(text: &str) -> Result<Self, String> {
        let scenario: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// A sentence that names file and place.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))
    }

    /// The index of a member.
    #[must_use]
    pub fn member(&self, name: &str) -> Option<usize> {
        self.members.iter().position(|member| member.name == name)
    }

    /// The index of a relay.
    #[must_use]
    pub fn relay(&self, name: &str) -> Option<usize> {
        self.relays.iter().position(|relay| relay.name == name)
    }

    /// The scenario as a file that [`Scenario::parse`] reads.
    #[must_use]
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("a scenario has string keys only")
    }

    fn check(&self) -> Result<(), String> {
        if self.members.is_empty() {
            return Err("a scenario has at least one member".to_owned());
        }
        if !(0.0..100.0).contains(&self.network.loss_percent) {
            return Err("`loss_percent` is between 0 and 100".to_owned());
        }
        if !(0.0..=100.0).contains(&self.network.duplicate_percent) {
            return Err("`duplicate_percent` is between 0 and 100".to_owned());
        }
        let skew = |member: &MemberSpec| member.clock_skew_s.unsigned_abs() > CLOCK_SKEW_MAX_S;
        if let Some(member) = self.members.iter().find(|member| skew(member)) {
            let name = &member.name;
            return Err(format!(
                "the clock of `{name}` is wrong by more than {CLOCK_SKEW_MAX_S} s"
            ));
        }
        let known = |name: &String| self.member(name).is_some() || self.relay(name).is_some();
        let expected = self.expect.events.iter().map(|event| &event.who);
        let mut names: Vec<&String> = expected.chain(&self.expect.members).collect();
        names.extend(self.members.iter().flat_map(|member| &member.relays));
        names.extend(self.members.iter().flat_map(|member| &member.invited_by));
        names.extend(self.members.iter().flat_map(|member| &member.cannot_reach));
        names.extend(self.relays.iter().flat_map(|relay| &relay.cascade));
        for action in &self.actions {
            names.extend(action.action.names());
        }
        match names.into_iter().find(|name| !known(name)) {
            Some(name) => Err(format!("nobody is called `{name}`")),
            None => Ok(()),
        }
    }
}

impl Action {
    /// The side that it parts from the rest, if it does.
    pub(crate) const fn side_mut(&mut self) -> Option<&mut Vec<String>> {
        match self {
            Self::Partition { side } | Self::Cut { side } => Some(side),
            _ => None,
        }
    }

    /// Everybody whom it names.
    pub(crate) fn names(&self) -> Vec<&String> {
        match self {
            Self::Join { who }
            | Self::Leave { who }
            | Self::Reach { who }
            | Self::Mute { who }
            | Self::Unmute { who }
            | Self::Hand { who, .. }
            | Self::Say { who, to: None, .. }
            | Self::Crash { who }
            | Self::SayPassphrase { who, .. }
            | Self::AskToSpeak { who }
            | Self::Plant { who, .. }
            | Self::Restart { who, .. } => vec![who],
            Self::Admit { who, by }
            | Self::Refuse { who, by }
            | Self::SendBack { who, by }
            | Self::RefuseBecause { who, by, .. }
            | Self::RequestMute { who, by }
            | Self::Reactions { who, by, .. }
            | Self::Remove { who, by, .. }
            | Self::LowerHand { who, by }
            | Self::Say {
                who, to: Some(by), ..
            }
            | Self::Role { who, by, .. } => vec![who, by],
            Self::Lock { by, .. } | Self::RequestMuteOfAll { by } | Self::Sharing { by, .. } => vec![by],
            Self::AdmitAll { whom, by } => whom.iter().chain([by]).collect(),
            Self::KillRelay { relay } | Self::Tamper { relay } => vec![relay],
            Self::Partition { side } | Self::Cut { side } => side.iter().collect(),
            Self::Heal {} | Self::Mark { .. } => Vec::new(),
        }
    }
}
