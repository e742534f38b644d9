//! What a checkpoint does, case by case. The schedules beside this try the rest.

use super::world::{MEETING, World, pull, pull_operations};
use crate::{
    ids::{OperationHash, StateHash},
    meeting::{
        checkpoint::{Checkpoint, CheckpointError},
        operation::{Op, SignedOperation},
        role::Role,
        roster_log::{AuthorError, InsertError, Inserted, RosterLog},
    },
};

/// The usual people; the host has written a checkpoint that nobody else has yet.
fn compacted() -> (World, SignedOperation) {
    let mut world = World::usual(9);
    let checkpoint = world.checkpoint(0).unwrap();
    (world, checkpoint)
}

#[test]
fn it_changes_nothing_but_the_length_of_the_log() {
    let mut world = World::usual(8);
    world.must(0, world.remove(4));
    world.must(5, Op::Leave);
    world.sync(&[0, 1, 2, 3]);
    let (before, length) = (world.view(3).clone(), world.logs[3].len());
    let checkpoint = world.checkpoint(0).unwrap();
    assert_eq!(world.logs[3].insert(checkpoint.clone()), Ok(Inserted::Added(1)));
    assert_eq!((length, world.logs[3].len()), (9, 1));
    assert_eq!(world.view(3), &before);
    assert!(
        world.logs[3]
            .take_changes()
            .iter()
            .all(|change| !format!("{change:?}").contains("Left("))
    );
    assert_eq!(world.logs[3].heads(), [checkpoint.hash()]);
    // Numbers go on: nobody begins at 0 again.
    let next = world.must(1, world.admit(6, Role::Speaker));
    assert_eq!(world.logs[3].insert(next), Ok(Inserted::Added(1)));
}

#[test]
fn only_the_host_writes_one_and_only_of_what_is_so() {
    let mut world = World::usual(7);
    let heads = world.logs[1].heads();
    let forged = |world: &World, person: usize, seq: u32| {
        let state = StateHash([3; 32]);
        world.forge(person, seq, &heads, Op::Checkpoint { state })
    };
    let by_co_host = forged(&world, 1, 0);
    assert!(matches!(
        world.logs[3].insert(by_co_host),
        Err(InsertError::NotAllowed(_))
    ));
    let lie = forged(&world, 0, 8);
    assert_eq!(world.logs[3].insert(lie), Err(InsertError::State));
    assert!(InsertError::State.is_final());
    assert!(matches!(world.checkpoint(2), Err(AuthorError::Insert(_))));
    assert_eq!(world.logs[3].checkpoint(), None);
}

#[test]
fn somebody_admitted_in_that_instant_is_in_again_when_its_admission_is_repeated() {
    let (mut world, checkpoint) = compacted();
    world.must(1, world.admit(6, Role::Speaker));
    pull(&mut world.logs, 1, 6);
    assert!(world.is_in(6, 6));
    // The checkpoint comes to the newcomer first: it is out, and knows that it will be in again.
    pull(&mut world.logs, 0, 6);
    assert_eq!(
        world.logs[6].checkpoint().map(|base| base.operation.hash()),
        Some(checkpoint.hash())
    );
    let newcomer = world.id(6);
    assert!(!world.is_in(6, 6) && world.logs[6].is_admitted_beside(&newcomer));
    pull(&mut world.logs, 0, 1);
    let again = world.make_again(1);
    assert_eq!(again.len(), 1);
    assert_eq!(world.logs[6].insert(again[0].clone()), Ok(Inserted::Added(1)));
    assert!(world.is_in(6, 6));
    world.sync(&[0, 1, 2, 3, 4, 5, 6]);
    assert!(world.is_in(0, 6));
}

#[test]
fn what_takes_away_counts_beside_a_checkpoint_and_what_gives_does_not() {
    let (mut world, checkpoint) = compacted();
    let remove = world.must(1, world.remove(4));
    world.must(2, Op::Lock { locked: true });
    world.must(2, Op::Sharing { in_charge_only: true });
    let (speaker, listener) = (world.id(3), world.id(5));
    world.must(
        2,
        Op::Reactions {
            member: speaker,
            allowed: false,
        },
    );
    world.must(1, world.role(5, Role::Speaker));
    world.must(3, Op::Leave);
    for person in [1, 2, 3] {
        assert!(matches!(
            world.logs[person].insert(checkpoint.clone()),
            Ok(Inserted::Added(_))
        ));
    }
    world.sync(&[0, 1, 2, 3]);
    let view = world.view(0);
    assert_eq!(view.removed[&world.id(4)].operation, remove.hash());
    assert_eq!(
        view.room_epoch().map(|epoch| epoch.operation),
        Some(remove.hash())
    );
    assert!(view.locked && view.sharing_in_charge_only && view.silenced.contains(&speaker));
    assert!(view.left.contains(&speaker));
    assert_eq!(
        view.role(&listener),
        Some(Role::Listener),
        "a change of role is made again"
    );
    world.make_again(1);
    assert_eq!(world.role_of(1, 5), Some(Role::Speaker));
}

#[test]
fn an_admission_is_not_repeated_against_a_removal_beside_the_checkpoint() {
    let (mut world, _) = compacted();
    world.must(1, world.admit(6, Role::Speaker));
    pull(&mut world.logs, 1, 2);
    world.must(2, world.remove(6));
    // The one who admitted does not know of the removal when it takes the checkpoint.
    pull(&mut world.logs, 0, 1);
    assert_eq!(world.make_again(1).len(), 1);
    world.sync(&[0, 1, 2]);
    assert!(!world.is_in(0, 6), "the removal beats the repeated admission");
    assert!(world.view(0).removed.contains_key(&world.id(6)));
    // Who knows of it does not repeat.
    let (mut world, _) = compacted();
    let admit = world.must(1, world.admit(6, Role::Speaker));
    pull(&mut world.logs, 1, 2);
    world.must(2, world.remove(6));
    pull(&mut world.logs, 2, 1);
    pull(&mut world.logs, 0, 1);
    assert!(world.logs[1].is_taken_back(&admit));
    assert!(world.make_again(1).is_empty());
}

#[test]
fn a_slow_member_takes_the_state_and_what_it_did_meanwhile_travels() {
    let mut world = World::usual(8);
    world.must(0, world.admit(6, Role::Speaker));
    let remove = world.must(1, world.remove(3));
    let checkpoint = world.checkpoint(0).unwrap();
    // The co-host lacks an operation before the checkpoint, which nobody has any more.
    pull_operations(&mut world.logs, 0, 1);
    assert_eq!(world.logs[1].wanted_checkpoint(), Some(checkpoint.hash()));
    assert!(world.is_in(1, 4) && !world.is_in(1, 6));
    pull(&mut world.logs, 0, 1);
    assert_eq!(
        (world.logs[1].wanted_checkpoint(), world.logs[1].pending_len()),
        (None, 0)
    );
    assert!(world.is_in(1, 6) && !world.is_in(1, 3));
    world.sync(&[0, 1]);
    assert!(world.logs[0].contains(&remove.hash()) && !world.is_in(0, 3));
}

#[test]
fn an_equivocation_at_a_settled_number_is_refused() {
    let mut world = World::usual(8);
    let heads = world.logs[1].heads();
    let real = world.must(1, world.admit(6, Role::Speaker));
    pull(&mut world.logs, 1, 0);
    let twin = world.forge(1, real.operation().seq, &heads, Op::Lock { locked: true });
    // One member has the proof when the checkpoint comes.
    pull(&mut world.logs, 1, 3);
    world.logs[3].insert(twin.clone()).unwrap();
    assert!(!world.is_in(3, 1));
    let checkpoint = world.checkpoint(0).unwrap();
    assert_eq!(world.logs[0].insert(twin), Err(InsertError::Settled));
    world.logs[3].insert(checkpoint).unwrap();
    assert_eq!(world.view(3), world.view(0));
    assert!(world.is_in(3, 1));
}

#[test]
fn a_host_that_contradicts_its_checkpoint_is_out() {
    let (mut world, checkpoint) = compacted();
    let heads = checkpoint.operation().parents.clone();
    let twin = world.forge(0, checkpoint.operation().seq, &heads, Op::Lock { locked: true });
    for person in [1, 2, 3] {
        pull(&mut world.logs, 0, person);
        world.logs[person].insert(twin.clone()).unwrap();
        assert!(!world.is_in(person, 0) && world.view(person).equivocators.contains(&world.id(0)));
        assert_eq!(world.logs[person].equivocations().count(), 1);
    }
    // The others go on.
    world.must(1, world.admit(6, Role::Speaker));
    world.sync(&[1, 2, 3]);
    assert!(world.is_in(3, 6));
}

#[test]
fn nobody_is_taken_back_to_an_earlier_state() {
    let mut world = World::usual(8);
    world.checkpoint(0).unwrap();
    let early = world.logs[0].checkpoint().unwrap().clone();
    world.must(0, world.remove(4));
    world.checkpoint(0).unwrap();
    let late = world.logs[0].checkpoint().unwrap().clone();
    let mut log = RosterLog::new(MEETING, world.id(0));
    assert_eq!(log.take_checkpoint(late), Ok(true));
    let taken = log.take_checkpoint(early.clone());
    assert!(
        matches!(taken, Ok(false) | Err(CheckpointError::Outdated)),
        "{taken:?}"
    );
    assert!(!log.view().members.contains_key(&world.id(4)));
    // Nor past a handover: the former host's word is void.
    let mut world = World::usual(8);
    world.checkpoint(0).unwrap();
    let early = world.logs[0].checkpoint().unwrap().clone();
    world.must(0, world.role(1, Role::Host));
    pull(&mut world.logs, 0, 1);
    world.checkpoint(1).unwrap();
    let late = world.logs[1].checkpoint().unwrap().clone();
    assert_eq!(late.state.handovers.len(), 1);
    let mut log = RosterLog::new(MEETING, world.id(0));
    log.take_checkpoint(late).unwrap();
    let taken = log.take_checkpoint(early);
    assert!(
        matches!(taken, Ok(false) | Err(CheckpointError::Outdated)),
        "{taken:?}"
    );
    assert_eq!(log.view().host(), Some(world.id(1)));
}

#[test]
fn what_was_under_way_is_judged_by_the_roster_of_its_time() {
    let mut world = World::usual(8);
    let heads = world.logs[1].heads();
    world.must(0, world.remove(4));
    world.checkpoint(0).unwrap();
    // The host has seen that time, a newcomer has not: whoever may have been in counts.
    let before = world.logs[0].members_at(&heads).unwrap();
    assert!(before.contains(&world.id(4)));
    pull(&mut world.logs, 0, 7);
    assert!(world.logs[7].members_at(&heads).unwrap().contains(&world.id(4)));
    assert!(!world.logs[7].members_at(&heads).unwrap().contains(&world.id(6)));
    assert_eq!(world.logs[7].members_at(&[OperationHash([1; 32])]), None);
    let now = world.logs[7].heads();
    assert!(!world.logs[7].members_at(&now).unwrap().contains(&world.id(4)));
}

#[test]
fn whoever_was_put_out_beside_a_checkpoint_was_out_for_those_who_saw_it_though_it_has_no_force() {
    let mut world = World::usual(6);
    // Beyond a partition a co-host puts somebody out; the host puts the co-host out, so that its word is void.
    let out = world.must(1, world.remove(4)).hash();
    world.must(0, world.remove(1));
    world.checkpoint(0).unwrap();
    let put_out = world.logs[1].operations(&[out]);
    for operation in put_out {
        world.logs[0].insert(operation).unwrap();
    }
    assert!(world.is_in(0, 4), "the removal is void");
    let seen = world.logs[0].view_at(&[out]).unwrap();
    assert!(!seen.members.contains_key(&world.id(4)) && seen.members.contains_key(&world.id(3)));
    // Of keys that went to somebody in that time nobody says that they went to a ghost.
    assert!(world.logs[0].members_at(&[out]).unwrap().contains(&world.id(4)));
}

#[test]
fn a_co_host_can_still_prove_that_it_is_in_charge() {
    let (world, _) = compacted();
    let appointed = world.view(0).members[&world.id(1)].role_since;
    let proof = world.logs[0].operations(&[appointed]).pop().unwrap();
    assert_eq!((proof.author(), proof.verify()), (world.id(0), Ok(())));
    let mut fresh = RosterLog::new(MEETING, world.id(0));
    let base = world.logs[0].checkpoint().unwrap();
    fresh
        .take_checkpoint(Checkpoint::decode(&base.encode(), MEETING, world.id(0)).unwrap())
        .unwrap();
    assert_eq!(fresh.operations(&[appointed]), [proof]);
}
