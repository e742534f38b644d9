//! What must hold in every run. A violation fails the run, with the sentence that says what, who and when.

mod bounds;
mod confidentiality;
mod convergence;
mod conversation;
mod cost;
mod delivery;
mod forwarding;
pub(crate) mod jurisdiction;
mod recovery;
mod sound;
mod timeline;
mod unexplained;

use std::collections::VecDeque;

use subrosa_proto::{
    ids::MemberId,
    media::reception_stats::ReceptionStats,
    meeting::{
        participant::{Event, MemberState, Participant},
        roster::Roster,
    },
    time::Timestamp,
};

use self::{
    bounds::Bounds,
    confidentiality::Confidentiality,
    convergence::Convergence,
    conversation::ConversationChecker,
    cost::Cost,
    delivery::Delivery,
    forwarding::Forwarding,
    jurisdiction::Jurisdiction,
    recovery::{Everybody, Recovery},
    sound::Sound,
    timeline::Timeline,
    unexplained::Unexplained,
};
use crate::{
    explain::recorder::Recorder,
    network::{Network, Place, WorstPath},
    report::{Figures, MachineFigures, RelayFigures, Report},
    scenario::{Action, Scenario},
    world::node::Voice,
};

/// Violations that are told; more of the same tell nothing new.
const VIOLATIONS_MAX: usize = 20;

/// What went wrong.
#[derive(Default)]
pub(crate) struct Violations(Vec<String>);

impl Violations {
    pub(crate) fn add(&mut self, at: Timestamp, checker: &str, what: &str) {
        let line = format!("{:>9.3} s  {checker}: {what}", seconds(at));
        if self.0.len() < VIOLATIONS_MAX && !self.0.iter().any(|told| told.ends_with(what)) {
            self.0.push(line);
        }
    }
}

pub(crate) fn seconds(at: Timestamp) -> f64 {
    at.as_micros() as f64 / 1e6
}

/// All checkers; each method is something that happened.
pub(crate) struct Checkers {
    names: Vec<String>,
    ids: Vec<MemberId>,
    violations: Violations,
    confidentiality: Confidentiality,
    jurisdiction: Jurisdiction,
    convergence: Convergence,
    delivery: Delivery,
    sound: Sound,
    conversation: ConversationChecker,
    bounds: Bounds,
    forwarding: Forwarding,
    recovery: Recovery,
    cost: Cost,
    unexplained: Unexplained,
    timeline: Timeline,
    /// Newcomers whose keys are to be tried on what was sealed before they came, and when.
    probes: VecDeque<(Timestamp, usize)>,
    /// Remembers the run, if somebody asks for that.
    pub(crate) recorder: Option<Recorder>,
}

impl Checkers {
    /// # Errors
    /// A sentence if the scenario's policy or countries are unknown.
    pub(crate) fn new(scenario: &Scenario, ids: Vec<MemberId>, path: WorstPath) -> Result<Self, String> {
        let names: Vec<String> = scenario.members.iter().map(|m| m.name.clone()).collect();
        Ok(Self {
            confidentiality: Confidentiality::new(names.len()),
            jurisdiction: Jurisdiction::new(scenario)?,
            convergence: Convergence::new(names.len()),
            delivery: Delivery::new(scenario, path),
            sound: Sound::new(&scenario.expect),
            conversation: ConversationChecker::new(names.len()),
            bounds: Bounds::new(names.len()),
            forwarding: Forwarding::new(scenario),
            recovery: Recovery::new(&scenario.expect),
            cost: Cost::new(),
            unexplained: Unexplained::new(scenario.expect.every_frame_explained, names.len()),
            timeline: Timeline::default(),
            violations: Violations::default(),
            probes: VecDeque::new(),
            recorder: None,
            names,
            ids,
        })
    }

    fn index(&self, member: MemberId) -> Option<usize> {
        self.ids.iter().position(|id| *id == member)
    }

    fn name(&self, member: MemberId) -> String {
        self.index(member)
            .map_or_else(|| member.fingerprint(), |index| self.names[index].clone())
    }

    pub(crate) fn acts(&mut self, at: Timestamp, action: &Action) {
        self.timeline.note(at, "*", &format!("{action:?}"));
        if let Some(recorder) = &mut self.recorder {
            recorder.acts(at, action);
        }
    }

    pub(crate) fn starts(&mut self, at: Timestamp, node: usize) {
        self.delivery.starts(at, node);
        self.conversation.starts(at, node);
        self.unexplained.forgets(node);
        if let Some(recorder) = &mut self.recorder {
            recorder.starts(at, node);
        }
    }

    pub(crate) fn crashed(&mut self, at: Timestamp, node: usize) {
        if let Some(recorder) = &mut self.recorder {
            recorder.crashed(at, node);
        }
        self.delivery.ended(at, node, &mut self.violations, &self.names);
        self.convergence.crashed(node);
        self.unexplained.forgets(node);
    }

    /// A device sleeps or changes networks: what it misses and what is missed of it is no fault.
    pub(crate) fn away(&mut self, at: Timestamp, node: usize) {
        self.delivery.away(at, node, &mut self.violations, &self.names);
        self.unexplained.forgets(node);
    }

    /// It is there again.
    pub(crate) fn back(&mut self, at: Timestamp, node: usize) {
        self.delivery.back(at, node);
    }

    pub(crate) fn muted(&mut self, at: Timestamp, node: usize) {
        self.delivery.paused(at, node, &mut self.violations, &self.names);
    }

    /// Somebody who speaks in talk spurts begins one.
    pub(crate) fn resumed(&mut self, at: Timestamp, node: usize) {
        self.delivery.resumed(at, node);
    }

    pub(crate) fn parted(&mut self, at: Timestamp, parted: bool) {
        self.confidentiality.parted(parted);
        self.recovery.parted(at, parted);
        self.delivery.parted(at, &mut self.violations, &self.names);
    }

    pub(crate) fn dialled(&mut self, at: Timestamp, from: usize, to: Option<Place>) {
        if let Some(Place::Relay(relay)) = to {
            let from = &self.names[from];
            self.jurisdiction.dialled(at, from, relay, &mut self.violations);
        }
    }

    pub(crate) fn packet_to_relay(&mut self, at: Timestamp, relay: usize) {
        self.jurisdiction.packet(at, relay, &mut self.violations);
    }

    /// A node sends on what somebody else sealed.
    pub(crate) fn forwarded(&mut self, at: Timestamp, node: usize, bytes: usize) {
        self.forwarding
            .forwarded(at, node, bytes, &mut self.violations, &self.names);
    }

    pub(crate) fn mark(&mut self, at: Timestamp, name: &str) {
        self.cost.mark(at, name);
    }

    pub(crate) fn control_sent(&mut self, at: Timestamp, node: usize, frame: &[u8]) {
        self.cost.control(frame);
        let bytes = frame.len();
        self.bounds
            .control(at, node, bytes, &mut self.violations, &self.names);
    }

    pub(crate) fn spins(&mut self, at: Timestamp, node: usize) {
        let what = format!(
            "the timer of {} fires again and again without effect",
            self.names[node]
        );
        self.violations.add(at, "bounds", &what);
    }

    pub(crate) fn look(&mut self, at: Timestamp, node: usize, participant: &Participant, links: usize) {
        self.bounds
            .look(at, node, participant, links, &mut self.violations, &self.names);
        let ids = &self.ids;
        let index = |member: MemberId| ids.iter().position(|id| *id == member);
        self.unexplained
            .look_at(at, (node, participant), index, &mut self.violations, &self.names);
    }

    /// All machines at one moment.
    pub(crate) fn look_at_all(&mut self, at: Timestamp, nodes: &[Option<&Participant>], network: &Network) {
        let nodes = self.without_unawares(nodes);
        let all = Everybody {
            nodes: &nodes,
            ids: &self.ids,
            names: &self.names,
            network,
        };
        self.recovery.look(at, &all, &mut self.violations);
        self.unexplained.look(at, &mut self.violations, &self.names);
    }

    /// Without those who were removed beyond a partition.
    fn without_unawares<'a>(&self, nodes: &[Option<&'a Participant>]) -> Vec<Option<&'a Participant>> {
        let aware = |index: usize| !self.confidentiality.is_removed_unawares(index);
        let nodes = nodes.iter().enumerate();
        nodes.map(|(index, node)| node.filter(|_| aware(index))).collect()
    }

    pub(crate) fn spoken(&mut self, at: Timestamp, speaker: usize, number: u64) {
        self.delivery.spoken(at, speaker, number);
        self.unexplained.spoken(at, speaker, number);
        if let Some(recorder) = &mut self.recorder {
            recorder.spoken(at, speaker, number);
        }
    }

    pub(crate) fn heard(&mut self, at: Timestamp, listener: usize, claimed: Option<usize>, voice: Voice) {
        if claimed != Some(voice.speaker) {
            let what = format!("{} took a frame for somebody else's", self.names[listener]);
            self.violations.add(at, "authenticity", &what);
        }
        self.unexplained.heard(listener, voice.speaker, voice.number);
        if let Some(recorder) = &mut self.recorder {
            recorder.heard(at, listener, voice);
        }
        self.confidentiality
            .heard(at, listener, voice, &mut self.violations, &self.names);
        self.delivery
            .heard(at, listener, voice, &mut self.violations, &self.names);
    }

    /// A frame is played.
    pub(crate) fn played(&mut self, at: Timestamp, listener: usize, voice: Voice) {
        self.sound.played(at, listener, voice);
    }

    /// What the jitter buffer of a pair (speaker, listener) counted between two moments.
    pub(crate) fn sound_counted(
        &mut self,
        pair: (usize, usize),
        before: &ReceptionStats,
        now: &ReceptionStats,
    ) {
        self.sound.counted(pair, before, now);
    }

    /// Frames come, and nothing of them is played.
    pub(crate) fn sound_is_stuck(&mut self, at: Timestamp, listener: usize, speaker: usize) {
        let (ear, mouth) = (&self.names[listener], &self.names[speaker]);
        let what = format!("{ear} plays nothing of what comes from {mouth}");
        self.violations.add(at, "playout", &what);
    }

    /// What each machine's access link held in the end.
    pub(crate) fn machines(&mut self, at: Timestamp, machines: &[MachineFigures]) {
        self.bounds.machines(at, machines, &mut self.violations);
    }

    /// A node that is out opened what `from` sealed at this moment.
    pub(crate) fn overheard(&mut self, at: Timestamp, outsider: usize, from: usize) {
        self.confidentiality
            .overheard(at, outsider, from, &mut self.violations, &self.names);
    }

    pub(crate) fn sealed(&mut self, at: Timestamp, from: usize, datagram: &[u8]) {
        self.confidentiality.sealed(at, from, datagram);
        self.recovery.sealed(at, from, datagram);
    }

    /// A newcomer whose time to be tried has come.
    pub(crate) fn take_probe(&mut self, at: Timestamp) -> Option<usize> {
        let due = self.probes.front().is_some_and(|(due, _)| *due <= at);
        due.then(|| self.probes.pop_front())
            .flatten()
            .map(|(_, node)| node)
    }

    pub(crate) fn probe(
        &mut self,
        at: Timestamp,
        newcomer: usize,
        participant: &Participant,
        ids: &[MemberId],
    ) {
        self.confidentiality
            .probe(at, newcomer, participant, ids, &mut self.violations, &self.names);
    }

    pub(crate) fn told(&mut self, at: Timestamp, node: usize, event: &Event, roster: Option<&Roster>) {
        let line = timeline::describe(event, |member| self.name(member));
        self.timeline.note(at, &self.names[node], &line);
        let index = |member: MemberId| self.ids.iter().position(|id| *id == member);
        if let Some(recorder) = &mut self.recorder {
            recorder.told(at, node, (event, &line), index);
        }
        self.conversation
            .told(at, node, event, index, &mut self.violations, &self.names);
        match event {
            Event::Member {
                member, state, role, ..
            } => {
                let Some(who) = self.index(*member) else { return };
                if who == node && !role.may_speak() {
                    self.muted(at, node);
                }
                self.unexplained
                    .learns(at, node, who, *state == MemberState::Joined);
                match state {
                    MemberState::Joined => {
                        self.bounds.admitted(at, node);
                        let by = roster.and_then(|roster| roster.members.get(member));
                        self.confidentiality
                            .admitted(at, node, who, by.map(|member| member.since));
                    }
                    MemberState::Left | MemberState::Removed => {
                        if *state == MemberState::Removed {
                            self.confidentiality.removed(at, who);
                        }
                        self.confidentiality.learned(at, node, who);
                        self.delivery
                            .forgot(at, node, who, &mut self.violations, &self.names);
                    }
                }
            }
            Event::Joined { .. } => {
                self.delivery.joined(at, node);
                for wait in [0, 500, 1_500] {
                    let due = at + std::time::Duration::from_millis(wait);
                    self.probes.push_back((due, node));
                }
                self.probes.make_contiguous().sort();
            }
            Event::SafetyCode { code, .. } => self.convergence.code(node, &code.to_string()),
            Event::SentBack => {
                self.delivery.ended(at, node, &mut self.violations, &self.names);
                self.convergence.crashed(node);
                self.delivery.starts(at, node);
            }
            Event::Left(_) => {
                self.unexplained.forgets(node);
                self.delivery.ended(at, node, &mut self.violations, &self.names);
                self.convergence.crashed(node);
            }
            _ => {}
        }
    }

    pub(crate) fn finish(&mut self, at: Timestamp, nodes: &[Option<&Participant>], network: &Network) {
        let nodes = self.without_unawares(nodes);
        self.delivery
            .finish(at, &nodes, network, &mut self.violations, &self.names);
        self.sound.finish(at, &mut self.violations, &self.names);
        if !network.is_parted() {
            self.conversation
                .finish(at, &nodes, &mut self.violations, &self.names);
            self.convergence.finish(
                at,
                &nodes,
                &self.ids,
                &self.delivery.expect.members,
                &mut self.violations,
                &self.names,
            );
        }
        for (index, node) in nodes.iter().enumerate() {
            let lacks = node.is_some_and(|node| node.is_member() && node.checkpoint().is_none());
            if self.delivery.expect.compacted && lacks {
                let what = format!("{}'s log begins with no checkpoint", self.names[index]);
                self.violations.add(at, "expectation", &what);
            }
        }
        self.forwarding
            .finish(at, &self.delivery.expect, &mut self.violations, &self.names);
        for expected in &self.delivery.expect.events {
            if !self.timeline.has(&expected.who, &expected.event) {
                let what = format!("{} was not told `{}`", expected.who, expected.event);
                self.violations.add(at, "expectation", &what);
            }
        }
    }

    pub(crate) fn report(
        self,
        scenario: &Scenario,
        seed: u64,
        trace_hash: String,
        (events, deliveries): (u64, u64),
        relays: Vec<RelayFigures>,
        machines: Vec<MachineFigures>,
    ) -> Report {
        let (frames_due, frames_excused) = self.unexplained.figures();
        Report {
            v: 1,
            scenario: scenario.name.clone(),
            summary: scenario.summary.clone(),
            seed,
            transport: scenario.transport,
            loss_percent: scenario.network.loss_percent,
            rtt_ms: scenario.network.rtt_ms,
            seconds: scenario.seconds,
            trace_hash,
            figures: Figures {
                events,
                deliveries,
                frames_due,
                frames_excused,
                lines: self.conversation.delivered(),
                forwarded: self.forwarding.frames(),
                healed_ms_max: self.recovery.slowest().as_millis().try_into().unwrap_or(u64::MAX),
                ..self.bounds.figures()
            },
            pairs: self.delivery.figures(&self.names, &self.sound),
            first_audio_ms: self.delivery.first_audio_figures(&self.names),
            relays,
            machines,
            marks: self.cost.into_marks(),
            timeline: self.timeline.lines,
            violations: self.violations.0,
        }
    }
}
