//! Each checker catches the fault that was planted for it; without the fault the same scenario holds.

use subrosa_sim::{
    run,
    scenario::{Action, Scenario},
};

const SCENARIO: &str = r#"
name = "planted"
summary = "Four people, one of whom comes late, one of whom is put out and goes on listening; somebody says something"
seconds = 24
policy = "eea"

[network]
rtt_ms = 40.0
jitter_ms = 2.0

[[relay]]
name = "virginia"
hosting = "US"

[[member]]
name = "Ada"
[[member]]
name = "Bea"
[[member]]
name = "Cem"
[[member]]
name = "Dag"
joins_at_ms = 10000

[[action]]
at_ms = 4000
do = "plant"
who = "Bea"
fault = "FAULT"
[[action]]
at_ms = 12000
do = "say"
who = "Ada"
text = "once"
[[action]]
at_ms = 14000
do = "remove"
who = "Cem"
by = "Ada"
stays = true

[expect]
members = ["Ada", "Bea", "Dag"]
keyless_ms_max = 5000
mouth_to_ear_ms_max = 150
concealed_permille_max = 40
every_frame_explained = EXPLAINED
"#;

/// With the fault. Where frames are lost on purpose each must be explained; elsewhere that would crowd out the others' words.
fn with(fault: &str) -> Result<Scenario, String> {
    let explained = fault == "loses-frames";
    let text = SCENARIO.replace("FAULT", fault);
    Scenario::parse(&text.replace("EXPLAINED", &explained.to_string()))
}

/// Runs it with the fault and without; what was found with it.
fn found(fault: &str) -> Vec<String> {
    let planted = with(fault).expect("a scenario of ours");
    let mut sound = planted.clone();
    sound
        .actions
        .retain(|timed| !matches!(timed.action, Action::Plant { .. }));
    let report = run(&sound, 1).expect("a scenario that can run");
    assert!(report.is_good(), "without the fault: {report}");
    run(&planted, 1).expect("a scenario that can run").violations
}

fn caught(fault: &str, sentence: &str) {
    let violations = found(fault);
    assert!(
        violations.iter().any(|violation| violation.contains(sentence)),
        "{fault}: {violations:#?}"
    );
}

macro_rules! faults {
    ($($name:ident: $fault:literal, $sentence:literal;)*) => {
        $(#[test] fn $name() { caught($fault, $sentence); })*
    };
}

faults! {
    whoever_ignores_removals: "ignores-removals", "confidentiality: Cem, who is not in, can open what Bea seals";
    whoever_ignores_the_roster: "ignores-roster", "convergence: Bea sees";
    whoever_takes_no_keys: "ignores-keys", "recovery: Bea lacks the key of";
    whoever_dials_a_refused_relay: "dials-refused-relay", "jurisdiction: a packet reached virginia";
    whoever_floods: "floods", "bounds: Bea sends";
    whoever_sends_a_bloated_frame: "sends-bloated-frame", "bounds: Bea sends a control frame of 70000 bytes";
    whoever_spins: "spins", "bounds: the timer of Bea fires again and again";
    whoever_falls_silent: "falls-silent", "delivery: Ada does not hear Bea at the end";
    whoever_loses_frames: "loses-frames", "explanation: Bea did not hear";
    whoever_shows_a_line_twice: "shows-twice", "conversation: Bea was told something twice";
    whoever_loses_sound: "loses-sound", "playout: Bea hears Ada with";
    whoever_holds_sound_back: "holds-sound-back", "playout: Bea hears Ada 4";
    whoever_plays_nothing: "plays-nothing", "playout: Bea plays nothing of what comes from Ada";
    whoever_forwards_unasked: "forwards-unasked", "jurisdiction: Bea forwards, which the policy lets no member do";
    whoever_mistakes_voices: "mistakes-voices", "authenticity: Bea took a frame for somebody else's";
}

#[test]
fn a_fault_that_nobody_knows_is_refused() {
    let error = with("sings").unwrap_err();
    assert!(error.contains("sings"), "{error}");
}
