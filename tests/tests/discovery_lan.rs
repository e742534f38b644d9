//! A meeting found on the local network, with no distributed hash table and no relay: two network namespaces.
//! Needs root and iproute2; says so loudly where they are missing.

use crate::support::{
    Scratch,
    lan::lan_for,
    member::{Member, Options},
};

#[test]
fn a_meeting_whose_ticket_is_stale_is_found_on_the_local_network() {
    let Some(lan) = lan_for("a_meeting_whose_ticket_is_stale_is_found_on_the_local_network") else {
        return;
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
