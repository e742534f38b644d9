//! The host's address changed since the ticket was issued: it is found again over the network, and hostile nodes can hide
//! it, but lead nobody astray.

use subrosa_node::driver::clock::unix_now;
use subrosa_proto::wire::ticket::Ticket;

use crate::support::{
    Scratch,
    dht::{door_keys, hostile, network},
    member::{Member, Options},
};

const NODES: usize = 20;

fn options(bootstrap: &str) -> Options {
    Options::silent().with(&["--policy", "any", "--bootstrap", bootstrap])
}

fn joins(bootstrap: &str) -> Options {
    Options::silent().with(&["--bootstrap", bootstrap])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_ticket_leads_to_the_host_over_twenty_nodes() {
    let nodes = network(NODES).await;
    let bootstrap = nodes[3].address.to_string();
    tokio::task::spawn_blocking(move || {
        let home = Scratch::new();
        let data_dir = home.path().join("host");
        let mut host = Member::found(
            &home,
            "host",
            &Options {
                data_dir: Some(data_dir.clone()),
                ..options(&bootstrap)
            },
        );
        let ticket = host.ticket();
        let guest = Member::join(&home, "guest", &ticket, &joins(&bootstrap));
        guest.wait_connected(1);
        // The host's machine fails; it comes back at another address.
        host.kill();
        let again = Member::join(
            &home,
            "host again",
            &ticket,
            &Options {
                data_dir: Some(data_dir),
                ..joins(&bootstrap)
            },
        );
        again.wait_joined();
        assert_eq!(again.id(), host.id());
        // Somebody who has the old ticket only.
        let began = std::time::Instant::now();
        let late = Member::join(&home, "late", &ticket, &joins(&bootstrap));
        late.wait_joined();
        println!(
            "found over {NODES} nodes and joined after {:.1} s",
            began.elapsed().as_secs_f64()
        );
        late.wait_connected(2);
    })
    .await
    .expect("the members' story");
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_hostile_nodes_nearest_to_the_key_lead_nobody_astray() {
    let nodes = network(NODES).await;
    let bootstrap = nodes[3].address.clone();
    let first = nodes[0].address.clone();
    let home = Scratch::new();
    let data_dir = home.path().join("host");
    let text = bootstrap.to_string();
    let mut host = Member::found(
        &home,
        "host",
        &Options {
            data_dir: Some(data_dir.clone()),
            ..options(&text)
        },
    );
    let ticket = host.ticket();
    let parsed = Ticket::parse(&ticket, unix_now()).expect("a ticket");
    let keys = door_keys(&parsed, unix_now());
    let garbage = vec![
        vec![0; 2_048],
        vec![1; 2_048],
        b"rose".to_vec(),
        vec![0xff; 4_000],
    ];
    // Twenty for each place at which the record may lie.
    hostile(20 * keys.len(), &keys, &garbage, &first).await;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    tokio::task::spawn_blocking(move || {
        // By the ticket's addresses everybody gets in, as if nothing were.
        for number in 0..3 {
            let name = format!("guest {number}");
            let began = std::time::Instant::now();
            let guest = Member::join(&home, &name, &ticket, &joins(&text));
            guest.wait_joined();
            println!(
                "{name} joined by the ticket's addresses after {:.2} s",
                began.elapsed().as_secs_f64()
            );
            guest.wait_connected(1);
        }
        // With the host gone, whoever looks for it finds garbage, and says that nobody was reached.
        host.kill();
        let mut lost = Member::join(&home, "lost", &ticket, &joins(&text));
        let left = lost.wait_for("left");
        assert_eq!(left.event["reason"], "unreachable", "{}", lost.story());
        assert!(
            lost.said().iter().all(|said| said.event["event"] != "joined"),
            "{}",
            lost.story()
        );
        lost.wait_end();
    })
    .await
    .expect("the members' story");
}
