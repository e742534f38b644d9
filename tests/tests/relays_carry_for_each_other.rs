//! A cascade: members who reach one relay each talk over both, by the real processes. Needs root, iproute2 and nftables;
//! says so loudly where they are missing.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::support::{
    Scratch,
    hearing::{babble, longest_gap, pieces, write_clip},
    member::{Member, Options},
    nat::{Internet, internet_for},
    operated::{Operated, settings},
};

const NORTH: u8 = 250;
const SOUTH: u8 = 249;
const HOST: u8 = 1;
const GUEST: u8 = 2;

/// North and south, who have agreed on nothing yet.
fn relays(home: &Scratch, places: &Places) -> (Operated, Operated) {
    let start = |place: &str, name, number| Operated::start_in(home, place, name, &listen(number), "", "");
    (
        start(&places.north, "north", NORTH),
        start(&places.south, "south", SOUTH),
    )
}

/// Host and guest meet, with both relays in the ticket.
fn meet(home: &Scratch, places: &Places, relays: [&Operated; 2], options: [Options; 2]) -> (Member, Member) {
    let [host, guest] = options;
    let host = relays
        .into_iter()
        .fold(host, |options, relay| options.relay(&relay.descriptor));
    let host = Member::found(home, "Host", &inside(&places.host, host));
    let guest = Member::join(home, "Guest", &host.ticket(), &inside(&places.guest, guest));
    (host, guest)
}

fn listen(number: u8) -> String {
    format!("198.51.100.{number}:4433")
}

/// Two relays agree.
fn agree(relay: &Operated, name: &str, number: u8, others: &[&Operated]) {
    let lines: Vec<String> = others
        .iter()
        .map(|other| format!("'{}'", other.descriptor))
        .collect();
    let cascade = format!("[cascade]\nrelays = [{}]", lines.join(", "));
    let said = relay.reload_text(&settings(name, "DE", &listen(number), "", &cascade));
    assert_eq!(said["event"], "relay_reloaded", "{said}");
}

struct Places {
    north: String,
    south: String,
    host: String,
    guest: String,
}

/// Host and guest do not reach each other, nor the other one's relay.
fn divided(name: &str) -> Option<(Internet, Places)> {
    let lay = |internet: &mut Internet| {
        Ok(Places {
            north: internet.machine(NORTH)?,
            south: internet.machine(SOUTH)?,
            host: internet.machine(HOST)?,
            guest: internet.machine(GUEST)?,
        })
    };
    let (internet, places) = internet_for(name, lay)?;
    internet.wall(&places.host, &[SOUTH, GUEST]);
    internet.wall(&places.guest, &[NORTH, HOST]);
    Some((internet, places))
}

fn inside(namespace: &str, options: Options) -> Options {
    Options {
        namespace: Some(namespace.to_owned()),
        ..options.with(&["--listen", "0.0.0.0:0", "--discovery", "off"])
    }
}

#[test]
fn members_who_reach_one_relay_each_talk_over_both() {
    let name = "members_who_reach_one_relay_each_talk_over_both";
    let Some((internet, places)) = divided(name) else {
        return;
    };
    let home = Scratch::new();
    let (north, south) = relays(&home, &places);
    agree(&north, "north", NORTH, &[&south]);
    agree(&south, "south", SOUTH, &[&north]);
    let sounds = [babble("alice", 40.0), babble("bob", 40.0)];
    let clips = ["alice.wav", "bob.wav"].map(|file| home.path().join(file));
    for (clip, sound) in clips.iter().zip(&sounds) {
        write_clip(clip, sound);
    }
    let options = [Options::says(&clips[0]), Options::says(&clips[1])];
    let (host, guest) = meet(&home, &places, [&north, &south], options);
    guest.wait_joined();
    // Both see the whole way.
    for (member, way) in [
        (&host, ["north>south", "south>north"]),
        (&guest, ["south>north", "north>south"]),
    ] {
        member.wait("a way over both relays", |said| {
            said["event"] == "route" && way.iter().any(|way| said["via"] == *way)
        });
    }
    for (listener, speaker, sound) in [(&guest, &host, &sounds[0]), (&host, &guest, &sounds[1])] {
        listener.wait_received(&speaker.id(), 300);
        let lost = listener.reception(&speaker.id(), "lost");
        assert_eq!(lost, 0, "{}", listener.story());
        let now = unix_now() - speaker.clip_began() - 1.0;
        let gap = longest_gap(&pieces(speaker, sound, listener), now - 4.0, now);
        assert!(gap < 0.3, "nothing recognised for {gap} s: {}", listener.story());
    }
    let links = [&north, &south].map(|relay| relay.stats()["upstreams"].as_u64());
    assert_eq!(links, [Some(1), Some(1)]);

    // A way of one's own is taken when there is one, and the other relay is left, without a word lost.
    let marks = (guest.mark(), north.mark(), south.mark());
    internet.unwall(&places.guest);
    internet.unwall(&places.host);
    guest.wait_since(marks.0, "a way without the other relay", |said| {
        let via = said["via"].as_str().unwrap_or_default();
        said["event"] == "route" && said["path"] != "none" && !via.contains('>')
    });
    for (relay, mark) in [(&north, marks.1), (&south, marks.2)] {
        relay.wait_since(mark, "no link", |said| {
            said["event"] == "relay_stats" && said["upstreams"] == 0
        });
    }
    for (listener, speaker) in [(&guest, &host), (&host, &guest)] {
        listener.wait_received(&speaker.id(), listener.reception(&speaker.id(), "received") + 100);
        let lost = listener.reception(&speaker.id(), "lost");
        assert_eq!(lost, 0, "{}", listener.story());
    }
}

fn unix_now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.expect("after 1970").as_secs_f64()
}

#[test]
fn without_an_agreement_a_relay_carries_to_no_other() {
    let name = "without_an_agreement_a_relay_carries_to_no_other";
    let Some((_internet, places)) = divided(name) else {
        return;
    };
    let home = Scratch::new();
    let (north, south) = relays(&home, &places);
    // One side alone is none.
    agree(&north, "north", NORTH, &[&south]);
    let options = [Options::silent(), Options::silent()];
    let (_host, guest) = meet(&home, &places, [&north, &south], options);
    let joined = guest.look_for(0, Duration::from_secs(8), |said| said["event"] == "joined");
    assert!(joined.is_none(), "{}", guest.story());
    let refused = |relay: &Operated| {
        let refusals = relay.stats()["refusals"].clone();
        refusals["not_cascaded"].as_u64().unwrap_or(0)
    };
    assert!(
        refused(&north) + refused(&south) > 0,
        "{} {}",
        north.stats(),
        south.stats()
    );
}
