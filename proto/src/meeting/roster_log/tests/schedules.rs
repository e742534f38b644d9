//! Random schedules: people act at once, messages are lost, doubled and reordered, the network splits, some cheat.
//! Afterwards everybody has the same roster.
//!
//! `SUBROSA_SEED=… cargo test -p subrosa-proto roster_log::tests::schedules` repeats one schedule;
//! `SUBROSA_SCHEDULES=…` sets how many are tried.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{World, pull, recomputed};
use crate::{
    ids::{MemberId, OperationHash, PolicyHash},
    meeting::{
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::RosterLog,
    },
    random::Random,
};

const SCHEDULES: u64 = 2_000;
const STEPS: usize = 45;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable)
        .ok()
        .map(|text| text.parse().expect("a number"))
}

/// Every fourth schedule from `first`; four tests, so that they run beside each other.
fn run_quarter(first: u64) {
    if let Some(seed) = number("SUBROSA_SEED") {
        if first == 0 {
            run(seed);
        }
        return;
    }
    let schedules = number("SUBROSA_SCHEDULES").unwrap_or(SCHEDULES);
    for seed in (first..schedules).step_by(4) {
        let result = std::panic::catch_unwind(|| run(seed));
        assert!(
            result.is_ok(),
            "schedule {seed} failed; repeat it with\n  \
             SUBROSA_SEED={seed} cargo test -p subrosa-proto roster_log::tests::schedules"
        );
    }
}

#[test]
fn all_replicas_converge_1() {
    run_quarter(0);
}

#[test]
fn all_replicas_converge_2() {
    run_quarter(1);
}

#[test]
fn all_replicas_converge_3() {
    run_quarter(2);
}

#[test]
fn all_replicas_converge_4() {
    run_quarter(3);
}

struct Schedule {
    world: World,
    random: Random,
    /// In which part of a split network each person is.
    part: Vec<u64>,
    under_way: Vec<(usize, SignedOperation)>,
    cheats: bool,
}

fn run(seed: u64) {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut random = Random::from_seed(bytes);
    let count = 6 + usize::try_from(random.next_u64() % 4).unwrap();
    let cheats = random.next_u64().is_multiple_of(2);
    let mut schedule = Schedule {
        world: World::usual(count),
        random,
        part: vec![0; count],
        under_way: Vec::new(),
        cheats,
    };
    for _ in 0..STEPS {
        schedule.step();
    }
    schedule.heal();
    schedule.check();
}

impl Schedule {
    fn pick(&mut self, below: usize) -> usize {
        usize::try_from(self.random.next_u64() % below as u64).unwrap()
    }

    fn step(&mut self) {
        let count = self.world.people.len();
        match self.pick(20) {
            0 => self.part = (0..count).map(|_| self.random.next_u64() % 2).collect(),
            1 => self.part = vec![0; count],
            2 | 3 => {
                let (from, to) = (self.pick(count), self.pick(count));
                if self.part[from] == self.part[to] {
                    pull(&mut self.world.logs, from, to);
                }
            }
            4..=11 => self.deliver(),
            12 if self.cheats => self.cheat(),
            _ => {
                let person = self.pick(count);
                let op = self.any_op(person);
                if let Ok(operation) = self.world.author(person, op) {
                    assert_eq!(self.world.view(person), &recomputed(&self.world.logs[person]));
                    self.send(person, &operation);
                }
            }
        }
    }

    fn any_op(&mut self, author: usize) -> Op {
        const ROLES: [Role; 8] = [
            Role::Listener,
            Role::Speaker,
            Role::Speaker,
            Role::Interpreter,
            Role::CoHost,
            Role::CoHost,
            Role::CoHost,
            Role::Host,
        ];
        let count = self.world.people.len();
        let target = (author + 1 + self.pick(count - 1)) % count;
        match self.pick(16) {
            0..=4 => {
                let role = ROLES[self.pick(4)];
                self.world.admit(target, role)
            }
            5..=8 => self.world.remove(target),
            9..=11 => {
                let role = ROLES[self.pick(8)];
                self.world.role(target, role)
            }
            12 | 13 => Op::Lock {
                locked: !self.world.view(author).locked,
            },
            14 => Op::Policy {
                policy: PolicyHash(self.random.bytes()),
            },
            _ => Op::Leave,
        }
    }

    /// To everybody in the same part; some messages are lost, some doubled.
    fn send(&mut self, from: usize, operation: &SignedOperation) {
        for to in 0..self.world.people.len() {
            let copies = [0, 1, 1, 1, 2][self.pick(5)];
            if to != from && self.part[from] == self.part[to] {
                self.under_way
                    .extend((0..copies).map(|_| (to, operation.clone())));
            }
        }
    }

    /// A few messages arrive, in any order.
    fn deliver(&mut self) {
        for _ in 0..6 {
            if self.under_way.is_empty() {
                return;
            }
            let i = self.pick(self.under_way.len());
            let (to, operation) = self.under_way.swap_remove(i);
            let _ = self.world.logs[to].insert(operation);
        }
    }

    /// Somebody signs on top of an old state: a second operation with a number, or one that pretends to be older.
    fn cheat(&mut self) {
        let person = self.pick(self.world.people.len());
        let log = &self.world.logs[person];
        let all = log.operations_since(&[], 0).operations;
        if all.is_empty() {
            return;
        }
        let base = self.pick(all.len());
        let id = self.world.id(person);
        let past = closure(&all, &[all[base].hash()]);
        let own = all
            .iter()
            .filter(|op| op.author() == id && past.contains(&op.hash()))
            .count();
        let op = self.any_op(person);
        let Ok(forged) = SignedOperation::sign(
            &self.world.people[person],
            super::world::MEETING,
            u32::try_from(own).unwrap(),
            vec![all[base].hash()],
            op,
        ) else {
            return;
        };
        // At most two operations of one number: more are taken only when vouched for, which has its own test.
        let twins = |log: &RosterLog| {
            let same = |op: &&SignedOperation| {
                op.author() == id
                    && op.operation().seq == forged.operation().seq
                    && op.hash() != forged.hash()
            };
            let hashes: Vec<_> = log
                .operations_since(&[], 0)
                .operations
                .iter()
                .filter(same)
                .map(SignedOperation::hash)
                .collect();
            hashes
        };
        let others: BTreeSet<_> = self.world.logs.iter().flat_map(twins).collect();
        let waiting = self.under_way.iter().any(|(_, op)| op.author() == id);
        if others.len() < 2 && !waiting {
            let to = self.pick(self.world.people.len());
            let _ = self.world.logs[to].insert(forged.clone());
            self.send(to, &forged);
        }
    }

    fn heal(&mut self) {
        self.part.fill(0);
        let everybody: Vec<usize> = (0..self.world.people.len()).collect();
        self.world.sync(&everybody);
        while !self.under_way.is_empty() {
            self.deliver();
        }
        self.world.sync(&everybody);
    }

    fn check(&mut self) {
        let view = self.world.view(0).clone();
        let all = self.world.logs[0].operations_since(&[], 0).operations;
        for member in view.members.keys() {
            assert!(!view.removed.contains_key(member) && !view.left.contains(member));
            assert!(!view.equivocators.contains(member));
        }
        let hosts = view
            .members
            .values()
            .filter(|member| member.role == Role::Host)
            .count();
        assert!(hosts <= 1, "{hosts} hosts");
        self.check_order_does_not_matter(&all);
        check_removals_stick(self.world.id(0), &view.members.keys().copied().collect(), &all);
        let heads = self.world.logs[0].heads();
        let members = self.world.logs[0].members_at(&heads);
        assert!(
            self.world
                .logs
                .iter()
                .all(|log| log.members_at(&heads) == members)
        );
    }

    /// A fresh replica that gets everything in any order ends with the same roster.
    fn check_order_does_not_matter(&mut self, all: &[SignedOperation]) {
        let mut order: Vec<&SignedOperation> = all.iter().collect();
        for i in (1..order.len()).rev() {
            let j = self.pick(i + 1);
            order.swap(i, j);
        }
        let mut fresh = RosterLog::new(super::world::MEETING, self.world.id(0));
        for operation in order {
            fresh.insert(operation.clone()).unwrap();
        }
        assert_eq!(fresh.view(), self.world.view(0));
    }
}

/// Whom the founder removed while it was host is in only if an Admit follows; unless the founder equivocated.
fn check_removals_stick(founder: MemberId, members: &BTreeSet<MemberId>, all: &[SignedOperation]) {
    let parents: BTreeMap<OperationHash, &[OperationHash]> = all
        .iter()
        .map(|op| (op.hash(), op.operation().parents.as_slice()))
        .collect();
    assert_eq!(parents.len(), all.len());
    let handed_over = all
        .iter()
        .any(|op| op.author() == founder && matches!(op.operation().op, Op::Role { role: Role::Host, .. }));
    if handed_over {
        return;
    }
    let removes = all.iter().filter_map(|op| match op.operation().op {
        Op::Remove { member, .. } if op.author() == founder => Some((op.hash(), member)),
        _ => None,
    });
    for (remove, member) in removes.filter(|(_, member)| members.contains(member)) {
        let follows = all.iter().any(|op| match op.operation().op {
            Op::Admit { member: admitted, .. } => {
                admitted == member && closure(all, &[op.hash()]).contains(&remove)
            }
            _ => false,
        });
        assert!(follows, "{member:?} is in after {remove:?}");
    }
}

fn closure(all: &[SignedOperation], heads: &[OperationHash]) -> BTreeSet<OperationHash> {
    let parents: BTreeMap<OperationHash, &[OperationHash]> = all
        .iter()
        .map(|op| (op.hash(), op.operation().parents.as_slice()))
        .collect();
    let (mut set, mut work) = (BTreeSet::new(), heads.to_vec());
    while let Some(hash) = work.pop() {
        if set.insert(hash) {
            work.extend(parents.get(&hash).copied().unwrap_or_default());
        }
    }
    set
}
