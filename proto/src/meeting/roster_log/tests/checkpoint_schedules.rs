//! Random schedules with checkpoints: people act at once, messages are lost, doubled and reordered, the network splits,
//! processes restart from what they kept, some people come late, some cheat, and the host writes checkpoints whether or not
//! others have what they hold. Afterwards everybody has the same roster, and removals have stuck.
//!
//! `SUBROSA_SEED=… cargo test -p subrosa-proto checkpoint_schedules` repeats one schedule; `SUBROSA_SCHEDULES=…` sets how
//! many are tried.

use std::collections::{BTreeMap, BTreeSet};

use super::world::{MEETING, World, pull, recomputed};
use crate::{
    ids::{MemberId, OperationHash, PolicyHash},
    meeting::{
        checkpoint::Checkpoint,
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::{InsertError, Inserted, RosterLog},
    },
    random::Random,
};

const SCHEDULES: u64 = 2_000;
const STEPS: usize = 90;

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
    let mut sum = Seen::default();
    for seed in (first..schedules).step_by(4) {
        let result = std::panic::catch_unwind(|| run(seed));
        let Ok(seen) = result else {
            panic!(
                "schedule {seed} failed; repeat it with\n  \
                 SUBROSA_SEED={seed} cargo test -p subrosa-proto checkpoint_schedules"
            );
        };
        sum.checkpoints += seen.checkpoints;
        sum.states_taken += seen.states_taken;
        sum.beside += seen.beside;
        sum.made_again += seen.made_again;
    }
    println!("{sum:?}");
    // The schedules reach what they are for.
    assert!(schedules < 100 || sum.checkpoints > schedules / 4 && sum.states_taken > schedules / 16);
    assert!(schedules < 100 || sum.beside > schedules / 16 && sum.made_again > 0);
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

/// How often what the schedules are for came about.
#[derive(Debug, Default)]
struct Seen {
    checkpoints: u64,
    states_taken: u64,
    /// Operations that at the end stand beside a checkpoint, and count.
    beside: u64,
    made_again: u64,
}

struct Schedule {
    world: World,
    random: Random,
    /// In which part of a split network each person is.
    part: Vec<u64>,
    under_way: Vec<(usize, SignedOperation)>,
    cheats: bool,
    forged: BTreeSet<(usize, u32)>,
    /// The host and two co-hosts stay so: then every Remove by one of them is in force.
    steady: bool,
    /// The Removes that their authors made, and whom they remove.
    removes: Vec<(OperationHash, MemberId)>,
    /// Which Removes a checkpoint's author knew.
    known_at: BTreeMap<OperationHash, BTreeSet<OperationHash>>,
    /// Whom somebody admitted, knowing which Removes.
    admits: Vec<(MemberId, BTreeSet<OperationHash>)>,
    /// What each person has come to know.
    known: Vec<BTreeSet<OperationHash>>,
    seen: Seen,
}

fn run(seed: u64) -> Seen {
    let mut bytes = [1; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    let mut random = Random::from_seed(bytes);
    let count = 6 + usize::try_from(random.next_u64() % 4).unwrap();
    let cheats = random.next_u64().is_multiple_of(3);
    let steady = !cheats && random.next_u64().is_multiple_of(2);
    let mut schedule = Schedule {
        world: World::usual(count),
        random,
        part: vec![0; count],
        under_way: Vec::new(),
        cheats,
        forged: BTreeSet::new(),
        steady,
        removes: Vec::new(),
        known_at: BTreeMap::new(),
        admits: Vec::new(),
        known: vec![BTreeSet::new(); count],
        seen: Seen::default(),
    };
    for _ in 0..STEPS {
        schedule.step();
    }
    schedule.heal();
    schedule.check();
    schedule.seen
}

impl Schedule {
    fn pick(&mut self, below: usize) -> usize {
        usize::try_from(self.random.next_u64() % below as u64).unwrap()
    }

    fn step(&mut self) {
        let count = self.world.people.len();
        match self.pick(24) {
            0 => self.part = (0..count).map(|_| self.random.next_u64() % 2).collect(),
            1 => self.part = vec![0; count],
            2..=4 => {
                let (from, to) = (self.pick(count), self.pick(count));
                if self.part[from] == self.part[to] {
                    self.pull(from, to);
                }
            }
            5..=13 => self.deliver(),
            14 if self.cheats => self.cheat(),
            15 => self.restart(),
            16 => self.checkpoint(),
            _ => {
                let person = self.pick(count);
                let op = self.any_op(person);
                self.act(person, op);
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
        let view = self.world.view(author);
        let (locked, in_charge_only) = (view.locked, view.sharing_in_charge_only);
        let silenced = view.silenced.contains(&self.world.id(target));
        match self.pick(19) {
            0..=5 => {
                let role = ROLES[self.pick(4)];
                self.world.admit(target, role)
            }
            6..=8 => self.world.remove(target),
            9..=12 => {
                let role = ROLES[self.pick(8)];
                self.world.role(target, role)
            }
            13 | 14 => Op::Lock { locked: !locked },
            15 => Op::Policy {
                policy: PolicyHash(self.random.bytes()),
            },
            16 => Op::Sharing {
                in_charge_only: !in_charge_only,
            },
            17 => Op::Reactions {
                member: self.world.id(target),
                allowed: silenced,
            },
            _ => Op::Leave,
        }
    }

    /// Whether an operation changes who is in charge.
    fn is_unsteady(&self, person: usize, op: &Op) -> bool {
        let leads = |member: &MemberId| (0..3).any(|leader| self.world.id(leader) == *member);
        match op {
            Op::Leave => person < 3,
            Op::Remove { member, .. } => leads(member),
            Op::Role { member, role } => leads(member) || role.is_in_charge(),
            _ => false,
        }
    }

    fn act(&mut self, person: usize, op: Op) {
        if self.steady && self.is_unsteady(person, &op) {
            return;
        }
        self.learn(person);
        if let Ok(operation) = self.world.author(person, op) {
            self.note(person, &operation);
        }
        self.make_again(person);
    }

    /// After somebody made an operation.
    fn note(&mut self, person: usize, operation: &SignedOperation) {
        let log = &self.world.logs[person];
        assert_eq!(log.view(), &recomputed(log));
        match operation.operation().op {
            Op::Remove { member, .. } => self.removes.push((operation.hash(), member)),
            Op::Admit { member, .. } => self.admits.push((member, self.known[person].clone())),
            Op::Checkpoint { .. } => {
                self.seen.checkpoints += 1;
                self.known_at.insert(operation.hash(), self.known[person].clone());
            }
            _ => {}
        }
        self.send(person, operation);
    }

    /// What the person's log has come to hold.
    fn learn(&mut self, person: usize) {
        let log = &self.world.logs[person];
        let here = self
            .removes
            .iter()
            .map(|(hash, _)| *hash)
            .filter(|hash| log.contains(hash));
        self.known[person].extend(here);
        if let Some(base) = log.checkpoint() {
            let stated = &self.known_at[&base.operation.hash()];
            self.known[person].extend(stated.iter().copied());
        }
    }

    fn make_again(&mut self, person: usize) {
        self.learn(person);
        for operation in self.world.make_again(person) {
            self.seen.made_again += 1;
            self.note(person, &operation);
        }
    }

    fn pull(&mut self, from: usize, to: usize) {
        self.learn(to);
        let before = self.world.logs[to].checkpoint().map(|base| base.operation.hash());
        pull(&mut self.world.logs, from, to);
        let after = self.world.logs[to].checkpoint().map(|base| base.operation.hash());
        self.seen.states_taken += u64::from(before != after);
        self.make_again(to);
    }

    /// The host writes one.
    fn checkpoint(&mut self) {
        let hosts = 0..self.world.people.len();
        let believes = |&person: &usize| self.world.role_of(person, person) == Some(Role::Host);
        let hosts: Vec<usize> = hosts.filter(believes).collect();
        if hosts.is_empty() {
            return;
        }
        let host = hosts[self.pick(hosts.len())];
        self.learn(host);
        if let Ok(operation) = self.world.checkpoint(host) {
            self.note(host, &operation);
        }
        self.make_again(host);
    }

    /// A process ends and comes back with what it kept.
    fn restart(&mut self) {
        let person = self.pick(self.world.people.len());
        self.learn(person);
        let log = &self.world.logs[person];
        let mut again = RosterLog::new(MEETING, self.world.id(0));
        if let Some(base) = log.checkpoint() {
            let kept = Checkpoint::decode(&base.encode(), MEETING, self.world.id(0)).unwrap();
            assert_eq!(again.take_checkpoint(kept), Ok(true));
        }
        for operation in log.operations_since(&[], 0).operations {
            let inserted = again.insert(operation);
            assert!(
                matches!(inserted, Ok(Inserted::Added(1) | Inserted::Known)),
                "{inserted:?}"
            );
        }
        assert_eq!(again.view(), log.view());
        assert_eq!(again.heads(), log.heads());
        self.world.logs[person] = again;
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
            self.learn(to);
            let inserted = self.world.logs[to].insert(operation);
            assert_ne!(inserted, Err(InsertError::State), "an honest host's checkpoint");
            self.make_again(to);
        }
    }

    /// Somebody signs on top of an old state: a second operation with a number, or one that pretends to be older. Nobody
    /// hands the meeting to two people: that splits it.
    fn cheat(&mut self) {
        let person = self.pick(self.world.people.len());
        let log = &self.world.logs[person];
        if log.is_empty() {
            return;
        }
        let length = log.len();
        let at = self.pick(length);
        let log = &self.world.logs[person];
        let parent = log.graph.entry(at).signed.hash();
        let seq = log.graph.next_seq(&self.world.id(person), &log.past_of(&[at]));
        let op = self.any_op(person);
        if matches!(op, Op::Role { role: Role::Host, .. }) {
            return;
        }
        let Ok(forged) = SignedOperation::sign(&self.world.people[person], MEETING, seq, vec![parent], op)
        else {
            return;
        };
        // One for each number: with the author's own they are two. More are taken only when vouched for, which has its own
        // test.
        if self.forged.insert((person, seq)) {
            let to = self.pick(self.world.people.len());
            let _ = self.world.logs[to].insert(forged.clone());
            self.make_again(to);
            self.send(to, &forged);
        }
    }

    fn heal(&mut self) {
        self.part.fill(0);
        let count = self.world.people.len();
        while !self.under_way.is_empty() {
            self.deliver();
        }
        // What is made again travels too: a few rounds.
        for _ in 0..6 {
            for from in 0..count {
                for to in 0..count {
                    self.pull(from, to);
                }
            }
            self.under_way.clear();
        }
        let everybody: Vec<usize> = (0..count).collect();
        self.world.sync(&everybody);
    }

    fn check(&mut self) {
        let log = &self.world.logs[0];
        let view = log.view().clone();
        for member in view.members.keys() {
            assert!(!view.removed.contains_key(member) && !view.left.contains(member));
            assert!(!view.equivocators.contains(member));
        }
        let hosts = view.members.values().filter(|member| member.role == Role::Host);
        assert!(hosts.count() <= 1);
        let beside = log.graph.entries().filter(|entry| !entry.follows && !entry.void);
        self.seen.beside += beside.count() as u64;
        let heads = log.heads();
        let members = log.members_at(&heads);
        for other in &self.world.logs {
            assert_eq!(other.members_at(&heads), members);
            let (ours, theirs) = (log.checkpoint(), other.checkpoint());
            assert_eq!(ours.map(|base| &base.state), theirs.map(|base| &base.state));
        }
        self.check_order_does_not_matter();
        if self.steady {
            self.check_removals_stick(&view.members.keys().copied().collect());
        }
    }

    /// A newcomer that gets the state and what came since in any order ends with the same roster.
    fn check_order_does_not_matter(&mut self) {
        let mut order = self.world.logs[0].operations_since(&[], 0).operations;
        for i in (1..order.len()).rev() {
            let j = self.pick(i + 1);
            order.swap(i, j);
        }
        let mut fresh = RosterLog::new(MEETING, self.world.id(0));
        let base = self.world.logs[0].checkpoint().cloned();
        let early = self.pick(2) == 0;
        if let Some(base) = base.clone().filter(|_| early) {
            fresh.take_checkpoint(base).unwrap();
        }
        for operation in order {
            fresh.insert(operation).unwrap();
        }
        if let Some(base) = base.filter(|_| !early) {
            fresh.take_checkpoint(base).unwrap();
        }
        assert_eq!(fresh.view(), self.world.view(0));
        assert_eq!(fresh.heads(), self.world.logs[0].heads());
        assert_eq!(fresh.pending_len(), 0);
    }

    /// Whom somebody removed is in only if it was admitted by somebody who knew of that.
    fn check_removals_stick(&self, members: &BTreeSet<MemberId>) {
        for (remove, member) in &self.removes {
            let knowing = |(admitted, known): &(MemberId, BTreeSet<OperationHash>)| {
                admitted == member && known.contains(remove)
            };
            assert!(
                !members.contains(member) || self.admits.iter().any(knowing),
                "{member:?} is in after {remove:?}"
            );
        }
    }
}
