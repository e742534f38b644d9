//! Networks that let no UDP through: members are reached over TCP, sound stays current, and UDP is taken again as soon as it can be.
//! Needs root, iproute2 and nftables; says so loudly where they are missing.

use std::{
    path::PathBuf,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use subrosa_node::audio::{SAMPLE_RATE, measure};

use crate::support::{
    Scratch, binary,
    hearing::{babble, write_clip},
    isolated,
    member::{Member, Options},
    nat::{Internet, Nat, internet_for},
    operated::Operated,
};

/// Where the relay is, and the one that the policy refuses.
const RELAY: u8 = 250;
const REFUSED: u8 = 249;
/// The sites of the members.
const ONLY_443: u8 = 1;
const NO_UDP: u8 = 2;
/// Both speak so long.
const CLIP_SECONDS: f64 = 90.0;
/// Mouth to ear on TCP, in ms: well below what makes people talk at the same time (ITU-T G.114: 150 ms is unnoticed, 400 bearable).
const DELAY_MAX_MS: f64 = 200.0;
/// How much more it may be right after a stall: what the jitter buffer takes from packets that came late at most.
const DELAY_STALLED_MAX_MS: f64 = 280.0;
/// How much more when that is forgotten.
const DELAY_RISE_MAX_MS: f64 = 60.0;
/// What may be missing when a leg returns to UDP, in seconds.
const GAP_MAX: f64 = 0.3;
/// After which the jitter buffer has forgotten late packets: its window is ten seconds, and it stretches sound to fall.
const FORGOTTEN: Duration = Duration::from_secs(13);
/// How long a stall is.
const STALL: Duration = Duration::from_secs(1);

fn unix() -> f64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970")
        .as_secs_f64()
}

fn relay_at(home: &Scratch, place: &str, number: u8, country: &str) -> Operated {
    let listen = format!("198.51.100.{number}:4433");
    let top = format!("listen_tcp = ['198.51.100.{number}:443']\nmetrics = '127.0.0.1:9464'");
    Operated::start_hosted(home, place, &format!("relay{number}"), country, &listen, &top)
}

/// Who speaks what.
struct Speaker<'a> {
    member: &'a Member,
    clip: &'a [f32],
}

impl Speaker<'_> {
    /// A moment, in seconds of the clip.
    fn place(&self, unix: f64) -> f64 {
        unix - self.member.clip_began()
    }

    /// Mouth to ear between two places of the clip, in ms.
    fn delay_ms(&self, listener: &Member, from: f64, to: f64) -> f64 {
        let samples = |seconds: f64| (seconds * f64::from(SAMPLE_RATE)) as usize;
        let began = self.member.clip_began() - listener.recording_began() + from;
        let heard = listener.hearing();
        let window =
            &heard[samples(began).min(heard.len())..samples(began + to - from + 1.0).min(heard.len())];
        let said = &self.clip[samples(from)..samples(to)];
        measure::locate(said, window).expect("both are sound").delay_ms
    }
}

/// One sample of a relay's metrics.
fn metric(place: &str, name: &str) -> f64 {
    let output = Command::new("ip")
        .args([
            "netns",
            "exec",
            place,
            "curl",
            "-s",
            "http://127.0.0.1:9464/metrics",
        ])
        .output()
        .expect("curl runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or_else(|| panic!("{name}:\n{text}"))
}

fn wait_transport(member: &Member, since: usize, transport: &str) -> f64 {
    let said = member.wait_since(since, "a route", |e| {
        e["event"] == "route" && e["path"] == "relay" && e["transport"] == transport
    });
    said.unix
}

/// The latest figure about reception from `peer`.
fn latest(listener: &Member, peer: &str, name: &str) -> f64 {
    let said = listener.said();
    let stats = said.iter().rev().filter(|said| said.event["event"] == "stats");
    let mut peers = stats.flat_map(|said| said.event["peers"].as_array().into_iter().flatten());
    let entry = peers.find(|entry| entry["member"] == peer);
    entry.and_then(|entry| entry[name].as_f64()).unwrap_or(f64::NAN)
}

struct Scene {
    internet: Internet,
    relay_place: String,
    refused_place: String,
    _relays: [Operated; 2],
    clips: [Vec<f32>; 2],
    host: Member,
    guest: Member,
}

impl Scene {
    fn begin(name: &str, home: &Scratch) -> Option<Self> {
        let lay = |internet: &mut Internet| {
            Ok((
                [internet.machine(RELAY)?, internet.machine(REFUSED)?],
                [
                    internet.site(ONLY_443, Nat::PortRestricted)?,
                    internet.site(NO_UDP, Nat::Symmetric)?,
                ],
            ))
        };
        let (internet, (relay_places, places)) = internet_for(name, lay)?;
        internet.filter(
            ONLY_443,
            "only443",
            "tcp dport 443 accept; tcp sport 443 accept; drop;",
        );
        internet.block_udp(NO_UDP);
        let [relay_place, refused_place] = relay_places;
        let relays = [
            relay_at(home, &relay_place, RELAY, "DE"),
            relay_at(home, &refused_place, REFUSED, "US"),
        ];
        internet.count_arrivals(&refused_place);
        let clips = ["alice", "bob"].map(|voice| babble(voice, CLIP_SECONDS));
        let speaks = |who: usize, place: &str| {
            let path: PathBuf = home.path().join(format!("clip{who}.wav"));
            write_clip(&path, &clips[who]);
            Options {
                namespace: Some(place.to_owned()),
                ..Options::says(&path).with(&["--listen", "0.0.0.0:0", "--discovery", "off"])
            }
        };
        let both = |options: Options| {
            let [permitted, refused] = &relays;
            options.relay(&permitted.descriptor).relay(&refused.descriptor)
        };
        let host = both(speaks(0, &places[0]).with(&["--policy", "eea"]));
        let host = Member::found(home, "host", &host);
        let guest = Member::join(home, "guest", &host.ticket(), &speaks(1, &places[1]));
        Some(Self {
            internet,
            relay_place,
            refused_place,
            _relays: relays,
            clips,
            host,
            guest,
        })
    }

    /// Who speaks to whom.
    fn ways(&self) -> [(&str, Speaker<'_>, &Member); 2] {
        let speaker = |member, clip| Speaker { member, clip };
        [
            ("host to guest", speaker(&self.host, &self.clips[0]), &self.guest),
            ("guest to host", speaker(&self.guest, &self.clips[1]), &self.host),
        ]
    }

    /// The latest figure about what the guest hears and about what the host does.
    fn figure(&self, name: &str) -> [f64; 2] {
        self.ways()
            .map(|(_, speaker, listener)| latest(listener, &speaker.member.id(), name))
    }
}

#[test]
fn members_talk_over_tcp_survive_a_stall_and_return_to_udp_unheard() {
    let name = "members_talk_over_tcp_survive_a_stall_and_return_to_udp_unheard";
    let home = Scratch::new();
    let Some(mut scene) = Scene::begin(name, &home) else {
        return;
    };
    let started = scene.guest.wait_for("ready").unix;
    let joined = scene.guest.wait_joined().unix;
    let first = wait_transport(&scene.guest, 0, "tcp");
    wait_transport(&scene.host, 0, "tcp");
    println!(
        "guest: joined {:.2} s after its start, route over TCP at {:.2} s",
        joined - started,
        first - started
    );
    std::thread::sleep(Duration::from_secs(9));
    let steady = unix();
    let (lost, before) = (scene.figure("lost"), scene.figure("delay_ms"));
    println!("steady on TCP: lost {lost:?} frames, jitter buffers {before:.0?} ms");
    assert_eq!(lost, [0.0, 0.0]);
    assert_eq!(metric(&scene.relay_place, "subrosa_relay_tcp_sessions"), 2.0);

    scene.internet.filter(NO_UDP, "stall", "drop;");
    std::thread::sleep(STALL);
    scene.internet.unfilter(NO_UDP, "stall");
    std::thread::sleep(Duration::from_secs(4));
    let after = scene.figure("delay_ms");
    std::thread::sleep(FORGOTTEN);
    let (lost, late) = (scene.figure("lost"), scene.figure("delay_ms"));
    println!("a stall of 1 s: lost {lost:?} frames, jitter buffers {after:.0?} ms, then {late:.0?} ms");
    for way in 0..2 {
        let missing = Duration::from_millis(20).mul_f64(lost[way]);
        assert!(missing < STALL * 2, "{missing:?}");
        assert!(
            after[way] < before[way] + DELAY_STALLED_MAX_MS,
            "{before:?} {after:?}"
        );
        assert!(late[way] < before[way] + DELAY_RISE_MAX_MS, "{before:?} {late:?}");
    }

    let mark = scene.guest.mark();
    scene.internet.unfilter(NO_UDP, "blocked");
    let unblocked = unix();
    let back = wait_transport(&scene.guest, mark, "udp");
    std::thread::sleep(Duration::from_secs(5));
    let (again, on_udp) = (scene.figure("lost"), scene.figure("delay_ms"));
    let gaps = [again[0] - lost[0], again[1] - lost[1]].map(|frames| frames * 0.02);
    println!(
        "back on UDP {:.1} s after it was let through: {gaps:.2?} s missing, jitter buffers {on_udp:.0?} ms",
        back - unblocked
    );
    assert!(gaps.iter().all(|gap| *gap <= GAP_MAX), "{gaps:?}");
    assert_eq!(metric(&scene.relay_place, "subrosa_relay_tcp_sessions"), 1.0);
    let dropped = metric(&scene.relay_place, "subrosa_relay_tcp_packets_dropped_total");
    println!("{dropped} packets dropped at the relay");
    let arrivals = scene.internet.arrivals(&scene.refused_place);
    assert_eq!(arrivals, 0, "packets at the relay that the policy refuses");
    scene.guest.leave();
    scene.host.leave();
    for (way, speaker, listener) in scene.ways() {
        let from = speaker.place(steady) - 4.0;
        let delay = speaker.delay_ms(listener, from, from + 1.5);
        println!("{way}: mouth to ear {delay:.0} ms on TCP");
        assert!(delay < DELAY_MAX_MS, "{way}: {delay} ms\n{}", listener.story());
    }
}

#[test]
fn netcheck_says_that_a_relay_is_reached_over_tcp() {
    let lay = |internet: &mut Internet| {
        Ok((
            internet.machine(RELAY)?,
            internet.site(NO_UDP, Nat::PortRestricted)?,
        ))
    };
    let Some((internet, (relay_place, place))) =
        internet_for("netcheck_says_that_a_relay_is_reached_over_tcp", lay)
    else {
        return;
    };
    internet.block_udp(NO_UDP);
    let home = Scratch::new();
    let relay = relay_at(&home, &relay_place, RELAY, "DE");
    let mut command = isolated(Command::new("ip"), &home);
    command.args(["netns", "exec", &place]).arg(binary());
    command.args(["netcheck", "--audio", "null", "--relay", &relay.descriptor]);
    let output = command.output().expect("netcheck runs");
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        found.contains("answers over TCP at 198.51.100.250:443"),
        "{found}"
    );
    assert!(output.status.success(), "calls work: {found}");
}
