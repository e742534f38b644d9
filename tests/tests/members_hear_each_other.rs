//! Calls between processes over real sockets: everybody hears everybody, and all see the same safety code.

use std::{thread, time::Duration};

use crate::support::{
    Scratch,
    hearing::{assert_heard, assert_recognised, silence, speech, write_clip},
    member::{Member, Options},
    process::unix_now,
};

/// Sleeps until `unix`.
fn sleep_until(unix: f64) {
    thread::sleep(Duration::from_secs_f64((unix - unix_now()).max(0.0)));
}

fn assert_one_safety_code(members: &[&Member]) {
    let codes: Vec<_> = members.iter().map(|member| member.safety_code()).collect();
    assert_eq!(codes[0].len(), 35, "30 digits in groups of five: {codes:?}");
    assert!(codes.iter().all(|code| *code == codes[0]), "{codes:?}");
}

#[test]
fn two_members_hear_each_other_and_see_one_safety_code() {
    let home = Scratch::new();
    let (alice_says, bob_says) = (speech("alice"), speech("bob"));
    let turn = alice_says.len() as f64 / 48_000.0 + 0.5;
    let alice_clip = home.path().join("alice.wav");
    let bob_clip = home.path().join("bob.wav");
    write_clip(&alice_clip, &[silence(1.0), alice_says.clone()].concat());
    write_clip(&bob_clip, &[silence(1.0 + turn), bob_says.clone()].concat());

    let mut alice = Member::found(&home, "alice", &Options::says(&alice_clip));
    let mut bob = Member::join(&home, "bob", &alice.ticket(), &Options::says(&bob_clip));
    alice.wait_connected(1);
    bob.wait_connected(1);
    let route = bob.wait_for("route").event;
    assert_eq!(route["path"], "direct", "{route}");
    assert_eq!(route["peer"], alice.id(), "{route}");
    let end = bob.clip_began() + 1.0 + turn + bob_says.len() as f64 / 48_000.0;
    sleep_until(end + 1.0);

    assert_heard(&bob, &alice_says, "bob hears alice");
    assert_heard(&alice, &bob_says, "alice hears bob");
    assert_one_safety_code(&[&alice, &bob]);
    assert_eq!(bob.reception(&alice.id(), "undecryptable"), 0);
    assert_eq!(alice.reception(&bob.id(), "undecryptable"), 0);
    bob.leave();
    alice.wait("leaving of bob", |e| {
        e["event"] == "member" && e["state"] == "left"
    });
    alice.leave();
}

#[test]
fn five_members_hear_each_other_and_see_one_safety_code() {
    const TURN_SECONDS: f64 = 4.0;
    const LEAD_SECONDS: f64 = 8.0;
    let home = Scratch::new();
    let (alice, bob) = (speech("alice"), speech("bob"));
    let backwards: Vec<f32> = alice.iter().rev().copied().collect();
    let says: Vec<Vec<f32>> = [
        &alice[..alice.len() / 2],
        &bob[..bob.len() / 2],
        &alice[alice.len() / 2..],
        &bob[bob.len() / 2..],
        &backwards[..backwards.len() / 2],
    ]
    .map(<[f32]>::to_vec)
    .to_vec();
    let options: Vec<_> = says
        .iter()
        .enumerate()
        .map(|(index, says)| {
            let clip = home.path().join(format!("{index}.wav"));
            let lead = silence(LEAD_SECONDS + index as f64 * TURN_SECONDS);
            write_clip(&clip, &[lead, says.clone()].concat());
            Options::says(&clip)
        })
        .collect();

    let mut members = vec![Member::found(&home, "member-0", &options[0])];
    let ticket = members[0].ticket();
    for (index, options) in options.iter().enumerate().skip(1) {
        members.push(Member::join(&home, &format!("member-{index}"), &ticket, options));
    }
    for member in &members {
        member.wait_connected(4);
    }
    let last = members.iter().map(Member::clip_began).fold(0.0, f64::max);
    sleep_until(last + LEAD_SECONDS + 5.0 * TURN_SECONDS);

    assert_one_safety_code(&members.iter().collect::<Vec<_>>());
    for (listener, member) in members.iter().enumerate() {
        for (speaker, says) in says
            .iter()
            .enumerate()
            .filter(|(speaker, _)| *speaker != listener)
        {
            assert_recognised(member, says, &format!("{listener} hears {speaker}"));
        }
    }
    for member in members.iter_mut().rev() {
        member.leave();
    }
}
