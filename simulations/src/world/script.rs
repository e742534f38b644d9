//! The scenario's script: people and faults.

use std::time::Duration;

use subrosa_proto::{
    meeting::{
        admission::AdmissionMode,
        conversation::ConversationCommand,
        name::Name,
        participant::{Command, ForwardingTerms, FoundingTerms, Participant, ParticipantConfig},
        passphrase::{Passphrase, Record},
    },
    policy::{
        DiscoveryRule, Evidence,
        route_policy::{Preset, RoutePolicy},
    },
    time::Timestamp,
    wire::door_message::RefusalWords,
};

use super::{Occurrence, World, hostile::Habit, listening::Mouth};
use crate::{
    network::Place,
    scenario::{Action, Admission},
};

/// People who join without a time of their own come so long after one another.
const JOIN_SPACING: Duration = Duration::from_millis(150);

impl World<'_> {
    /// Plans founding, joining, speaking and the script.
    pub(crate) fn plan_script(&mut self) {
        for timed in &self.scenario.actions {
            if let Action::Equivocate { who } = &timed.action
                && let Some(index) = self.scenario.member(who)
            {
                self.nodes[index].equivocates = true;
            }
        }
        self.start(0);
        for index in 0..self.nodes.len() {
            let phase = Duration::from_micros(self.random.next_u64() % 20_000);
            self.queue
                .plan(Timestamp::ZERO + phase, Occurrence::Microphone(index));
        }
        for line in 0..self.scenario.actions.len() + self.nodes.len() {
            if let Some(at) = self.time_of(line) {
                self.queue.plan(at, Occurrence::Act(line));
            }
        }
    }

    /// When a line of the script is due. Lines after the script's own are the joining of each member but the host.
    fn time_of(&self, line: usize) -> Option<Timestamp> {
        let script = &self.scenario.actions;
        if let Some(action) = script.get(line) {
            return Some(Timestamp::ZERO + Duration::from_millis(action.at_ms));
        }
        let index = line - script.len();
        let member = self.scenario.members.get(index).filter(|_| index > 0)?;
        let scripted = script
            .iter()
            .any(|action| matches!(&action.action, Action::Join { who } if *who == member.name));
        let stated = member.joins_at_ms.map(Duration::from_millis);
        let spaced = (!scripted).then(|| JOIN_SPACING * u32::try_from(index).unwrap_or(u32::MAX));
        stated.or(spaced).map(|at| Timestamp::ZERO + at)
    }

    pub(crate) fn act(&mut self, line: usize) {
        let scenario = self.scenario;
        let Some(timed) = scenario.actions.get(line) else {
            self.start(line - scenario.actions.len());
            return;
        };
        self.checkers.acts(self.now, &timed.action);
        let id = |name: &str| self.nodes[scenario.member(name).unwrap_or_default()].id();
        match &timed.action {
            Action::Join { who } => self.start(scenario.member(who).unwrap_or_default()),
            Action::Restart { who, forgets } => {
                let index = scenario.member(who).unwrap_or_default();
                if *forgets {
                    self.nodes[index].kept.clear();
                }
                self.start(index);
            }
            Action::SendBack { who, by } => {
                let victim = scenario.member(who).unwrap_or_default();
                let member = self.nodes[victim].id();
                self.command(by, Command::SendBack(member));
            }
            Action::RefuseBecause { who, by, words } => {
                let words = RefusalWords::cut(words);
                self.command(by, Command::RefuseBecause(id(who), words));
            }
            Action::AdmitAll { whom, by } => {
                let members = whom.iter().map(|name| id(name)).collect();
                self.command(by, Command::AdmitAll(members));
            }
            Action::SayPassphrase { who, passphrase } => {
                if let Ok(passphrase) = Passphrase::new(passphrase) {
                    self.command(who, Command::Passphrase(passphrase));
                }
            }
            Action::RequestMute { who, by } => self.command(by, Command::RequestMute(id(who))),
            Action::RequestMuteOfAll { by } => self.command(by, Command::RequestMuteOfAll),
            Action::AskToSpeak { who } => self.command(who, Command::AskToSpeak),
            Action::Sharing { by, in_charge_only } => self.command(by, Command::Sharing(*in_charge_only)),
            Action::Reactions { who, by, allowed } => {
                self.command(by, Command::Reactions(id(who), *allowed));
            }
            Action::Leave { who } => self.command(who, Command::Leave),
            Action::Admit { who, by } => self.command(by, Command::Admit(id(who))),
            Action::Refuse { who, by } => self.command(by, Command::Refuse(id(who))),
            Action::Remove { who, by, stays } => self.remove(who, by, *stays),
            Action::Lock { by, locked } => self.command(by, Command::Lock(*locked)),
            Action::Role { who, by, role } => {
                if let Ok(role) = role.parse() {
                    let member = id(who);
                    self.command(by, Command::Role(member, role));
                }
            }
            Action::Say { who, text, to } => {
                let (to, text) = (to.as_deref().map(id), text.clone());
                let command = ConversationCommand::Say { to, text };
                self.command(who, Command::Conversation(command));
            }
            Action::Hand { who, up } => {
                self.command(who, Command::Conversation(ConversationCommand::Hand(*up)));
            }
            Action::LowerHand { who, by } => {
                let command = ConversationCommand::LowerHand(id(who));
                self.command(by, Command::Conversation(command));
            }
            Action::Mute { who } => self.set_speaks(who, false),
            Action::Unmute { who } => self.set_speaks(who, true),
            Action::Crash { who } => {
                let index = scenario.member(who).unwrap_or_default();
                self.checkers.crashed(self.now, index);
                self.count_sound(index);
                self.nodes[index].stop();
                self.transport.ended(self, Place::Node(index));
            }
            Action::KillRelay { relay } => {
                let index = scenario.relay(relay).unwrap_or_default();
                self.relays[index].stop();
                self.transport.ended(self, Place::Relay(index));
            }
            Action::RestartRelay { relay } => {
                let index = scenario.relay(relay).unwrap_or_default();
                self.relays[index].start();
            }
            Action::Outage { region } => self.set_region(region, false),
            Action::EndOutage { region } => self.set_region(region, true),
            Action::Sleep { who } => self.sleep(scenario.member(who).unwrap_or_default()),
            Action::Wake { who } => self.wake(scenario.member(who).unwrap_or_default()),
            Action::Move { who, region, access } => {
                let index = scenario.member(who).unwrap_or_default();
                self.move_node(index, region.as_deref(), access.as_deref());
            }
            Action::Misbehave {
                relay,
                how,
                percent,
                ms,
            } => {
                let index = scenario.relay(relay).unwrap_or_default();
                self.relays[index].habits.push(Habit {
                    how: *how,
                    percent: *percent,
                    time: Duration::from_secs_f64(ms / 1e3),
                });
            }
            Action::Equivocate { who } => self.equivocate(scenario.member(who).unwrap_or_default()),
            Action::Tamper { relay } => {
                let index = scenario.relay(relay).unwrap_or_default();
                self.relays[index].tampers = true;
            }
            Action::Plant { who, fault } => {
                let index = scenario.member(who).unwrap_or_default();
                self.plant(index, *fault);
            }
            Action::Partition { side } => {
                let places = side.iter().filter_map(|name| self.place(name)).collect();
                self.network.partition(places);
                self.checkers.parted(self.now, true);
                self.transport.parted(self);
            }
            Action::Cut { side } => {
                let places = side.iter().filter_map(|name| self.place(name)).collect();
                self.network.cut(places);
                self.transport.parted(self);
            }
            Action::Reach { who } => {
                if let Some(place) = self.place(who) {
                    self.network.wall_off(place, Vec::new());
                }
            }
            Action::Mark { name } => self.checkers.mark(self.now, name),
            Action::Heal {} => {
                let was_parted = self.network.is_parted();
                self.network.partition(std::collections::BTreeSet::new());
                self.network.cut(std::collections::BTreeSet::new());
                if was_parted {
                    self.checkers.parted(self.now, false);
                }
                self.transport.healed(self);
            }
        }
    }

    fn remove(&mut self, who: &str, by: &str, stays: bool) {
        let victim = self.scenario.member(who).unwrap_or_default();
        let member = self.nodes[victim].id();
        self.command(by, Command::Remove(member));
        let by = self.scenario.member(by).unwrap_or_default();
        let is_out = self.nodes[by]
            .participant
            .as_ref()
            .is_some_and(|p| p.is_member() && p.roster().removed.contains_key(&member));
        // An order that had no effect makes nobody a spy.
        self.nodes[victim].is_spy |= stays && is_out;
    }

    fn set_speaks(&mut self, who: &str, speaks: bool) {
        if let Some(index) = self.scenario.member(who)
            && self.nodes[index].speaks != speaks
        {
            self.nodes[index].speaks = speaks;
            self.checkers.muted(self.now, index);
        }
    }

    fn command(&mut self, who: &str, command: Command) {
        let Some(index) = self.scenario.member(who) else {
            return;
        };
        let node = &mut self.nodes[index];
        let now = node.now(self.now);
        // Nobody commands a device that sleeps.
        if let Some(participant) = node.participant.as_mut().filter(|_| node.asleep.is_none()) {
            participant.handle_command(now, command);
            self.drain_node(index);
        }
    }

    /// A process starts: the host founds, everybody else joins, whoever was in before comes back.
    fn start(&mut self, index: usize) {
        let node = &self.nodes[index];
        let now = node.now(self.now);
        let relays = self.scenario.members[index]
            .relays
            .iter()
            .filter_map(|name| self.scenario.relay(name))
            .map(|relay| self.relays[relay].descriptor.clone());
        let config = ParticipantConfig {
            identity: node.identity.clone(),
            name: Name::from_input(&node.spec.name).unwrap_or_else(|_| unreachable!("checked in `new`")),
            addresses: vec![node.address],
            direct: node.spec.direct,
            relays: relays.collect(),
            // libp2p does not run under virtual time.
            discovery: DiscoveryRule::Off,
            evidence: Evidence::default(),
        };
        let random = self.random.fork("process");
        let own_ticket = node.ticket.clone();
        let invites = node.spec.invited_by.as_deref();
        let inviter = invites.and_then(|name| self.scenario.members.iter().position(|m| m.name == name));
        let ticket = own_ticket.or_else(|| self.nodes[inviter.unwrap_or(0)].ticket.clone());
        self.checkers.starts(self.now, index);
        let participant = match ticket {
            None => {
                let founded = Participant::found(now, config, self.terms(), random);
                let founded = founded.expect("a scenario can be founded");
                match passphrase(&self.scenario.passphrase) {
                    Some(words) => {
                        founded.asking_for(Record::create(&words, &mut self.random.fork("passphrase")))
                    }
                    None => founded,
                }
            }
            Some(ticket) => {
                let kept = self.nodes[index].kept.clone();
                let joined = if kept.is_empty() {
                    Participant::join(now, config, ticket, random)
                } else {
                    Participant::resume(now, config, ticket, kept, random)
                };
                let spec = &self.nodes[index].spec;
                let joined = joined.with_patience(Duration::from_secs(spec.patience_s));
                match passphrase(&spec.passphrase) {
                    Some(words) => joined.with_passphrase(words),
                    None => joined,
                }
            }
        };
        let participant = match self.scenario.checkpoint_after {
            Some(operations) => participant.with_checkpoints_after(operations),
            None => participant,
        };
        let terms = ForwardingTerms {
            forwards_kbps: self.scenario.members[index].forwards_kbps,
            uplink_kbps: self.network.uplink_kbps(Place::Node(index)),
        };
        let participant = participant
            .with_forwarding(terms)
            .with_planner(self.scenario.planner.kind().planner());
        if self.nodes[index].participant.is_some() {
            self.transport.ended(self, Place::Node(index));
        }
        self.count_sound(index);
        let mouth = Mouth::new(&mut self.devices);
        let node = &mut self.nodes[index];
        node.stop();
        node.participant = Some(participant);
        node.mouth = Some(mouth);
        self.drain_node(index);
    }

    fn terms(&self) -> FoundingTerms {
        let preset = Preset::from_keyword(&self.scenario.policy).unwrap_or(Preset::Direct);
        FoundingTerms {
            policy: RoutePolicy::from(preset),
            admission: match self.scenario.admission {
                Admission::Ticket => AdmissionMode::Ticket,
                Admission::Ask => AdmissionMode::Ask,
            },
        }
    }
}

fn passphrase(text: &Option<String>) -> Option<Passphrase> {
    text.as_deref().and_then(|text| Passphrase::new(text).ok())
}
