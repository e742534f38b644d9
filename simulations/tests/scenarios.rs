//! Each scenario on several seeds, without and with loss.

use std::path::{Path, PathBuf};

use subrosa_sim::{
    run,
    scenario::{Planner, Scenario},
    transport::TransportKind,
};

/// Loss on each hop in percent, and a seed for each.
const CASES: [(f64, u64); 5] = [(0.0, 1), (0.0, 2), (5.0, 3), (10.0, 4), (20.0, 5)];

/// The same over QUIC, which takes longer.
const QUIC_CASES: [(f64, u64); 2] = [(0.0, 1), (5.0, 3)];

/// Why a scenario with a narrow uplink fails over QUIC.
const CUBIC: &str = "Cubic keeps the uplink's queue full, and its losses shut some connections' windows for seconds, where the \
                     model has no congestion control";

/// Scenarios that are not run over QUIC here, each with the reason.
const NOT_OVER_QUIC: [(&str, &str); 8] = [
    (
        "churn_storm",
        "more than a hundred people come and go: minutes without optimisation",
    ),
    ("narrow_uplink", CUBIC),
    ("members_forward", CUBIC),
    ("forwarder_crashes", CUBIC),
    ("forwarder_alters", CUBIC),
    ("forwarder_withholds", CUBIC),
    ("forwarder_removed", CUBIC),
    ("forwarding_forbidden", CUBIC),
];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("scenarios")
        .join(name)
        .with_extension("toml")
}

fn holds(name: &str, transport: TransportKind, cases: &[(f64, u64)]) {
    for &(loss, seed) in cases {
        let mut scenario = Scenario::read(&file(name)).expect("a scenario of ours");
        scenario.network.loss_percent = loss;
        scenario.transport = transport;
        if transport == TransportKind::Quic {
            // Where jitter lets a handshake's datagrams overtake one another, one is repeated, after a fifth of a second.
            scenario.expect.first_audio_rtts_max = None;
        }
        let report = run(&scenario, seed).expect("a scenario that can run");
        assert!(
            report.is_good(),
            "{}\n{report}\nrepeat: cargo run -p subrosa-sim -- run simulations/scenarios/{name}.toml --seed {seed} --loss {loss} --transport {}",
            report.full_timeline(),
            format!("{transport:?}").to_lowercase()
        );
    }
}

fn holds_over_quic(name: &str) {
    if NOT_OVER_QUIC.iter().all(|(other, _)| *other != name) {
        holds(name, TransportKind::Quic, &QUIC_CASES);
    }
}

macro_rules! scenarios {
    ($($name:ident)*) => {
        $(#[test] fn $name() { holds(stringify!($name), TransportKind::Modelled, &CASES); })*

        mod over_quic {
            $(#[test] fn $name() { super::holds_over_quic(stringify!($name)); })*
        }

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
    members_forward forwarder_crashes forwarder_alters forwarder_withholds forwarder_removed met_through_a_third
    forwarding_forbidden recovered_speech
}

/// The speaker's voice at its listeners, the worst of them, in percent lost.
fn worst_loss(planner: Planner) -> f64 {
    let mut scenario = Scenario::read(&file("members_forward")).expect("a scenario of ours");
    scenario.planner = planner;
    let report = run(&scenario, 1).expect("a scenario that can run");
    report
        .pairs
        .iter()
        .map(|pair| pair.lost_percent)
        .fold(0.0, f64::max)
}

#[test]
fn a_full_mesh_fails_where_members_who_forward_do_not() {
    let (mesh, own) = (worst_loss(Planner::Mesh), worst_loss(Planner::Own));
    // Measured: 74 and 18 %. Ours loses nearly all of it in the three seconds until its plan works, as Ada's uplink is full by then.
    assert!(
        mesh > 40.0 && own < mesh / 4.0,
        "mesh {mesh:.1} %, own {own:.1} %"
    );
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
