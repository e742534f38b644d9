//! Every pair of kinds of places, and members who share a NAT: how long until they hear each other, and until directly.

use std::{path::Path, time::Duration};

use subrosa_node::audio::SAMPLE_RATE;

use super::{RELAY, WATCHED};
use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    member::{Member, Options},
    nat::{Internet, internet_for},
    operated::Operated,
    place::{Place, carrier, give_ipv6, hairpin_port, household},
};

/// Where the relay is that the policy refuses.
const REFUSED: u8 = 249;
/// Within so long after it joined, a pair that can be direct is.
const DIRECT_WITHIN: Duration = Duration::from_secs(10);
/// Louder than this, a sample is speech (−40 dB of full scale).
const AUDIBLE: f32 = 0.01;
/// Pairs at a time: the machine may be small.
const AT_A_TIME: usize = 5;
/// The host speaks so long.
const CLIP_SECONDS: f64 = 40.0;

/// A relay on the backbone that everybody can reach: both families, UDP, and TCP on port 443.
fn relay_at(home: &Scratch, place: &str, number: u8, country: &str) -> Operated {
    let name = format!("relay{number}");
    let (v4, v6) = (format!("198.51.100.{number}"), format!("[2001:db8:1::{number}]"));
    let top = format!("public_addresses = ['{v4}:4433', '{v6}:4433']\nlisten_tcp = ['{v4}:443', '{v6}:443']");
    Operated::start_hosted(home, place, &name, country, "[::]:4433", &top)
}

/// A pair's places, and whether they should meet directly.
struct Wanted {
    title: String,
    namespaces: [String; 2],
    listen: [String; 2],
    direct: bool,
}

impl Wanted {
    fn places(kinds: [Place; 2], namespaces: [&str; 2]) -> Self {
        Self {
            title: format!("{:<20}{:<20}", kinds[0], kinds[1]),
            namespaces: namespaces.map(str::to_owned),
            listen: ["[::]:0", "[::]:0"].map(str::to_owned),
            direct: kinds[0].meets(kinds[1]),
        }
    }

    /// Two who share a NAT.
    fn neighbours(what: &str, namespaces: Vec<String>, direct: bool) -> Self {
        Self {
            title: format!("{what:<40}"),
            namespaces: namespaces.try_into().expect("two"),
            listen: [0, 1].map(|index| format!("[::]:{}", hairpin_port(index))),
            direct,
        }
    }
}

/// A host that speaks and a guest that listens, in their places.
struct Pair<'a> {
    wanted: &'a Wanted,
    host: Member,
    guest: Member,
}

/// Seconds from joining.
struct Times {
    path: f64,
    audio: Option<f64>,
    direct: Option<f64>,
}

impl<'a> Pair<'a> {
    fn meet(home: &Scratch, clip: &Path, relays: &[Operated; 2], wanted: &'a Wanted) -> Self {
        // It becomes part of file names, in which a comma would part two.
        let is_no_letter = |c: char| !c.is_alphanumeric();
        let words: Vec<&str> = wanted
            .title
            .split(is_no_letter)
            .filter(|word| !word.is_empty())
            .collect();
        let name = |role: &str| format!("{role} {}", words.join(" "));
        let at = |index: usize, options: Options| Options {
            namespace: Some(wanted.namespaces[index].clone()),
            ..options.with(&["--listen", &wanted.listen[index], "--discovery", "off"])
        };
        let [permitted, refused] = relays;
        let host = at(0, Options::says(clip)).with(&["--policy", "eea"]);
        let host = host.relay(&permitted.descriptor).relay(&refused.descriptor);
        let host = Member::found(home, &name("host"), &host);
        let guest = at(1, Options::default());
        let guest = Member::join(home, &name("guest"), &host.ticket(), &guest);
        Self { wanted, host, guest }
    }

    /// Watches the pair, and ends its meeting.
    fn times(&mut self) -> Times {
        let joined = self.guest.wait_joined().unix;
        let first = self
            .guest
            .wait("a path", |e| e["event"] == "route" && e["path"] != "none");
        let patience = if self.wanted.direct {
            DIRECT_WITHIN
        } else {
            WATCHED
        };
        let direct = self
            .guest
            .look_for(0, patience, |e| e["event"] == "route" && e["path"] == "direct");
        // Sound may come after the path, by what the jitter buffer waits.
        self.guest.wait("reception", |e| {
            e["event"] == "stats" && e["peers"][0]["received"].as_u64().is_some_and(|n| n > 50)
        });
        self.guest.leave();
        self.host.leave();
        let heard = self.guest.hearing();
        let audible = heard.iter().position(|sample| sample.abs() > AUDIBLE);
        let audible = audible.map(|at| self.guest.recording_began() + at as f64 / f64::from(SAMPLE_RATE));
        Times {
            path: first.unix - joined,
            audio: audible.map(|at| at - joined),
            direct: direct.map(|said| said.unix - joined),
        }
    }
}

/// All pairs of places, each kind at two sites, and those who share a NAT.
fn lay(internet: &mut Internet) -> Result<([String; 2], Vec<Wanted>), String> {
    let relays = [internet.machine(RELAY)?, internet.machine(REFUSED)?];
    for (relay, number) in relays.iter().zip([RELAY, REFUSED]) {
        give_ipv6(relay, number)?;
    }
    let mut sites = Vec::new();
    for (kind, number) in Place::ALL.into_iter().zip((1..).step_by(2)) {
        sites.push((kind, kind.lay(internet, number)?, kind.lay(internet, number + 1)?));
    }
    let mut wanted = Vec::new();
    for (at, (kind, here, _)) in sites.iter().enumerate() {
        for (other, _, there) in &sites[at..] {
            wanted.push(Wanted::places([*kind, *other], [here, there]));
        }
    }
    for (number, hairpin) in [(101, true), (102, false)] {
        let what = format!("one home, hairpinning: {hairpin}");
        let hosts = household(internet, number, hairpin)?;
        wanted.push(Wanted::neighbours(&what, hosts, true));
    }
    for (number, hairpin) in [(103, true), (105, false)] {
        let what = format!("two homes, one carrier, hairpinning: {hairpin}");
        let hosts = carrier(internet, number, 2, hairpin)?;
        wanted.push(Wanted::neighbours(&what, hosts, hairpin));
    }
    Ok((relays, wanted))
}

#[test]
fn every_pair_of_places_meets_directly_where_it_can_and_over_the_permitted_relay_where_not() {
    let name = "every_pair_of_places_meets_directly_where_it_can_and_over_the_permitted_relay_where_not";
    let Some((internet, (relay_places, wanted))) = internet_for(name, lay) else {
        return;
    };
    let home = Scratch::new();
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &babble("alice", CLIP_SECONDS));
    let relays = [
        relay_at(&home, &relay_places[0], RELAY, "DE"),
        relay_at(&home, &relay_places[1], REFUSED, "US"),
    ];
    internet.count_arrivals(&relay_places[1]);
    println!(
        "seconds after the guest joined\n{:<40}{:>8}{:>8}{:>8}",
        "host, guest", "path", "audio", "direct"
    );
    let shown = |time: Option<f64>| time.map_or("-".to_owned(), |time| format!("{time:.2}"));
    let mut wrong = Vec::new();
    // For trying some by hand.
    let only = std::env::var("SUBROSA_PAIRS").unwrap_or_default();
    let wanted: Vec<Wanted> = wanted
        .into_iter()
        .filter(|wanted| wanted.title.contains(&only))
        .collect();
    for batch in wanted.chunks(AT_A_TIME) {
        let met: Vec<Pair<'_>> = batch
            .iter()
            .map(|wanted| Pair::meet(&home, &clip, &relays, wanted))
            .collect();
        for mut pair in met {
            let times = pair.times();
            let line = format!(
                "{:<40}{:>8.2}{:>8}{:>8}",
                pair.wanted.title,
                times.path,
                shown(times.audio),
                shown(times.direct)
            );
            println!("{line}");
            if times.direct.is_some() != pair.wanted.direct || times.audio.is_none() {
                wrong.push(format!("{line}\n{}\n{}", pair.guest.story(), pair.host.story()));
            }
        }
    }
    let arrivals = internet.arrivals(&relay_places[1]);
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert_eq!(arrivals, 0, "packets at the relay that the policy refuses");
}
