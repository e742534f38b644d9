//! Random schedules: everybody talks while messages are lost, doubled and reordered, the network splits, people come,
//! go, and restart. Afterwards every screen shows the same.
//!
//! `SUBROSA_SEED=… cargo test -p subrosa-proto conversation::tests::schedules` repeats one schedule;
//! `SUBROSA_SCHEDULES=…` sets how many are tried.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::super::{
    ConversationCommand, ConversationEvent,
    item::{ItemHash, OrderKey},
    reactions::Reaction,
};
use super::world::{Weather, World};
use crate::{ids::MemberId, meeting::role::Role, time::Timestamp};

const SCHEDULES: u64 = 1_002;
const STEPS: usize = 60;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

/// Every third schedule from `first`; three tests, so that they run beside each other.
fn run_third(first: u64) {
    if let Some(seed) = number("SUBROSA_SEED") {
        if first == 0 {
            Schedule::run(seed);
        }
        return;
    }
    let schedules = number("SUBROSA_SCHEDULES").unwrap_or(SCHEDULES);
    for seed in (first..schedules).step_by(3) {
        let result = std::panic::catch_unwind(|| Schedule::run(seed));
        assert!(
            result.is_ok(),
            "schedule {seed} failed; repeat it with\n  \
             SUBROSA_SEED={seed} cargo test -p subrosa-proto conversation::tests::schedules"
        );
    }
}

#[test]
fn all_screens_agree_1() {
    run_third(0);
}

#[test]
fn all_screens_agree_2() {
    run_third(1);
}

#[test]
fn all_screens_agree_3() {
    run_third(2);
}

/// Something that was said to everybody.
struct Spoken {
    by: usize,
    at: Timestamp,
    key: OrderKey,
    audience: BTreeSet<MemberId>,
}

struct Schedule {
    world: World,
    spoken: Vec<Spoken>,
    private: Vec<(usize, usize, Timestamp, String)>,
    polls: Vec<ItemHash>,
    said: usize,
}

impl Schedule {
    fn run(seed: u64) {
        let members = 3 + (seed % 5) as usize;
        let mut world = World::new(seed, members);
        let bad = seed % 4;
        world.weather = Weather {
            lost_percent: [0, 5, 20, 35][bad as usize],
            doubled_percent: [0, 10, 20, 5][bad as usize],
            delay_ms_max: [40, 200, 400, 900][bad as usize],
        };
        let mut schedule = Self {
            world,
            spoken: Vec::new(),
            private: Vec::new(),
            polls: Vec::new(),
            said: 0,
        };
        for _ in 0..STEPS {
            schedule.step();
            let pause = schedule.world.random.next_u64() % 400;
            schedule.world.run(Duration::from_millis(pause));
        }
        schedule.world.heal();
        schedule.world.run(Duration::from_secs(20));
        // One message lost in the end would take another round: the weather clears, as it does.
        schedule.world.weather.lost_percent = 0;
        schedule.world.run(Duration::from_secs(25));
        schedule.check();
    }

    fn step(&mut self) {
        let index = self.world.pick(self.world.nodes.len());
        if !self.world.is_in(index) {
            return;
        }
        match self.world.pick(20) {
            0..=7 => self.say(index),
            8 | 9 => self.say_privately(index),
            10 => self.world.command(index, ConversationCommand::Hand(true)),
            11 => self.world.command(index, ConversationCommand::Hand(false)),
            12 => {
                let hand =
                    self.world.nodes[self.world.random.next_u64() as usize % self.world.nodes.len()].id;
                self.world.command(0, ConversationCommand::LowerHand(hand));
            }
            13 => self.open_poll(index),
            14 | 15 => self.vote(index),
            16 => self.close_poll(index),
            17 if self.world.nodes.len() < 9 && self.world.chance(50) => {
                self.world.join(Role::Speaker);
            }
            17 if index > 0 && self.world.chance(30) => self.world.remove(index),
            18 if self.world.chance(40) => self.world.restart(index),
            18 => self
                .world
                .command(index, ConversationCommand::React(Reaction::Clap)),
            19 if self.world.chance(50) => {
                let sides = (0..self.world.nodes.len())
                    .map(|_| self.world.chance(50))
                    .collect();
                self.world.split(sides);
            }
            _ => self.world.heal(),
        }
    }

    fn say(&mut self, index: usize) {
        self.said += 1;
        let text = format!("line {}", self.said);
        let before = self.world.nodes[index].events.len();
        let audience = self.world.rosters.0[self.world.nodes[index].known].member_ids();
        self.world.say(index, &text);
        let node = &self.world.nodes[index];
        for (at, event) in &node.events[before..] {
            if let ConversationEvent::Said(said) = event {
                self.spoken.push(Spoken {
                    by: index,
                    at: *at,
                    key: said.order,
                    audience: audience.clone(),
                });
            }
        }
    }

    fn say_privately(&mut self, index: usize) {
        let other = self.world.pick(self.world.nodes.len());
        if other == index || !self.world.is_in(other) {
            return;
        }
        self.said += 1;
        let text = format!("secret {}", self.said);
        let (to, now) = (self.world.nodes[other].id, self.world.now);
        let before = self.world.nodes[index].events.len();
        let command = ConversationCommand::Say {
            to: Some(to),
            text: text.clone(),
        };
        self.world.command(index, command);
        let told = &self.world.nodes[index].events[before..];
        if told
            .iter()
            .any(|(_, event)| matches!(event, ConversationEvent::Said(_)))
        {
            self.private.push((index, other, now, text));
        }
    }

    fn open_poll(&mut self, index: usize) {
        let command = ConversationCommand::OpenPoll {
            question: format!("question {}", self.polls.len()),
            options: ["yes", "no", "perhaps"].map(str::to_owned).to_vec(),
            multiple: self.polls.len() % 2 == 1,
        };
        let before = self.world.nodes[index].events.len();
        self.world.command(index, command);
        for (_, event) in &self.world.nodes[index].events[before..] {
            if let ConversationEvent::Poll(view) = event {
                self.polls.push(view.id);
            }
        }
    }

    fn vote(&mut self, index: usize) {
        if let Some(poll) = self.any_poll() {
            let choices = vec![self.world.pick(3) as u8];
            self.world
                .command(index, ConversationCommand::Vote { poll, choices });
        }
    }

    fn close_poll(&mut self, index: usize) {
        if let Some(poll) = self.any_poll() {
            self.world.command(index, ConversationCommand::ClosePoll(poll));
        }
    }

    fn any_poll(&mut self) -> Option<ItemHash> {
        let index = self.world.pick(self.polls.len());
        self.polls.get(index).copied()
    }

    fn check(&self) {
        let present: Vec<usize> = (0..self.world.nodes.len())
            .filter(|i| self.world.is_in(*i))
            .collect();
        self.check_screens(&present);
        self.check_private(&present);
        self.check_state(&present);
        for node in present.iter().map(|index| &self.world.nodes[*index]) {
            let holds = node.conversation.holdings();
            assert_eq!(holds.waiting, 0, "items wait for ever");
            assert!(holds.items <= 256 * 9 && holds.bytes <= 4 * 1_024 * 1_024);
        }
    }

    fn check_screens(&self, present: &[usize]) {
        for &index in present {
            let node = &self.world.nodes[index];
            let screen: Vec<OrderKey> = node.screen().iter().map(|(key, ..)| *key).collect();
            assert!(
                screen.windows(2).all(|pair| pair[0] < pair[1]),
                "{index} was told something twice"
            );
            let shown: BTreeSet<OrderKey> = screen.into_iter().collect();
            for spoken in &self.spoken {
                let meant = spoken.audience.contains(&node.id);
                assert!(
                    meant || !shown.contains(&spoken.key),
                    "{index} heard what was not for it"
                );
                let author = &self.world.nodes[spoken.by];
                let kept = present.contains(&spoken.by) && author.since <= spoken.at;
                assert!(
                    !(meant && kept) || shown.contains(&spoken.key),
                    "{index} misses what {} said at {:?}",
                    spoken.by,
                    spoken.at
                );
                // What one has of somebody who is still in, all have for whom it was meant.
                let another = present.iter().any(|other| {
                    let screen = self.world.nodes[*other].screen();
                    screen.iter().any(|(key, ..)| *key == spoken.key)
                });
                assert!(
                    !(meant && another && present.contains(&spoken.by)) || shown.contains(&spoken.key),
                    "{index} misses what others know"
                );
            }
        }
    }

    fn check_private(&self, present: &[usize]) {
        let mut expected: BTreeMap<(usize, usize), Vec<&str>> = BTreeMap::new();
        for (from, to, at, text) in &self.private {
            let stayed = |i: &usize| present.contains(i) && self.world.nodes[*i].since <= *at;
            if stayed(from) && stayed(to) {
                expected.entry((*from, *to)).or_default().push(text);
            }
        }
        for ((from, to), texts) in expected {
            let (from, to) = (&self.world.nodes[from], &self.world.nodes[to]);
            let came = to
                .said()
                .into_iter()
                .filter(|said| said.to == Some(to.id) && said.from == from.id);
            let came: Vec<String> = came.map(|said| said.text).collect();
            let positions: Vec<_> = texts
                .iter()
                .map(|text| came.iter().position(|t| t == text))
                .collect();
            assert!(positions.iter().all(Option::is_some), "a private message is lost");
            assert!(positions.is_sorted(), "private messages out of order");
            assert_eq!(
                came.len(),
                came.iter().collect::<BTreeSet<_>>().len(),
                "one came twice"
            );
        }
        for node in &self.world.nodes {
            let foreign =
                |said: &super::super::Said| said.to.is_some_and(|to| to != node.id && said.from != node.id);
            assert!(!node.said().iter().any(foreign), "a private message went astray");
        }
    }

    fn check_state(&self, present: &[usize]) {
        let order = |index: usize| {
            let told = self.world.nodes[index]
                .events
                .iter()
                .rev()
                .find_map(|(_, event)| match event {
                    ConversationEvent::Hands(order) => Some(order.clone()),
                    _ => None,
                });
            told.unwrap_or_default()
        };
        for pair in present.windows(2) {
            assert_eq!(order(pair[0]), order(pair[1]), "hands of {pair:?}");
        }
        for poll in &self.polls {
            let mut views = Vec::new();
            for &index in present {
                if let Some(mut view) = self.world.poll(index, poll) {
                    view.mine = None;
                    if let Some(closed) = &mut view.closed {
                        assert_eq!(closed.missing, 0, "a counted vote never came");
                        closed.uncounted = 0;
                    }
                    views.push(view);
                }
            }
            assert!(views.windows(2).all(|pair| pair[0] == pair[1]), "{views:#?}");
        }
    }
}
