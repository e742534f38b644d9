//! Each scenario on several seeds, without and with loss.

use std::path::{Path, PathBuf};

use subrosa_sim::{run, scenario::Scenario};

/// Loss on each hop in percent, and a seed for each.
const CASES: [(f64, u64); 5] = [(0.0, 1), (0.0, 2), (5.0, 3), (10.0, 4), (20.0, 5)];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(name)
        .with_extension("toml")
}

fn holds(name: &str) {
    for (loss, seed) in CASES {
        let mut scenario = Scenario::read(&file(name)).expect("a scenario of ours");
        scenario.network.loss_percent = loss;
        let report = run(&scenario, seed).expect("a scenario that can run");
        assert!(
            report.is_good(),
            "{}\n{report}\nrepeat: cargo run -p subrosa-sim -- run simulations/scenarios/{name}.toml --seed {seed} --loss {loss}",
            report.full_timeline()
        );
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { holds(stringify!($name)); })*

        #[test]
        fn every_scenario_file_is_tested() {
            let mut files: Vec<String> = std::fs::read_dir(file("x").parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.is_file())
                .map(|path| path.file_stem().unwrap().to_string_lossy().into_owned())
                .collect();
            files.sort();
            let mut tested = vec![$(stringify!($name)),*];
            tested.sort_unstable();
            assert_eq!(files, tested);
        }
    };
}

scenarios! {
    cascade two_direct five_direct relay_only mixed refused_relay no_permitted_path removal late_newcomer relay_killed
    relay_takes_over crash_restart tampering_relay lobby cohost_admits host_returns partition conversation
    removals_beyond_partition interrupted_relay early_guests sole_host_returns sent_back two_refusals passphrase
    those_in_charge two_cohosts host_returns_among_guests hand_outlives_its_process door_over_three_relays
    rooms_moved_on_both_sides rooms_moved_thrice handed_over
    checkpoints checkpoints_over_relays checkpoint_beyond_partition admitted_beside_checkpoint
    restart_beyond_partition void_removal_beside_checkpoint
    four_continents narrow_uplink weekly_meeting sleeping_device mobile_members regional_outage churn_storm crowded_relay
    behind_nats hostile_relay lying_relays equivocating_member overload
}

#[test]
fn the_same_seed_gives_the_same_trace_and_another_seed_another() {
    for name in ["removal", "relay_killed"] {
        let mut scenario = Scenario::read(&file(name)).expect("a scenario of ours");
        scenario.network.loss_percent = 7.0;
        let (a, b, c) = (run(&scenario, 1), run(&scenario, 1), run(&scenario, 2));
        assert_eq!(a, b);
        assert_ne!(a.unwrap().trace_hash, c.unwrap().trace_hash);
    }
}

#[test]
fn an_unknown_key_or_name_is_refused() {
    let text = std::fs::read_to_string(file("relay_killed")).unwrap();
    for (from, to, says) in [
        ("seconds = 20", "seconds = 20\ncolour = 1", "colour"),
        ("at_ms = 8000", "at_ms = 8000\nwhy = 1", "why"),
        ("relay = \"berlin\"", "relay = \"bonn\"", "bonn"),
    ] {
        assert!(text.contains(from));
        let error = Scenario::parse(&text.replace(from, to)).unwrap_err();
        assert!(error.contains(says), "{error}");
    }
}
