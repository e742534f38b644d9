//! What it costs that somebody joins, leaves, or is removed: messages and bytes among all members.

use crate::{
    report::Report,
    run,
    scenario::{Action, MemberSpec, NetworkSpec, Scenario, TimedAction},
};

/// Between two who come while the meeting fills.
const COMING_MS: u64 = 50;
/// Until everybody has links and keys.
const SETTLE_MS: u64 = 10_000;
/// Each thing happens alone in so much time: as long as the interval of heartbeats, so that each time has as many.
const WINDOW_MS: u64 = 5_000;
/// What happens at the beginning of each window.
const WINDOWS: [&str; 6] = ["join", "quiet", "leave", "quiet", "remove", "quiet"];

/// Control messages, without pings, and their bytes before QUIC's packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Cost {
    /// Messages of all members together.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// The costs in a meeting of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Costs {
    /// Members before anybody joins.
    pub members: usize,
    /// Somebody is let in and gets a link and the keys of everybody.
    pub join: Cost,
    /// Somebody says goodbye: everybody takes a new key.
    pub leave: Cost,
    /// Somebody is removed: the room moves to a new secret, everybody takes a new key.
    pub remove: Cost,
    /// Heartbeats in 5 s in which nothing happens.
    pub quiet: Cost,
}

/// Measures a meeting of `members` on direct links. The host and two more at least.
///
/// # Errors
/// A sentence if a checker complains: then the figures mean nothing.
pub fn measure(members: usize) -> Result<Costs, String> {
    let report = run(&scenario(members.max(3)), 1)?;
    match report.violations.first() {
        Some(violation) => Err(format!("with {members} members: {violation}")),
        None => Ok(costs(members, &report)),
    }
}

fn scenario(count: usize) -> Scenario {
    let begin = count as u64 * COMING_MS + SETTLE_MS;
    let window = |number: usize| begin + number as u64 * WINDOW_MS;
    let mut members: Vec<MemberSpec> = (0..=count).map(|index| member(index, window(0))).collect();
    for (index, member) in members[..count].iter_mut().enumerate() {
        member.joins_at_ms = (index > 0).then_some(index as u64 * COMING_MS);
    }
    let mut actions: Vec<TimedAction> = WINDOWS
        .iter()
        .enumerate()
        .map(|(number, name)| (window(number), (*name).to_owned()))
        .chain([(window(WINDOWS.len()), "end".to_owned())])
        .map(|(at_ms, name)| TimedAction {
            at_ms,
            action: Action::Mark { name },
        })
        .collect();
    let (host, leaves, removed) = (&members[0].name, &members[1].name, &members[2].name);
    actions.push(TimedAction {
        at_ms: window(2) + 1,
        action: Action::Leave { who: leaves.clone() },
    });
    actions.push(TimedAction {
        at_ms: window(4) + 1,
        action: Action::Remove {
            who: removed.clone(),
            by: host.clone(),
            stays: false,
        },
    });
    Scenario {
        name: format!("cost {count}"),
        summary: "What joining, leaving and removing cost".to_owned(),
        seconds: (window(WINDOWS.len()) + 1_000) / 1_000,
        network: NetworkSpec {
            jitter_ms: 0.0,
            ..NetworkSpec::default()
        },
        members,
        actions,
        ..Scenario::default()
    }
}

fn member(index: usize, joins_at_ms: u64) -> MemberSpec {
    MemberSpec {
        name: format!("M{index:03}"),
        speaks: false,
        joins_at_ms: Some(joins_at_ms + 1),
        ..MemberSpec::default()
    }
}

/// Each window's excess over the quiet one that follows it, which has as many members.
fn costs(members: usize, report: &Report) -> Costs {
    let spent: Vec<Cost> = report
        .marks
        .windows(2)
        .map(|pair| Cost {
            messages: pair[1].frames - pair[0].frames,
            bytes: pair[1].bytes - pair[0].bytes,
        })
        .collect();
    let excess = |window: usize| Cost {
        messages: spent[window].messages.saturating_sub(spent[window + 1].messages),
        bytes: spent[window].bytes.saturating_sub(spent[window + 1].bytes),
    };
    Costs {
        members,
        join: excess(0),
        leave: excess(2),
        remove: excess(4),
        quiet: spent[5],
    }
}
