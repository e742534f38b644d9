//! What the documentation says is what the program does.

use std::path::Path;

use serde_json::Value;
use subrosa_node::{command::Command, error::ErrorKind};

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[test]
fn every_exit_status_is_documented() {
    let text = page("docs/exit-codes.md");
    for kind in ErrorKind::ALL {
        let row = format!("| {} | `{}` |", kind.exit_status(), kind.code());
        assert!(text.contains(&row), "{row}");
    }
}

#[test]
fn every_documented_event_is_versioned_json() {
    let text = page("docs/headless.md");
    let events: Vec<Value> = text
        .lines()
        .filter(|line| line.starts_with("{\"v\""))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}")))
        .collect();
    assert!(events.len() >= 16);
    for event in events {
        assert_eq!(event["v"], 1);
        let title = format!("\n`{}`: ", event["event"].as_str().expect("named"));
        assert!(text.contains(&title), "{title}");
    }
}

#[test]
fn every_documented_command_is_understood() {
    let text = page("docs/headless.md");
    let id = "ab".repeat(32);
    let mut count = 0;
    for line in text.lines().filter_map(|line| line.strip_prefix("| `{\"cmd\"")) {
        let (rest, _) = line.split_once('`').expect("closed");
        let command = format!("{{\"cmd\"{rest}")
            .replace("ID", &format!("{id:?}"))
            .replace("ROLE", "\"co_host\"")
            .replace("HASH", &format!("{id:?}"))
            .replace("FILE", &format!("{:?}", &id[..32]));
        serde_json::from_str::<Command>(&command).unwrap_or_else(|e| panic!("{command}: {e}"));
        count += 1;
    }
    assert!(count >= 10);
}

#[test]
fn the_pages_that_the_readme_names_exist() {
    let mut missing = Vec::new();
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "docs/cli.md",
        "docs/headless.md",
        "docs/exit-codes.md",
    ] {
        let text = page(name);
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name);
        let folder = folder.parent().expect("a file has a folder");
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let file = link.split('#').next().unwrap_or_default();
            if !file.is_empty() && !file.contains("://") && !folder.join(file).exists() {
                missing.push(format!("{name}: {link}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
