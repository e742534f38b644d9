//! Two operations with one number.

use super::world::{MEETING, World, found, recomputed};
use crate::{
    ids::PolicyHash,
    meeting::{
        operation::{Op, SignedOperation},
        role::Role,
        roster::RosterChange,
        roster_log::{InsertError, Inserted, RosterLog},
    },
};

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

/// Co-host 1 tells 0 one thing and 2 another, each with number 0.
fn split(world: &mut World, one: Op, other: Op) -> [SignedOperation; 2] {
    let heads = world.logs[0].heads();
    let twins = [world.forge(1, 0, &heads, one), world.forge(1, 0, &heads, other)];
    world.logs[0].insert(twins[0].clone()).unwrap();
    world.logs[2].insert(twins[1].clone()).unwrap();
    twins
}

#[test]
fn it_is_proven_and_removes_its_author() {
    let mut world = World::usual(8);
    let (one, other) = (world.admit(6, Role::Speaker), world.admit(7, Role::Speaker));
    let mut twins = split(&mut world, one, other);
    assert!(world.is_in(0, 6) && world.is_in(2, 7));
    world.logs[0].take_changes();
    world.sync(&ALL);
    for person in [1, 6, 7] {
        assert!(!world.is_in(0, person), "{person}");
    }
    let told = world.logs[0].take_changes();
    assert_eq!(told[0], RosterChange::Equivocated { member: world.id(1) });
    let proof = world.logs[0].equivocations().next().unwrap();
    twins.sort_by_key(SignedOperation::hash);
    assert_eq!(proof.author, world.id(1));
    assert_eq!([proof.first, proof.second], twins);
}

#[test]
fn its_removals_stay_and_its_other_acts_from_there_on_are_void() {
    let mut world = World::usual(8);
    let early = world.must(1, world.admit(6, Role::Speaker));
    world.sync(&ALL);
    let heads = world.logs[0].heads();
    for op in [world.remove(3), Op::Lock { locked: true }] {
        let twin = world.forge(1, 1, &heads, op);
        world.logs[0].insert(twin).unwrap();
    }
    let roster = world.view(0);
    assert!(!roster.locked && !world.is_in(0, 3) && !world.is_in(0, 1));
    assert!(world.is_in(0, 6), "what came before {early:?} stands");
    assert_eq!(roster, &recomputed(&world.logs[0]));
}

#[test]
fn a_co_host_may_remove_a_host_who_equivocates_which_moves_the_room_and_silences_it() {
    let mut world = World::usual(7);
    let heads = world.logs[0].heads();
    let seq = u32::try_from(world.logs[0].len()).unwrap();
    for (op, to) in [
        (world.remove(4), 1),
        (
            Op::Policy {
                policy: PolicyHash([5; 32]),
            },
            2,
        ),
    ] {
        let twin = world.forge(0, seq, &heads, op);
        world.logs[to].insert(twin).unwrap();
    }
    world.sync(&[1, 2, 3, 4, 5]);
    assert!(!world.is_in(1, 0) && !world.is_in(1, 4));
    assert_eq!(world.view(1).policy_hash, Some(PolicyHash([1; 32])));
    let remove = world.must(1, world.remove(0));
    world.sync(&[1, 2, 3, 5]);
    assert_eq!(world.view(2).removed[&world.id(0)].operation, remove.hash());
    // Later it signs more Removes with other numbers: they give way to the Remove of their author.
    let late = world.forge(0, seq, &heads, world.remove(5));
    assert_eq!(world.logs[1].insert(late), Err(InsertError::Equivocator));
    let roster = world.view(1).clone();
    let twin = world.logs[1].equivocations().next().unwrap().first;
    let late = world.forge(0, seq + 1, &[twin.hash()], world.remove(5));
    world.logs[1].insert(late).unwrap();
    assert_eq!(world.view(1), &roster);
}

#[test]
fn an_equivocator_is_never_admitted_again() {
    let mut world = World::usual(8);
    let (one, other) = (world.admit(6, Role::Speaker), world.admit(7, Role::Speaker));
    split(&mut world, one, other);
    world.sync(&ALL);
    assert!(world.author(0, world.admit(1, Role::Speaker)).is_err());
    world.must(0, world.remove(1));
    assert!(world.author(0, world.admit(1, Role::Speaker)).is_err());
    assert!(world.author(0, world.remove(1)).is_err(), "once is enough");
}

#[test]
fn what_rests_on_a_forked_power_is_void() {
    let mut world = World::usual(8);
    let heads = world.logs[0].heads();
    let seq = u32::try_from(world.logs[0].len()).unwrap();
    // The host hands over to 3 and to 4.
    let twins = [3, 4].map(|heir| world.forge(0, seq, &heads, world.role(heir, Role::Host)));
    for (twin, heir) in twins.into_iter().zip([3, 4]) {
        world.logs[heir].insert(twin).unwrap();
    }
    world.must(3, world.admit(6, Role::Speaker));
    world.must(4, world.admit(7, Role::Speaker));
    world.sync(&[1, 2, 3, 4, 5]);
    assert_eq!(world.view(1).host(), None);
    assert_eq!(
        (world.role_of(1, 3), world.role_of(1, 4)),
        (Some(Role::Speaker), Some(Role::Speaker))
    );
    assert!(!world.is_in(1, 6) && !world.is_in(1, 7));
    assert_eq!(world.role_of(3, 1), Some(Role::CoHost));
}

#[test]
fn a_third_twin_is_taken_only_when_somebody_in_charge_rests_on_it() {
    let mut world = World::usual(6);
    // Listener 5 leaves in three ways.
    let places: Vec<_> = world.logs[0].operations_since(&[], 0).operations;
    let bases: Vec<_> = places.iter().rev().take(3).map(SignedOperation::hash).collect();
    let twins: Vec<_> = bases
        .iter()
        .map(|base| world.forge(5, 0, &[*base], Op::Leave))
        .collect();
    for twin in &twins[..2] {
        world.logs[0].insert(twin.clone()).unwrap();
        world.logs[2].insert(twin.clone()).unwrap();
    }
    world.logs[1].insert(twins[2].clone()).unwrap();
    assert_eq!(
        world.logs[0].insert(twins[2].clone()),
        Err(InsertError::Equivocator)
    );
    // A listener's word does not count.
    let by_listener = world.forge(4, 0, &[twins[2].hash()], Op::Leave);
    assert_eq!(world.logs[0].insert(by_listener), Ok(Inserted::Pending));
    assert_eq!(
        world.logs[0].insert(twins[2].clone()),
        Err(InsertError::Equivocator)
    );
    let lock = world.must(1, Op::Lock { locked: true });
    assert_eq!(world.logs[0].insert(lock), Ok(Inserted::Pending));
    assert!(world.logs[0].missing().contains(&twins[2].hash()));
    assert_eq!(world.logs[0].insert(twins[2].clone()), Ok(Inserted::Added(3)));
    assert_eq!(world.logs[0].equivocations().count(), 1);
}

#[test]
fn a_host_that_founds_twice_has_no_meeting() {
    let mut world = World::new(1);
    let Op::Found {
        name,
        admission,
        room_secret,
        ..
    } = found()
    else {
        unreachable!()
    };
    let again = Op::Found {
        policy: PolicyHash([2; 32]),
        name,
        admission,
        room_secret,
    };
    let second = RosterLog::found(&world.people[0], MEETING, again).unwrap();
    let operation = second.operations_since(&[], 0).operations.remove(0);
    world.logs[0].insert(operation).unwrap();
    assert!(world.view(0).members.is_empty());
    assert_eq!(world.view(0).policy_hash, None);
}
