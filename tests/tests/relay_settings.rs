//! `subrosa relay init`, `check` and `show`.

use std::io::Write as _;

use serde_json::Value;

use crate::support::{Scratch, run, subrosa};

const FLAGS: [&str; 16] = [
    "--hosting",
    "de",
    "--operator",
    "Example e.V.",
    "--contact",
    "relay@example.org",
    "--legal-seat",
    "FR",
    "--parent-seat",
    "FR",
    "--access",
    "open",
    "--monthly-gbyte",
    "500",
    "--listen",
    "127.0.0.1:0",
];

#[test]
fn init_writes_a_commented_file_that_check_finds_fine() {
    let home = Scratch::new();
    let file = home.path().join("relay.toml").display().to_string();
    let mut arguments = vec!["relay", "init", "--out", &file];
    arguments.extend(FLAGS);
    let written = run(&home, &arguments);
    assert_eq!(written.status, 0, "{written:?}");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(
        text.contains("hosting = \"DE\"\n") && text.contains("monthly_gbyte = 500\n"),
        "{text}"
    );
    assert!(
        text.lines().filter(|l| l.starts_with("# ")).count() > 20,
        "it explains itself"
    );
    let checked = run(&home, &["relay", "check", "--config", &file]);
    assert_eq!(checked.status, 0, "{checked:?}");
    assert!(
        checked
            .stdout
            .contains("Example e.V., hosted DE, law FR, parent FR"),
        "{checked:?}"
    );
    let again = run(&home, &arguments);
    assert_eq!(again.status, 2, "it replaces nothing unasked: {again:?}");
}

#[test]
fn init_writes_to_stdout_if_asked() {
    let home = Scratch::new();
    let mut arguments = vec!["relay", "init", "--out", "-"];
    arguments.extend(FLAGS);
    let written = run(&home, &arguments);
    assert_eq!(written.status, 0, "{written:?}");
    let file = home.file("piped.toml", &written.stdout).display().to_string();
    let checked = run(&home, &["relay", "check", "--config", &file]);
    assert_eq!(checked.status, 0, "{checked:?}");
}

#[test]
fn init_asks_for_what_no_flag_says() {
    let home = Scratch::new();
    let file = home.path().join("asked.toml").display().to_string();
    let mut child = subrosa(&home)
        .args([
            "relay",
            "init",
            "--out",
            &file,
            "--hosting",
            "SE",
            "--access",
            "tokens",
        ])
        .stdin(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let key = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";
    let answers = format!("Foreningen\nrelay@example.org\n\nNO\n{key}\n\n[::]:4433\n192.0.2.10:4433\n");
    child.stdin.take().unwrap().write_all(answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let asked = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{asked}");
    assert!(
        asked.contains("legal seat [SE]: ") && !asked.contains("hardware stands"),
        "{asked}"
    );
    let shown = run(&home, &["relay", "show", "--config", &file, "--json"]);
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    let settings = &shown["settings"];
    assert_eq!(settings["operator"]["legal_seat"], "SE");
    assert_eq!(settings["operator"]["parent_seat"], "NO");
    assert_eq!(settings["access"]["open"], false);
    assert_eq!(settings["access"]["token_issuers"][0], key);
    assert_eq!(settings["public_addresses"][0], "192.0.2.10:4433");
}

#[test]
fn a_missing_answer_writes_nothing_and_names_its_flag() {
    let home = Scratch::new();
    let file = home.path().join("none.toml");
    let refused = run(&home, &["relay", "init", "--out", &file.display().to_string()]);
    assert_eq!(refused.status, 2, "{refused:?}");
    assert!(
        refused.stderr.contains("--hosting") && !file.exists(),
        "{refused:?}"
    );
}

#[test]
fn check_names_line_reason_and_nearest_key() {
    let home = Scratch::new();
    let text = "listen = '127.0.0.1:0'\ndata_dir = 'd'\nhosting = 'DE'\n[operator]\nname = 'n'\ncontact = 'c'\n\
                legal_seat = 'DE'\n[limits]\nsesions = 5\n";
    let file = home.file("wrong.toml", text).display().to_string();
    let wrong = run(&home, &["relay", "check", "--config", &file]);
    assert_eq!(wrong.status, 51, "{wrong:?}");
    assert!(
        wrong
            .stderr
            .contains("wrong.toml:9: unknown key `sesions`; did you mean `sessions`?"),
        "{wrong:?}"
    );
    let wrong = run(&home, &["relay", "check", "--json", "--config", &file]);
    let said: Value = serde_json::from_str(&wrong.stdout).unwrap();
    assert_eq!(
        (&said["ok"], &said["line"], &said["nearest"]),
        (&false.into(), &9.into(), &"sessions".into())
    );
}

#[test]
fn flags_win_over_the_environment_and_the_environment_over_the_file() {
    let home = Scratch::new();
    let text = "listen = '127.0.0.1:0'\ndata_dir = 'd'\nhosting = 'DE'\n[operator]\nname = 'n'\ncontact = 'c'\n\
                legal_seat = 'DE'\n[limits]\nsessions = 1\nrooms = 1\ntracks_per_session = 1\n";
    let file = home.file("relay.toml", text).display().to_string();
    let output = subrosa(&home)
        .env("SUBROSA_RELAY_CONFIG", &file)
        .env("SUBROSA_RELAY_LIMITS_SESSIONS", "2")
        .env("SUBROSA_RELAY_LIMITS_ROOMS", "2")
        .args(["relay", "show", "--json", "--set", "limits.sessions=3"])
        .output()
        .unwrap();
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    let limits = &shown["settings"]["limits"];
    assert_eq!(
        (
            &limits["sessions"],
            &limits["rooms"],
            &limits["tracks_per_session"]
        ),
        (&3.into(), &2.into(), &1.into())
    );
    let wrong = subrosa(&home)
        .env("SUBROSA_RELAY_HOSTNG", "SE")
        .args(["relay", "check", "--config", &file])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert!(said.contains("did you mean `SUBROSA_RELAY_HOSTING`?"), "{said}");
}
