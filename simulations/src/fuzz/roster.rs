//! Draws a schedule of the roster: many people who come, go, are put out and act at once on both sides of partitions, on a
//! network that loses, repeats and reorders, with wrong clocks. Few speak, and all take direct links.

use super::{
    draw::Draw,
    script::{Kind, Plan, Script},
};
use crate::scenario::{Action, Expect, MemberSpec, NetworkSpec, Scenario, TimedAction};

const MEMBERS_MIN: u64 = 5;
const MEMBERS_MAX: u64 = 50;
const SMALL_MAX: u64 = 10;
/// These speak, the host among them.
const SPEAKERS: usize = 2;
/// Clocks are wrong by at most so much.
const CLOCK_SKEW_MAX_S: u64 = 300;
/// People come within so long, but no more than seven in a second: each who comes costs every member some messages to
/// every other.
const COMING_MS_MIN: u64 = 4_000;
const COMING_MS_EACH: u64 = 150;
/// Then those in charge are appointed, who are in by now.
const APPOINTED_AFTER_MS: u64 = 4_000;
const PLAN: Plan = Plan {
    actions_max: 24,
    faults_end_ms: 20_000,
    // Early enough to be in when the partition ends.
    restarts_end_ms: 10_000,
    kinds: &[
        Kind::Remove,
        Kind::Remove,
        Kind::Remove,
        Kind::Remove,
        Kind::Role,
        Kind::Role,
        Kind::Leave,
        Kind::Leave,
        Kind::Part,
        Kind::Part,
        Kind::Heal,
        Kind::Crash,
        Kind::Restart,
        Kind::Talk,
    ],
};
/// So long after the faults everything must hold.
const AFTER_S: u64 = 7;
/// One roster everywhere so soon after a partition, and nobody without a key for longer.
const SOON_MS: u64 = 5_000;

/// The schedule of a seed.
#[must_use]
pub fn generate_roster(seed: u64) -> Scenario {
    let mut draw = Draw::new(seed, 0x05);
    let loses = !draw.one_in(3);
    let network = NetworkSpec {
        rtt_ms: draw.below(200) as f64 + 2.0,
        jitter_ms: draw.below(100) as f64,
        loss_percent: if loses { draw.below(15) as f64 } else { 0.0 },
        duplicate_percent: draw.below(20) as f64,
        ..NetworkSpec::default()
    };
    // Small meetings are drawn more often: they are the common ones, and a run takes time with the cube.
    let most = if draw.one_in(20) { MEMBERS_MAX } else { SMALL_MAX };
    let count = MEMBERS_MIN + draw.below(most - MEMBERS_MIN + 1);
    let coming = COMING_MS_MIN.max(COMING_MS_EACH * count);
    let mut scenario = Scenario {
        checkpoint_after: (!draw.one_in(3)).then(|| 4 + draw.index(28)),
        name: format!("drawn roster {seed}"),
        summary: format!("Drawn by `subrosa-sim fuzz --draw roster --seed {seed} --count 1`"),
        // It is about what is in the log.
        playout: false,
        seconds: PLAN.faults_end_ms / 1_000 + AFTER_S,
        network,
        members: (0..count as usize)
            .map(|index| member(&mut draw, index, coming))
            .collect(),
        expect: Expect {
            heal_ms_max: SOON_MS,
            keyless_ms_max: SOON_MS,
            ..Expect::default()
        },
        ..Scenario::default()
    };
    let deputies = 1 + draw.index(3);
    for index in 1..=deputies {
        scenario.actions.push(TimedAction {
            at_ms: coming + APPOINTED_AFTER_MS,
            action: Action::Role {
                who: scenario.members[index].name.clone(),
                by: scenario.members[0].name.clone(),
                role: "co-host".to_owned(),
            },
        });
    }
    let mut script = Script::new(&mut draw, &mut scenario, PLAN);
    for index in 1..=deputies {
        script.appoint(index);
    }
    script.write();
    scenario
}

fn member(draw: &mut Draw, index: usize, coming: u64) -> MemberSpec {
    let skew = draw.below(2 * CLOCK_SKEW_MAX_S + 1);
    MemberSpec {
        name: format!("M{index:02}"),
        speaks: index < SPEAKERS,
        joins_at_ms: (index > 0).then(|| 100 + draw.below(coming)),
        patience_s: 30,
        clock_skew_s: skew as i64 - CLOCK_SKEW_MAX_S as i64,
        ..MemberSpec::default()
    }
}
