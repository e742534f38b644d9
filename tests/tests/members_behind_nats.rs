//! Members behind NATs of each kind: over a relay at once, directly as soon as it can be. Needs root, iproute2 and nftables;
//! says so loudly where they are missing.

mod pairs;
mod punching;

use std::{
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{
    Scratch, binary,
    hearing::{babble, write_clip},
    isolated,
    member::{Member, Options},
    nat::{Internet, Nat, internet_for},
    operated::Operated,
};

/// So long a pair that cannot be direct is watched.
const WATCHED: Duration = Duration::from_secs(6);
/// Where the relay is.
const RELAY: u8 = 250;

fn relay_in(home: &Scratch, namespace: &str) -> Operated {
    Operated::start_in(
        home,
        namespace,
        "backbone",
        &format!("198.51.100.{RELAY}:4433"),
        "",
        "",
    )
}

fn inside(namespace: &str, options: Options) -> Options {
    Options {
        namespace: Some(namespace.to_owned()),
        ..options.with(&["--listen", "0.0.0.0:0", "--discovery", "off"])
    }
}

#[test]
fn the_change_from_relay_to_direct_is_not_heard() {
    let lay = |internet: &mut Internet| {
        let relay = internet.machine(RELAY)?;
        Ok((
            relay,
            internet.site(1, Nat::PortRestricted)?,
            internet.site(2, Nat::PortRestricted)?,
        ))
    };
    let Some((_internet, (relay, here, there))) =
        internet_for("the_change_from_relay_to_direct_is_not_heard", lay)
    else {
        return;
    };
    let home = Scratch::new();
    let relay = relay_in(&home, &relay);
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &babble("alice", 30.0));
    let host = Member::found(
        &home,
        "host",
        &inside(&here, Options::says(&clip).relay(&relay.descriptor)),
    );
    let guest = Member::join(&home, "guest", &host.ticket(), &inside(&there, Options::silent()));
    guest.wait("a path over the relay", |e| {
        e["event"] == "route" && e["path"] == "relay"
    });
    let began = Instant::now();
    guest.wait("a direct path", |e| {
        e["event"] == "route" && e["path"] == "direct"
    });
    println!("direct {:.2} s after the relay", began.elapsed().as_secs_f64());
    let speaker = host.id();
    // What statistics tell may be two seconds old, and they are told every two seconds: waited for, not slept for.
    guest.wait("speech after the change", |e| {
        e["event"] == "stats" && e["peers"][0]["received"].as_u64().is_some_and(|n| n > 150)
    });
    let lost = guest.reception(&speaker, "lost");
    assert_eq!(lost, 0, "{}", guest.story());
}

#[test]
fn netcheck_tells_the_kind_of_nat_and_a_block_of_udp() {
    let lay = |internet: &mut Internet| {
        Ok((
            [internet.machine(RELAY)?, internet.machine(RELAY - 1)?],
            [
                internet.machine(1)?,
                internet.site(2, Nat::PortRestricted)?,
                internet.site(3, Nat::Symmetric)?,
                internet.site(4, Nat::FullCone)?,
            ],
        ))
    };
    let name = "netcheck_tells_the_kind_of_nat_and_a_block_of_udp";
    let Some((internet, (relay_places, places))) = internet_for(name, lay) else {
        return;
    };
    internet.block_udp(4);
    let home = Scratch::new();
    let relays: Vec<Operated> = relay_places
        .iter()
        .zip([RELAY, RELAY - 1])
        .map(|(place, number)| {
            let listen = format!("198.51.100.{number}:4433");
            Operated::start_in(&home, place, &format!("relay{number}"), &listen, "", "")
        })
        .collect();
    let check = |place: &str| {
        let mut command = isolated(Command::new("ip"), &home);
        command.args(["netns", "exec", place]).arg(binary());
        command.args(["netcheck", "--audio", "null"]);
        for relay in &relays {
            command.args(["--relay", &relay.descriptor]);
        }
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    let found = places.each_ref().map(|place| check(place));
    for (found, wanted) in found.iter().zip([
        "none: seen at 198.51.100.1",
        "keeps its port for everybody, seen at 198.51.100.2",
        "another port for each destination",
        "UDP to it is blocked on the way",
    ]) {
        assert!(found.contains(wanted), "{wanted}:\n{found}");
    }
    assert!(
        found[3].contains("whoever runs this network can mend that"),
        "{}",
        found[3]
    );
}
