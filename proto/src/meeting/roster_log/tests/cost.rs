//! What the log costs. Run with
//! `cargo test --release -p subrosa-proto roster_log::tests::cost -- --ignored --nocapture`.

use std::time::{Duration, Instant};

use super::world::{MEETING, World};
use crate::{
    meeting::{
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::{OPERATIONS_MAX, REMOVE_RESERVE, RosterLog},
    },
    random::Random,
};

/// Host and two co-hosts act at once in a meeting of about 200 with churn, until the log is nearly full.
fn churn() -> (World, Vec<SignedOperation>) {
    let people = 260;
    let mut world = World::usual(people);
    let mut random = Random::from_seed([5; 32]);
    let mut pick = |below: usize| usize::try_from(random.next_u64() % below as u64).unwrap();
    while world.logs[0].len() < OPERATIONS_MAX - REMOVE_RESERVE - 64 {
        for author in [0, 1, 2] {
            for _ in 0..4 {
                let person = 6 + pick(people - 6);
                let op = match (world.is_in(author, person), pick(8)) {
                    (false, _) => world.admit(person, Role::Speaker),
                    (true, 0) => world.role(person, Role::Listener),
                    (true, 1) => world.remove(person),
                    (true, _) => Op::Lock {
                        locked: !world.view(author).locked,
                    },
                };
                let _ = world.author(author, op);
            }
        }
        world.sync(&[0, 1, 2]);
    }
    let (mut all, mut cursor) = (Vec::new(), Some(0));
    while let Some(at) = cursor {
        let batch = world.logs[0].operations_since(&[], at);
        all.extend(batch.operations);
        cursor = batch.next;
    }
    (world, all)
}

#[test]
#[ignore = "a measurement"]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn inserting_into_a_full_log() {
    let (world, all) = churn();
    let mut log = RosterLog::new(MEETING, world.id(0));
    let (mut insert, mut view, mut times) = (Duration::ZERO, Duration::ZERO, Vec::new());
    for operation in &all {
        let operation = operation.clone();
        let start = Instant::now();
        log.insert(operation).unwrap();
        let inserted = start.elapsed();
        let _ = log.view();
        let both = start.elapsed();
        insert += inserted;
        view += both - inserted;
        times.push(both);
    }
    let count = u32::try_from(all.len()).unwrap();
    println!(
        "operations {count}, members at the end {}",
        log.view().members.len()
    );
    times.sort_unstable();
    let share = |percent: usize| times[(times.len() - 1) * percent / 100];
    println!(
        "mean insert {:?}, mean view after it {:?}",
        insert / count,
        view / count
    );
    println!(
        "both: median {:?}, 99 % {:?}, worst {:?}",
        share(50),
        share(99),
        share(100)
    );
    assert!(
        share(99) < Duration::from_millis(20),
        "far above what is expected"
    );
    let old = all[all.len() / 2].hash();
    let start = Instant::now();
    let _ = log.members_at(&[old]);
    println!("members_at an old state {:?}", start.elapsed());
    let mut bulk = RosterLog::new(MEETING, world.id(0));
    let start = Instant::now();
    for operation in all {
        bulk.insert(operation).unwrap();
    }
    let _ = bulk.view();
    println!("a late joiner takes the whole log in {:?}", start.elapsed());
}
