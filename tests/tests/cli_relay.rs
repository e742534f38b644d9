//! `subrosa relay` as operators and programs see it.

use std::{net::UdpSocket, path::PathBuf};

use serde_json::Value;

use crate::support::{Scratch, live::Live, run, subrosa};

fn settings(home: &Scratch, listen: &str) -> PathBuf {
    home.file(
        "relay.toml",
        format!(
            "listen = '{listen}'\ndata_dir = 'data'\nhosting = 'DE'\n\n[operator]\nname = 'Example e.V.'\n\
             contact = 'relay@example.org'\nlegal_seat = 'FR'\n"
        ),
    )
}

fn start(home: &Scratch, arguments: &[&str]) -> Live {
    let file = settings(home, "127.0.0.1:0");
    let mut command = subrosa(home);
    command.arg("relay").arg("--config").arg(file).args(arguments);
    Live::start(command)
}

#[test]
fn a_relay_prints_its_descriptor_alone_on_stdout_and_ends_politely() {
    let home = Scratch::new();
    let mut relay = start(&home, &[]);
    relay.line("descriptor", |line| line.starts_with("subrosa-relay:"));
    relay.signal("INT");
    assert_eq!(relay.ended(), 0);
    assert_eq!(relay.heard.len(), 1, "{:?}", relay.heard);
}

#[test]
fn a_relay_tells_programs_what_it_counts_and_keeps_its_identity() {
    let home = Scratch::new();
    let mut relay = start(&home, &["--json"]);
    let ready = relay.event("relay_ready");
    assert_eq!(
        (&ready["hosting"], &ready["legal_seat"], &ready["parent_seat"]),
        (&"DE".into(), &"FR".into(), &"FR".into())
    );
    let stats = relay.event("relay_stats");
    assert_eq!(
        (&stats["udp_bytes_received"], &stats["sessions"]),
        (&0.into(), &0.into())
    );
    relay.signal("TERM");
    assert_eq!(relay.ended(), 0);
    let last: Value = serde_json::from_str(relay.heard.last().unwrap()).unwrap();
    assert_eq!(last["event"], "relay_stopped");
    let again = start(&home, &["--json"]).event("relay_ready");
    assert_eq!(again["relay"], ready["relay"]);
}

#[test]
fn netcheck_reaches_a_permitted_relay_and_sends_nothing_to_another() {
    let home = Scratch::new();
    let mut relay = start(&home, &["--json"]);
    let ready = relay.event("relay_ready");
    let descriptor = ready["descriptor"].as_str().unwrap();
    let policy = home.file("policy.toml", "preset = 'any'\nhosting = ['US']\n");
    let refused = run(
        &home,
        &[
            "netcheck",
            "--audio",
            "null",
            "--relay",
            descriptor,
            "--policy",
            policy.to_str().unwrap(),
        ],
    );
    assert_eq!(refused.status, 60, "{refused:?}");
    let direct = run(
        &home,
        &[
            "netcheck", "--audio", "null", "--relay", descriptor, "--policy", "direct",
        ],
    );
    assert_eq!(direct.status, 60, "{direct:?}");
    assert_eq!(relay.event("relay_stats")["udp_bytes_received"], 0);
    let reached = run(
        &home,
        &[
            "netcheck", "--audio", "null", "--relay", descriptor, "--policy", "eea",
        ],
    );
    assert_eq!(reached.status, 0, "{reached:?}");
    assert!(reached.stdout.contains("answers at 127.0.0.1"), "{reached:?}");
    assert!(reached.stdout.contains(" ms away, load idle"), "{reached:?}");
    assert!(reached.stdout.contains("clock skew"), "{reached:?}");
}

#[test]
fn mistakes_in_the_file_and_a_port_in_use_are_named() {
    let home = Scratch::new();
    let file = |text: &str| home.file("wrong.toml", text).to_str().unwrap().to_owned();
    let unknown = run(&home, &["relay", "--config", &file("listn = '127.0.0.1:0'\n")]);
    assert_eq!(unknown.status, 51, "{unknown:?}");
    assert!(
        unknown.stderr.contains("wrong.toml:1") && unknown.stderr.contains("`listen`"),
        "{unknown:?}"
    );
    let country = run(
        &home,
        &[
            "relay",
            "--config",
            &file(
                "listen = '127.0.0.1:0'\ndata_dir = 'd'\nhosting = 'XY'\n[operator]\nname = 'n'\ncontact = 'c'\nlegal_seat = 'DE'\n",
            ),
        ],
    );
    assert_eq!(country.status, 51, "{country:?}");
    assert!(country.stderr.contains("wrong.toml:3"), "{country:?}");
    assert_eq!(run(&home, &["relay", "--config", "none.toml"]).status, 51);

    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let in_use = run(
        &home,
        &[
            "relay",
            "--json",
            "--config",
            settings(&home, &address).to_str().unwrap(),
        ],
    );
    assert_eq!(in_use.status, 30, "{in_use:?}");
    let event: Value = serde_json::from_str(in_use.stdout.trim()).unwrap();
    assert_eq!(event["code"], "bind");
}
