//! Draws a scenario: first people and faults in any order, then a phase in which everything must recover.
//!
//! Only what somebody may do is drawn (a stranger's orders have tests of their own), so that everything a checker
//! complains of is a fault of the protocol.

use super::{
    draw::Draw,
    script::{Kind, Plan, Script},
};
use crate::{
    checker::jurisdiction::permitted,
    scenario::{Action, MemberSpec, NetworkSpec, RelaySpec, Scenario},
};

/// People in a drawn meeting. Reason: most faults show with three, and a run takes time with their square.
const MEMBERS_MAX: u64 = 6;
const RELAYS_MAX: u64 = 3;
const PLAN: Plan = Plan {
    actions_max: 12,
    faults_end_ms: 22_000,
    restarts_end_ms: 22_000,
    kinds: &[
        Kind::Remove,
        Kind::Remove,
        Kind::Crash,
        Kind::Crash,
        Kind::Restart,
        Kind::Restart,
        Kind::Leave,
        Kind::Role,
        Kind::FailRelay,
        Kind::Part,
        Kind::Heal,
        Kind::Talk,
        Kind::Talk,
        Kind::Talk,
        Kind::Speech,
    ],
};
/// Then everything must recover within the seconds that are left: beyond the checkers' own patience under loss.
const SECONDS: u64 = 50;
const NAMES: [&str; 6] = ["Ada", "Bea", "Cem", "Dag", "Eva", "Fay"];
const COUNTRIES: [&str; 6] = ["DE", "FR", "NO", "CH", "US", "JP"];
const POLICIES: [&str; 4] = ["any", "any", "eea", "eu"];

/// The scenario of a seed.
#[must_use]
pub fn generate(seed: u64) -> Scenario {
    let mut draw = Draw::new(seed, 0xf2);
    let relays = relays(&mut draw);
    let network = NetworkSpec {
        rtt_ms: draw.below(250) as f64 + 2.0,
        jitter_ms: draw.below(20) as f64,
        loss_percent: if draw.one_in(2) {
            0.0
        } else {
            draw.below(12) as f64
        },
        ..NetworkSpec::default()
    };
    let mut scenario = Scenario {
        // So few that most runs pass one.
        checkpoint_after: Some(12),
        name: format!("drawn {seed}"),
        summary: format!("Drawn by `subrosa-sim fuzz --seed {seed} --count 1`"),
        seconds: SECONDS,
        policy: POLICIES[draw.index(POLICIES.len())].to_owned(),
        network,
        relays,
        ..Scenario::default()
    };
    let allowed = permitted(&scenario).expect("countries and policies of the lists below");
    scenario.members = members(&mut draw, &scenario.relays, allowed.contains(&true));
    Script::new(&mut draw, &mut scenario, PLAN).write();
    scenario
}

/// Whether everybody has a way to everybody in the end: all take direct links, or a permitted relay does its work
/// throughout and the host names it. What fails without a way is no fault.
pub(super) fn has_a_way(scenario: &Scenario) -> bool {
    let failing = |name: &String| {
        scenario.actions.iter().any(|timed| {
            matches!(&timed.action, Action::KillRelay { relay } | Action::Tamper { relay } if relay == name)
        })
    };
    let works = permitted(scenario).is_ok_and(|permitted| {
        scenario.relays.iter().zip(permitted).any(|(relay, permitted)| {
            permitted && !failing(&relay.name) && scenario.members[0].relays.contains(&relay.name)
        })
    });
    works || scenario.members.iter().all(|member| member.direct)
}

fn relays(draw: &mut Draw) -> Vec<RelaySpec> {
    let count = draw.below(RELAYS_MAX + 1);
    (0..count)
        .map(|number| RelaySpec {
            name: format!("relay-{number}"),
            hosting: COUNTRIES[draw.index(COUNTRIES.len())].to_owned(),
            legal_seat: draw
                .one_in(3)
                .then(|| COUNTRIES[draw.index(COUNTRIES.len())].to_owned()),
            ..RelaySpec::default()
        })
        .collect()
}

/// `permitted`: whether the policy permits a relay; without one, who takes no direct links is alone.
fn members(draw: &mut Draw, relays: &[RelaySpec], permitted: bool) -> Vec<MemberSpec> {
    let count = 2 + draw.index(MEMBERS_MAX as usize - 1);
    NAMES[..count]
        .iter()
        .enumerate()
        .map(|(index, name)| MemberSpec {
            name: (*name).to_owned(),
            direct: !permitted || !draw.one_in(3),
            speaks: !draw.one_in(5),
            relays: relays
                .iter()
                .filter(|_| index == 0 || draw.one_in(3))
                .map(|relay| relay.name.clone())
                .collect(),
            joins_at_ms: (index > 0).then(|| 100 + draw.below(8_000)),
            ..MemberSpec::default()
        })
        .collect()
}
