//! Starting a meeting with bad input: each mistake gets one clear message, a stable status and an `error` event.

use std::net::UdpSocket;

use serde_json::Value;

use crate::support::{Finished, Scratch, live::Live, run, subrosa};

/// Runs headless and asserts the status, and an `error` event with this code, a message and a hint.
fn fails(home: &Scratch, arguments: &[&str], status: i32, code: &str) -> String {
    let mut all = arguments.to_vec();
    all.extend(["--headless", "--json", "--leave-after", "0"]);
    let finished = run(home, &all);
    assert_eq!(finished.status, status, "{finished:?}");
    let event = last_error(&finished);
    assert_eq!(event["code"], code, "{finished:?}");
    let text = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
    assert!(!text("message").is_empty() && !text("hint").is_empty(), "{event}");
    text("message")
}

fn last_error(finished: &Finished) -> Value {
    let lines = finished.stdout.lines().rev();
    lines
        .map(|line| serde_json::from_str::<Value>(line).expect("events are JSON"))
        .find(|event| event["event"] == "error")
        .unwrap_or_else(|| panic!("no error event: {finished:?}"))
}

#[test]
fn a_ticket_that_is_none_or_damaged_is_told_apart_from_one_that_nobody_accepts() {
    let home = Scratch::new();
    fails(&home, &["join", "hello", "--audio", "null"], 10, "ticket_damaged");
    fails(
        &home,
        &["join", "subrosa:AAAA", "--audio", "null"],
        10,
        "ticket_damaged",
    );
}

#[test]
fn a_missing_or_unreadable_wav_file_is_named() {
    let home = Scratch::new();
    let out = home.path().join("out.wav");
    let missing = format!("file:{}/none.wav,{}", home.path().display(), out.display());
    let message = fails(&home, &["new", "--audio", &missing], 40, "audio_file");
    assert!(message.contains("none.wav"), "{message}");
    let text = home.file("text.wav", "this is not audio");
    let text = format!("file:{},{}", text.display(), out.display());
    let message = fails(&home, &["new", "--audio", &text], 40, "audio_file");
    assert!(message.contains("text.wav"), "{message}");
    fails(&home, &["new", "--audio", "gramophone"], 2, "usage");
}

#[test]
fn a_wav_file_that_is_both_input_and_output_is_not_lost() {
    let home = Scratch::new();
    let file = home.file("both.wav", "precious");
    let both = format!("file:{0},{0}", file.display());
    let _ = run(
        &home,
        &["new", "--headless", "--audio", &both, "--leave-after", "0"],
    );
    assert_eq!(std::fs::read(file).unwrap(), b"precious");
}

#[test]
fn a_port_in_use_is_named() {
    let home = Scratch::new();
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let message = fails(
        &home,
        &["new", "--audio", "null", "--listen", &address],
        30,
        "bind",
    );
    assert!(message.contains(&address), "{message}");
}

#[test]
fn a_wrong_policy_file_names_line_and_nearest_word() {
    let home = Scratch::new();
    let policy = home.file("policy.toml", "hostng = ['DE']\n");
    let message = fails(
        &home,
        &["new", "--audio", "null", "--policy", policy.to_str().unwrap()],
        51,
        "config",
    );
    assert!(
        message.contains("policy.toml") && message.contains("line 1"),
        "{message}"
    );
    let none = home.path().join("none.toml");
    fails(
        &home,
        &["new", "--audio", "null", "--policy", none.to_str().unwrap()],
        51,
        "config",
    );
}

#[test]
fn a_relay_descriptor_that_is_none_is_refused_before_anything_is_sent() {
    let home = Scratch::new();
    fails(
        &home,
        &["new", "--audio", "null", "--relay", "subrosa-relay:AAAA"],
        26,
        "descriptor",
    );
}

#[test]
fn a_data_directory_in_use_is_not_shared() {
    let home = Scratch::new();
    let dir = home.path().join("data-dir");
    let _held = subrosa_node::store::DataDir::open(&dir).unwrap();
    let message = fails(
        &home,
        &["new", "--audio", "null", "--data-dir", dir.to_str().unwrap()],
        50,
        "storage",
    );
    assert!(message.contains("in use"), "{message}");
}

#[test]
fn a_meeting_of_one_tells_its_events_and_leaves_by_itself() {
    let home = Scratch::new();
    let finished = run(
        &home,
        &[
            "new",
            "--headless",
            "--audio",
            "null",
            "--listen",
            "127.0.0.1:0",
            "--leave-after",
            "0.5",
        ],
    );
    assert_eq!(finished.status, 0, "{finished:?}");
    let events: Vec<Value> = finished
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).expect("events are JSON"))
        .collect();
    assert!(events.iter().all(|event| event["v"] == 1));
    let names: Vec<&str> = events
        .iter()
        .filter_map(|event| event["event"].as_str())
        .collect();
    for expected in ["ready", "ticket", "joined"] {
        assert!(names.contains(&expected), "{names:?}");
    }
    assert_eq!(names.first(), Some(&"ready"));
    assert_eq!(names.last(), Some(&"left"));
    assert_eq!(events.last().unwrap()["reason"], "leave_after");
}

#[test]
fn a_program_is_answered_line_by_line_and_may_close_stdin() {
    let home = Scratch::new();
    let mut command = subrosa(&home);
    command.args(["new", "--headless", "--audio", "null", "--listen", "127.0.0.1:0"]);
    let mut node = Live::start(command);
    node.event("joined");
    for bad in ["x", "{}", r#"{"cmd":"dance"}"#, &"y".repeat(20_000)] {
        node.say(bad);
        assert_eq!(node.event("error")["code"], "bad_command");
    }
    node.say("");
    node.say(r#"{"cmd":"who"}"#);
    assert_eq!(node.event("member")["role"], "host");
    node.say(r#"{"cmd":"lock"}"#);
    assert_eq!(node.event("locked")["locked"], true);
    node.close_stdin();
    std::thread::sleep(std::time::Duration::from_millis(300));
    node.signal("TERM");
    assert_eq!(node.event("left")["reason"], "left");
    assert_eq!(node.ended(), 0);
}

#[test]
fn a_person_is_told_what_happens_and_can_type() {
    let home = Scratch::new();
    let mut command = subrosa(&home);
    command.args([
        "new",
        "--name",
        "Alice",
        "--audio",
        "null",
        "--listen",
        "127.0.0.1:0",
        "--muted",
    ]);
    let mut node = Live::start(command);
    node.line("ticket", |line| line.starts_with("subrosa:"));
    node.line("safety code", |line| line.starts_with("safety "));
    node.say("hello");
    node.line("advice", |line| line.contains("/help"));
    node.say("/who");
    node.line("oneself", |line| {
        line.contains("Alice") && line.contains("you, muted")
    });
    node.say("/admit 7");
    node.line("advice", |line| line.contains("nobody goes by \"7\""));
    node.say("/lock");
    node.line("lock", |line| line.contains("is locked"));
    node.say("/leave");
    node.line("farewell", |line| line.contains("you left"));
    assert_eq!(node.ended(), 0);
    assert!(node.heard.iter().all(|line| !line.contains('\x1b')));
}
