//! Chat, hands, reactions and polls among real processes, one of them reachable over a relay only.

use serde_json::{Value, json};

use crate::support::{
    Scratch,
    member::{Member, Options, text},
    relay::Relay,
};

/// Waits until `member` was told a chat message.
fn wait_chat(member: &Member, words: &str) -> Value {
    member
        .wait(&format!("chat \"{words}\""), |e| {
            e["event"] == "chat" && e["text"] == words
        })
        .event
}

/// What was said to everybody, as a screen sorts it.
fn screen(member: &Member) -> Vec<(String, String)> {
    let said = member.said().into_iter().map(|said| said.event);
    let public = said.filter(|e| e["event"] == "chat" && e["to"].is_null());
    let mut lines: Vec<_> = public.map(|e| (text(&e["order"]), text(&e["text"]))).collect();
    lines.sort();
    lines
}

fn hands(names: &[&str]) -> impl FnMut(&Value) -> bool {
    let expected: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    move |e| e["event"] == "hands" && e["members"] == json!(expected)
}

/// A host and a guest with direct links, and one behind a relay.
fn three(home: &Scratch) -> (Relay, Member, Member, Member) {
    let relay = Relay::start(home, "nordlicht", "DE");
    let with_relay = |options: Options| options.relay(&relay.descriptor);
    let host = Member::found(home, "host", &with_relay(Options::silent()));
    let ticket = host.ticket();
    let near = Member::join(home, "near", &ticket, &Options::silent());
    near.wait_joined();
    let far = Member::join(
        home,
        "far",
        &ticket,
        &with_relay(Options::silent()).with(&["--no-direct"]),
    );
    for member in [&host, &near, &far] {
        member.wait_connected(2);
    }
    (relay, host, near, far)
}

#[test]
fn what_is_said_stands_in_one_order_on_every_screen() {
    let home = Scratch::new();
    let (_relay, mut host, mut near, mut far) = three(&home);
    for turn in 0..3 {
        for (name, member) in [("host", &mut host), ("near", &mut near), ("far", &mut far)] {
            member.command(&json!({"cmd": "say", "text": format!("{name} {turn}\nand more")}));
        }
    }
    for member in [&host, &near, &far] {
        for name in ["host", "near", "far"] {
            for turn in 0..3 {
                wait_chat(member, &format!("{name} {turn}\nand more"));
            }
        }
    }
    assert_eq!(screen(&host).len(), 9);
    assert_eq!(screen(&host), screen(&near));
    assert_eq!(screen(&host), screen(&far));

    // To one only.
    far.command(&json!({"cmd": "say", "text": "between us", "to": near.id()}));
    assert_eq!(wait_chat(&near, "between us")["from"], far.id());
    assert_eq!(wait_chat(&far, "between us")["to"], near.id());
    // What comes after it has come, and it has not.
    near.command(&json!({"cmd": "say", "text": "after"}));
    wait_chat(&host, "after");
    let leaked = |e: &Value| e["text"] == "between us";
    assert!(
        !host.said().iter().any(|said| leaked(&said.event)),
        "{}",
        host.story()
    );

    // Whoever comes now hears none of it, and what is said next.
    let late = Member::join(&home, "late", &host.ticket(), &Options::silent());
    late.wait_connected(2);
    host.wait("newcomer", |e| e["event"] == "member" && e["name"] == "late");
    near.wait("newcomer", |e| e["event"] == "member" && e["name"] == "late");
    near.command(&json!({"cmd": "say", "text": "welcome"}));
    wait_chat(&late, "welcome");
    assert_eq!(screen(&late).len(), 1, "{}", late.story());
    // What breaks a rule is refused with its reason.
    near.command(&json!({"cmd": "say", "text": "x".repeat(4_001)}));
    let refused = near
        .wait("refusal", |e| e["event"] == "refused" && e["what"] == "chat")
        .event;
    assert_eq!(refused["clause"], "text", "{refused}");
    for _ in 0..15 {
        near.command(&json!({"cmd": "say", "text": "spam"}));
    }
    near.wait("refusal", |e| e["event"] == "refused" && e["clause"] == "rate");
}

#[test]
fn hands_polls_and_reactions_are_the_same_everywhere() {
    let home = Scratch::new();
    let (_relay, mut host, mut near, mut far) = three(&home);
    let (near_id, far_id) = (near.id(), far.id());
    far.command(&json!({"cmd": "hand"}));
    near.wait("hand", hands(&[&far_id]));
    near.command(&json!({"cmd": "hand", "up": true}));
    for member in [&host, &near, &far] {
        member.wait("hands", hands(&[&far_id, &near_id]));
    }
    near.about("lower_hand", &far_id);
    let refused = near.wait_for("refused").event;
    assert_eq!(
        (&refused["what"], &refused["clause"]),
        (&"hand".into(), &"role".into())
    );
    host.about("lower_hand", &far_id);
    for member in [&host, &near, &far] {
        member.wait("lowered hand", hands(&[&near_id]));
    }
    far.command(&json!({"cmd": "react", "reaction": "clap"}));
    let reacted = near.wait_for("reaction").event;
    assert_eq!(
        (&reacted["member"], &reacted["emoji"]),
        (&far_id.into(), &"👏".into())
    );

    near.command(
        &json!({"cmd": "poll", "question": "Tea?", "options": ["yes", "no", "both"], "multiple": true}),
    );
    let poll = text(&far.wait_for("poll").event["poll"]);
    host.wait_for("poll");
    for (member, choices) in [
        (&mut host, json!([0])),
        (&mut near, json!([1])),
        (&mut far, json!([0, 2])),
    ] {
        member.command(&json!({"cmd": "vote", "poll": poll, "choices": choices}));
    }
    near.command(&json!({"cmd": "vote", "poll": poll, "choices": [0]}));
    near.wait("votes", |e| {
        e["event"] == "poll" && e["votes"] == json!([3, 0, 1])
    });
    far.command(&json!({"cmd": "close_poll", "poll": poll}));
    far.wait("refusal", |e| e["event"] == "refused" && e["what"] == "poll");
    near.command(&json!({"cmd": "close_poll", "poll": poll}));
    for member in [&host, &near, &far] {
        let result = member
            .wait("result", |e| e["event"] == "poll" && e["state"] == "closed")
            .event;
        assert_eq!(
            (&result["votes"], &result["voters"]),
            (&json!([3, 0, 1]), &json!(3)),
            "{result}"
        );
    }
}

#[test]
fn whoever_is_removed_hears_nothing_more_and_whoever_comes_back_what_it_missed() {
    let home = Scratch::new();
    let (_relay, mut host, mut near, mut far) = three(&home);
    near.kill();
    host.command(&json!({"cmd": "say", "text": "while you were away"}));
    wait_chat(&far, "while you were away");
    let options = Options {
        data_dir: Some(near.data_dir.clone()),
        ..Options::silent()
    };
    let near = Member::join(&home, "near", &host.ticket(), &options);
    near.wait_joined();
    wait_chat(&near, "while you were away");
    let far_id = far.id();
    host.about("remove", &far_id);
    near.wait("removal", |e| e["event"] == "member" && e["state"] == "removed");
    host.command(&json!({"cmd": "say", "text": "without far"}));
    wait_chat(&near, "without far");
    far.wait_end();
    let heard = |e: &Value| e["text"] == "without far";
    assert!(
        !far.said().iter().any(|said| heard(&said.event)),
        "{}",
        far.story()
    );
}
