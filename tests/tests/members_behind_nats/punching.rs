//! A NAT that gives every destination another port, and one that lets in only what was asked for: the two search for a way.
//! `./dev punch` does it often.

use std::time::Duration;

use super::{RELAY, inside, relay_in};
use crate::support::{
    Scratch,
    member::{Member, Options},
    nat::{Internet, Nat, internet_for},
};

/// How many pairs try; `SUBROSA_PUNCH_TRIES` says otherwise.
const TRIES: usize = 4;
/// Pairs at a time.
const AT_A_TIME: usize = 2;
/// What a search may take.
const SEARCH_MAX: f64 = 2.0;
/// When it begins after joining, at the latest: dialling must have been in vain for half a second, and that is looked at every
/// 200 ms.
const SEARCH_AFTER_MAX: f64 = 0.7;
/// So long a direct link is waited for.
const PATIENCE: Duration = Duration::from_secs(6);
/// What must succeed: 99.8 % should (`subrosa_proto::mesh::hole_punch`).
const SHARE_MIN: f64 = 0.98;

fn meet(home: &Scratch, relay: &str, places: [&str; 2]) -> [Member; 2] {
    let host = Member::found(home, "host", &inside(places[0], Options::silent().relay(relay)));
    let guest = Member::join(
        home,
        "guest",
        &host.ticket(),
        &inside(places[1], Options::silent()),
    );
    [host, guest]
}

#[test]
fn a_port_restricted_and_a_symmetric_nat_are_passed_by_a_search() {
    let name = "a_port_restricted_and_a_symmetric_nat_are_passed_by_a_search";
    let lay = |internet: &mut Internet| {
        let relay = internet.machine(RELAY)?;
        let cone = internet.site(1, Nat::PortRestricted)?;
        Ok((relay, [cone, internet.site(2, Nat::Symmetric)?]))
    };
    let Some((_internet, (relay, [cone, symmetric]))) = internet_for(name, lay) else {
        return;
    };
    let tries = std::env::var("SUBROSA_PUNCH_TRIES").map_or(TRIES, |tries| tries.parse().expect("a number"));
    let home = Scratch::new();
    let relay = relay_in(&home, &relay);
    let mut times = Vec::new();
    let mut stories = Vec::new();
    let orders = [[&*cone, &*symmetric], [&*symmetric, &*cone]];
    let places: Vec<[&str; 2]> = orders.iter().copied().cycle().take(tries).collect();
    for batch in places.chunks(AT_A_TIME) {
        let met: Vec<[Member; 2]> = batch
            .iter()
            .map(|places| meet(&home, &relay.descriptor, *places))
            .collect();
        for [mut host, mut guest] in met {
            let joined = guest.wait_joined().unix;
            let direct = guest.look_for(0, PATIENCE, |e| e["event"] == "route" && e["path"] == "direct");
            match direct {
                Some(said) => times.push(said.unix - joined),
                None => stories.push(format!("{}\n{}", host.story(), guest.story())),
            }
            guest.leave();
            host.leave();
        }
    }
    times.sort_by(f64::total_cmp);
    let within = |seconds: f64| times.iter().filter(|time| **time <= seconds).count();
    let (at_all, soon, in_time) = (
        times.len(),
        within(SEARCH_MAX),
        within(SEARCH_MAX + SEARCH_AFTER_MAX),
    );
    println!(
        "{tries} tries: direct {at_all}, {soon} of them within 2 s of joining, {in_time} within 2 s of the search's begin"
    );
    println!("seconds from joining: {times:.2?}");
    assert!(
        in_time as f64 >= SHARE_MIN * tries as f64,
        "{in_time} of {tries}: {times:.2?}\n{}",
        stories.join("\n")
    );
}
