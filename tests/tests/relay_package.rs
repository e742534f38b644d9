//! What a relay's package holds: a hardened unit that systemd accepts, manual pages, and a program that talks to systemd.

use std::{
    os::unix::net::UnixDatagram,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Scratch, binary, live::Live, operated::settings, run, subrosa};

fn docs(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../docs/relay")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Checks a unit, and gives its exposure level.
fn exposure(unit: &str) -> f64 {
    let home = Scratch::new();
    let unit = unit.replace("/usr/bin/subrosa", &binary().display().to_string());
    let unit = home.file("subrosa-relay.service", unit).display().to_string();
    let verified = Command::new("systemd-analyze")
        .args(["verify", "--man=no", &unit])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&verified.stderr).into_owned();
    assert!(verified.status.success() && !said.contains("subrosa"), "{said}");
    let judged = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--no-pager", &unit])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&judged.stdout).into_owned();
    let score = text.lines().rev().find_map(|line| {
        let (_, rest) = line.split_once("exposure level for subrosa-relay.service: ")?;
        rest.split(' ').next()?.parse::<f64>().ok()
    });
    score.unwrap_or_else(|| panic!("{text}"))
}

#[test]
fn the_unit_is_valid_and_exposes_little() {
    let asked = Command::new("systemd-analyze")
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    if !asked.is_ok_and(|status| status.success()) {
        crate::support::skipped("the unit", "install Debian's `systemd` package (./dev test does)");
        return;
    }
    let unit = docs("subrosa-relay.service");
    // A drop-in's lines come after the unit's.
    let with_port_443 = unit.replace("[Install]", &format!("{}\n[Install]", docs("port-443.conf")));
    let (alone, with_port_443) = (exposure(&unit), exposure(&with_port_443));
    println!("exposure level {alone} of 10, with port 443 {with_port_443}");
    assert!(alone <= 1.5 && with_port_443 <= 1.7, "{alone}, {with_port_443}");
}

/// Messages to a service manager until one contains `wanted`.
fn told(socket: &UnixDatagram, wanted: &str) -> String {
    let until = Instant::now() + Duration::from_secs(20);
    let mut all = String::new();
    let mut buffer = [0; 4_096];
    while Instant::now() < until {
        if let Ok(len) = socket.recv(&mut buffer) {
            let message = String::from_utf8_lossy(&buffer[..len]).into_owned();
            if message.contains(wanted) {
                return message;
            }
            all.push_str(&message);
        }
    }
    panic!("no {wanted}: {all}");
}

#[test]
fn the_service_manager_is_told_of_start_reload_life_and_end() {
    let home = Scratch::new();
    let at = home.path().join("notify");
    let socket = UnixDatagram::bind(&at).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let file = home.file("relay.toml", settings("served", "DE", "127.0.0.1:0", "", ""));
    let mut command = subrosa(&home);
    command
        .env("NOTIFY_SOCKET", &at)
        .env("WATCHDOG_USEC", "900000")
        .args(["relay", "--json", "--config", &file.display().to_string()]);
    let mut relay = Live::start(command);
    told(&socket, "READY=1");
    told(&socket, "WATCHDOG=1");
    relay.event("relay_ready");
    relay.signal("HUP");
    assert!(told(&socket, "RELOADING=1").contains("MONOTONIC_USEC="));
    told(&socket, "READY=1");
    told(&socket, "WATCHDOG=1");
    std::fs::write(&file, "nonsense").unwrap();
    relay.signal("HUP");
    told(&socket, "STATUS=serving by the old settings");
    relay.signal("TERM");
    told(&socket, "STOPPING=1");
    assert_eq!(relay.ended(), 0);
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let home = Scratch::new();
    let out = home.path().join("man");
    let made = run(&home, &["man", "--out", &out.display().to_string()]);
    assert_eq!(made.status, 0, "{made:?}");
    for page in [
        "subrosa.1",
        "subrosa-relay.1",
        "subrosa-relay-token-issue.1",
        "subrosa-attest.1",
    ] {
        let text = std::fs::read_to_string(out.join(page)).unwrap_or_else(|e| panic!("{page}: {e}"));
        assert!(text.contains(".SH NAME"), "{page}");
    }
}

#[test]
fn the_package_names_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = std::fs::read_to_string(root.join("cli/Cargo.toml")).unwrap();
    let sources = manifest.lines().filter_map(|line| {
        let rest = line.trim().strip_prefix("[\"../")?;
        rest.split('"').next()
    });
    let mut count = 0;
    for source in sources.filter(|source| !source.starts_with("target/")) {
        assert!(root.join(source).exists(), "{source}");
        count += 1;
    }
    assert!(count >= 4);
}
