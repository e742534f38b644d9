//! Admitting, refusing, locking, roles, removing, muting: what those in charge decide is so for everybody.

use std::{thread, time::Duration};

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    hearing::{babble, level_between, write_clip},
    member::{Member, Options, text},
    process::{Process, unix_now},
};

/// Level below which nobody speaks: 60 dB below full scale.
const SILENCE: f64 = 0.001;
/// Level above which somebody does.
const SOUND: f64 = 0.01;

fn knock_of(host: &Process, name: &str) -> String {
    let said = host.wait(&format!("knock of {name}"), |e| {
        e["event"] == "knock" && e["name"] == name
    });
    assert!(!text(&said.event["fingerprint"]).is_empty(), "{}", said.event);
    text(&said.event["member"])
}

fn with_babble(home: &Scratch, name: &str) -> Options {
    let clip = home.path().join(format!("{name}.wav"));
    write_clip(&clip, &babble(name, 40.0));
    Options::says(&clip)
}

#[test]
fn the_host_admits_one_and_refuses_another() {
    let home = Scratch::new();
    let ask = Options::silent().with(&["--admit", "ask"]);
    let mut host = Member::found(&home, "host", &ask);
    let ticket = host.ticket();
    let welcome = Member::join(&home, "welcome", &ticket, &Options::silent());
    let mut stranger = Member::join(&home, "stranger", &ticket, &Options::silent());
    welcome.wait_for("waiting");
    stranger.wait_for("waiting");
    let (admitted, refused) = (knock_of(&host, "welcome"), knock_of(&host, "stranger"));
    assert_eq!((&admitted, &refused), (&welcome.id(), &stranger.id()));
    host.about("admit", &admitted);
    host.about("refuse", &refused);
    welcome.wait_joined();
    assert_eq!(stranger.wait_end(), 22, "{}", stranger.story());
    assert_eq!(stranger.wait_for("error").event["code"], "refused");
    let met = stranger
        .said()
        .into_iter()
        .find(|said| said.event["event"] == "member");
    assert!(met.is_none(), "the refused one learnt of a member: {met:?}");
}

#[test]
fn a_locked_meeting_lets_nobody_in_until_it_is_unlocked() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let ticket = host.ticket();
    let inside = Member::join(&home, "inside", &ticket, &Options::silent());
    inside.wait_joined();
    host.command(&json!({"cmd": "lock"}));
    inside.wait("lock", |e| e["event"] == "locked" && e["locked"] == true);
    let mut late = Member::join(&home, "late", &ticket, &Options::silent());
    assert_eq!(late.wait_end(), 24, "{}", late.story());
    assert_eq!(late.wait_for("error").event["code"], "locked");
    host.command(&json!({"cmd": "unlock"}));
    inside.wait("unlocking", |e| e["event"] == "locked" && e["locked"] == false);
    let later = Member::join(&home, "later", &ticket, &Options::silent());
    later.wait_joined();
}

#[test]
fn a_listener_is_not_heard_until_made_a_speaker_again() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::default());
    let guest = Member::join(&home, "guest", &host.ticket(), &with_babble(&home, "bob"));
    guest.wait_connected(1);
    let began = guest.clip_began();
    thread::sleep(Duration::from_secs(3));
    let mark = host.mark();
    host.command(&json!({"cmd": "role", "member": guest.id(), "role": "listener"}));
    let is_role = |role: &'static str| move |e: &Value| e["event"] == "member" && e["role"] == role;
    let silenced = host.wait_since(mark, "new role", is_role("listener")).unix;
    thread::sleep(Duration::from_secs(4));
    host.command(&json!({"cmd": "role", "member": guest.id(), "role": "speaker"}));
    let restored = host.wait_since(mark, "old role", is_role("speaker")).unix;
    thread::sleep(Duration::from_secs(4));
    assert!(level_between(&host, began + 1.0, silenced) > SOUND, "before");
    let quiet = level_between(&host, silenced + 1.0, restored);
    assert!(quiet < SILENCE, "as a listener: {quiet}");
    assert!(
        level_between(&host, restored + 2.0, restored + 3.5) > SOUND,
        "after"
    );
}

#[test]
fn an_interpreter_is_heard_and_can_neither_admit_nor_remove() {
    let home = Scratch::new();
    let asking = Options::default().with(&["--admit", "ask"]);
    let mut host = Member::found(&home, "host", &asking);
    let ticket = host.ticket();
    let mut interpreter = Member::join(&home, "interpreter", &ticket, &with_babble(&home, "bob"));
    interpreter.wait_for("waiting");
    let id = knock_of(&host, "interpreter");
    host.about("admit", &id);
    interpreter.wait_connected(1);
    let mark = host.mark();
    host.command(&json!({"cmd": "role", "member": id, "role": "interpreter"}));
    let named = host.wait_since(mark, "role", |e| {
        e["event"] == "member" && e["role"] == "interpreter"
    });
    interpreter.wait("its role", |e| {
        e["event"] == "member" && e["id"] == id.as_str() && e["role"] == "interpreter"
    });
    let stranger = Member::join(&home, "stranger", &ticket, &Options::silent());
    stranger.wait_for("waiting");
    for (command, whom) in [("admit", stranger.id()), ("remove", host.id())] {
        let before = interpreter.mark();
        interpreter.about(command, &whom);
        let refused = interpreter.wait_since(before, "refusal", |e| e["event"] == "refused");
        assert_eq!(refused.event["clause"], "role", "{}", refused.event);
    }
    thread::sleep(Duration::from_secs(4));
    let heard = level_between(&host, named.unix + 1.0, named.unix + 4.0);
    assert!(heard > SOUND, "as an interpreter: {heard}");
    let undone = |member: &Member| {
        member.look_for(0, Duration::ZERO, |e| {
            e["event"] == "member" && e["name"] == "stranger" || e["state"] == "removed"
        })
    };
    assert!(undone(&host).is_none() && undone(&interpreter).is_none());
    assert!(
        stranger
            .look_for(0, Duration::ZERO, |e| e["event"] == "joined")
            .is_none()
    );
    // Whoever may admit still can.
    host.about("admit", &stranger.id());
    stranger.wait_joined();
}

#[test]
fn whoever_is_muted_is_not_heard() {
    let home = Scratch::new();
    let host = Member::found(&home, "host", &Options::default());
    let mut guest = Member::join(&home, "guest", &host.ticket(), &with_babble(&home, "alice"));
    guest.wait_connected(1);
    let began = guest.clip_began();
    thread::sleep(Duration::from_secs(3));
    let muted = unix_now();
    guest.command(&json!({"cmd": "mute"}));
    thread::sleep(Duration::from_secs(3));
    let unmuted = unix_now();
    guest.command(&json!({"cmd": "unmute"}));
    thread::sleep(Duration::from_secs(3));
    assert!(level_between(&host, began + 1.0, muted) > SOUND, "before");
    let quiet = level_between(&host, muted + 1.0, unmuted);
    assert!(quiet < SILENCE, "muted: {quiet}");
    assert!(
        level_between(&host, unmuted + 1.0, unmuted + 2.5) > SOUND,
        "after"
    );
}

#[test]
fn a_co_host_removes_a_member_and_a_speaker_cannot() {
    let home = Scratch::new();
    let mut host = Member::found(&home, "host", &Options::silent());
    let ticket = host.ticket();
    let mut deputy = Member::join(&home, "deputy", &ticket, &Options::silent());
    deputy.wait_joined();
    let mut nuisance = Member::join(&home, "nuisance", &ticket, &Options::silent());
    nuisance.wait_connected(2);
    deputy.wait_connected(2);

    // A speaker is told that this is not theirs to do.
    nuisance.about("remove", &deputy.id());
    let refused = nuisance.wait_for("refused").event;
    assert_eq!(
        (&refused["what"], &refused["clause"]),
        (&"command".into(), &"role".into()),
        "{refused}"
    );

    let mark = deputy.mark();
    host.command(&json!({"cmd": "role", "member": deputy.id(), "role": "co_host"}));
    deputy.wait_since(mark, "promotion", |e| {
        e["event"] == "member" && e["role"] == "co_host"
    });
    let host_mark = host.mark();
    deputy.about("remove", &nuisance.id());
    assert_eq!(nuisance.wait_end(), 23, "{}", nuisance.story());
    assert_eq!(nuisance.wait_for("left").event["reason"], "removed");
    assert_eq!(nuisance.wait_for("error").event["code"], "removed");
    let removed = |e: &Value| e["event"] == "member" && e["state"] == "removed";
    let told = host.wait_since(host_mark, "removal", removed).event;
    assert_eq!(told["id"], nuisance.id(), "{told}");
    host.wait_since(host_mark, "new keys", |e| {
        e["event"] == "keys" && e["reason"] == "remove"
    });
    thread::sleep(Duration::from_millis(500));
    assert_eq!(host.safety_code(), deputy.safety_code());

    // The old ticket and the same identity do not lead back in.
    let options = Options {
        data_dir: Some(nuisance.data_dir.clone()),
        ..Options::silent()
    };
    let mut again = Member::join(&home, "nuisance", &ticket, &options);
    let status = again.wait_end();
    assert!([14, 20, 22].contains(&status), "{status}\n{}", again.story());
}
