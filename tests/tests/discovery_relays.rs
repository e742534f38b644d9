//! The relay directory: `subrosa relays`, and a meeting that chooses its relays there.

use serde_json::Value;

use crate::support::{
    Scratch,
    member::{Member, Options},
    relay::Relay,
    run,
};

/// After so long a relay has told its counters once more.
const SETTLED: std::time::Duration = std::time::Duration::from_millis(2_500);

fn directory(home: &Scratch) -> [Relay; 3] {
    let first = Relay::start(home, "Nordlicht", "DE");
    let second = Relay::start_knowing(home, "Mistral", "FR", &first);
    let third = Relay::start_knowing(home, "Liberty", "US", &first);
    [first, second, third]
}

/// Asks until all three are listed: announcing takes a moment.
fn list(home: &Scratch, arguments: &[&str], relays: usize) -> Value {
    let mut last = Value::Null;
    for _ in 0..10 {
        let finished = run(home, &[&["relays", "--json", "--wait", "6"], arguments].concat());
        last = serde_json::from_str(&finished.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}\n{}", finished.stdout, finished.stderr));
        if last["relays"].as_array().is_some_and(|list| list.len() == relays) {
            return last;
        }
    }
    panic!("not {relays} relays: {last:#}");
}

fn named<'a>(listed: &'a Value, operator: &str) -> &'a Value {
    let list = listed["relays"].as_array().expect("a list");
    list.iter()
        .find(|relay| relay["operator"] == operator)
        .unwrap_or_else(|| panic!("no {operator}: {listed:#}"))
}

#[test]
fn relays_are_listed_with_the_clause_against_each_and_only_permitted_ones_get_a_packet() {
    let home = Scratch::new();
    let relays = directory(&home);
    let all = list(&home, &["--bootstrap", &relays[1].descriptor], 3);
    for relay in all["relays"].as_array().expect("a list") {
        assert_eq!(relay["permitted"], true);
        assert_eq!(relay["evidence"], "declared");
        assert!(relay["rtt_ms"].as_f64().is_some_and(|ms| ms > 0.0), "{relay:#}");
    }
    let german = list(
        &home,
        &["--bootstrap", &relays[1].descriptor, "--country", "de"],
        1,
    );
    assert_eq!(named(&german, "Nordlicht")["hosting"], "DE");

    // Under a policy: listed, refused, and its media socket gets no packet.
    std::thread::sleep(SETTLED);
    let before = relays[2].counter("datagrams_received");
    let policy = home.file(
        "eea-any-discovery.toml",
        "preset = \"eea\"\ndiscovery = \"any\"\n",
    );
    let policy = policy.display().to_string();
    let judged = list(
        &home,
        &["--bootstrap", &relays[0].descriptor, "--policy", &policy],
        3,
    );
    let refused = named(&judged, "Liberty");
    assert_eq!(refused["permitted"], false);
    assert_eq!(refused["clause"], "hosting");
    assert_eq!(refused["rtt_ms"], Value::Null);
    assert!(
        refused["reason"]
            .as_str()
            .is_some_and(|why| why.contains("hosted US"))
    );
    assert_eq!(named(&judged, "Mistral")["permitted"], true);
    std::thread::sleep(SETTLED);
    assert_eq!(
        relays[2].counter("datagrams_received"),
        before,
        "a refused relay got a packet"
    );

    // Where the policy allows permitted relays only, one that is not permitted is no beginning.
    let finished = run(
        &home,
        &[
            "relays",
            "--json",
            "--policy",
            "eea",
            "--bootstrap",
            &relays[2].descriptor,
        ],
    );
    assert_ne!(finished.status, 0);
    assert!(
        finished.stdout.contains("no_permitted_path"),
        "{}",
        finished.stdout
    );
}

#[test]
fn netcheck_says_whether_the_discovery_network_answers() {
    let home = Scratch::new();
    let relay = Relay::start(&home, "Nordlicht", "DE");
    let check = |arguments: &[&str]| {
        let finished = run(
            &home,
            &[
                &[
                    "netcheck",
                    "--json",
                    "--audio",
                    "null",
                    "--bootstrap",
                    &relay.descriptor,
                ],
                arguments,
            ]
            .concat(),
        );
        let told: Value =
            serde_json::from_str(finished.stdout.lines().next().unwrap_or_default()).expect("JSON");
        let list = told["checks"].as_array().expect("a list").clone();
        list.into_iter()
            .find(|check| check["what"] == "discovery")
            .expect("a finding")
    };
    assert_eq!(check(&[])["verdict"], "ok");
    let forbidden = check(&["--policy", "direct"]);
    assert_eq!(forbidden["verdict"], "warning");
    assert!(
        forbidden["found"]
            .as_str()
            .is_some_and(|found| found.contains("nothing was sent")),
        "{forbidden:#}"
    );
}

#[test]
fn a_meeting_without_a_relay_takes_permitted_ones_from_the_directory() {
    let home = Scratch::new();
    let relays = directory(&home);
    let policy = home.file("policy.toml", "preset = \"eea\"\ndiscovery = \"any\"\n");
    let policy = policy.display().to_string();
    list(
        &home,
        &["--bootstrap", &relays[0].descriptor, "--policy", &policy],
        3,
    );
    let arguments = ["--policy", &policy, "--bootstrap", &relays[2].descriptor];
    let mut host = Member::found(&home, "host", &Options::silent().with(&arguments));
    // The first ticket names no relay; the one that follows does.
    let first = host.ticket();
    let renewed = host.wait("a ticket that names relays", |event| {
        event["event"] == "ticket" && event["ticket"] != first.as_str()
    });
    let ticket = crate::support::member::text(&renewed.event["ticket"]);
    let guest = Member::join(&home, "guest", &ticket, &Options::silent().with(&["--no-direct"]));
    guest.wait_connected(1);
    let route = guest.wait("a route over a relay", |event| {
        event["event"] == "route" && event["via"].as_str().is_some_and(|via| !via.is_empty())
    });
    let via = route.event["via"].as_str().unwrap_or_default().to_owned();
    assert!(
        via.starts_with("Nordlicht") || via.starts_with("Mistral"),
        "{via}"
    );
    std::thread::sleep(SETTLED);
    assert_eq!(
        relays[2].counter("udp_bytes_received"),
        0,
        "{}",
        relays[2].story()
    );
    host.leave();
}
