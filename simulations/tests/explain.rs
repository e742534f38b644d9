//! `explain`: the run is the one that `run` makes, told in text and on a page that needs nothing else.

use std::{fs, path::Path, process::Command};

use serde_json::Value;
use subrosa_sim::{explain::explain, run, scenario::Scenario};
use tempfile::TempDir;

fn scenario(name: &str) -> Scenario {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scenarios/{name}.toml"));
    Scenario::read(&file).expect("a scenario of ours")
}

/// What the page draws.
fn data(html: &str) -> Value {
    let (_, rest) = html
        .split_once(r#"<script type="application/json" id="data">"#)
        .expect("data");
    let (data, _) = rest.split_once("</script>").expect("an end");
    serde_json::from_str(data).expect("JSON")
}

#[test]
fn remembering_changes_nothing() {
    for (name, seed) in [("relay_takes_over", 1), ("removal", 2), ("crash_restart", 3)] {
        let scenario = scenario(name);
        assert_eq!(
            explain(&scenario, seed).unwrap().report,
            run(&scenario, seed).unwrap()
        );
    }
}

#[test]
fn text_says_who_reaches_whom_since_when_and_after_what() {
    let text = explain(&scenario("relay_takes_over"), 1).unwrap().text();
    for words in [
        "script: cut: side Ada, Bea",
        "reaches Bea directly and over relay berlin",
        "(before: directly)",
        "after “cut: side Ada, Bea”",
        "heard nothing of Ada for",
        "Routes over time\nAda → Bea",
        "All checks hold.",
    ] {
        assert!(text.contains(words), "`{words}` is not in\n{text}");
    }
}

#[test]
fn the_page_shows_the_relay_that_took_over_and_the_silence_before() {
    let html = explain(&scenario("relay_takes_over"), 1).unwrap().html().unwrap();
    for outside in ["http://", "https://", "src=", "@import", "url(", "fetch(", "{{"] {
        let html = html.replace("http://www.w3.org/2000/svg", "");
        assert!(!html.contains(outside), "`{outside}` is in the page");
    }
    let data = data(&html);
    assert_eq!(data["nodes"][0]["name"], "Ada");
    assert_eq!(data["relays"][0][0], "berlin");
    // From 6 s on the link is cut; from 11 s on only the relay is left; after 15 s the link is back.
    let routes = data["routes"].as_array().unwrap();
    let way_at = |at: f64| {
        let before = routes
            .iter()
            .rev()
            .find(|route| route[0].as_f64().unwrap() <= at && route[1] == 0);
        before.unwrap()[3].clone()
    };
    assert_eq!(way_at(5.0), serde_json::json!([-1]));
    assert_eq!(way_at(12.0), serde_json::json!([0]));
    assert_eq!(way_at(24.0), serde_json::json!([-1]));
    let bin = data["bin"].as_f64().unwrap();
    let at = |what: &str, seconds: f64| data["nodes"][1][what][(seconds / bin) as usize].as_f64();
    assert_eq!(
        (at("loss", 5.0), at("loss", 6.3), at("loss", 12.0)),
        (Some(0.0), Some(100.0), Some(0.0))
    );
    assert_eq!(at("delay", 6.3), None);
    // One hop of 20 to 25 ms, and two by the relay.
    let (direct, relayed) = (at("delay", 5.0).unwrap(), at("delay", 12.0).unwrap());
    assert!(
        (20.0..=25.0).contains(&direct) && (40.0..=50.0).contains(&relayed),
        "{direct} ms, {relayed} ms"
    );
}

#[test]
fn violations_are_marked_and_names_end_no_script() {
    let folder = TempDir::new().unwrap();
    let (file, page) = (folder.path().join("bad.toml"), folder.path().join("bad.html"));
    let mut scenario = scenario("two_direct");
    scenario.expect.gap_ms_max = 1;
    scenario.summary = "</script><b>".to_owned();
    fs::write(&file, scenario.to_toml()).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_subrosa-sim"));
    let output = command
        .arg("explain")
        .arg(&file)
        .arg("--html")
        .arg(&page)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("VIOLATION delivery: "), "{text}");
    let html = fs::read_to_string(&page).unwrap();
    assert!(!html.contains("</script><b>"));
    let data = data(&html);
    assert_eq!(data["summary"], "</script><b>");
    let kinds = data["happenings"].as_array().unwrap().iter();
    let violations: Vec<&Value> = kinds
        .filter(|happening| happening["kind"] == "violation")
        .collect();
    assert!(!violations.is_empty());
    assert!(
        violations[0]["t"].as_f64().unwrap() < 3.0,
        "at its time, not at the end: {}",
        violations[0]
    );
}
