//! Each role tries each operation.

use super::world::{MEETING, World, found};
use crate::{
    ids::PolicyHash,
    meeting::{
        charge::proven_by,
        operation::{Op, SignedOperation},
        role::{Act, Role},
        roster::RosterChange,
        roster_log::{AuthorError, InsertError, Inserted, RosterLog},
    },
};

/// 0 host, 1 and 2 co-hosts, 3 and 4 speakers, 5 listener, 6 stranger, 7 has left, 8 was removed.
fn world() -> World {
    let mut world = World::usual(9);
    world.must(0, world.admit(7, Role::Speaker));
    world.must(0, world.admit(8, Role::Speaker));
    world.sync(&[0, 1, 2, 3, 4, 5, 7, 8]);
    world.must(7, Op::Leave);
    world.sync(&[0, 1, 2, 3, 4, 5, 7, 8]);
    world.must(0, world.remove(8));
    world.sync(&[0, 1, 2, 3, 4, 5, 7, 8]);
    world
}

type Refusal = Option<fn(&InsertError) -> bool>;

#[test]
fn every_role_tries_every_operation() {
    let allowed: Refusal = None;
    let forbidden: Refusal = Some(|error| matches!(error, InsertError::NotAllowed(_)));
    let target: Refusal = Some(|error| *error == InsertError::Target);
    let w = world();
    // Operation, and what becomes of it by the host, by co-host 1, and by anybody below.
    let cases: Vec<(Op, [Refusal; 3])> = vec![
        (w.admit(6, Role::Speaker), [allowed, allowed, forbidden]),
        (w.admit(6, Role::Listener), [allowed, allowed, forbidden]),
        (w.admit(7, Role::Speaker), [allowed, allowed, forbidden]),
        (w.admit(8, Role::Speaker), [allowed, allowed, forbidden]),
        (w.admit(2, Role::Speaker), [target, target, forbidden]),
        (w.remove(2), [allowed, forbidden, forbidden]),
        (w.remove(4), [allowed, allowed, forbidden]),
        (w.remove(6), [target, target, target]),
        (w.remove(7), [allowed, allowed, forbidden]),
        (w.remove(8), [target, target, target]),
        (w.role(4, Role::CoHost), [allowed, forbidden, forbidden]),
        (w.role(4, Role::Host), [allowed, forbidden, forbidden]),
        (w.role(4, Role::Listener), [allowed, allowed, forbidden]),
        (w.role(4, Role::Interpreter), [allowed, allowed, forbidden]),
        (w.role(4, Role::Speaker), [forbidden, forbidden, forbidden]),
        (w.role(2, Role::Speaker), [allowed, forbidden, forbidden]),
        (w.role(6, Role::Speaker), [target, target, target]),
        (Op::Lock { locked: true }, [allowed, allowed, forbidden]),
        (Op::Lock { locked: false }, [target, target, forbidden]),
        (
            Op::Policy {
                policy: PolicyHash([9; 32]),
            },
            [allowed, forbidden, forbidden],
        ),
        (
            Op::Policy {
                policy: PolicyHash([1; 32]),
            },
            [target, forbidden, forbidden],
        ),
        (Op::Leave, [allowed, allowed, allowed]),
    ];
    for (op, by) in cases {
        for (author, expected) in [(0, by[0]), (1, by[1]), (3, by[2]), (5, by[2])] {
            let mut world = world();
            let result = world.author(author, op.clone());
            match (result, expected) {
                (Ok(operation), None) => {
                    assert_eq!(
                        world.logs[2].insert(operation),
                        Ok(Inserted::Added(1)),
                        "{author} {op:?}"
                    );
                }
                (Err(AuthorError::Insert(error)), Some(is_expected)) => {
                    assert!(is_expected(&error), "{author} {op:?}: {error}");
                }
                (result, _) => panic!("{author} {op:?}: {result:?}"),
            }
        }
        // Those who are not in do nothing at all.
        for outsider in [6, 7, 8] {
            let mut world = world();
            let heads = world.logs[0].heads();
            let seq = if outsider == 7 { 1 } else { 0 };
            let Ok(forged) = SignedOperation::sign(&world.people[outsider], MEETING, seq, heads, op.clone())
            else {
                continue;
            };
            assert_eq!(
                world.logs[0].insert(forged),
                Err(InsertError::NotAMember),
                "{outsider} {op:?}"
            );
        }
    }
}

#[test]
fn only_the_host_of_the_ticket_founds() {
    let world = World::new(2);
    let mut log = RosterLog::new(MEETING, world.id(0));
    let forged = world.forge(1, 0, &[], found());
    assert_eq!(log.insert(forged), Err(InsertError::NotTheHost));
    assert!(log.is_empty());
}

#[test]
fn handing_over_swaps_the_roles() {
    let mut world = World::usual(6);
    world.must(0, world.role(3, Role::Host));
    world.sync(&[0, 1, 2, 3, 4, 5]);
    assert_eq!(
        (world.role_of(1, 3), world.role_of(1, 0)),
        (Some(Role::Host), Some(Role::CoHost))
    );
    assert_eq!(world.view(1).host(), Some(world.id(3)));
    let again = world.author(0, world.role(4, Role::CoHost));
    let act = Act::ChangeRole(Role::Speaker, Role::CoHost);
    assert_eq!(
        again.unwrap_err(),
        AuthorError::Insert(InsertError::NotAllowed(act))
    );
    world.must(3, world.remove(0));
    world.sync(&[0, 1, 2, 3, 4, 5]);
    assert!(!world.is_in(1, 0));
}

#[test]
fn nobody_is_admitted_while_locked() {
    let mut world = World::usual(7);
    world.must(1, Op::Lock { locked: true });
    let refused = world.author(1, world.admit(6, Role::Speaker));
    assert_eq!(refused.unwrap_err(), AuthorError::Insert(InsertError::Locked));
    world.must(1, Op::Lock { locked: false });
    world.must(1, world.admit(6, Role::Speaker));
    assert!(world.is_in(1, 6));
}

#[test]
fn a_changed_byte_is_refused() {
    let mut world = World::usual(7);
    let good = world.must(1, world.admit(6, Role::Speaker));
    for i in 0..good.body().len() {
        let mut body = good.body().to_vec();
        body[i] ^= 1;
        if let Ok(bad) = SignedOperation::from_parts(body, *good.signature()) {
            assert!(matches!(
                world.logs[0].insert(bad),
                Err(InsertError::Signature | InsertError::OtherMeeting)
            ));
        }
    }
    assert_eq!(world.logs[0].pending_len(), 0);
    assert_eq!(world.logs[0].insert(good), Ok(Inserted::Added(1)));
}

#[test]
fn changes_are_told_once_and_removals_first() {
    let mut world = World::usual(7);
    world.logs[0].take_changes();
    world.must(0, world.admit(6, Role::Listener));
    world.must(0, world.role(5, Role::Speaker));
    world.must(0, world.remove(4));
    world.must(0, Op::Lock { locked: true });
    let changes = world.logs[0].take_changes();
    let names: Vec<&str> = changes
        .iter()
        .map(|change| match change {
            RosterChange::Removed { .. } => "removed",
            RosterChange::RoomChanged(_) => "room",
            RosterChange::Admitted { .. } => "admitted",
            RosterChange::RoleChanged { .. } => "role",
            RosterChange::Locked(true) => "locked",
            _ => "other",
        })
        .collect();
    assert_eq!(names[..2], ["removed", "room"]);
    assert_eq!(names.iter().filter(|name| **name == "admitted").count(), 1);
    assert!(names.contains(&"role") && names.contains(&"locked") && names.len() == 5);
    assert!(world.logs[0].take_changes().is_empty());
}

#[test]
fn everybody_in_charge_proves_it_by_the_shortest_chain_from_the_founder() {
    let mut world = World::usual(6);
    let everybody = [0, 1, 2, 3, 4, 5];
    let proven = |world: &World, person: usize| {
        let chain = world.logs[0].charge_of(world.id(person))?;
        let last = proven_by(&chain, MEETING, world.id(0));
        assert_eq!(last, Some(world.id(person)));
        Some(chain.len())
    };
    assert_eq!(proven(&world, 0), Some(0));
    assert_eq!(proven(&world, 1), Some(1));
    assert_eq!(proven(&world, 3), None);
    // From hand to hand: 0, 3, 4, and 5 who is appointed by the last.
    for (by, to, role) in [(0, 3, Role::Host), (3, 4, Role::Host), (4, 5, Role::CoHost)] {
        let op = world.role(to, role);
        world.must(by, op);
        world.sync(&everybody);
    }
    for (person, steps) in [(0, 0), (3, 1), (4, 2), (5, 3)] {
        assert_eq!(proven(&world, person), Some(steps), "{person}");
    }
    // Back to the founder, who appoints 5 itself.
    for (by, to, role) in [(4, 0, Role::Host), (0, 5, Role::Speaker), (0, 5, Role::CoHost)] {
        let op = world.role(to, role);
        world.must(by, op);
        world.sync(&everybody);
    }
    assert_eq!(proven(&world, 5), Some(1));
    // A checkpoint carries the appointments on.
    world.checkpoint(0).expect("the host may");
    world.sync(&everybody);
    for (person, steps) in [(3, 1), (4, 2), (5, 1)] {
        assert_eq!(proven(&world, person), Some(steps), "{person} after a checkpoint");
    }
}
