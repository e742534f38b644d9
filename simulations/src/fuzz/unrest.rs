//! Draws half an hour with twelve people of whom somebody always comes, goes, is put out, or crashes and comes back, while half of
//! them speak; on a network that loses nothing, so that every frame that is not heard needs a reason.

use super::draw::Draw;
use crate::scenario::{Action, Expect, MemberSpec, NetworkSpec, Scenario, TimedAction};

const SECONDS: u64 = 30 * 60;
/// So many are in at a time.
const MEMBERS: usize = 12;
/// So many come in all, at most.
const PEOPLE: usize = 120;
/// Something happens after so long, in milliseconds.
const PAUSE_MS_MIN: u64 = 3_000;
const PAUSE_MS_MAX: u64 = 12_000;
/// A crashed machine is back after so long, in milliseconds.
const AWAY_MS_MIN: u64 = 500;
const AWAY_MS_MAX: u64 = 20_000;
/// So long somebody is left alone after coming, in milliseconds.
const SETTLE_MS: u64 = 6_000;

/// The half hour of a seed.
#[must_use]
pub fn generate_unrest(seed: u64) -> Scenario {
    let mut draw = Draw::new(seed, 0x12);
    let mut scenario = Scenario {
        // As often as in a large meeting.
        checkpoint_after: Some(16),
        name: format!("drawn unrest {seed}"),
        summary: format!("Drawn by `subrosa-sim fuzz --draw unrest --seed {seed} --count 1`"),
        seconds: SECONDS,
        network: NetworkSpec {
            rtt_ms: 10.0 + draw.below(120) as f64,
            jitter_ms: draw.below(30) as f64,
            ..NetworkSpec::default()
        },
        members: (0..MEMBERS)
            .map(|index| person(index, 200 * index as u64))
            .collect(),
        expect: Expect {
            every_frame_explained: true,
            ..Expect::default()
        },
        ..Scenario::default()
    };
    // Who is in, and since when one may do something to them. The host stays.
    let mut present: Vec<(usize, u64)> = (1..MEMBERS).map(|index| (index, 10_000)).collect();
    let mut at_ms = 12_000;
    while at_ms < (SECONDS - 40) * 1_000 {
        happen(&mut draw, &mut scenario, &mut present, at_ms);
        at_ms += PAUSE_MS_MIN + draw.below(PAUSE_MS_MAX - PAUSE_MS_MIN);
    }
    scenario
}

fn happen(draw: &mut Draw, scenario: &mut Scenario, present: &mut Vec<(usize, u64)>, at_ms: u64) {
    let next = scenario.members.len();
    if present.len() + 1 < MEMBERS && next < PEOPLE && !draw.one_in(3) {
        scenario.members.push(person(next, at_ms));
        present.push((next, at_ms + SETTLE_MS));
        return;
    }
    let ready: Vec<usize> = (0..present.len()).filter(|at| present[*at].1 <= at_ms).collect();
    if ready.is_empty() {
        return;
    }
    let at = ready[draw.index(ready.len())];
    let who = scenario.members[present[at].0].name.clone();
    let mut push = |at_ms, action| scenario.actions.push(TimedAction { at_ms, action });
    match draw.below(4) {
        0 => {
            present.remove(at);
            push(at_ms, Action::Leave { who });
        }
        1 => {
            present.remove(at);
            let (by, stays) = ("P000".to_owned(), false);
            push(at_ms, Action::Remove { who, by, stays });
        }
        _ => {
            let back = at_ms + AWAY_MS_MIN + draw.below(AWAY_MS_MAX - AWAY_MS_MIN);
            present[at].1 = back + SETTLE_MS;
            push(at_ms, Action::Crash { who: who.clone() });
            let forgets = false;
            push(back, Action::Restart { who, forgets });
        }
    }
}

fn person(index: usize, joins_at_ms: u64) -> MemberSpec {
    MemberSpec {
        name: format!("P{index:03}"),
        speaks: index.is_multiple_of(2),
        patience_s: 30,
        joins_at_ms: (index > 0).then_some(joins_at_ms),
        ..MemberSpec::default()
    }
}
