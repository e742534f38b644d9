//! What those in charge ask of members and take from them: silence, reactions, sharing; and what members ask of them.

use std::{thread, time::Duration};

use serde_json::json;

use crate::support::{
    Scratch,
    hearing::{babble, level_between, write_clip},
    member::{Member, Options},
    process::unix_now,
};

/// Levels below which nobody speaks, and above which somebody does.
const SILENCE: f64 = 0.001;
const SOUND: f64 = 0.01;

#[test]
fn a_request_for_silence_mutes_and_whoever_was_asked_may_speak_again() {
    let home = Scratch::new();
    let clip = home.path().join("guest.wav");
    write_clip(&clip, &babble("alice", 40.0));
    let mut host = Member::found(&home, "host", &Options::default());
    let mut guest = Member::join(&home, "guest", &host.ticket(), &Options::says(&clip));
    guest.wait_connected(1);
    let began = guest.clip_began();
    thread::sleep(Duration::from_secs(3));
    host.about("request_mute", &guest.id());
    let asked = guest.wait_for("mute_requested");
    assert_eq!(asked.event["by"], host.id());
    thread::sleep(Duration::from_secs(3));
    let unmuted = unix_now();
    guest.command(&json!({"cmd": "unmute"}));
    thread::sleep(Duration::from_secs(3));
    assert!(level_between(&host, began + 1.0, asked.unix) > SOUND, "before");
    let quiet = level_between(&host, asked.unix + 1.0, unmuted);
    assert!(quiet < SILENCE, "after the request: {quiet}");
    let again = level_between(&host, unmuted + 1.0, unmuted + 2.5);
    assert!(again > SOUND, "as it is the guest's to say: {again}");

    let mark = guest.mark();
    host.command(&json!({"cmd": "request_mute_all"}));
    guest.wait_since(mark, "request to all", |e| e["event"] == "mute_requested");
    let late = unix_now();
    thread::sleep(Duration::from_secs(2));
    assert!(level_between(&host, late + 0.5, late + 1.5) < SILENCE);
}

#[test]
fn a_listener_who_asks_for_the_word_is_heard_by_those_in_charge_alone() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let mut listener = Member::join(&home, "listener", &host.ticket(), &Options::silent());
    let other = Member::join(&home, "other", &host.ticket(), &Options::silent());
    listener.wait_connected(2);
    other.wait_connected(2);
    let id = listener.id();
    host.command(&json!({"cmd": "role", "member": id, "role": "listener"}));
    listener.wait("role", |e| e["event"] == "member" && e["role"] == "listener");
    listener.command(&json!({"cmd": "ask_to_speak"}));
    let asked = host.wait_for("asked_to_speak");
    assert_eq!(asked.event["member"], id);
    let told = other.look_for(0, Duration::from_secs(1), |e| e["event"] == "asked_to_speak");
    assert!(told.is_none(), "{told:?}");
}

#[test]
fn stopped_reactions_reach_nobody_and_sharing_can_be_left_to_those_in_charge() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let mut guest = Member::join(&home, "guest", &host.ticket(), &Options::silent());
    guest.wait_connected(1);
    let id = guest.id();
    host.command(&json!({"cmd": "reactions", "member": id, "allowed": false}));
    let stopped = guest.wait_for("reactions").event;
    assert_eq!(
        (&stopped["member"], &stopped["allowed"]),
        (&id.clone().into(), &false.into())
    );
    guest.command(&json!({"cmd": "react", "reaction": "clap"}));
    let refused = guest.wait_for("refused").event;
    assert_eq!(
        (&refused["what"], &refused["clause"]),
        (&"reaction".into(), &"stopped".into())
    );
    host.command(&json!({"cmd": "reactions", "member": id, "allowed": true}));
    guest.wait("reactions back", |e| {
        e["event"] == "reactions" && e["allowed"] == true
    });
    guest.command(&json!({"cmd": "react", "reaction": "heart"}));
    let reacted = host.wait_for("reaction").event;
    assert_eq!(
        (&reacted["member"], &reacted["emoji"]),
        (&id.clone().into(), &"♥".into())
    );

    let mark = guest.mark();
    host.command(&json!({"cmd": "sharing", "in_charge_only": true}));
    let rule = guest.wait_since(mark, "rule", |e| e["event"] == "sharing").event;
    assert_eq!(rule["in_charge_only"], true);
    let mark = guest.mark();
    guest.command(&json!({"cmd": "sharing", "in_charge_only": false}));
    let refused = guest
        .wait_since(mark, "refusal", |e| e["event"] == "refused")
        .event;
    assert_eq!(refused["clause"], "role", "{refused}");
}
