//! Pending operations, heads, batches, bounds.

use super::world::{MEETING, World, pull};
use crate::{
    ids::OperationHash,
    meeting::{
        operation::{Op, PARENTS_MAX},
        role::Role,
        roster_log::{BATCH_OPERATIONS_MAX, Inserted, MISSING_MAX, PENDING_MAX, RosterLog},
    },
};

#[test]
fn operations_in_reverse_order_wait_and_then_all_enter() {
    let world = World::usual(6);
    let mut operations = world.logs[0].operations_since(&[], 0).operations;
    let mut log = RosterLog::new(MEETING, world.id(0));
    let first = operations.remove(0);
    for operation in operations.iter().rev() {
        assert_eq!(log.insert(operation.clone()), Ok(Inserted::Pending));
        assert_eq!(log.insert(operation.clone()), Ok(Inserted::Pending));
    }
    assert_eq!(log.missing(), [first.hash()]);
    assert_eq!(
        world.logs[0].operations(&log.missing()),
        std::slice::from_ref(&first)
    );
    assert_eq!(
        log.insert(first.clone()),
        Ok(Inserted::Added(operations.len() + 1))
    );
    assert_eq!(log.insert(first), Ok(Inserted::Known));
    assert_eq!((log.pending_len(), log.missing().len()), (0, 0));
    assert_eq!(log.view(), world.view(0));
}

#[test]
fn what_rests_on_a_refused_operation_is_dropped() {
    let mut world = World::usual(7);
    let heads = world.logs[0].heads();
    let refused = world.forge(3, 0, &heads, world.remove(4));
    let child = world.forge(3, 1, &[refused.hash()], Op::Leave);
    assert_eq!(world.logs[0].insert(child), Ok(Inserted::Pending));
    assert!(world.logs[0].insert(refused).is_err());
    assert_eq!(world.logs[0].pending_len(), 0);
}

#[test]
fn waiting_operations_are_bounded_and_strangers_go_first() {
    let mut world = World::usual(8);
    let nowhere = |i: usize| {
        let mut hash = OperationHash([9; 32]);
        hash.0[..8].copy_from_slice(&i.to_be_bytes());
        hash
    };
    let by_member = world.forge(3, 0, &[nowhere(0)], Op::Leave);
    world.logs[0].insert(by_member.clone()).unwrap();
    for i in 1..=PENDING_MAX + 10 {
        let forged = world.forge(6, 0, &[nowhere(i)], Op::Leave);
        assert_eq!(world.logs[0].insert(forged), Ok(Inserted::Pending));
    }
    assert_eq!(world.logs[0].pending_len(), PENDING_MAX);
    assert_eq!(world.logs[0].missing().len(), MISSING_MAX);
    assert_eq!(world.logs[0].missing()[0], nowhere(0));
}

#[test]
fn many_leave_at_once_and_everything_still_travels() {
    let count = 200;
    let mut world = World::new(count);
    for person in 1..count {
        world.must(0, world.admit(person, Role::Speaker));
    }
    for person in 1..count {
        pull(&mut world.logs, 0, person);
    }
    for person in 2..count {
        world.must(person, Op::Leave);
    }
    for person in 2..count {
        pull(&mut world.logs, person, 0);
    }
    assert_eq!(world.logs[0].heads().len(), PARENTS_MAX);
    let batch = world.logs[0].operations_since(&world.logs[1].heads(), 0);
    assert_eq!(batch.operations.len(), BATCH_OPERATIONS_MAX);
    world.sync(&[0, 1]);
    assert_eq!(world.view(1).members.len(), 2);
    assert_eq!(world.logs[0].len(), 2 * count - 2);
    // Whoever left can be admitted again although its Leave is one of nearly 200 heads.
    world.must(0, world.admit(150, Role::Speaker));
    assert!(world.is_in(0, 150));
    // Heads are joined by what follows.
    for _ in 0..15 {
        world.must(0, Op::Lock { locked: true });
        world.must(0, Op::Lock { locked: false });
    }
    assert_eq!(world.logs[0].heads().len(), 1);
}
