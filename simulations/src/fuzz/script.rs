//! Draws what happens in a meeting.

use super::draw::Draw;
use crate::{
    checker::jurisdiction::permitted,
    scenario::{Action, Scenario, TimedAction},
};

/// So long somebody is left alone after joining, in milliseconds: an order about somebody whom its giver does not know
/// yet has no effect.
const SETTLE_MS: u64 = 4_000;

/// What the author of the script knows of everybody.
#[derive(Clone, Copy, Default)]
struct Person {
    /// When they came; `None` while they are out.
    since_ms: Option<u64>,
    crashed: bool,
    co_host: bool,
}

/// What can happen next.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Remove,
    Crash,
    Restart,
    Leave,
    Role,
    FailRelay,
    Part,
    Heal,
    Talk,
    Speech,
}

/// How much happens, and until when.
#[derive(Clone, Copy)]
pub(super) struct Plan {
    pub(super) actions_max: u64,
    /// What happens, each as often as it stands here.
    pub(super) kinds: &'static [Kind],
    /// Faults end here, in milliseconds.
    pub(super) faults_end_ms: u64,
    /// Until when processes that crashed start again; the rest does after the faults, if this is their end.
    pub(super) restarts_end_ms: u64,
}

/// Writes what happens.
pub(super) struct Script<'a> {
    draw: &'a mut Draw,
    scenario: &'a mut Scenario,
    people: Vec<Person>,
    relays_alive: Vec<bool>,
    relays_permitted: Vec<bool>,
    parted: bool,
    plan: Plan,
}

impl<'a> Script<'a> {
    pub(super) fn new(draw: &'a mut Draw, scenario: &'a mut Scenario, plan: Plan) -> Self {
        let people = scenario.members.iter().map(|member| Person {
            since_ms: Some(member.joins_at_ms.unwrap_or(0)),
            ..Person::default()
        });
        Self {
            people: people.collect(),
            relays_alive: vec![true; scenario.relays.len()],
            relays_permitted: permitted(scenario).expect("countries and policies of the lists above"),
            parted: false,
            plan,
            draw,
            scenario,
        }
    }

    /// Somebody whom the scenario makes co-host.
    pub(super) fn appoint(&mut self, index: usize) {
        self.people[index].co_host = true;
    }

    pub(super) fn write(&mut self) {
        let count = 1 + self.draw.below(self.plan.actions_max);
        let mut times: Vec<u64> = (0..count)
            .map(|_| 500 + self.draw.below(self.plan.faults_end_ms - 500))
            .collect();
        times.sort_unstable();
        for at_ms in times {
            if let Some(action) = self.action(at_ms) {
                self.push(at_ms, action);
            }
        }
        self.recover();
    }

    fn push(&mut self, at_ms: u64, action: Action) {
        self.scenario.actions.push(TimedAction { at_ms, action });
    }

    /// Everything that is broken is mended.
    fn recover(&mut self) {
        self.push(self.plan.faults_end_ms, Action::Heal {});
        for index in 0..self.people.len() {
            let who = self.name(index);
            if self.people[index].crashed && self.plan.restarts_end_ms == self.plan.faults_end_ms {
                self.push(
                    self.plan.faults_end_ms + 100,
                    Action::Restart { who, forgets: true },
                );
            }
        }
    }

    fn action(&mut self, at_ms: u64) -> Option<Action> {
        match self.plan.kinds[self.draw.index(self.plan.kinds.len())] {
            Kind::Remove => self.remove(at_ms),
            Kind::Crash => self.crash(at_ms),
            Kind::Restart => self.restart(at_ms),
            Kind::Leave => self.leave(at_ms),
            Kind::Role => self.role(at_ms),
            Kind::FailRelay => self.fail_relay(),
            Kind::Part => Some(self.part()),
            Kind::Heal => self.heal(),
            Kind::Talk => self.talk(at_ms),
            Kind::Speech => self.speech(at_ms),
        }
    }

    /// Somebody in charge and somebody else, both long enough in.
    fn pair(&mut self, at_ms: u64) -> Option<(usize, usize)> {
        let deputies = (0..self.people.len()).filter(|index| self.people[*index].co_host || *index == 0);
        let by = deputies
            .filter(|index| self.is_settled(*index, at_ms))
            .collect::<Vec<_>>();
        let by = *by.get(self.draw.index(by.len().max(1)))?;
        let who = self
            .settled(at_ms)
            .into_iter()
            .filter(|who| *who != by && *who != 0);
        let who = who.collect::<Vec<_>>();
        let who = *who.get(self.draw.index(who.len().max(1)))?;
        // A co-host has no power over another.
        (by == 0 || !self.people[who].co_host).then_some((by, who))
    }

    fn is_settled(&self, index: usize, at_ms: u64) -> bool {
        let person = &self.people[index];
        !person.crashed && person.since_ms.is_some_and(|since| since + SETTLE_MS <= at_ms)
    }

    fn settled(&self, at_ms: u64) -> Vec<usize> {
        (0..self.people.len())
            .filter(|index| self.is_settled(*index, at_ms))
            .collect()
    }

    fn remove(&mut self, at_ms: u64) -> Option<Action> {
        let (by, who) = self.pair(at_ms)?;
        self.people[who] = Person::default();
        Some(Action::Remove {
            who: self.name(who),
            by: self.name(by),
            stays: self.draw.one_in(2),
        })
    }

    fn crash(&mut self, at_ms: u64) -> Option<Action> {
        let who = self.any(at_ms)?;
        self.people[who].crashed = true;
        Some(Action::Crash { who: self.name(who) })
    }

    fn restart(&mut self, at_ms: u64) -> Option<Action> {
        let crashed = self.people.iter().position(|person| person.crashed);
        let who = crashed.filter(|_| at_ms <= self.plan.restarts_end_ms)?;
        self.people[who].crashed = false;
        self.people[who].since_ms = Some(at_ms);
        // Each in its turn: as often with its disk as without.
        let forgets = at_ms.is_multiple_of(2);
        Some(Action::Restart {
            who: self.name(who),
            forgets,
        })
    }

    /// The host stays: without it nobody new gets in, which is no fault.
    fn leave(&mut self, at_ms: u64) -> Option<Action> {
        let who = self.any(at_ms).filter(|who| *who != 0)?;
        self.people[who] = Person::default();
        Some(Action::Leave { who: self.name(who) })
    }

    fn role(&mut self, at_ms: u64) -> Option<Action> {
        let (by, who) = self.pair(at_ms).filter(|(by, _)| *by == 0)?;
        let role = ["co-host", "speaker", "listener"][self.draw.index(3)];
        self.people[who].co_host = role == "co-host";
        Some(Action::Role {
            who: self.name(who),
            by: self.name(by),
            role: role.to_owned(),
        })
    }

    fn fail_relay(&mut self) -> Option<Action> {
        let alive: Vec<usize> = (0..self.relays_alive.len())
            .filter(|index| self.relays_alive[*index])
            .collect();
        let index = *alive.get(self.draw.index(alive.len().max(1)))?;
        // The last permitted one that works stays, or those who take no direct links are alone.
        let spare = alive
            .iter()
            .any(|other| *other != index && self.relays_permitted[*other]);
        if self.relays_permitted[index] && !spare {
            return None;
        }
        self.relays_alive[index] = false;
        let relay = self.scenario.relays[index].name.clone();
        Some(if self.draw.one_in(3) {
            Action::Tamper { relay }
        } else {
            Action::KillRelay { relay }
        })
    }

    fn part(&mut self) -> Action {
        self.parted = true;
        let members = self.scenario.members.iter().map(|member| &member.name);
        let relays = self.scenario.relays.iter().map(|relay| &relay.name);
        let side = members.chain(relays).filter(|_| self.draw.one_in(2));
        Action::Partition {
            side: side.cloned().collect(),
        }
    }

    fn heal(&mut self) -> Option<Action> {
        std::mem::take(&mut self.parted).then_some(Action::Heal {})
    }

    fn speech(&mut self, at_ms: u64) -> Option<Action> {
        let who = self.any(at_ms)?;
        let who = self.name(who);
        Some(if self.draw.one_in(2) {
            Action::Mute { who }
        } else {
            Action::Unmute { who }
        })
    }

    /// Chat and hands.
    fn talk(&mut self, at_ms: u64) -> Option<Action> {
        let who = self.any(at_ms)?;
        let who = self.name(who);
        Some(if self.draw.one_in(3) {
            let up = !self.draw.one_in(3);
            Action::Hand { who, up }
        } else {
            let text = format!("said at {at_ms}");
            Action::Say { who, text, to: None }
        })
    }

    fn any(&mut self, at_ms: u64) -> Option<usize> {
        let settled = self.settled(at_ms);
        settled.get(self.draw.index(settled.len().max(1))).copied()
    }

    fn name(&self, index: usize) -> String {
        self.scenario.members[index].name.clone()
    }
}
