//! Prints delay and concealment of the jitter buffer per scenario, in virtual time:
//! `cargo run -p subrosa-proto --example jitter_table`.

#[path = "../tests/audio_path/channel.rs"]
mod channel;
#[path = "../tests/audio_path/scenario.rs"]
mod scenario;

use channel::{Jitter, Loss, Path};
use scenario::{Outcome, Scenario, run};
use subrosa_proto::media::payload::FrameDuration;

fn scenarios() -> Vec<(&'static str, Scenario)> {
    let on = |path: Path| Scenario {
        path,
        seconds: 120,
        ..Scenario::CLEAN
    };
    let clean = Path::CLEAN;
    let loss = |loss: Loss| on(Path { loss, ..clean });
    vec![
        ("clean", on(clean)),
        (
            "clean, 10 ms frames",
            Scenario {
                duration: FrameDuration::Ms10,
                ..on(clean)
            },
        ),
        (
            "clean, 5 ms blocks",
            Scenario {
                block: 240,
                ..on(clean)
            },
        ),
        (
            "clean, pulls in pairs",
            Scenario {
                pull_burst: 2,
                ..on(clean)
            },
        ),
        (
            "clean, pulls 0-5 ms late",
            Scenario {
                pull_late: 5_000,
                ..on(clean)
            },
        ),
        (
            "clock +200 ppm",
            Scenario {
                drift_ppm: 200.0,
                ..on(clean)
            },
        ),
        (
            "clock -200 ppm",
            Scenario {
                drift_ppm: -200.0,
                ..on(clean)
            },
        ),
        (
            "jitter uniform 10 ms",
            on(Path {
                jitter: Jitter::Uniform(10_000),
                ..clean
            }),
        ),
        (
            "jitter uniform 40 ms",
            on(Path {
                jitter: Jitter::Uniform(40_000),
                ..clean
            }),
        ),
        (
            "jitter exponential 5 ms",
            on(Path {
                jitter: Jitter::Exponential(5_000.0),
                ..clean
            }),
        ),
        (
            "jitter exponential 15 ms",
            on(Path {
                jitter: Jitter::Exponential(15_000.0),
                ..clean
            }),
        ),
        (
            "stalls 150 ms every 5 s",
            on(Path {
                jitter: Jitter::Stalls {
                    period: 5_000_000,
                    length: 150_000,
                },
                ..clean
            }),
        ),
        (
            "2 % reordered by 45 ms",
            on(Path {
                reordered: 0.02,
                ..clean
            }),
        ),
        (
            "route change +60 ms",
            on(Path {
                step: Some((30_000_000, 60_000)),
                ..clean
            }),
        ),
        ("loss 2 %", loss(Loss::Independent(0.02))),
        ("loss 5 %", loss(Loss::Independent(0.05))),
        ("loss 10 %", loss(Loss::Independent(0.1))),
        ("loss 20 %", loss(Loss::Independent(0.2))),
        ("loss 30 %", loss(Loss::Independent(0.3))),
        (
            "loss 20 % in bursts of 4",
            loss(Loss::Bursts {
                share: 0.2,
                mean: 4.0,
            }),
        ),
        (
            "loss 20 %, jitter 10 ms",
            on(Path {
                loss: Loss::Independent(0.2),
                jitter: Jitter::Uniform(10_000),
                ..clean
            }),
        ),
        (
            "outage 300 ms every 10 s",
            loss(Loss::Outages {
                period: 10_000_000,
                length: 300_000,
            }),
        ),
        (
            "talk 3 s, pause 2 s",
            Scenario {
                talk: Some((3_000_000, 2_000_000)),
                ..on(clean)
            },
        ),
    ]
}

fn main() {
    println!(
        "delay (sending to decoding, less 20 ms of network) and invented sound after the first 10 s of 120 s; seeds 1-5"
    );
    println!(
        "{:<26} {:>8} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9} {:>10}",
        "path", "mean ms", "p95 ms", "lost %", "heard %", "invented %", "stretch %", "kb/s", "protection"
    );
    for (name, scenario) in scenarios() {
        let runs: Vec<Outcome> = (1..=5).map(|seed| run(Scenario { seed, ..scenario })).collect();
        let mean = |f: &dyn Fn(&Outcome) -> f64| runs.iter().map(f).sum::<f64>() / runs.len() as f64;
        let frames = |o: &Outcome| (o.stats.played + o.stats.lost + o.stats.discarded).max(1) as f64;
        let settings = runs[0].settings;
        println!(
            "{name:<26} {:>8.1} {:>8.1} {:>8.2} {:>8.2} {:>9.3} {:>9.2} {:>9.1}   {}x{} @{} fec {}",
            mean(&|o| o.delay_ms().0 - 20.0),
            mean(&|o| o.delay_ms().1 - 20.0),
            mean(&|o| o.stats.lost as f64 * 100.0 / frames(o)),
            mean(&|o| (o.stats.played + o.stats.recovered()) as f64 * 100.0 / frames(o)),
            mean(&|o| o.concealed_share() * 100.0),
            mean(&|o| (o.stats.samples_removed + o.stats.samples_added) as f64 / 48.0 / 1_200.0),
            mean(&|o| f64::from(o.stats.bitrate_bps) / 1_000.0),
            settings.redundancy,
            settings.spacing,
            settings.frame_bitrate_bps / 1_000,
            settings.expected_loss_percent,
        );
    }
}
