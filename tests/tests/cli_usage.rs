//! The command line by itself: help, mistakes, settings, identity, checks.

use std::{
    io::Write,
    process::{Output, Stdio},
};

use serde_json::Value;

use crate::support::{Finished, Scratch, run, subrosa};

/// Asserts a failure with this status, and an error and a hint on stderr that contain these words.
fn assert_fails(finished: &Finished, status: i32, words: &[&str]) {
    assert_eq!(finished.status, status, "{finished:?}");
    assert!(finished.stderr.starts_with("error: "), "{finished:?}");
    for word in words {
        assert!(finished.stderr.contains(word), "{word} is missing: {finished:?}");
    }
    assert!(!finished.stderr.contains("panicked"), "{finished:?}");
}

fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))
}

#[test]
fn help_goes_to_stdout_and_names_every_command() {
    let home = Scratch::new();
    let help = run(&home, &["--help"]);
    assert_eq!(help.status, 0);
    assert!(help.stderr.is_empty(), "{help:?}");
    for command in [
        "new",
        "join",
        "relay",
        "demo",
        "identity",
        "netcheck",
        "completions",
    ] {
        assert!(help.stdout.contains(command), "{command}");
        let help = run(&home, &[command, "--help"]);
        assert_eq!(help.status, 0, "{command}");
        assert!(help.stdout.contains("Usage: subrosa"), "{help:?}");
    }
}

#[test]
fn a_mistyped_command_or_flag_gets_the_nearest_one() {
    let home = Scratch::new();
    assert_fails(&run(&home, &["joni"]), 2, &["'join'"]);
    assert_fails(&run(&home, &["new", "--nmae", "x"]), 2, &["'--name'"]);
    assert_fails(
        &run(&home, &["new", "--frame-ms", "15"]),
        2,
        &["15", "hint: choose 20"],
    );
    assert_fails(&run(&home, &["new", "--name", ""]), 2, &["empty"]);
    assert_fails(&run(&home, &["new", "--listen", "nowhere"]), 2, &["--listen"]);
    assert_fails(
        &run(&home, &["new", "--admit", "everybody"]),
        2,
        &["ask", "ticket"],
    );
    assert_fails(&run(&home, &["new", "--leave-after", "-1"]), 2, &[]);
}

#[test]
fn headless_failures_are_events_too() {
    let home = Scratch::new();
    for arguments in [
        &["new", "--headless", "--nmae", "x"][..],
        &["new", "--headless", "--json", "--frame-ms", "15"],
    ] {
        let finished = run(&home, arguments);
        assert_fails(&finished, 2, &[]);
        let event = json(finished.stdout.trim());
        assert_eq!(
            (&event["v"], &event["event"], &event["code"]),
            (&1.into(), &"error".into(), &"usage".into())
        );
        assert!(!event["message"].as_str().unwrap().is_empty());
    }
}

#[test]
fn an_unknown_key_in_the_settings_names_line_and_nearest_key() {
    let home = Scratch::new();
    home.file("config/subrosa/config.toml", "name = 'Ada'\nno_drect = true\n");
    assert_fails(
        &run(&home, &["new"]),
        51,
        &["config.toml:2", "`no_drect`", "hint: did you mean `no_direct`?"],
    );
    let missing = home.path().join("none.toml");
    let missing = missing.to_str().unwrap();
    assert_fails(&run(&home, &["new", "--config", missing]), 51, &["none.toml"]);
}

#[test]
fn no_ticket_is_a_usage_error_that_tells_the_ways_to_give_one() {
    let home = Scratch::new();
    assert_fails(&run(&home, &["join"]), 2, &["no ticket", "--ticket-file"]);
    let missing = home.path().join("ticket.txt");
    let missing = missing.to_str().unwrap();
    assert_fails(
        &run(&home, &["join", "--ticket-file", missing]),
        50,
        &["ticket.txt"],
    );
    let long = with_stdin(&home, &["join", "-"], &vec![b'x'; 100_000]);
    assert_fails(&long, 2, &["longer than any ticket"]);
}

#[test]
fn an_identity_is_made_once_shown_alike_and_never_lost() {
    let home = Scratch::new();
    let first = json(&run(&home, &["identity", "--json"]).stdout);
    let again = json(&run(&home, &["identity", "show", "--json"]).stdout);
    assert_eq!(first["id"], again["id"]);
    assert_eq!(first["fingerprint"].as_str().unwrap().len(), 19);
    assert_fails(
        &run(&home, &["identity", "new"]),
        50,
        &["exists already", "--replace"],
    );
    let replaced = json(&run(&home, &["identity", "new", "--replace", "--json"]).stdout);
    assert_ne!(replaced["id"], first["id"]);
    assert!(std::fs::exists(replaced["replaced"].as_str().unwrap()).unwrap());
    let elsewhere = home.path().join("other");
    let other = run(
        &home,
        &["identity", "--json", "--data-dir", elsewhere.to_str().unwrap()],
    );
    assert_ne!(json(&other.stdout)["id"], replaced["id"]);
}

#[test]
fn netcheck_passes_on_loopback_and_sends_nothing_to_what_it_does_not_believe() {
    let home = Scratch::new();
    let fine = run(&home, &["netcheck", "--audio", "null", "--json"]);
    assert_eq!(fine.status, 0, "{fine:?}");
    let report = json(&fine.stdout);
    let checks = report["checks"].as_array().unwrap();
    assert!(
        checks
            .iter()
            .any(|check| check["what"] == "IPv4" && check["verdict"] == "ok"),
        "{report}"
    );
    // A machine without IPv6 is not at its best.
    assert!(
        report["in_short"].as_str().unwrap().starts_with("ready"),
        "{report}"
    );
    let doctor = run(&home, &["doctor", "--audio", "null"]);
    assert!(doctor.stdout.contains("in short: ready"), "{doctor:?}");
    let bad = run(
        &home,
        &["netcheck", "--audio", "null", "--relay", "subrosa-relay:AAAA"],
    );
    assert_fails(&bad, 60, &["relay"]);
    assert_fails(
        &run(&home, &["netcheck", "--policy", "none.toml"]),
        51,
        &["none.toml"],
    );
}

#[test]
fn completions_exist_for_each_shell() {
    let home = Scratch::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = run(&home, &["completions", shell]);
        assert_eq!(script.status, 0);
        assert!(script.stdout.contains("netcheck"), "{shell}");
    }
}

#[test]
fn no_colour_reaches_a_pipe() {
    let home = Scratch::new();
    for arguments in [&["--help"][..], &["netcheck", "--audio", "null"], &["nonsense"]] {
        let finished = run(&home, arguments);
        assert!(
            !finished.stdout.contains('\x1b') && !finished.stderr.contains('\x1b'),
            "{finished:?}"
        );
    }
}

/// Runs the binary with `input` on stdin. A binary that stops reading early is no fault.
fn with_stdin(home: &Scratch, arguments: &[&str], input: &[u8]) -> Finished {
    let mut child = subrosa(home)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut stdin = child.stdin.take().expect("piped");
    let _ = stdin.write_all(input);
    drop(stdin);
    let output: Output = child.wait_with_output().expect("it ends");
    output.into()
}
