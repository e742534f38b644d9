//! What a run remembers if it is asked to: who was in, which way each reached whom, when each frame was spoken and heard.
//! Told at the same places as the checkers; a run without a recorder pays one comparison.

use std::time::Duration;

use subrosa_proto::{
    meeting::participant::{Event, RoutePath},
    time::Timestamp,
};

use super::series::Series;
use crate::{
    report::Report,
    scenario::{Action, Scenario},
    world::node::Voice,
};

/// A silence that people notice: ten frames.
const SILENCE: Duration = Duration::from_millis(200);
/// What is remembered at most. Reason: a page with more can no longer be read.
const HAPPENINGS_MAX: usize = 50_000;

/// What kind of thing happened; stable words, for pages to filter by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The scenario's script.
    Script,
    /// A process starts or ends, somebody is in or out.
    Presence,
    /// A way to a peer changed.
    Route,
    /// A way was measured again.
    Measured,
    /// Keys.
    Keys,
    /// Somebody heard nothing of somebody for a while.
    Silence,
    /// Whatever else people were told.
    Told,
    /// Something that must hold did not.
    Violation,
}

impl Kind {
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Presence => "presence",
            Self::Route => "route",
            Self::Measured => "measured",
            Self::Keys => "keys",
            Self::Silence => "silence",
            Self::Told => "told",
            Self::Violation => "violation",
        }
    }
}

/// Something happened.
#[derive(Clone, Debug)]
pub(super) struct Happening {
    pub(super) at: Timestamp,
    /// To whom; to nobody for the script.
    pub(super) who: Option<usize>,
    /// Whom it is about.
    pub(super) about: Option<usize>,
    pub(super) kind: Kind,
    pub(super) what: String,
    /// What it says of itself about why.
    pub(super) reason: Option<String>,
}

/// The ways that one has to another, from a moment on.
#[derive(Clone, Debug)]
pub(super) struct RouteChange {
    pub(super) at: Timestamp,
    pub(super) from: usize,
    pub(super) to: usize,
    /// Relays' names; `None` is the direct way.
    pub(super) paths: Vec<Option<String>>,
    pub(super) rtt: Option<Duration>,
}

/// Where somebody is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Presence {
    Dialling,
    In,
    Out,
}

/// What was remembered.
#[derive(Debug)]
pub(super) struct Recording {
    pub(super) happenings: Vec<Happening>,
    pub(super) routes: Vec<RouteChange>,
    /// For each member, from when on it was where.
    pub(super) presence: Vec<Vec<(Timestamp, Presence)>>,
    pub(super) series: Series,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Recorder {
    recording: Recording,
    /// For each listener and speaker: the last frame that was heard, and when.
    last: Vec<Vec<Option<(u64, Timestamp)>>>,
}

impl Recorder {
    pub(super) fn new(scenario: &Scenario) -> Self {
        let nodes = scenario.members.len();
        let recording = Recording {
            happenings: Vec::new(),
            routes: Vec::new(),
            presence: vec![Vec::new(); nodes],
            series: Series::new(nodes, scenario.seconds),
        };
        Self {
            recording,
            last: vec![vec![None; nodes]; nodes],
        }
    }

    fn note(&mut self, happening: Happening) {
        if self.recording.happenings.len() < HAPPENINGS_MAX {
            self.recording.happenings.push(happening);
        }
    }

    pub(crate) fn acts(&mut self, at: Timestamp, action: &Action) {
        let what = super::narrative::describe_action(action);
        self.note(Happening {
            at,
            who: None,
            about: None,
            kind: Kind::Script,
            what,
            reason: None,
        });
    }

    pub(crate) fn starts(&mut self, at: Timestamp, node: usize) {
        self.moves(at, node, Presence::Dialling, "starts");
    }

    pub(crate) fn crashed(&mut self, at: Timestamp, node: usize) {
        self.moves(at, node, Presence::Out, "crashes");
    }

    fn moves(&mut self, at: Timestamp, node: usize, to: Presence, what: &str) {
        self.recording.presence[node].push((at, to));
        if to != Presence::In {
            self.recording.series.ends(at, node);
            self.last[node].fill(None);
            self.last.iter_mut().for_each(|speakers| speakers[node] = None);
        }
        let (kind, what) = (Kind::Presence, what.to_owned());
        self.note(Happening {
            at,
            who: Some(node),
            about: None,
            kind,
            what,
            reason: None,
        });
    }

    pub(crate) fn spoken(&mut self, at: Timestamp, speaker: usize, number: u64) {
        self.recording.series.spoken(at, speaker, number);
    }

    pub(crate) fn heard(&mut self, at: Timestamp, listener: usize, voice: Voice) {
        let Voice {
            speaker,
            number,
            sealed,
        } = voice;
        self.recording
            .series
            .heard(at, listener, speaker, (number, sealed));
        let last = self.last[listener][speaker];
        if let Some((before, heard)) = last
            && number > before + 1
            && at - heard > SILENCE
        {
            let (silent, missing) = ((at - heard).as_millis(), number - before - 1);
            let what = format!("{silent} ms until now ({missing} frames)");
            let (who, about, kind) = (Some(listener), Some(speaker), Kind::Silence);
            self.note(Happening {
                at,
                who,
                about,
                kind,
                what,
                reason: None,
            });
        }
        if last.is_none_or(|(before, _)| number > before) {
            self.last[listener][speaker] = Some((number, at));
        }
    }

    /// `line` is the event as the report's timeline has it; `index` finds members.
    pub(crate) fn told(
        &mut self,
        at: Timestamp,
        node: usize,
        (event, line): (&Event, &str),
        index: impl Fn(subrosa_proto::ids::MemberId) -> Option<usize>,
    ) {
        let mut happening = Happening {
            at,
            who: Some(node),
            about: None,
            kind: Kind::Told,
            what: line.to_owned(),
            reason: None,
        };
        match event {
            Event::Joined { .. } => return self.moves(at, node, Presence::In, "is in"),
            Event::SentBack => return self.moves(at, node, Presence::Dialling, "is sent back to the lobby"),
            Event::Left(reason) => {
                return self.moves(at, node, Presence::Out, &format!("is out: {reason:?}"));
            }
            Event::Route { peer, paths, rtt } => {
                let Some(to) = index(*peer) else { return };
                happening.about = Some(to);
                happening.kind = self.route(at, (node, to), paths, *rtt);
            }
            Event::Keys { .. } => happening.kind = Kind::Keys,
            Event::Member { member, state, .. } => {
                happening.about = index(*member);
                let gone = *state != subrosa_proto::meeting::participant::MemberState::Joined;
                if let Some(who) = happening.about.filter(|_| gone) {
                    self.recording.series.forgot(at, node, who);
                    (self.last[node][who], self.last[who][node]) = (None, None);
                }
            }
            Event::Refused { reason, .. } => happening.reason = Some(reason.clone()),
            Event::Fault { hint, .. } => happening.reason = Some(hint.clone()),
            _ => {}
        }
        self.note(happening);
    }

    fn route(
        &mut self,
        at: Timestamp,
        (from, to): (usize, usize),
        paths: &[RoutePath],
        rtt: Option<Duration>,
    ) -> Kind {
        let paths = paths.iter().map(|path| match path {
            RoutePath::Direct => None,
            RoutePath::Member { name, .. } => Some(name.clone()),
            RoutePath::Relay { operator, .. } => Some(operator.clone()),
        });
        let paths: Vec<Option<String>> = paths.collect();
        let routes = &mut self.recording.routes;
        let last = routes
            .iter()
            .rev()
            .find(|route| (route.from, route.to) == (from, to));
        let same = last.is_some_and(|last| last.paths == paths);
        routes.push(RouteChange {
            at,
            from,
            to,
            paths,
            rtt,
        });
        if same { Kind::Measured } else { Kind::Route }
    }

    /// The end of the run.
    pub(super) fn finish(mut self, report: &Report) -> Recording {
        let end = Timestamp::ZERO + Duration::from_secs(report.seconds);
        for node in 0..self.last.len() {
            self.recording.series.ends(end, node);
        }
        for violation in &report.violations {
            // `   12.345 s  checker: sentence`.
            let (seconds, what) = violation.split_once(" s  ").unwrap_or(("", violation));
            let at = seconds
                .trim()
                .parse()
                .map_or(end, |s| Timestamp::ZERO + Duration::from_secs_f64(s));
            let (kind, what) = (Kind::Violation, what.to_owned());
            self.note(Happening {
                at,
                who: None,
                about: None,
                kind,
                what,
                reason: None,
            });
        }
        self.recording.happenings.sort_by_key(|happening| happening.at);
        self.recording
    }
}
