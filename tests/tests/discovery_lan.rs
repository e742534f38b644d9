//! A meeting found on the local network, with no distributed hash table and no relay: two network namespaces and a cable.
//! Needs root and iproute2; says so loudly where they are missing.

use std::process::{Command, Stdio};

use crate::support::{
    Scratch,
    member::{Member, Options},
};

/// Two namespaces that a pair of virtual interfaces joins. They go with this value.
struct Lan {
    names: [String; 2],
}

fn ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments.split_whitespace())
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "ip {arguments}: {}",
        String::from_utf8_lossy(&output.stderr)
    ))
}

impl Lan {
    fn lay() -> Result<Self, String> {
        let id = std::process::id();
        let lan = Self {
            names: [format!("subrosa-a{id}"), format!("subrosa-b{id}")],
        };
        let [a, b] = &lan.names;
        ip(&format!("netns add {a}"))?;
        ip(&format!("netns add {b}"))?;
        ip(&format!(
            "-n {a} link add lan0 type veth peer name lan0 netns {b}"
        ))?;
        for (name, address) in [(a, "10.77.7.1/24"), (b, "10.77.7.2/24")] {
            ip(&format!("-n {name} addr add {address} dev lan0"))?;
            ip(&format!("-n {name} link set lan0 up"))?;
            ip(&format!("-n {name} link set lo up"))?;
            ip(&format!("-n {name} route add default dev lan0"))?;
        }
        Ok(lan)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        for name in &self.names {
            let _ = ip(&format!("netns del {name}"));
        }
    }
}

#[test]
fn a_meeting_whose_ticket_is_stale_is_found_on_the_local_network() {
    let lan = match Lan::lay() {
        Ok(lan) => lan,
        Err(why) => {
            println!("SKIPPED: a_meeting_whose_ticket_is_stale_is_found_on_the_local_network: {why}");
            eprintln!("SKIPPED: a_meeting_whose_ticket_is_stale_is_found_on_the_local_network: {why}");
            return;
        }
    };
    let home = Scratch::new();
    let there = |at: usize| Options {
        namespace: Some(lan.names[at].clone()),
        ..Options::silent().with(&["--listen", "0.0.0.0:0"])
    };
    let data_dir = home.path().join("host");
    let host_options = Options {
        data_dir: Some(data_dir),
        ..there(0)
    };
    // The preset `direct` allows the local network and nothing beyond it.
    let mut host = Member::found(&home, "host", &host_options.clone().with(&["--policy", "direct"]));
    let ticket = host.ticket();
    let guest = Member::join(&home, "guest", &ticket, &there(1));
    guest.wait_connected(1);
    host.kill();
    let began = std::time::Instant::now();
    let again = Member::join(&home, "host again", &ticket, &host_options);
    again.wait_joined();
    println!(
        "the host is back over the local network after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    let began = std::time::Instant::now();
    let late = Member::join(&home, "late", &ticket, &there(1));
    late.wait_joined();
    println!(
        "a stale ticket led into the meeting after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    late.wait_connected(2);

    // With discovery switched off by its user, a node knows the ticket's address only.
    let lost = Member::join(&home, "lost", &ticket, &there(1).with(&["--discovery", "off"]));
    let left = lost.wait_for("left");
    assert_eq!(left.event["reason"], "unreachable", "{}", lost.story());
}
