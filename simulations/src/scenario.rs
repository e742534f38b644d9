//! A scenario: who takes part over which network, what happens when, and what is expected. TOML; unknown keys are
//! refused.

use std::path::Path;

use serde::{Deserialize, Serialize};
use subrosa_proto::{
    policy::nearest::nearest,
    relay::{MediaRate, RelayLimits},
};

use crate::churn::ChurnSpec;
use crate::network::{access::AccessSpec, loss::LossSpec};
pub use crate::world::{hostile::Misdeed, nat::NatKind, planted::Planted};

/// Clocks that are more wrong than that are no clocks.
const CLOCK_SKEW_MAX_S: u64 = 86_400;
/// Ten times what a bad quartz does.
const CLOCK_DRIFT_MAX_PPM: f64 = 1_000.0;

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
    /// Classes of access links beside those that every scenario knows.
    #[serde(default, rename = "access", skip_serializing_if = "Vec::is_empty")]
    pub accesses: Vec<AccessSpec>,
    /// Relays.
    #[serde(default, rename = "relay", skip_serializing_if = "Vec::is_empty")]
    pub relays: Vec<RelaySpec>,
    /// Members; the first is the host.
    #[serde(rename = "member")]
    pub members: Vec<MemberSpec>,
    /// People who come and go at random, beside the members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub churn: Option<ChurnSpec>,
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

impl Default for Scenario {
    /// Nobody and nothing, under a policy that permits everything.
    fn default() -> Self {
        Self {
            name: String::new(),
            summary: String::new(),
            seconds: 0,
            policy: any(),
            passphrase: None,
            admission: Admission::Ticket,
            checkpoint_after: None,
            network: NetworkSpec::default(),
            accesses: Vec::new(),
            relays: Vec::new(),
            members: Vec::new(),
            churn: None,
            actions: Vec::new(),
            expect: Expect::default(),
        }
    }
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

/// A relay takes so much at once at least: its largest frame.
const BURST_BYTES_MIN: u32 = 1_350;

/// The modelled network.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSpec {
    /// Round-trip time between any two places that do not both have a region, in milliseconds.
    pub rtt_ms: f64,
    /// Each packet is late by up to so much more, in milliseconds.
    pub jitter_ms: f64,
    /// Packets lost on each hop, in percent, independently. Control frames are repeated, which delays them.
    pub loss_percent: f64,
    /// Datagrams that arrive twice, in percent.
    pub duplicate_percent: f64,
    /// Another loss model, beside `loss_percent`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<LossSpec>,
}

impl Default for NetworkSpec {
    fn default() -> Self {
        Self {
            rtt_ms: 40.0,
            jitter_ms: 5.0,
            loss_percent: 0.0,
            duplicate_percent: 0.0,
            loss: None,
        }
    }
}

/// A relay.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RelaySpec {
    /// Its operator's name.
    pub name: String,
    /// ISO 3166-1 code of the country it is hosted in.
    pub hosting: String,
    /// What its descriptor says instead, if its operator lies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<String>,
    /// Where its operator has its seat; where it is hosted unless said otherwise.
    pub legal_seat: Option<String>,
    /// Relays to which it carries its clients, and whose clients it takes.
    #[serde(default)]
    pub cascade: Vec<String>,
    /// Where it is in the network ([`crate::network::region::REGIONS`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its class of access link; without one, nothing waits at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
    /// What it gives at most, where that differs from the relay's defaults.
    #[serde(default)]
    pub limits: RelayLimitsSpec,
}

impl RelaySpec {
    /// The country that its descriptor names as hosting it.
    #[must_use]
    pub fn stated(&self) -> &String {
        self.claims.as_ref().unwrap_or(&self.hosting)
    }
}

/// A relay's limits ([`RelayLimits`]).
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RelayLimitsSpec {
    /// Sessions in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_max: Option<usize>,
    /// Members in one room.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members_per_room_max: Option<usize>,
    /// What one session may send, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session_kbps: Option<u32>,
    /// What may be forwarded in one room, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_kbps: Option<u32>,
    /// What may be forwarded in all, in kbit/s.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_kbps: Option<u32>,
    /// Frames that wait for one listener.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue_frames_max: Option<usize>,
}

impl RelayLimitsSpec {
    /// The production relay's limits.
    #[must_use]
    pub fn limits(&self) -> RelayLimits {
        let mut limits = RelayLimits::default();
        let rate = |kbps: u32, burst_bytes: u32| MediaRate {
            bits_per_second: u64::from(kbps) * 1_000,
            // A second's worth, but no less than a relay must take at once.
            burst_bytes: (kbps.saturating_mul(125)).clamp(BURST_BYTES_MIN, burst_bytes),
        };
        let defaults = limits;
        limits.sessions_max = self.sessions_max.unwrap_or(limits.sessions_max);
        limits.members_per_room_max = self.members_per_room_max.unwrap_or(limits.members_per_room_max);
        limits.queue_frames_max = self.queue_frames_max.unwrap_or(limits.queue_frames_max);
        if let Some(kbps) = self.session_kbps {
            limits.session_media = rate(kbps, defaults.session_media.burst_bytes);
        }
        if let Some(kbps) = self.room_kbps {
            limits.room_media = rate(kbps, defaults.room_media.burst_bytes);
        }
        if let Some(kbps) = self.total_kbps {
            limits.total_media = Some(rate(kbps, defaults.room_media.burst_bytes));
        }
        limits.clamped()
    }
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
    /// Whether it speaks all the time, if `speech` says nothing.
    #[serde(default = "yes")]
    pub speaks: bool,
    /// When it speaks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub speech: Option<Speech>,
    /// The mean length of its talk spurts, in seconds.
    #[serde(default = "p59_talkspurt")]
    pub talkspurt_s: f64,
    /// The mean length of its pauses, in seconds.
    #[serde(default = "p59_pause")]
    pub pause_s: f64,
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
    /// The NAT that it is behind.
    #[serde(default)]
    pub nat: NatKind,
    /// How much faster its clock runs than the true time, in millionths; negative if slower.
    #[serde(default)]
    pub clock_drift_ppm: f64,
    /// Where it is in the network ([`crate::network::region::REGIONS`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Its class of access link; without one, nothing waits at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access: Option<String>,
}

impl MemberSpec {
    /// When it speaks.
    #[must_use]
    pub fn speech(&self) -> Speech {
        let by_key = if self.speaks {
            Speech::Always
        } else {
            Speech::Never
        };
        self.speech.unwrap_or(by_key)
    }
}

/// When somebody speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Speech {
    /// The microphone is open: frames are sent all the time, in silence too.
    Always,
    /// Not until `do = "unmute"`.
    Never,
    /// The microphone is open in talk spurts, and closed in the pauses between.
    Talkspurts,
}

/// The mean talk spurt of ITU-T P.59, in seconds.
const fn p59_talkspurt() -> f64 {
    1.004
}

/// The mean pause of ITU-T P.59, in seconds.
const fn p59_pause() -> f64 {
    1.587
}

impl Default for MemberSpec {
    /// What a member is of whom the scenario says nothing but the name.
    fn default() -> Self {
        Self {
            name: String::new(),
            direct: true,
            speaks: true,
            speech: None,
            talkspurt_s: p59_talkspurt(),
            pause_s: p59_pause(),
            relays: Vec::new(),
            cannot_reach: Vec::new(),
            patience_s: ten(),
            passphrase: None,
            joins_at_ms: None,
            invited_by: None,
            clock_skew_s: 0,
            nat: NatKind::Open,
            clock_drift_ppm: 0.0,
            region: None,
            access: None,
        }
    }
}

fn yes() -> bool {
    true
}

const fn hundred() -> f64 {
    100.0
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
    /// It starts again.
    RestartRelay {
        /// Which.
        relay: String,
    },
    /// All relays of a region end without a word.
    Outage {
        /// Where.
        region: String,
    },
    /// They start again.
    EndOutage {
        /// Where.
        region: String,
    },
    /// A device sleeps: it does nothing, hears nothing, and its timers fire when it wakes.
    Sleep {
        /// Whose.
        who: String,
    },
    /// It wakes.
    Wake {
        /// Whose.
        who: String,
    },
    /// A device comes into another network: it has another address, and its links are dead.
    Move {
        /// Whose.
        who: String,
        /// Where it is now; as before if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        region: Option<String>,
        /// Its new access link; as before if absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access: Option<String>,
    },
    /// A relay begins to alter what it forwards.
    Tamper {
        /// Which.
        relay: String,
    },
    /// A relay begins to mistreat what it forwards, beside what it did before.
    Misbehave {
        /// Which.
        relay: String,
        /// What it does.
        how: Misdeed,
        /// To so many datagrams in a hundred.
        #[serde(default = "hundred")]
        percent: f64,
        /// For how long, in milliseconds.
        #[serde(default = "hundred")]
        ms: f64,
    },
    /// Somebody signs two operations with one number, shows each to half of the others, and listens on.
    Equivocate {
        /// Who: somebody in charge that wrote nothing before.
        who: String,
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
        let scenario: Self = toml::from_str(text).map_err(|error| mistake(&error, text))?;
        scenario.check()?;
        Ok(scenario)
    }

    /// Reads a scenario file.
    ///
    /// # Errors
    /// A sentence that names file and place.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let mut scenario = Self::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new("."));
        let classes = scenario
            .accesses
            .iter_mut()
            .filter_map(|class| class.loss.as_mut());
        for loss in classes.chain(&mut scenario.network.loss) {
            loss.load(folder)
                .map_err(|error| format!("{}: {error}", path.display()))?;
        }
        Ok(scenario)
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
        let hours = |seconds: f64| seconds > 0.0 && seconds <= 86_400.0;
        let senseless = |member: &&MemberSpec| !hours(member.talkspurt_s) || !hours(member.pause_s);
        if let Some(member) = self.members.iter().find(senseless) {
            let name = &member.name;
            return Err(format!(
                "`talkspurt_s` and `pause_s` of `{name}` are above 0 and at most 86400"
            ));
        }
        let skew = |member: &MemberSpec| member.clock_skew_s.unsigned_abs() > CLOCK_SKEW_MAX_S;
        if let Some(member) = self.members.iter().find(|member| skew(member)) {
            let name = &member.name;
            return Err(format!(
                "the clock of `{name}` is wrong by more than {CLOCK_SKEW_MAX_S} s"
            ));
        }
        let drifts = |member: &&MemberSpec| member.clock_drift_ppm.abs() <= CLOCK_DRIFT_MAX_PPM;
        if let Some(member) = self.members.iter().find(|member| !drifts(member)) {
            let name = &member.name;
            return Err(format!(
                "`clock_drift_ppm` of `{name}` is beyond ±{CLOCK_DRIFT_MAX_PPM}"
            ));
        }
        for timed in &self.actions {
            if let Action::Misbehave { percent, ms, .. } = &timed.action
                && !((0.0..=100.0).contains(percent) && (0.0..=60_000.0).contains(ms))
            {
                return Err("`percent` is from 0 to 100, `ms` from 0 to 60000".to_owned());
            }
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

/// What the TOML parser found: for an unknown key its line, and the nearest that is known there.
fn mistake(error: &toml::de::Error, text: &str) -> String {
    let Some(rest) = error.message().strip_prefix("unknown field `") else {
        return error.to_string();
    };
    let mut quoted = rest.split('`');
    let unknown = quoted.next().unwrap_or_default();
    // "…, expected one of `a`, `b`": every second piece is a key.
    let known: Vec<&str> = quoted.skip(1).step_by(2).collect();
    let start = error.span().map_or(0, |span| span.start);
    let before = text.get(..start).unwrap_or_default().matches('\n').count();
    // For some tables the parser knows only where they begin: the key is below.
    let names_it = |line: &str| {
        let rest = line.trim_start().strip_prefix(unknown);
        rest.is_some_and(|rest| rest.trim_start().starts_with('='))
    };
    let below = text.lines().skip(before).position(names_it);
    let line = before + below.unwrap_or(0) + 1;
    let hint = match nearest(unknown, known.iter().copied()) {
        Some(nearest) => format!("did you mean `{nearest}`?"),
        None => format!("known here: {}", known.join(", ")),
    };
    format!("line {line}: unknown key `{unknown}`; {hint}")
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
            | Self::Equivocate { who }
            | Self::Sleep { who }
            | Self::Wake { who }
            | Self::Move { who, .. }
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
            Self::KillRelay { relay }
            | Self::RestartRelay { relay }
            | Self::Misbehave { relay, .. }
            | Self::Tamper { relay } => vec![relay],
            Self::Partition { side } | Self::Cut { side } => side.iter().collect(),
            Self::Outage { .. } | Self::EndOutage { .. } | Self::Heal {} | Self::Mark { .. } => Vec::new(),
        }
    }
}
