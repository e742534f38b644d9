//! Two members who cannot reach each other hear each other over a third, if the policy lets members forward and its user agreed.

use std::time::Duration;

use serde_json::Value;

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    lan::{Lan, lan_for},
    member::{Member, Options},
};

/// Packets of two seconds, and some.
const STALE_PACKETS: f64 = 110.0;

/// Carol in the middle, and Alice and Bob on both sides of her, who do not reach each other.
struct Three {
    carol: Member,
    alice: Member,
    bob: Member,
    _lan: Lan,
    _home: Scratch,
}

impl Three {
    fn meet(lan: Lan, policy: &str, forward: &str) -> Self {
        let home = Scratch::new();
        let between = lan.keep_apart();
        let clip = home.path().join("clip.wav");
        write_clip(&clip, &babble("alice", 60.0));
        let on = |namespace: &str, options: Options| Options {
            namespace: Some(namespace.to_owned()),
            ..options.with(&["--listen", "0.0.0.0:0"])
        };
        let founds = Options::silent().with(&["--policy", policy, "--forward", forward]);
        let carol = Member::found(&home, "carol", &on(&between, founds));
        let ticket = carol.ticket();
        let alice = Member::join(&home, "alice", &ticket, &on(&lan.names[0], Options::says(&clip)));
        let bob = Member::join(&home, "bob", &ticket, &on(&lan.names[1], Options::silent()));
        for member in [&alice, &bob] {
            let host = carol.id();
            member.wait("a link to carol", |e| {
                e["event"] == "route" && e["peer"] == host && e["path"] == "direct"
            });
        }
        Self {
            carol,
            alice,
            bob,
            _lan: lan,
            _home: home,
        }
    }

    fn heard(&self) -> u64 {
        self.bob.reception(&self.alice.id(), "received")
    }
}

/// Carol carries Alice's voice to Bob, and Bob's open microphone to Alice.
fn is_forwarding(event: &Value) -> bool {
    let is_some_time = event["frames"].as_u64().is_some_and(|frames| frames > 200);
    event["event"] == "forward" && is_some_time && event["listeners"] == 2
}

#[test]
fn two_who_cannot_reach_each_other_hear_each_other_over_a_third() {
    let Some(lan) = lan_for("two_who_cannot_reach_each_other_hear_each_other_over_a_third") else {
        return;
    };
    let three = Three::meet(lan, "any", "300");
    let alice = three.alice.id();
    three.bob.wait("a way over carol", |e| {
        e["event"] == "route" && e["peer"] == alice && e["path"] == "member" && e["via"] == "carol"
    });
    let carried = three.carol.wait("what carol forwards", is_forwarding);
    assert_eq!(carried.event["offered_kbps"], 300);
    assert_eq!(carried.event["tracks"], 2, "{}", carried.event);
    assert!(carried.event["envelopes"].as_u64() > Some(0), "{}", carried.event);
    let (first, before) = three.bob.wait_received(&alice, 50);
    let (last, after) = three.bob.wait_received(&alice, before + 450);
    // Fifty each second, of which none is missing; what a report tells may be two seconds old.
    let wanted = (last.unix - first.unix) * 50.0;
    let heard = (after - before) as f64;
    assert!(
        (heard - wanted).abs() < STALE_PACKETS,
        "{heard} packets instead of {wanted}: {}",
        three.bob.story()
    );
    assert_eq!(three.bob.reception(&alice, "lost"), 0, "{}", three.bob.story());
    assert_eq!(three.bob.reception(&alice, "undecryptable"), 0);
}

#[test]
fn where_the_policy_forbids_it_nobody_forwards() {
    let Some(lan) = lan_for("where_the_policy_forbids_it_nobody_forwards") else {
        return;
    };
    let three = Three::meet(lan, "eea", "300");
    std::thread::sleep(Duration::from_secs(8));
    assert_eq!(three.heard(), 0, "{}", three.bob.story());
    assert!(
        !three.carol.story().contains("\"event\":\"forward\""),
        "{}",
        three.carol.story()
    );
}
