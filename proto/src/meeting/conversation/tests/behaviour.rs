//! One behaviour each, on a good network.

use std::time::Duration;

use super::super::{
    ConversationCommand, ConversationEvent,
    item::{FeedId, Item, ItemBody, SignedItem},
    message::{ConversationMessage, Direct, DirectBody},
    reactions::Reaction,
    store::{KEPT_BYTES_MAX, KEPT_PER_AUTHOR_MAX},
    text::ChatText,
};
use super::world::{MEETING, Weather, World};
use crate::{identity::Identity, ids::OperationHash, meeting::role::Role, time::UnixSeconds};

const WHILE: Duration = Duration::from_secs(1);

fn texts(world: &World, index: usize) -> Vec<String> {
    world.nodes[index]
        .screen()
        .into_iter()
        .map(|(.., text)| text)
        .collect()
}

fn hands(world: &World, index: usize) -> Vec<usize> {
    let told = world.nodes[index]
        .events
        .iter()
        .rev()
        .find_map(|(_, event)| match event {
            ConversationEvent::Hands(order) => Some(order.clone()),
            _ => None,
        });
    let place = |id| world.nodes.iter().position(|node| node.id == id).unwrap();
    told.unwrap_or_default().into_iter().map(place).collect()
}

/// An item as a hostile member would sign it.
fn forged(world: &World, author: usize, seq: u64, lamport: u64, body: ItemBody) -> SignedItem {
    let identity = Identity::from_seed(&[author as u8 + 1; 32]);
    let mut head = [0xAA; 32];
    head[0] = world.nodes[author].known as u8;
    SignedItem::sign(
        &identity,
        Item {
            meeting: MEETING,
            feed: FeedId {
                author: identity.member_id(),
                instance: 99,
            },
            seq,
            lamport,
            sent: UnixSeconds(0),
            parents: Vec::new().try_into().unwrap(),
            heads: vec![OperationHash(head)].try_into().unwrap(),
            body,
        },
    )
}

fn line(n: u64) -> ItemBody {
    ItemBody::Say(ChatText::new(&format!("forged {n}")).unwrap())
}

fn items(list: Vec<SignedItem>) -> ConversationMessage {
    ConversationMessage::Items(list.try_into().unwrap())
}

#[test]
fn what_is_said_reaches_everybody_and_an_answer_comes_after_its_question() {
    for seed in 0..40 {
        let mut world = World::new(seed, 5);
        world.weather = Weather {
            delay_ms_max: 700,
            ..Weather::default()
        };
        for turn in 0..8 {
            let speaker = world.pick(5);
            world.say(speaker, &format!("turn {turn}"));
            world.run(Duration::from_millis(150));
        }
        world.run(Duration::from_secs(4));
        for node in &world.nodes {
            let said = node.said();
            assert_eq!(said.len(), 8, "seed {seed}");
            for (place, effect) in said.iter().enumerate() {
                let item = node.conversation.store.get(&effect.order.hash).unwrap();
                for cause in item.signed.item.parents.iter() {
                    let before = said[..place].iter().any(|said| said.order.hash == *cause);
                    assert!(before, "seed {seed}: an answer before its question");
                }
            }
        }
    }
}

#[test]
fn hands_and_polls_outlive_the_operations_that_they_rest_on_and_words_do_not() {
    let mut world = World::new(1, 3);
    world.say(1, "before");
    world.command(1, ConversationCommand::Hand(true));
    world.command(
        2,
        ConversationCommand::OpenPoll {
            question: "tea?".into(),
            options: vec!["yes".into(), "no".into()],
            multiple: false,
        },
    );
    world.run(Duration::from_secs(2));
    // A checkpoint settles what came before; then somebody comes.
    world.forgotten = world.rosters.0.len();
    let newcomer = world.join(Role::Speaker);
    world.run(Duration::from_secs(20));
    assert_eq!(hands(&world, newcomer), [1]);
    let sees_poll = |(_, event): &(_, ConversationEvent)| matches!(event, ConversationEvent::Poll(_));
    assert!(world.nodes[newcomer].events.iter().any(sees_poll));
    assert!(texts(&world, newcomer).is_empty());
}

#[test]
fn a_newcomer_hears_what_is_said_after_it_came_and_sees_hands_and_polls() {
    let mut world = World::new(1, 3);
    world.say(1, "before");
    world.command(1, ConversationCommand::Hand(true));
    world.command(
        2,
        ConversationCommand::OpenPoll {
            question: "tea?".into(),
            options: vec!["yes".into(), "no".into()],
            multiple: false,
        },
    );
    world.run(WHILE);
    let poll = world.nodes[0].events.iter().find_map(|(_, event)| match event {
        ConversationEvent::Poll(view) => Some(view.id),
        _ => None,
    });
    let poll = poll.unwrap();
    world.command(
        1,
        ConversationCommand::Vote {
            poll,
            choices: vec![0],
        },
    );
    world.run(Duration::from_secs(120));
    let newcomer = world.join(Role::Listener);
    world.run(Duration::from_secs(8));
    world.say(2, "after");
    world.run(Duration::from_secs(2));
    assert_eq!(texts(&world, newcomer), ["after"]);
    assert_eq!(hands(&world, newcomer), [1]);
    let view = world.poll(newcomer, &poll).unwrap();
    assert_eq!(view.votes, [1, 0]);
    // A listener writes, raises a hand and votes, and opens no poll.
    world.say(newcomer, "hello");
    world.command(newcomer, ConversationCommand::Hand(true));
    world.command(
        newcomer,
        ConversationCommand::Vote {
            poll,
            choices: vec![1],
        },
    );
    world.command(
        newcomer,
        ConversationCommand::OpenPoll {
            question: "coffee?".into(),
            options: vec!["yes".into(), "no".into()],
            multiple: false,
        },
    );
    assert_eq!(world.last_refusal(newcomer), Some("role"));
    world.run(WHILE);
    assert!(texts(&world, 0).contains(&"hello".to_owned()));
    assert_eq!(hands(&world, 0), [1, newcomer]);
    world.command(2, ConversationCommand::ClosePoll(poll));
    world.run(WHILE);
    for index in 0..4 {
        let view = world.poll(index, &poll).unwrap();
        assert_eq!((view.votes, view.closed.unwrap().missing), (vec![1, 1], 0));
    }
}

#[test]
fn a_removed_member_is_sent_nothing_more() {
    let mut world = World::new(2, 4);
    world.remove(3);
    world.run(WHILE);
    world.say(1, "among us");
    world.command(1, ConversationCommand::React(Reaction::Clap));
    // `World::with` asserts that nobody sends to somebody who is out.
    world.run(Duration::from_secs(20));
    assert!(texts(&world, 3).is_empty() && texts(&world, 2) == ["among us"]);
    // What it signs itself, nobody takes.
    let late = forged(&world, 3, 1, 9, line(1));
    world.forge(1, 2, items(vec![late]));
    world.run(WHILE);
    assert_eq!(texts(&world, 2), ["among us"]);
}

#[test]
fn the_words_of_somebody_who_is_gone_reach_those_who_were_away() {
    let mut world = World::new(3, 4);
    world.split(vec![false, false, false, true]);
    world.say(1, "you will miss this");
    world.run(WHILE);
    // Its process ends: only others can tell now.
    world.split(vec![false, true, false, false]);
    world.reopen(3);
    world.run(Duration::from_secs(12));
    assert_eq!(texts(&world, 3), ["you will miss this"]);
}

#[test]
fn words_reach_those_who_were_away_though_most_members_are_gone() {
    let mut world = World::new(31, 40);
    world.split((0..40).map(|index| index > 1).collect());
    world.say(1, "said in the small half");
    world.run(Duration::from_secs(3));
    // Two are left, one of each half; nobody has removed the others.
    world.gone = (0..40)
        .filter(|index| ![0, 2].contains(index))
        .map(|index| world.nodes[index].id)
        .collect();
    world.heal();
    world.run(Duration::from_secs(5));
    assert_eq!(texts(&world, 2), ["said in the small half"]);
}

#[test]
fn too_much_is_refused_with_a_reason_and_a_flood_is_not_taken() {
    let mut world = World::new(4, 3);
    for n in 0..11 {
        world.say(1, &format!("{n}"));
    }
    assert_eq!(world.last_refusal(1), Some("rate"));
    for _ in 0..6 {
        world.command(1, ConversationCommand::React(Reaction::Heart));
    }
    assert_eq!(world.last_refusal(1), Some("rate"));
    world.run(Duration::from_secs(30));
    assert_eq!(texts(&world, 2).len(), 10);
    // Ten thousand well-signed items at once: some hundreds are taken, and fewer are kept.
    let mut seq = 0;
    for _ in 0..320 {
        let batch = (0..32)
            .map(|_| {
                seq += 1;
                forged(&world, 1, seq, seq, line(seq))
            })
            .collect();
        world.forge(1, 2, items(batch));
    }
    world.run(WHILE);
    let holds = world.nodes[2].conversation.holdings();
    assert!(texts(&world, 2).len() < 430, "{}", texts(&world, 2).len());
    assert!(
        holds.items <= 2 * KEPT_PER_AUTHOR_MAX && holds.bytes <= KEPT_BYTES_MAX,
        "{holds:?}"
    );
}

#[test]
fn a_clock_far_ahead_does_not_move_the_others() {
    let mut world = World::new(5, 3);
    let ahead = forged(&world, 1, 1, 1 << 60, line(1));
    world.forge(1, 2, items(vec![ahead.clone()]));
    world.forge(1, 0, items(vec![ahead]));
    world.run(WHILE);
    world.say(2, "honest");
    world.run(WHILE);
    assert_eq!(texts(&world, 0), ["honest", "forged 1"]);
    assert!(world.nodes[0].screen()[0].0.lamport < 100);
}

#[test]
fn two_items_with_one_number_silence_their_author() {
    let mut world = World::new(6, 3);
    let (one, other) = (forged(&world, 1, 1, 5, line(1)), forged(&world, 1, 1, 5, line(2)));
    world.forge(1, 2, items(vec![one, other]));
    world.run(WHILE);
    let author = world.nodes[1].id;
    let told = |event: &(_, ConversationEvent)| event.1 == ConversationEvent::Equivocated(author);
    assert!(world.nodes[2].events.iter().any(told));
    world.say(1, "more");
    world.run(Duration::from_secs(3));
    assert_eq!(texts(&world, 2).len(), 1);
}

#[test]
fn hands_are_in_one_order_and_those_in_charge_take_them_down() {
    let mut world = World::new(7, 4);
    for index in [2, 1, 3] {
        world.command(index, ConversationCommand::Hand(true));
        world.run(WHILE);
    }
    for index in 0..4 {
        assert_eq!(hands(&world, index), [2, 1, 3]);
    }
    let first = world.nodes[2].id;
    world.command(1, ConversationCommand::LowerHand(first));
    assert_eq!(world.last_refusal(1), Some("role"));
    world.command(0, ConversationCommand::LowerHand(first));
    world.command(1, ConversationCommand::Hand(false));
    world.run(WHILE);
    assert!((0..4).all(|index| hands(&world, index) == [3]));
    world.command(2, ConversationCommand::Hand(true));
    world.run(WHILE);
    assert!((0..4).all(|index| hands(&world, index) == [3, 2]));
    world.remove(3);
    world.run(WHILE);
    assert!((0..3).all(|index| hands(&world, index) == [2]));
    // A member who is not in charge signs it all the same.
    let raise = world.nodes[2]
        .conversation
        .hands
        .raised_by(&world.nodes[2].id)
        .unwrap();
    let forged = forged(&world, 1, 1, 50, ItemBody::LowerHand(raise));
    world.forge(1, 0, items(vec![forged]));
    world.run(WHILE);
    assert_eq!(hands(&world, 0), [2]);
    assert_eq!(world.nodes[0].conversation.counters().refused, 1);
}

#[test]
fn a_vote_counts_once_and_can_be_changed_until_the_end() {
    let mut world = World::new(8, 4);
    world.command(
        1,
        ConversationCommand::OpenPoll {
            question: "when?".into(),
            options: vec!["now".into(), "later".into(), "never".into()],
            multiple: false,
        },
    );
    world.run(WHILE);
    let poll = world.nodes[2].events.iter().find_map(|(_, event)| match event {
        ConversationEvent::Poll(view) => Some(view.id),
        _ => None,
    });
    let poll = poll.unwrap();
    for (index, choice) in [(0, 0), (1, 1), (2, 1), (2, 2), (3, 2)] {
        world.command(
            index,
            ConversationCommand::Vote {
                poll,
                choices: vec![choice],
            },
        );
    }
    world.command(
        3,
        ConversationCommand::Vote {
            poll,
            choices: vec![],
        },
    );
    world.command(
        3,
        ConversationCommand::Vote {
            poll,
            choices: vec![0, 1],
        },
    );
    assert_eq!(world.last_refusal(3), Some("choice"));
    world.run(WHILE);
    assert!((0..4).all(|index| world.poll(index, &poll).unwrap().votes == [1, 1, 1]));
    world.command(2, ConversationCommand::ClosePoll(poll));
    assert_eq!(world.last_refusal(2), Some("role"));
    world.command(0, ConversationCommand::ClosePoll(poll));
    world.run(WHILE);
    world.command(
        3,
        ConversationCommand::Vote {
            poll,
            choices: vec![0],
        },
    );
    assert_eq!(world.last_refusal(3), Some("poll"));
    // A late vote, signed all the same, changes nothing.
    let late = forged(&world, 3, 1, 40, ItemBody::Vote { poll, choices: 1 });
    world.forge(3, 2, items(vec![late]));
    world.run(WHILE);
    let view = world.poll(2, &poll).unwrap();
    assert_eq!((view.votes, view.voters), (vec![1, 1, 1], 3));
}

#[test]
fn reactions_are_for_now_and_can_be_stopped() {
    let mut world = World::new(9, 3);
    let reacted = |world: &World, index: usize| {
        let seen = world.nodes[index].events.iter();
        seen.filter(|(_, event)| matches!(event, ConversationEvent::Reacted { .. }))
            .count()
    };
    world.split(vec![false, false, true]);
    world.command(1, ConversationCommand::React(Reaction::Laugh));
    world.run(Duration::from_secs(12));
    world.heal();
    world.run(Duration::from_secs(4));
    assert_eq!((reacted(&world, 0), reacted(&world, 2)), (1, 0));
    let loud = world.nodes[1].id;
    world.change_roster(|roster| {
        roster.silenced.insert(loud);
    });
    world.run(WHILE);
    world.command(1, ConversationCommand::React(Reaction::Laugh));
    assert_eq!(world.last_refusal(1), Some("stopped"));
    world.run(WHILE);
    assert_eq!(reacted(&world, 0), 1);
    // A node that keeps to no rule sends it all the same.
    let shown = |world: &World| (reacted(world, 0), reacted(world, 2));
    let before = shown(&world);
    let react = |seq| {
        ConversationMessage::Direct(Direct {
            instance: 99,
            base: 1,
            seq,
            body: DirectBody::Reaction(Reaction::Laugh),
        })
    };
    for to in [0, 2] {
        world.forge(1, to, react(1));
    }
    world.run(WHILE);
    assert_eq!(shown(&world), before);
    world.change_roster(|roster| {
        roster.silenced.clear();
    });
    world.run(WHILE);
    for to in [0, 2] {
        world.forge(1, to, react(2));
    }
    world.run(WHILE);
    assert_eq!(shown(&world), (before.0 + 1, before.1 + 1));
}
