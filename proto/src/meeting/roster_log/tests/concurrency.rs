//! What concurrent operations do to one another.

use super::world::World;
use crate::meeting::{operation::Op, role::Role, roster::RosterChange};

const ALL: [usize; 6] = [0, 1, 2, 3, 4, 5];

#[test]
fn a_remove_beats_a_concurrent_admit_and_a_later_admit_beats_the_remove() {
    let mut world = World::usual(6);
    world.must(4, Op::Leave);
    world.sync(&ALL);
    world.must(1, world.admit(4, Role::Speaker));
    world.must(2, world.remove(4));
    world.sync(&ALL);
    assert!(!world.is_in(0, 4));
    assert!(world.view(0).removed.contains_key(&world.id(4)));
    world.must(1, world.admit(4, Role::Listener));
    world.sync(&ALL);
    assert_eq!(world.role_of(0, 4), Some(Role::Listener));
    assert!(world.view(0).removed.is_empty());
}

#[test]
fn what_a_removed_member_did_meanwhile_is_void() {
    let mut world = World::usual(7);
    world.must(1, world.admit(6, Role::Speaker));
    world.must(1, world.remove(4));
    world.must(1, Op::Lock { locked: true });
    world.must(0, world.remove(1));
    world.logs[1].take_changes();
    world.sync(&ALL);
    assert!(!world.is_in(0, 1) && !world.is_in(0, 6) && world.is_in(0, 4));
    assert!(!world.view(0).locked);
    let void = RosterChange::AdmissionVoid { member: world.id(6) };
    assert!(world.logs[1].take_changes().contains(&void));
}

#[test]
fn a_removed_member_cannot_date_operations_back() {
    let mut world = World::usual(7);
    let before = world.logs[1].heads();
    world.must(0, world.remove(1));
    world.sync(&ALL);
    let admit = world.forge(1, 0, &before, world.admit(6, Role::Speaker));
    let remove = world.forge(1, 1, &[admit.hash()], world.remove(3));
    let roster = world.view(0).clone();
    for operation in [admit, remove] {
        world.logs[0].insert(operation).unwrap();
    }
    assert_eq!(world.view(0), &roster);
}

#[test]
fn a_demoted_co_host_cannot_date_operations_back() {
    let mut world = World::usual(7);
    let before = world.logs[1].heads();
    world.must(0, world.role(1, Role::Speaker));
    let late = world.forge(1, 0, &before, world.admit(6, Role::Speaker));
    world.logs[0].insert(late).unwrap();
    assert!(!world.is_in(0, 6));
    assert_eq!(world.role_of(0, 1), Some(Role::Speaker));
}

#[test]
fn a_lock_beats_a_concurrent_admit_even_by_the_host() {
    let mut world = World::usual(7);
    world.must(1, Op::Lock { locked: true });
    world.must(0, world.admit(6, Role::Speaker));
    world.sync(&ALL);
    assert!(world.view(0).locked && !world.is_in(0, 6));
    // The unlocking comes after; it does not bring the voided admission back.
    world.must(1, Op::Lock { locked: false });
    world.sync(&ALL);
    assert!(!world.view(0).locked && !world.is_in(0, 6));
    world.must(1, world.admit(6, Role::Speaker));
    assert!(world.is_in(1, 6));
}

#[test]
fn a_lock_beats_a_concurrent_unlock() {
    let mut world = World::usual(6);
    world.must(0, Op::Lock { locked: true });
    world.sync(&ALL);
    world.must(1, Op::Lock { locked: false });
    world.must(2, Op::Lock { locked: false });
    world.must(2, Op::Lock { locked: true });
    world.sync(&ALL);
    assert!(world.view(0).locked);
}

#[test]
fn two_co_hosts_at_once_unite_their_removals_and_everybody_holds_both_rooms() {
    let mut world = World::usual(6);
    world.must(1, world.remove(3));
    world.must(2, world.remove(4));
    world.sync(&ALL);
    assert!(!world.is_in(0, 3) && !world.is_in(0, 4));
    let epochs = world.view(0).room_epochs.clone();
    assert_eq!((epochs.len(), epochs[0].number, epochs[1].number), (2, 1, 1));
    assert_eq!(world.view(0).room_epoch(), epochs.last());
    world.must(0, world.remove(5));
    world.sync(&[0, 1, 2]);
    assert_eq!(world.view(1).room_epochs.len(), 1);
    assert_eq!(world.view(1).room_epochs[0].number, 2);
}

#[test]
fn the_room_changes_with_each_removal_only() {
    let mut world = World::usual(7);
    let first = world.view(0).room_epoch().cloned();
    world.must(0, world.admit(6, Role::Speaker));
    world.must(0, Op::Lock { locked: true });
    assert_eq!(world.view(0).room_epoch().cloned(), first);
    world.must(0, world.remove(6));
    assert_ne!(world.view(0).room_epoch().cloned(), first);
}

#[test]
fn handing_over_holds_against_a_concurrent_remove_of_the_new_host() {
    let mut world = World::usual(7);
    world.must(0, world.role(3, Role::Host));
    world.must(1, world.remove(3));
    world.sync(&[0, 3]);
    world.must(3, world.admit(6, Role::Speaker));
    world.sync(&ALL);
    assert_eq!(world.view(2).host(), Some(world.id(3)));
    assert!(world.is_in(2, 6));
    assert_eq!(world.view(2).room_epoch().map(|epoch| epoch.number), Some(0));
}

#[test]
fn the_hosts_role_holds_against_a_co_hosts_and_the_weaker_one_among_equals() {
    let mut world = World::usual(6);
    world.must(0, world.role(3, Role::CoHost));
    world.must(1, world.role(3, Role::Listener));
    world.must(1, world.role(4, Role::Listener));
    world.must(2, world.role(4, Role::Interpreter));
    // Both give the same: all name the same operation, whichever they saw first.
    world.must(1, world.role(5, Role::Speaker));
    world.must(2, world.role(5, Role::Speaker));
    world.sync(&ALL);
    assert_eq!(
        (world.role_of(5, 3), world.role_of(5, 4)),
        (Some(Role::CoHost), Some(Role::Listener))
    );
}

#[test]
fn leaving_beats_a_concurrent_change_of_role() {
    let mut world = World::usual(6);
    world.must(3, Op::Leave);
    world.must(0, world.role(3, Role::Host));
    world.sync(&ALL);
    assert!(!world.is_in(0, 3) && world.view(0).left.contains(&world.id(3)));
    assert_eq!(
        (world.view(0).host(), world.role_of(0, 0)),
        (None, Some(Role::CoHost))
    );
}

#[test]
fn the_meeting_goes_on_without_its_host() {
    let mut world = World::usual(7);
    world.must(0, Op::Leave);
    world.sync(&ALL);
    assert_eq!(world.view(1).host(), None);
    world.must(1, world.admit(6, Role::Speaker));
    world.must(2, world.remove(5));
    world.sync(&[1, 2, 3, 4]);
    assert!(world.is_in(3, 6) && !world.is_in(3, 5));
}

#[test]
fn members_at_tells_what_others_saw() {
    let mut world = World::usual(7);
    let before = world.logs[0].heads();
    let admit = world.must(0, world.admit(6, Role::Speaker));
    world.must(0, world.remove(3));
    let count = |world: &World, heads: &[_]| world.logs[0].members_at(heads).map(|members| members.len());
    assert_eq!(count(&world, &before), Some(6));
    assert_eq!(count(&world, &[admit.hash()]), Some(7));
    assert_eq!(count(&world, &world.logs[0].heads()), Some(6));
    assert_eq!(count(&world, &[]), None);
    assert_eq!(world.logs[1].members_at(&[admit.hash()]), None);
}
