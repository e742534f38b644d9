//! The same meeting over real sockets and in the simulator: what is lost, recovered and invented, and how late it is heard, lie
//! within stated tolerances of each other. `./dev validate`.

use std::{thread, time::Duration};

use subrosa_node::audio::measure;
use subrosa_sim::{
    network::loss::LossSpec,
    report::Report,
    scenario::{MemberSpec, NetworkSpec, RelaySpec, Scenario},
    transport::TransportKind,
};

use crate::support::{
    Scratch,
    hearing::{babble, write_clip},
    impaired::{ImpairedPath, Impairment},
    member::{Member, Options},
    relay::Relay,
};

/// How long everybody is there.
const SECONDS: u64 = 40;
/// The part of the speech that is looked for, in seconds of the clip: when redundancy has settled.
const LOOKED_FOR: [f64; 2] = [14.0, 32.0];
/// Later than that nothing is heard, in seconds.
const LATE_MAX: f64 = 1.0;
/// The simulator is asked with so many seeds; the machine once.
const SEEDS: u64 = 6;
const NAMES: [&str; 3] = ["alice", "bob", "carol"];

/// A network, each hop of which is impaired alike.
struct Case {
    name: &'static str,
    rtt_ms: f64,
    jitter_ms: f64,
    lost: f64,
    burst: f64,
    /// The demo's topology: Alice and Bob on a direct link, Carol behind the relay. Else all three are behind it.
    demo: bool,
}

const CASES: [Case; 4] = [
    Case {
        name: "the demo's, unimpaired",
        rtt_ms: 0.0,
        jitter_ms: 0.0,
        lost: 0.0,
        burst: 1.0,
        demo: true,
    },
    Case {
        name: "60 ms, jitter of 15 ms on each hop",
        rtt_ms: 60.0,
        jitter_ms: 15.0,
        lost: 0.0,
        burst: 1.0,
        demo: false,
    },
    Case {
        name: "40 ms, 5 % lost on each hop",
        rtt_ms: 40.0,
        jitter_ms: 4.0,
        lost: 0.05,
        burst: 1.0,
        demo: false,
    },
    Case {
        name: "40 ms, 5 % lost on each hop in runs of 4",
        rtt_ms: 40.0,
        jitter_ms: 4.0,
        lost: 0.05,
        burst: 4.0,
        demo: false,
    },
];

/// Means over all speakers and listeners; the last over Alice's listeners.
#[derive(Clone, Copy, Debug)]
struct Figures([f64; 5]);

/// What each figure is, and how far apart the two may be.
const FIGURES: [(&str, f64); 5] = [
    ("lost, %", 2.5),
    ("of it recovered, %", 15.0),
    ("invented, %", 2.0),
    ("in the buffer, ms", 12.0),
    ("mouth to ear, ms", 20.0),
];

/// Counters of one speaker at one listener.
#[derive(Clone, Copy, Debug, Default)]
struct Counted {
    received: f64,
    lost: f64,
    recovered: f64,
    concealed: f64,
    buffered_ms: f64,
}

impl Figures {
    fn of(pairs: &[Counted], mouth_to_ear_ms: f64) -> Self {
        let sum = |figure: fn(&Counted) -> f64| pairs.iter().map(figure).sum::<f64>();
        let lost = sum(|pair| pair.lost);
        let all = (sum(|pair| pair.received) + lost).max(1.0);
        Self([
            100.0 * lost / all,
            100.0 * sum(|pair| pair.recovered) / lost.max(1.0),
            100.0 * sum(|pair| pair.concealed) / all,
            sum(|pair| pair.buffered_ms) / pairs.len().max(1) as f64,
            mouth_to_ear_ms,
        ])
    }
}

#[test]
#[ignore = "three minutes in real time, on a machine that does nothing else: ./dev validate"]
fn the_simulator_tells_what_sockets_do() {
    let mut apart = Vec::new();
    println!("| network | figure | sockets | `quic` | `modelled` | apart at most |");
    println!("|---|---|---|---|---|---|");
    for case in &CASES {
        let real = over_sockets(case);
        let [quic, modelled] = [TransportKind::Quic, TransportKind::Modelled].map(|transport| {
            let runs = (1..=SEEDS).map(|seed| simulated(case, transport, seed, &mut apart));
            runs.collect::<Vec<_>>()
        });
        for (index, (figure, tolerance)) in FIGURES.iter().enumerate() {
            // Of what is hardly lost, a share says nothing.
            if *figure == "of it recovered, %" && case.lost == 0.0 {
                continue;
            }
            let found = real.0[index];
            let (mean, shown) = spread(&quic, index);
            let (_, beside) = spread(&modelled, index);
            println!(
                "| {} | {figure} | {found:.1} | {shown} | {beside} | {tolerance} |",
                case.name
            );
            // What has no congestion control is shown beside, not judged.
            if (found - mean).abs() > *tolerance {
                apart.push(format!("{}: {figure}: {found:.1} and {mean:.1}", case.name));
            }
        }
    }
    assert!(apart.is_empty(), "further apart than stated: {apart:#?}");
}

/// A figure's mean over the seeds, and how it is shown.
fn spread(runs: &[Figures], index: usize) -> (f64, String) {
    let values = runs.iter().map(|run| run.0[index]);
    let mean = values.clone().sum::<f64>() / runs.len() as f64;
    let (least, most) = (
        values.clone().fold(f64::MAX, f64::min),
        values.fold(f64::MIN, f64::max),
    );
    (mean, format!("{mean:.1} ({least:.1} to {most:.1})"))
}

/// Three processes and a relay, over loopback and the impaired path.
fn over_sockets(case: &Case) -> Figures {
    let home = Scratch::new();
    let path = ImpairedPath::start(
        Impairment {
            delay: Duration::from_secs_f64(case.rtt_ms / 2_000.0),
            jitter: Duration::from_secs_f64(case.jitter_ms / 1_000.0),
            lost: case.lost,
            burst: case.burst,
        },
        7,
    );
    let relay = Relay::start_behind(&home, "Stepping-Stone", "DE", Some(path.address()));
    path.lead_to(relay.listen);
    let sound = babble("alice", SECONDS as f64 + 30.0);
    let clip = home.path().join("clip.wav");
    write_clip(&clip, &sound);
    let options = |index: usize| {
        let options = match index {
            0 => Options::says(&clip),
            _ => Options::default(),
        };
        let hides: &[&str] = if case.demo && index < 2 {
            &[]
        } else {
            &["--no-direct"]
        };
        options.with(hides).relay(&relay.descriptor)
    };
    let mut members = vec![Member::found(&home, NAMES[0], &options(0))];
    let ticket = members[0].ticket();
    for (index, name) in NAMES.iter().enumerate().skip(1) {
        members.push(Member::join(&home, name, &ticket, &options(index)));
    }
    for member in &members {
        member.wait_connected(NAMES.len() - 1);
    }
    thread::sleep(Duration::from_secs(SECONDS));
    let mut pairs = Vec::new();
    for listener in &members {
        let speakers = members.iter().filter(|speaker| speaker.id() != listener.id());
        pairs.extend(speakers.map(|speaker| counted(listener, &speaker.id())));
    }
    let late = members[1..]
        .iter()
        .map(|listener| lateness_ms(&members[0], &sound, listener));
    let late = late.sum::<f64>() / (NAMES.len() - 1) as f64;
    for member in members.iter_mut().rev() {
        member.leave();
    }
    Figures::of(&pairs, late)
}

/// How much later than it was said `listener` heard the part of `sound` that is looked for. Speech repeats itself after some
/// seconds: it is looked for where it must be.
fn lateness_ms(speaker: &Member, sound: &[f32], listener: &Member) -> f64 {
    let samples = |seconds: f64| (seconds.max(0.0) * 48_000.0) as usize;
    let [from, to] = LOOKED_FOR;
    let heard = listener.hearing();
    let offset = speaker.clip_began() - listener.recording_began();
    let within = samples(offset + from).min(heard.len())..samples(offset + to + LATE_MAX).min(heard.len());
    let found = measure::locate(&sound[samples(from)..samples(to)], &heard[within]);
    found.expect("it was heard").delay_ms
}

/// What `listener` told of `speaker`: the latest counters, the mean of what waited.
fn counted(listener: &Member, speaker: &str) -> Counted {
    let said = listener.said();
    let reports = said.iter().filter(|said| said.event["event"] == "stats");
    let entries: Vec<_> = reports
        .flat_map(|said| said.event["peers"].as_array().into_iter().flatten())
        .filter(|entry| entry["member"] == speaker && entry["received"].as_u64() > Some(0))
        .collect();
    let latest = |figure: &str| {
        entries
            .last()
            .and_then(|entry| entry[figure].as_f64())
            .unwrap_or(0.0)
    };
    let buffered = entries.iter().filter_map(|entry| entry["delay_ms"].as_f64());
    Counted {
        received: latest("received"),
        lost: latest("lost"),
        recovered: latest("recovered"),
        concealed: latest("concealed"),
        buffered_ms: buffered.sum::<f64>() / entries.len().max(1) as f64,
    }
}

/// What the simulator says; what its checkers complain of is `wrong` too.
fn simulated(case: &Case, transport: TransportKind, seed: u64, wrong: &mut Vec<String>) -> Figures {
    let scenario = Scenario {
        transport,
        ..scenario(case)
    };
    let report = subrosa_sim::run(&scenario, seed).expect("a scenario that can run");
    let violations = report.violations.iter();
    wrong.extend(
        violations.map(|violation| format!("{}, {transport:?}, seed {seed}: {violation}", case.name)),
    );
    let pairs: Vec<Counted> = report
        .pairs
        .iter()
        .map(|pair| {
            let sound = &pair.sound;
            Counted {
                received: sound.received as f64,
                lost: sound.lost as f64,
                recovered: sound.recovered as f64,
                concealed: sound.concealed as f64,
                buffered_ms: sound.buffered_ms,
            }
        })
        .collect();
    Figures::of(&pairs, of_alice(&report))
}

fn of_alice(report: &Report) -> f64 {
    let heard = report.pairs.iter().filter(|pair| pair.speaker == NAMES[0]);
    heard.map(|pair| pair.sound.mouth_to_ear_ms.p50).sum::<f64>() / (NAMES.len() - 1) as f64
}

fn scenario(case: &Case) -> Scenario {
    let relay = RelaySpec {
        name: "relay".to_owned(),
        hosting: "DE".to_owned(),
        ..RelaySpec::default()
    };
    let members = NAMES.iter().enumerate().map(|(index, name)| MemberSpec {
        name: (*name).to_owned(),
        direct: case.demo && index < 2,
        relays: vec![relay.name.clone()],
        ..MemberSpec::default()
    });
    let r = 1.0 / case.burst;
    let loss = match case.burst > 1.0 {
        true => LossSpec::GilbertElliott {
            p: r * case.lost / (1.0 - case.lost),
            r,
            good: 0.0,
            bad: 1.0,
        },
        false => LossSpec::Independent {
            percent: case.lost * 100.0,
        },
    };
    Scenario {
        name: case.name.to_owned(),
        seconds: SECONDS + 2,
        network: NetworkSpec {
            rtt_ms: case.rtt_ms,
            jitter_ms: case.jitter_ms,
            loss: Some(loss),
            ..NetworkSpec::default()
        },
        members: members.collect(),
        relays: vec![relay],
        ..Scenario::default()
    }
}
