//! A relay's statements over its life: chained, attested, and changed in mid-meeting.

use std::time::Duration;

use serde_json::Value;
use subrosa_proto::{policy::SignedDescriptor, time::UnixSeconds};

use crate::support::{
    Scratch,
    member::{Member, Options},
    operated::Operated,
    process::unix_now,
    run,
};

#[test]
fn an_issuers_word_travels_in_the_descriptor_and_is_checked_by_members() {
    let home = Scratch::new();
    let key = home.path().join("issuer.key").display().to_string();
    let issuer = run(&home, &["relay", "token", "new-key", "--out", &key])
        .stdout
        .trim()
        .to_owned();
    let mut relay = Operated::start(&home, "attested", "", "");
    let file = relay.file.display().to_string();
    let request = run(&home, &["attest", "request", "--config", &file]).stdout;
    let request = home.file("request.txt", &request).display().to_string();
    let signed = run(
        &home,
        &["attest", "sign", &request, "--key", &key, "--days", "30"],
    );
    assert_eq!(signed.status, 0, "{signed:?}");
    assert!(
        signed.stderr.contains("hosted DE, law DE, parent DE"),
        "{signed:?}"
    );
    let line = signed.stdout.trim();
    let checked = run(
        &home,
        &[
            "attest",
            "verify",
            line,
            "--relay",
            &relay.descriptor,
            "--issuer",
            &issuer,
            "--json",
        ],
    );
    let said: Value = serde_json::from_str(&checked.stdout).unwrap();
    assert_eq!((&said["ok"], &said["hosting"]), (&true.into(), &"DE".into()));
    let other = run(&home, &["attest", "verify", line, "--relay", &"ab".repeat(32)]);
    assert_ne!(other.status, 0, "it is about one relay: {other:?}");

    // By reload into the descriptor, and from there to a meeting whose policy demands it.
    let attested = relay.reload("DE", &format!("attestations = ['{line}']"), "");
    assert_eq!(attested["descriptor"], true, "{attested}");
    let policy = home.file(
        "policy.toml",
        format!("preset = 'eea'\nevidence = 'attested'\nissuers = {{ at_least = 1, of = ['{issuer}'] }}\n"),
    );
    let ready = relay.wait("attested descriptor", |event| {
        let text = event["descriptor"]
            .as_str()
            .filter(|_| event["event"] == "relay_ready");
        let signed = text.and_then(|text| SignedDescriptor::from_text(text).ok());
        signed.is_some_and(|signed| signed.unverified().attestations.len() == 1)
    });
    let descriptor = ready.event["descriptor"].as_str().unwrap().to_owned();
    let reached = run(
        &home,
        &[
            "netcheck",
            "--audio",
            "null",
            "--relay",
            &descriptor,
            "--policy",
            &policy.display().to_string(),
        ],
    );
    assert_eq!(reached.status, 0, "{reached:?}");
    relay.signal("TERM");
    relay.wait_end();
}

#[test]
fn a_relay_is_of_a_family_if_both_say_so() {
    let home = Scratch::new();
    let key = home.path().join("family.key").display().to_string();
    let family = run(&home, &["relay", "family", "new-key", "--out", &key]).stdout;
    let mut relay = Operated::start(&home, "kin", "", "");
    let sign = |relay: &str| {
        let signed = run(&home, &["relay", "family", "sign", relay, "--key", &key]);
        assert_eq!(signed.status, 0, "{signed:?}");
        signed.stdout.trim().to_owned()
    };
    // For another relay: refused, and what was in force stays.
    let stolen = sign(&"ab".repeat(32));
    let refused = relay.reload("DE", &format!("family = '{stolen}'"), "");
    assert_eq!(refused["event"], "relay_reload_failed", "{refused}");
    assert!(
        refused["message"].as_str().unwrap().contains("family"),
        "{refused}"
    );
    let own = sign(&relay.descriptor);
    let taken = relay.reload("DE", &format!("family = '{own}'"), "");
    assert_eq!(taken["descriptor"], true, "{taken}");
    relay.wait("the family in the descriptor", |event| {
        let text = event["descriptor"]
            .as_str()
            .filter(|_| event["event"] == "relay_ready");
        let signed = text.and_then(|text| SignedDescriptor::from_text(text).ok());
        let of = signed.and_then(|signed| {
            signed
                .unverified()
                .family
                .as_ref()
                .map(|of| of.family().to_string())
        });
        of.as_deref() == Some(family.trim())
    });
    relay.signal("TERM");
    relay.wait_end();
}

#[test]
fn descriptors_are_chained_over_a_restart_and_hold_for_a_day_at_most() {
    let home = Scratch::new();
    let now = || UnixSeconds(unix_now() as u64);
    let read = |relay: &Operated| {
        let signed = SignedDescriptor::from_text(&relay.descriptor).unwrap();
        signed.verify(now()).unwrap()
    };
    let mut relay = Operated::start(&home, "chained", "", "");
    let first = read(&relay);
    assert!(first.valid_until.0 - first.valid_from.0 <= 86_400);
    relay.kill();
    let second = read(&Operated::start(&home, "chained", "", ""));
    assert_eq!(
        (second.sequence, second.previous),
        (first.sequence + 1, Some(first.hash()))
    );
}

#[test]
fn members_leave_a_relay_that_moves_to_a_country_that_their_policy_does_not_allow() {
    let home = Scratch::new();
    let relays = [
        Operated::start(&home, "moving", "", ""),
        Operated::start(&home, "staying", "", ""),
    ];
    let options = relays.iter().fold(
        Options::silent().with(&["--no-direct", "--policy", "eea"]),
        |options, relay| options.relay(&relay.descriptor),
    );
    let host = Member::found(&home, "host", &options);
    let guest = Member::join(&home, "guest", &host.ticket(), &options);
    guest.wait_joined();
    guest.wait_connected(1);
    let begun = std::time::Instant::now();
    while relays.iter().any(|relay| relay.stats()["sessions"] != 2) {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", guest.story());
    }
    let marks = [host.mark(), guest.mark()];
    let reloaded = relays[0].reload("US", "", "");
    assert_eq!(reloaded["descriptor"], true, "{reloaded}");
    for (member, mark) in [&host, &guest].into_iter().zip(marks) {
        let refused = member.wait_since(mark, "refusal", |event| {
            event["event"] == "refused" && event["what"] == "relay"
        });
        let reason = refused.event["reason"].as_str().unwrap();
        assert!(reason.contains("US"), "it names the clause: {reason}");
    }
    let begun = std::time::Instant::now();
    while relays[0].stats()["sessions"] != 0 {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", guest.story());
    }
    assert_eq!(
        relays[1].stats()["sessions"],
        2,
        "the meeting goes on over the other"
    );
    let last = guest
        .said()
        .into_iter()
        .rev()
        .find(|said| said.event["event"] == "route");
    assert_ne!(last.unwrap().event["path"], "none");
}
