//! The relay directory: `subrosa relays`, and a meeting that chooses its relays there.

use serde_json::Value;
use subrosa_node::driver::clock::unix_now;
use subrosa_proto::wire::ticket::Ticket;
use subrosa_tests::mmdb::{Form, loopback_in};

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
        assert_eq!(relay["load"], "idle");
        assert_eq!(relay["geoip"], Value::Null);
    }
    let german = list(
        &home,
        &["--bootstrap", &relays[1].descriptor, "--country", "de"],
        1,
    );
    assert_eq!(named(&german, "Nordlicht")["hosting"], "DE");

    // By sources that say where this computer is: one relay is contradicted, the others are not supported.
    let mut with_sources = vec!["--bootstrap".to_owned(), relays[1].descriptor.clone()];
    for (number, form) in [Form::Nested, Form::Flat].into_iter().enumerate() {
        let file = home.file(&format!("{number}.mmdb"), loopback_in(form, "DE"));
        with_sources.extend(["--geoip".to_owned(), file.display().to_string()]);
    }
    let arguments: Vec<&str> = with_sources.iter().map(String::as_str).collect();
    let located = list(&home, &arguments, 3);
    let here = named(&located, "Nordlicht");
    assert_eq!(
        (&here["geoip"], &here["permitted"]),
        (&"agrees".into(), &true.into())
    );
    let elsewhere = named(&located, "Mistral");
    assert_eq!(elsewhere["geoip"], "contradicts");
    assert_eq!(elsewhere["evidence"], "contradicted");
    assert_eq!(elsewhere["clause"], "evidence_contradicted");
    assert_eq!(elsewhere["rtt_ms"], Value::Null, "it gets no packet");

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

#[test]
fn a_relay_that_fails_is_replaced_from_the_directory() {
    let home = Scratch::new();
    let first = Relay::start(&home, "Nordlicht", "DE");
    let second = Relay::start_knowing(&home, "Mistral", "FR", &first);
    let mut relays = vec![first, second];
    let bootstrap = relays[0].descriptor.clone();
    list(&home, &["--bootstrap", &bootstrap], 2);
    let policy = home.file("policy.toml", "preset = \"eea\"\ndiscovery = \"any\"\n");
    let policy = policy.display().to_string();
    let arguments = ["--policy", &policy, "--bootstrap", &bootstrap];
    let mut host = Member::found(&home, "host", &Options::silent().with(&arguments));
    let named = |event: &Value| -> Vec<String> {
        let ticket = event["ticket"].as_str().filter(|_| event["event"] == "ticket");
        let ticket = ticket.and_then(|text| Ticket::parse(text, unix_now()).ok());
        let relays = ticket
            .map(|ticket| ticket.terms().relays.clone())
            .unwrap_or_default();
        relays
            .iter()
            .map(|relay| relay.unverified().operator.name.to_string())
            .collect()
    };
    host.wait("a ticket that names both", |event| named(event).len() == 2);
    // One more comes, and stays unused while two serve; then one of the two goes.
    relays.push(Relay::start_knowing(&home, "Toscana", "IT", &relays[0]));
    list(&home, &["--bootstrap", &bootstrap], 3);
    let mut gone = relays.remove(1);
    gone.kill();
    host.wait("a ticket that names the third", |event| {
        named(event).contains(&"Toscana".to_owned())
    });
    host.leave();
}
