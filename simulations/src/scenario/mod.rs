//! A scenario: who takes part over which network, what happens when, and what is expected. TOML; unknown keys are
//! refused.

mod action;
mod expect;
mod member;
mod network;
mod relay;

use std::path::Path;

use serde::{Deserialize, Serialize};
use subrosa_proto::{mesh::route_planner::PlannerKind, policy::nearest::nearest};

pub use self::{
    action::{Action, TimedAction},
    expect::{Expect, ExpectEvent},
    member::{MemberSpec, Speech},
    network::NetworkSpec,
    relay::{RelayLimitsSpec, RelaySpec},
};
pub use crate::world::{hostile::Misdeed, nat::NatKind, planted::Planted};
use crate::{churn::ChurnSpec, network::access::AccessSpec, transport::TransportKind};

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
    /// What carries links: `modelled` (default) or `quic`.
    #[serde(default)]
    pub transport: TransportKind,
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
    /// Who decides whom each listener takes a track from: `own` (default, what nodes use), `mesh`, `star` or `tree`.
    #[serde(default)]
    pub planner: Planner,
    /// Whether what people hear is played, through the jitter buffer that nodes have. Default: yes. What is sent is the same
    /// but for redundancy, which listeners' reports ask for.
    #[serde(default = "yes", skip_serializing_if = "is_yes")]
    pub playout: bool,
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

const fn yes() -> bool {
    true
}

const fn is_yes(value: &bool) -> bool {
    *value
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
            transport: TransportKind::Modelled,
            policy: any(),
            passphrase: None,
            admission: Admission::Ticket,
            checkpoint_after: None,
            planner: Planner::Own,
            playout: true,
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

/// The route planners that scenarios can name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Planner {
    /// The publisher sends everybody a copy.
    Mesh,
    /// One relay sends everybody a copy.
    Star,
    /// A tree in which nobody feeds more than four.
    Tree,
    /// The program's own.
    #[default]
    Own,
}

impl Planner {
    /// The planner of the protocol.
    #[must_use]
    pub const fn kind(self) -> PlannerKind {
        match self {
            Self::Mesh => PlannerKind::Mesh,
            Self::Star => PlannerKind::Star,
            Self::Tree => PlannerKind::Tree,
            Self::Own => PlannerKind::Own,
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
        names.extend(&self.expect.forwarders);
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
