//! A day in one meeting: 200 members, and some 10,000 who come, leave or are removed. What the log costs must not grow.
//!
//! `cargo test --release -p subrosa-proto roster_log::tests::day -- --nocapture` prints the figures.

use std::time::{Duration, Instant};

use super::world::{World, pull};
use crate::{
    meeting::{
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::{COMPACT_AFTER, RosterLog, ancestors::PlaceSet},
    },
    random::Random,
};

const CHURN: usize = 10_000;
const MEMBERS: usize = 200;
const HOURS: usize = 24;

/// What one hour costs.
#[derive(Debug, Default)]
struct Hour {
    log_max: usize,
    held_max: usize,
    newcomer_max: usize,
    checkpoints: usize,
    times: Vec<Duration>,
}

/// Bytes of what a newcomer is sent.
fn newcomer_bytes(log: &RosterLog) -> usize {
    let state = log.checkpoint().map_or(0, |base| base.encode().len());
    let (mut bytes, mut cursor) = (state, Some(0));
    while let Some(at) = cursor {
        let batch = log.operations_since(&[], at);
        let size = |operation: &SignedOperation| operation.body().len() + 64;
        bytes += batch.operations.iter().map(size).sum::<usize>();
        cursor = batch.next;
    }
    bytes
}

#[test]
#[expect(clippy::disallowed_methods, reason = "measures time")]
fn what_the_log_costs_does_not_grow() {
    let people = 4_000;
    let mut world = World::usual(people);
    let mut random = Random::from_seed([8; 32]);
    let mut pick = |below: usize| usize::try_from(random.next_u64() % below as u64).unwrap();
    for person in 6..MEMBERS {
        world.must(0, world.admit(person, Role::Speaker));
    }
    let mut hours: Vec<Hour> = (0..HOURS).map(|_| Hour::default()).collect();
    for act in 0..CHURN {
        let hour = &mut hours[act * HOURS / CHURN];
        let count = world.view(0).members.len();
        let person = loop {
            let person = 6 + pick(people - 6);
            if world.is_in(0, person) == (count >= MEMBERS) {
                break person;
            }
        };
        let author = 1 + pick(2);
        pull(&mut world.logs, 0, author);
        let operation = match (count >= MEMBERS, pick(4)) {
            (false, _) => world.must(author, world.admit(person, Role::Speaker)),
            (true, 0) => world.must(author, world.remove(person)),
            (true, _) => {
                let log = &world.logs[0];
                let seq = log.graph.next_seq(&world.id(person), &PlaceSet::first(log.len()));
                world.forge(person, seq, &log.heads(), Op::Leave)
            }
        };
        let start = Instant::now();
        world.logs[0].insert(operation).unwrap();
        let _ = world.logs[0].view();
        hour.times.push(start.elapsed());
        if world.logs[0].is_ripe(COMPACT_AFTER) {
            world.checkpoint(0).unwrap();
            hour.checkpoints += 1;
        }
        hour.log_max = hour.log_max.max(world.logs[0].len());
        if act % 25 == 0 {
            hour.held_max = hour.held_max.max(world.logs[0].bytes_held());
            hour.newcomer_max = hour.newcomer_max.max(newcomer_bytes(&world.logs[0]));
        }
    }
    println!("hour  checkpoints  operations  bytes held  bytes to a newcomer  median  99 %");
    for (number, hour) in hours.iter_mut().enumerate() {
        hour.times.sort_unstable();
        let share = |percent: usize| hour.times[(hour.times.len() - 1) * percent / 100];
        println!(
            "{:>4}  {:>11}  {:>10}  {:>10}  {:>19}  {:?}  {:?}",
            number + 1,
            hour.checkpoints,
            hour.log_max,
            hour.held_max,
            hour.newcomer_max,
            share(50),
            share(99)
        );
    }
    // The lists of those who left and were removed fill up, to a bound; beside them nothing grows.
    let (half, last) = (&hours[HOURS / 2], &hours[HOURS - 1]);
    for hour in &hours {
        assert!(hour.log_max <= COMPACT_AFTER + 1, "{}", hour.log_max);
        assert!(hour.newcomer_max < 400 * 1_024, "{}", hour.newcomer_max);
        assert!(hour.checkpoints > 0);
    }
    assert!(last.held_max <= half.held_max * 11 / 10);
    assert!(last.newcomer_max <= half.newcomer_max * 11 / 10);
    let start = Instant::now();
    pull(&mut world.logs, 0, people - 1);
    println!(
        "a newcomer at the end of the day takes everything in {:?}",
        start.elapsed()
    );
    assert_eq!(world.view(people - 1).members, world.view(0).members);
}
