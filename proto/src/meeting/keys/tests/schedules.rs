//! Seeded schedules of joins, removals, losses and rotations, with an adversary that keeps every secret that anybody
//! was ever sent and forgets nothing.

use super::{
    super::{generation::Binding, *},
    *,
};
use crate::sframe::{decrypt, header::Header};

struct Sent {
    at: Timestamp,
    recipients: BTreeSet<MemberId>,
    frame: Frame,
}

#[derive(Default)]
struct History {
    frames: Vec<Sent>,
    /// Every key message that a member was ever sent.
    knowledge: BTreeMap<MemberId, Vec<KeyMessage>>,
    /// When a member stopped being, or began to be, a recipient.
    removed: BTreeMap<MemberId, Vec<Timestamp>>,
    joined: BTreeMap<MemberId, Vec<Timestamp>>,
}

fn play(seed: u64) -> History {
    let mut random = Random::from_seed([0; 32]).fork(&seed.to_string());
    let mut world = World::new([0, 1]);
    let mut history = History::default();
    let mut recipients = BTreeSet::from([0, 1]);
    for &n in &recipients {
        history.joined.insert(member(n), vec![at(0)]);
    }
    let mut now = at(0);
    for _ in 0..40 {
        now += Duration::from_millis(random.next_u64() % 300);
        let n = u8::try_from(random.next_u64() % 6).unwrap();
        match random.next_u64() % 10 {
            0..=2 if recipients.len() > 1 && recipients.remove(&n) => {
                history.removed.entry(member(n)).or_default().push(now);
            }
            0..=4 if recipients.insert(n) => {
                history.joined.entry(member(n)).or_default().push(now);
            }
            5 => now += seconds(121),
            6 => {
                world.deaf.insert(member(n));
            }
            7 => {
                world.deaf.remove(&member(n));
                world.publisher.resend_to(now, member(n));
            }
            _ => {}
        }
        if random.next_u64().is_multiple_of(2) {
            world.publisher.handle_timeout(now);
        }
        world.set(now, recipients.iter().copied());
        let frame = world.seal(now);
        let hearing: Vec<u8> = recipients
            .iter()
            .copied()
            .filter(|n| !world.deaf.contains(&member(*n)))
            .collect();
        for n in hearing {
            let entitled = entitled(&world, &frame, n);
            let heard = world.open(now, n, &frame);
            assert!(heard.is_ok() || !entitled, "seed {seed}: member {n}: {heard:?}");
        }
        history.frames.push(Sent {
            at: now,
            recipients: members(recipients.iter().copied()),
            frame,
        });
    }
    for (to, message) in world.sent {
        history.knowledge.entry(to).or_default().push(message);
    }
    history
}

/// Whether member `n` was sent a key that leads to the frame's, and received it.
fn entitled(world: &World, frame: &Frame, n: u8) -> bool {
    world.receivers.get(&member(n)).is_some_and(|receiver| {
        receiver
            .newest_key()
            .is_some_and(|key| key.generation() == frame.sealed.key.generation() && key <= frame.sealed.key)
    })
}

/// What somebody who kept all that it was sent could do, without our receiver's rules.
fn can_open(knowledge: &[KeyMessage], frame: &Frame) -> bool {
    let (header, sealed) = Header::parse(&frame.sframe).unwrap();
    let key = frame.sealed.key;
    let context = context(0);
    knowledge.iter().any(|message| {
        let statement = &message.statement;
        let binding = Binding {
            meeting: MEETING,
            publisher: statement.publisher,
            instance: statement.instance,
            first_recipients: statement.first_recipients,
            policy: statement.policy,
        };
        let link = generation::ChainLink {
            key: statement.key,
            secret: message.secret.0.clone(),
        };
        let link = link
            .advanced_to(key)
            .unwrap_or(generation::ChainLink { key, ..link });
        let frame_key = link.frame_key(&binding, context.stream);
        decrypt::open(&frame_key, header, &context.to_bytes(), sealed, &mut Vec::new()).is_ok()
    })
}

fn check(seed: u64) {
    let history = play(seed);
    for sent in &history.frames {
        for (who, knowledge) in &history.knowledge {
            if sent.recipients.contains(who) {
                let joined = history.joined[who].iter().rev().find(|at| **at <= sent.at);
                assert!(joined.is_some());
                continue;
            }
            // A former recipient within the time of the switch may still hear.
            let removed = history.removed.get(who).into_iter().flatten();
            if removed
                .clone()
                .any(|&at| at <= sent.at && sent.at - at < SWITCH_MAX)
            {
                continue;
            }
            assert!(
                !can_open(knowledge, &sent.frame),
                "seed {seed}: {who:?} opens what was sealed for others at {:?}",
                sent.at
            );
        }
    }
}

#[test]
fn outsiders_open_nothing_before_they_join_or_after_the_switch() {
    for seed in 0..200 {
        check(seed);
    }
}

/// The long form: `cargo test -p subrosa-proto ten_thousand -- --ignored`.
#[test]
#[ignore = "takes minutes"]
fn ten_thousand_schedules() {
    for seed in 0..10_000 {
        check(seed);
    }
}

#[test]
fn members_who_see_another_policy_or_other_recipients_share_no_keys() {
    let mut world = World::new([1, 2]);
    let frame = world.seal(at(0));
    let message = world.last_message_to(1);
    assert!(can_open(std::slice::from_ref(&message), &frame));
    let mut policy = message.clone();
    policy.statement.policy = PolicyHash([9; 32]);
    let mut recipients = message.clone();
    recipients.statement.first_recipients = RecipientsRoot::of(&MEETING, &members([1]));
    let mut instance = message;
    instance.statement.instance ^= 1;
    for changed in [policy, recipients, instance] {
        assert!(!can_open(&[changed], &frame));
    }
}
