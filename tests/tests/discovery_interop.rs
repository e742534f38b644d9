//! A libp2p implementation that is not ours: js-libp2p nodes against Subrosa's relays (`tests/interop`).

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde_json::Value;
use subrosa_node::driver::clock::unix_now;
use subrosa_proto::{discovery::DhtKey, policy::SignedDescriptor};

use crate::support::{Scratch, dht::address_of, relay::Relay};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("interop")
}

/// Node and the packages, or why not.
fn prepare() -> Result<(), String> {
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder()).stdin(Stdio::null());
        match command.output() {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
            Err(error) => Err(format!("{program}: {error}")),
        }
    };
    run("node", &["--version"])?;
    if folder().join("node_modules/libp2p").exists() {
        return Ok(());
    }
    run("npm", &["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
}

#[test]
fn js_libp2p_joins_the_table_and_uses_a_relays_circuit() {
    if let Err(why) = prepare() {
        crate::support::skipped("js_libp2p_joins_the_table_and_uses_a_relays_circuit", &why);
        return;
    }
    let home = Scratch::new();
    let first = Relay::start(&home, "First", "DE");
    let second = Relay::start_knowing(&home, "Second", "FR", &first);
    // Both are in each other's table before anybody asks.
    thread::sleep(Duration::from_secs(3));
    let addresses = [&first, &second].map(|relay| {
        let signed = SignedDescriptor::from_text(&relay.descriptor).expect("a descriptor");
        address_of(&signed.verify(unix_now()).expect("verified")).to_string()
    });
    let announced = data_encoding::HEXLOWER.encode(&DhtKey::country(None).to_bytes());
    let output = Command::new("node")
        .arg("peer.mjs")
        .args(&addresses)
        .arg(announced)
        .current_dir(folder())
        .stdin(Stdio::null())
        .output()
        .expect("node runs");
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}");
    let findings: Vec<String> = told
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|finding| Some(finding["finding"].as_str()?.to_owned()))
        .collect();
    assert!(
        output.status.success(),
        "{told}\n{}\n{}",
        String::from_utf8_lossy(&output.stderr),
        first.story()
    );
    assert_eq!(
        findings,
        ["identify", "ping", "providers", "record", "circuit", "done"]
    );
}
