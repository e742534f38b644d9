//! Draws a scenario: first people and faults in any order, then a phase in which everything must recover.
//!
//! Only what somebody may do is drawn (a stranger's orders have tests of their own), so that everything a checker
//! complains of is a fault of the protocol.

use subrosa_proto::random::Random;

use crate::{
    checker::jurisdiction::permitted,
    scenario::{Action, Admission, Expect, MemberSpec, NetworkSpec, RelaySpec, Scenario, TimedAction},
};

/// People in a drawn meeting. Reason: most faults show with three, and a run takes time with their square.
const MEMBERS_MAX: u64 = 6;
const RELAYS_MAX: u64 = 3;
const ACTIONS_MAX: u64 = 12;
/// Faults end here, in milliseconds.
const FAULTS_END_MS: u64 = 22_000;
/// Then everything must recover within the seconds that are left: beyond the checkers' own patience under loss.
const SECONDS: u64 = 50;
/// So long somebody is left alone after joining, in milliseconds: an order about somebody whom its giver does not know
/// yet has no effect.
const SETTLE_MS: u64 = 4_000;
const NAMES: [&str; 6] = ["Ada", "Bea", "Cem", "Dag", "Eva", "Fay"];
const COUNTRIES: [&str; 6] = ["DE", "FR", "NO", "CH", "US", "JP"];
const POLICIES: [&str; 4] = ["any", "any", "eea", "eu"];

/// The scenario of a seed.
#[must_use]
pub fn generate(seed: u64) -> Scenario {
    let mut root = [0; 32];
    root[..8].copy_from_slice(&seed.to_le_bytes());
    root[31] = 0xf2;
    let mut draw = Draw(Random::from_seed(root));
    let relays = relays(&mut draw);
    let network = NetworkSpec {
        rtt_ms: draw.below(250) as f64 + 2.0,
        jitter_ms: draw.below(20) as f64,
        loss_percent: if draw.one_in(2) {
            0.0
        } else {
            draw.below(12) as f64
        },
    };
    let mut scenario = Scenario {
        passphrase: None,
        // So few that most runs pass one.
        checkpoint_after: Some(12),
        name: format!("drawn {seed}"),
        summary: format!("Drawn by `subrosa-sim fuzz --seed {seed} --count 1`"),
        seconds: SECONDS,
        policy: POLICIES[draw.index(POLICIES.len())].to_owned(),
        admission: Admission::Ticket,
        network,
        relays,
        members: Vec::new(),
        actions: Vec::new(),
        expect: Expect::default(),
    };
    let allowed = permitted(&scenario).expect("countries and policies of the lists below");
    scenario.members = members(&mut draw, &scenario.relays, allowed.contains(&true));
    Script::new(&mut draw, &mut scenario).write();
    scenario
}

/// Whether everybody has a way to everybody in the end: all take direct links, or a permitted relay does its work
/// throughout and the host names it. What fails without a way is no fault.
pub(super) fn has_a_way(scenario: &Scenario) -> bool {
    let failing = |name: &String| {
        scenario.actions.iter().any(|timed| {
            matches!(&timed.action, Action::KillRelay { relay } | Action::Tamper { relay } if relay == name)
        })
    };
    let works = permitted(scenario).is_ok_and(|permitted| {
        scenario.relays.iter().zip(permitted).any(|(relay, permitted)| {
            permitted && !failing(&relay.name) && scenario.members[0].relays.contains(&relay.name)
        })
    });
    works || scenario.members.iter().all(|member| member.direct)
}

fn relays(draw: &mut Draw) -> Vec<RelaySpec> {
    let count = draw.below(RELAYS_MAX + 1);
    (0..count)
        .map(|number| RelaySpec {
            name: format!("relay-{number}"),
            hosting: COUNTRIES[draw.index(COUNTRIES.len())].to_owned(),
            legal_seat: draw
                .one_in(3)
                .then(|| COUNTRIES[draw.index(COUNTRIES.len())].to_owned()),
        })
        .collect()
}

/// `permitted`: whether the policy permits a relay; without one, who takes no direct links is alone.
fn members(draw: &mut Draw, relays: &[RelaySpec], permitted: bool) -> Vec<MemberSpec> {
    let count = 2 + draw.index(MEMBERS_MAX as usize - 1);
    NAMES[..count]
        .iter()
        .enumerate()
        .map(|(index, name)| MemberSpec {
            name: (*name).to_owned(),
            direct: !permitted || !draw.one_in(3),
            speaks: !draw.one_in(5),
            relays: relays
                .iter()
                .filter(|_| index == 0 || draw.one_in(3))
                .map(|relay| relay.name.clone())
                .collect(),
            joins_at_ms: (index > 0).then(|| 100 + draw.below(8_000)),
            patience_s: 10,
            passphrase: None,
        })
        .collect()
}

/// What the author of the script knows of everybody.
#[derive(Clone, Copy, Default)]
struct Person {
    /// When they came; `None` while they are out.
    since_ms: Option<u64>,
    crashed: bool,
    co_host: bool,
}

struct Script<'a> {
    draw: &'a mut Draw,
    scenario: &'a mut Scenario,
    people: Vec<Person>,
    relays_alive: Vec<bool>,
    relays_permitted: Vec<bool>,
    parted: bool,
}

impl<'a> Script<'a> {
    fn new(draw: &'a mut Draw, scenario: &'a mut Scenario) -> Self {
        let people = scenario.members.iter().map(|member| Person {
            since_ms: Some(member.joins_at_ms.unwrap_or(0)),
            ..Person::default()
        });
        Self {
            people: people.collect(),
            relays_alive: vec![true; scenario.relays.len()],
            relays_permitted: permitted(scenario).expect("countries and policies of the lists above"),
            parted: false,
            draw,
            scenario,
        }
    }

    fn write(&mut self) {
        let count = 1 + self.draw.below(ACTIONS_MAX);
        let mut times: Vec<u64> = (0..count)
            .map(|_| 500 + self.draw.below(FAULTS_END_MS - 500))
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
        self.push(FAULTS_END_MS, Action::Heal {});
        for index in 0..self.people.len() {
            let who = self.name(index);
            if self.people[index].crashed {
                self.push(FAULTS_END_MS + 100, Action::Restart { who, forgets: true });
            }
        }
    }

    fn action(&mut self, at_ms: u64) -> Option<Action> {
        match self.draw.below(15) {
            0 | 1 => self.remove(at_ms),
            2 | 3 => self.crash(at_ms),
            4 | 5 => self.restart(at_ms),
            6 => self.leave(at_ms),
            7 => self.role(at_ms),
            8 => self.fail_relay(),
            9 => Some(self.part()),
            10 => self.heal(),
            11..=13 => self.talk(at_ms),
            _ => self.speech(at_ms),
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
        let who = self.people.iter().position(|person| person.crashed)?;
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

struct Draw(Random);

impl Draw {
    /// 0 to `n` - 1; the bias of 2⁻⁵⁶ hurts nobody.
    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    fn index(&mut self, n: usize) -> usize {
        usize::try_from(self.below(n as u64)).expect("below a usize")
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
