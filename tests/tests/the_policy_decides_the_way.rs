//! Media go only where the policy allows: a refused relay gets no packet, and without a permitted path there is no call.

use serde_json::Value;
use subrosa_proto::identity::Identity;

use crate::support::{
    Scratch,
    member::{Member, Options, text},
    relay::{Relay, Trap, paper},
};

fn refusal(member: &Member, relay: &Identity) -> Value {
    let fingerprint = relay.relay_id().fingerprint();
    let refused = |event: &Value| {
        event["event"] == "refused"
            && event["what"] == "relay"
            && text(&event["reason"]).contains(&fingerprint)
    };
    member.wait("refusal", refused).event
}

#[test]
fn a_relay_outside_the_policy_gets_no_packet_and_the_refusal_names_the_clause() {
    let home = Scratch::new();
    let traps = [Trap::new(), Trap::new()];
    let [overseas, subsidiary] = [1, 2].map(|seed| Identity::from_seed(&[seed; 32]));
    let hosted = paper(&overseas, traps[0].address(), "Overseas", "US", |_| {});
    let owned = paper(
        &subsidiary,
        traps[1].address(),
        "Subsidiary",
        "DE",
        |descriptor| {
            descriptor.operator.parent_seat = "US".parse().expect("a country");
        },
    );
    let relay = Relay::start(&home, "Nordlicht", "DE");
    let with_all = |options: Options| {
        options
            .with(&["--policy", "eea"])
            .relay(&hosted.to_text())
            .relay(&owned.to_text())
            .relay(&relay.descriptor)
    };
    let mut host = Member::found(&home, "host", &with_all(Options::silent()));
    let hidden = with_all(Options::silent()).with(&["--no-direct"]);
    let mut guest = Member::join(&home, "guest", &host.ticket(), &hidden);
    for member in [&host, &guest] {
        member.wait_connected(1);
        let by_hosting = refusal(member, &overseas);
        assert_eq!(by_hosting["clause"], "hosting", "{by_hosting}");
        assert!(text(&by_hosting["reason"]).contains("US"), "{by_hosting}");
        let by_parent = refusal(member, &subsidiary);
        assert_eq!(by_parent["clause"], "parent_seat", "{by_parent}");
    }
    // What is used is reported, with what the relay declares.
    let route = guest
        .wait("route", |e| e["event"] == "route" && e["path"] == "relay")
        .event;
    assert_eq!(route["via"], "Nordlicht", "{route}");
    assert_eq!(
        (&route["hosting"], &route["legal_seat"]),
        (&"DE".into(), &"DE".into()),
        "{route}"
    );
    assert_eq!(route["evidence"], "declared", "{route}");
    guest.wait("statistics or time", |e| {
        e["event"] == "stats" || e["event"] == "safety_code"
    });
    guest.leave();
    host.leave();
    assert_eq!(
        traps.map(|trap| trap.packets()),
        [0, 0],
        "packets at the refused relays"
    );
}

#[test]
fn without_a_permitted_path_the_call_fails_and_names_the_clause() {
    let home = Scratch::new();
    let trap = Trap::new();
    let overseas = Identity::from_seed(&[3; 32]);
    let relay = paper(&overseas, trap.address(), "Overseas", "US", |_| {});
    let host = Member::found(&home, "host", &Options::silent().with(&["--policy", "eea"]));
    let hidden = Options::silent().with(&["--no-direct"]).relay(&relay.to_text());
    let mut guest = Member::join(&home, "guest", &host.ticket(), &hidden);
    assert_eq!(guest.wait_end(), 21, "{}", guest.story());
    let error = guest.wait_for("error").event;
    assert_eq!(error["code"], "no_permitted_path", "{error}");
    let message = text(&error["message"]);
    assert!(
        message.contains(&overseas.relay_id().fingerprint()) && message.contains("hosted US"),
        "{message}"
    );
    assert_eq!(guest.wait_for("left").event["reason"], "no_permitted_path");
    assert_eq!(trap.packets(), 0);
}
