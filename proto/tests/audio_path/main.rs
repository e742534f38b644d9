//! Audio from packer to samples over a seeded path in virtual time: what must hold on any path, and the delay and
//! concealment that each kind of path may cost.

mod channel;
mod scenario;

use channel::{Jitter, Loss, Path};
use scenario::{Heard, Outcome, Scenario, run};
use subrosa_proto::media::payload::FrameDuration;

const CLEAN: Scenario = Scenario::CLEAN;

fn on(path: Path) -> Scenario {
    Scenario { path, ..CLEAN }
}

fn lossy(loss: Loss) -> Scenario {
    on(Path { loss, ..Path::CLEAN })
}

/// Runs three seeds and checks on each what holds on any path.
fn each_seed(scenario: Scenario, check: impl Fn(&Outcome)) {
    for seed in 1..=3 {
        let scenario = Scenario { seed, ..scenario };
        let outcome = run(scenario);
        println!("{scenario:?}\n{:?} {:?}", outcome.stats, outcome.delay_ms());
        holds_on_any_path(&outcome);
        check(&outcome);
    }
}

fn holds_on_any_path(outcome: &Outcome) {
    let stats = &outcome.stats;
    let mut last = None;
    for (at, heard) in &outcome.heard {
        if let Heard::Decoded(number) | Heard::Rebuilt(number) = heard {
            assert!(
                last.is_none_or(|last| *number > last),
                "{number} after {last:?} at {at}"
            );
            last = Some(*number);
        }
    }
    // Every position up to the last one heard was played, lost or discarded; what is not yet settled is in the buffer.
    let settled = stats.played + stats.lost + stats.discarded;
    let sent = u64::from(outcome.sent);
    assert!(settled <= sent && settled + 30 >= sent, "{settled} of {sent}");
    let (arrived, carried) = (stats.received - stats.duplicates, u64::from(outcome.carried));
    assert!(
        arrived <= carried && arrived + 30 >= carried,
        "{arrived} of {carried}: some were in flight at the end"
    );
    assert!(stats.recovered() <= stats.lost && stats.inserted <= stats.concealed);
    let decoded = outcome
        .heard
        .iter()
        .filter(|(_, heard)| matches!(heard, Heard::Decoded(_)))
        .count() as u64;
    assert_eq!(decoded, stats.played + stats.recovered_redundancy);
    // The decoder's tone is continuous: a click could only come from stretching and fading.
    assert!(
        outcome.step <= 1.2,
        "a click of {} times the tone's steepest step",
        outcome.step
    );
}

fn assert_delay(outcome: &Outcome, network_ms: f64, p95_max_ms: f64) {
    let (mean, p95) = outcome.delay_ms();
    let added = p95 - network_ms;
    assert!(added <= p95_max_ms, "p95 {added} ms added, mean {mean}");
}

#[test]
fn a_clean_path_of_ten_minutes_has_no_concealment_and_almost_no_delay() {
    for drift_ppm in [0.0, 200.0, -200.0] {
        let outcome = run(Scenario {
            seconds: 600,
            drift_ppm,
            ..CLEAN
        });
        holds_on_any_path(&outcome);
        assert_eq!(outcome.stats.concealed, 0, "{:?}", outcome.stats);
        assert_eq!(
            outcome.stats.lost + outcome.stats.discarded + outcome.stats.late,
            0
        );
        // The next pull comes up to 10 ms after the arrival; drift moves it by a tolerance more.
        assert_delay(&outcome, 20.0, 14.0);
        assert!(
            (f64::from(outcome.stats.drift_ppm) - drift_ppm).abs() < 2.0,
            "{}",
            outcome.stats.drift_ppm
        );
    }
}

#[test]
fn ten_milliseconds_frames_and_blocks_of_any_length_work_as_well() {
    each_seed(
        Scenario {
            duration: FrameDuration::Ms10,
            ..CLEAN
        },
        |outcome| {
            assert_eq!(outcome.stats.concealed, 0);
            assert_delay(outcome, 20.0, 12.0);
        },
    );
    each_seed(Scenario { block: 240, ..CLEAN }, |outcome| {
        assert_eq!(outcome.stats.concealed, 0);
        assert_delay(outcome, 20.0, 9.0);
    });
    each_seed(
        Scenario {
            duration: FrameDuration::Ms10,
            drift_ppm: -200.0,
            seconds: 300,
            ..CLEAN
        },
        |outcome| {
            assert_eq!(outcome.stats.concealed, 0);
        },
    );
}

#[test]
fn a_device_that_pulls_in_bursts_costs_its_burst_and_no_concealment() {
    each_seed(
        Scenario {
            pull_burst: 2,
            seconds: 120,
            ..CLEAN
        },
        |outcome| {
            assert_eq!(outcome.stats.concealed, 0);
            assert_delay(outcome, 20.0, 24.0);
        },
    );
}

#[test]
fn a_timer_that_comes_late_now_and_then_costs_no_concealment() {
    each_seed(
        Scenario {
            pull_late: 5_000,
            seconds: 300,
            ..CLEAN
        },
        |outcome| {
            assert_eq!(outcome.stats.concealed, 0);
            let stretched = outcome.stats.samples_added + outcome.stats.samples_removed;
            assert!(stretched <= 300 * 48, "{stretched} samples: flapping");
            assert_delay(outcome, 20.0, 16.0);
        },
    );
}

#[test]
fn jitter_is_waited_for_and_hardly_more() {
    each_seed(
        on(Path {
            jitter: Jitter::Uniform(10_000),
            ..Path::CLEAN
        }),
        |outcome| {
            assert!(outcome.concealed_share() <= 0.001);
            assert_delay(outcome, 20.0, 10.0 + 14.0);
        },
    );
    each_seed(
        on(Path {
            jitter: Jitter::Uniform(40_000),
            ..Path::CLEAN
        }),
        |outcome| {
            assert!(
                outcome.concealed_share() <= 0.002,
                "{}",
                outcome.concealed_share()
            );
            assert_delay(outcome, 20.0, 40.0 + 14.0);
        },
    );
    each_seed(
        on(Path {
            jitter: Jitter::Exponential(5_000.0),
            ..Path::CLEAN
        }),
        |outcome| {
            assert!(outcome.concealed_share() <= 0.012);
            assert_delay(outcome, 20.0, 25.0 + 20.0);
        },
    );
}

#[test]
fn stalls_and_route_changes_are_survived_and_forgotten() {
    let stalls = Jitter::Stalls {
        period: 5_000_000,
        length: 150_000,
    };
    each_seed(
        on(Path {
            jitter: stalls,
            ..Path::CLEAN
        }),
        |outcome| {
            assert_eq!(outcome.stats.lost + outcome.stats.discarded, 0);
            assert!(outcome.concealed_share() <= 0.02);
            assert_delay(outcome, 20.0, 165.0);
        },
    );
    let change = Path {
        step: Some((30_000_000, 60_000)),
        ..Path::CLEAN
    };
    each_seed(
        Scenario {
            seconds: 90,
            ..on(change)
        },
        |outcome| {
            assert_eq!(outcome.stats.lost, 0);
            assert!(outcome.stats.concealed <= 4);
            let settled: Vec<u64> = outcome
                .delays
                .iter()
                .filter(|d| d.0 > 60_000_000)
                .map(|d| d.1)
                .collect();
            assert!(
                settled.iter().all(|delay| *delay <= 80_000 + 14_000),
                "{:?}",
                settled.iter().max()
            );
        },
    );
}

#[test]
fn reordered_and_duplicated_packets_cost_delay_but_no_frames() {
    let path = Path {
        reordered: 0.02,
        duplicated: 0.1,
        ..Path::CLEAN
    };
    each_seed(on(path), |outcome| {
        assert!(outcome.stats.reordered > 30 && outcome.stats.duplicates > 100);
        assert!(outcome.concealed_share() <= 0.005);
        assert!(outcome.stats.lost <= 10);
        assert_delay(outcome, 20.0, 45.0 + 14.0);
    });
}

#[test]
fn independent_loss_is_recovered_within_the_delay_of_the_copies() {
    for (loss, heard_min, added_max) in [
        (0.05, 0.99, 64.0),
        (0.1, 0.985, 64.0),
        (0.2, 0.975, 76.0),
        (0.3, 0.96, 76.0),
    ] {
        let scenario = Scenario {
            seconds: 120,
            ..lossy(Loss::Independent(loss))
        };
        each_seed(scenario, |outcome| {
            let stats = &outcome.stats;
            let heard = (stats.played + stats.recovered()) as f64 / f64::from(outcome.sent);
            assert!(heard >= heard_min, "{loss}: {heard}");
            assert_delay(outcome, 20.0, added_max);
            let report = outcome.last_report.expect("a report every two seconds");
            assert!((report.loss() - loss).abs() < 0.16, "{report:?}");
            // The receiver waits for all copies.
            let span = u128::from(outcome.settings.redundancy) * u128::from(outcome.settings.spacing) * 20;
            assert!(
                loss < 0.1 || stats.target_delay.as_millis() >= span,
                "{:?} {:?}",
                stats,
                outcome.settings
            );
            let bits = u32::from(outcome.settings.redundancy + 1) * outcome.settings.frame_bitrate_bps;
            assert!(bits <= 72_000);
        });
    }
}

#[test]
fn without_protection_every_loss_is_concealed_exactly_once() {
    let scenario = Scenario {
        adaptive: false,
        ..lossy(Loss::Independent(0.1))
    };
    each_seed(scenario, |outcome| {
        let stats = &outcome.stats;
        assert_eq!(stats.recovered(), 0);
        assert!(stats.concealed.abs_diff(stats.lost) <= stats.inserted + 1);
        assert!(stats.inserted <= stats.lost / 20, "{stats:?}");
        assert_delay(outcome, 20.0, 14.0);
    });
}

#[test]
fn bursts_are_mostly_recovered() {
    let scenario = Scenario {
        seconds: 180,
        ..lossy(Loss::Bursts {
            share: 0.2,
            mean: 4.0,
        })
    };
    each_seed(scenario, |outcome| {
        let stats = &outcome.stats;
        let heard = (stats.played + stats.recovered()) as f64 / f64::from(outcome.sent);
        assert!(heard >= 0.88, "{heard}");
        assert_delay(outcome, 20.0, 76.0);
    });
}

#[test]
fn an_outage_is_silence_and_leaves_no_delay_behind() {
    let outages = Loss::Outages {
        period: 20_000_000,
        length: 2_000_000,
    };
    each_seed(
        Scenario {
            seconds: 120,
            adaptive: false,
            ..lossy(outages)
        },
        |outcome| {
            assert!(outcome.stats.concealed <= 6 * 5 + 6, "{:?}", outcome.stats);
            assert_delay(outcome, 20.0, 14.0);
        },
    );
}

#[test]
fn talk_and_pause_with_drift_need_no_concealment() {
    let scenario = Scenario {
        talk: Some((7_000_000, 20_000_000)),
        drift_ppm: 200.0,
        seconds: 600,
        ..CLEAN
    };
    each_seed(scenario, |outcome| {
        assert_eq!(
            outcome.stats.concealed + outcome.stats.lost,
            0,
            "{:?}",
            outcome.stats
        );
        assert_delay(outcome, 20.0, 24.0);
    });
}

#[test]
fn drift_under_jitter_and_loss_causes_no_runs_of_concealment() {
    for drift_ppm in [200.0, -200.0] {
        let path = Path {
            jitter: Jitter::Uniform(15_000),
            loss: Loss::Independent(0.05),
            ..Path::CLEAN
        };
        let outcome = run(Scenario {
            drift_ppm,
            seconds: 600,
            ..on(path)
        });
        holds_on_any_path(&outcome);
        assert!(
            outcome.concealed_share() <= 0.005,
            "{}",
            outcome.concealed_share()
        );
        let (mut run, mut longest) = (0, 0);
        for (at, heard) in &outcome.heard {
            run = if *heard == Heard::Invented && *at > 15_000_000 {
                run + 1
            } else {
                0
            };
            longest = longest.max(run);
        }
        assert!(longest <= 3, "{longest} in a row");
        assert!(
            (f64::from(outcome.stats.drift_ppm) - drift_ppm).abs() < 15.0,
            "{}",
            outcome.stats.drift_ppm
        );
    }
}
