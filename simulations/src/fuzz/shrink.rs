//! The smallest scenario that still fails in the same way.

use super::{Finding, generate::has_a_way, kinds, violations};
use crate::scenario::Scenario;

/// Runs that shrinking may take. Reason: a scenario takes about a second, and somebody waits.
const RUNS_MAX: usize = 300;

/// Leaves out actions, members, relays, loss and delay as long as one of the same checkers still complains.
#[must_use]
pub fn shrink(finding: Finding) -> Finding {
    let mut search = Search {
        best: finding,
        runs: 0,
    };
    // What is left out makes room for more.
    while search.round() && search.runs < RUNS_MAX {}
    search.best
}

struct Search {
    best: Finding,
    runs: usize,
}

impl Search {
    /// Tries everything once; whether something could be left out.
    fn round(&mut self) -> bool {
        let before = self.best.scenario.actions.len() + self.best.scenario.members.len();
        let mut smaller = false;
        let mut chunk = self.best.scenario.actions.len().div_ceil(2);
        while chunk > 0 {
            let mut at = 0;
            while at < self.best.scenario.actions.len() {
                let mut candidate = self.best.scenario.clone();
                let end = (at + chunk).min(candidate.actions.len());
                candidate.actions.drain(at..end);
                if self.keeps_failing(candidate) {
                    smaller = true;
                } else {
                    at = end;
                }
            }
            chunk /= 2;
        }
        // The host cannot be left out.
        for index in (1..self.best.scenario.members.len()).rev() {
            let candidate = without_member(&self.best.scenario, index);
            smaller |= self.keeps_failing(candidate);
        }
        for index in (0..self.best.scenario.relays.len()).rev() {
            let candidate = without_relay(&self.best.scenario, index);
            smaller |= self.keeps_failing(candidate);
        }
        for simplify in SIMPLER {
            let mut candidate = self.best.scenario.clone();
            if simplify(&mut candidate) {
                smaller |= self.keeps_failing(candidate);
            }
        }
        let after = self.best.scenario.actions.len() + self.best.scenario.members.len();
        smaller && after < before
    }

    fn keeps_failing(&mut self, candidate: Scenario) -> bool {
        if self.runs >= RUNS_MAX || !has_a_way(&candidate) {
            return false;
        }
        self.runs += 1;
        let Ok(found) = violations(&candidate, self.best.seed) else {
            return false;
        };
        let same = !kinds(&found).is_disjoint(&kinds(&self.best.violations));
        if same {
            self.best.scenario = candidate;
            self.best.violations = found;
        }
        same
    }
}

/// Each makes a scenario simpler in one respect and says whether it was not so already.
const SIMPLER: [fn(&mut Scenario) -> bool; 3] = [
    |scenario| std::mem::replace(&mut scenario.network.loss_percent, 0.0) != 0.0,
    |scenario| std::mem::replace(&mut scenario.network.jitter_ms, 0.0) != 0.0,
    |scenario| std::mem::replace(&mut scenario.network.rtt_ms, 40.0) != 40.0,
];

fn without_member(scenario: &Scenario, index: usize) -> Scenario {
    let mut smaller = scenario.clone();
    let gone = smaller.members.remove(index).name;
    forget(&mut smaller, &gone);
    smaller
}

fn without_relay(scenario: &Scenario, index: usize) -> Scenario {
    let mut smaller = scenario.clone();
    let gone = smaller.relays.remove(index).name;
    for member in &mut smaller.members {
        member.relays.retain(|name| *name != gone);
    }
    forget(&mut smaller, &gone);
    smaller
}

/// Nobody of this name is left: nothing speaks of it any more.
fn forget(scenario: &mut Scenario, gone: &str) {
    for timed in &mut scenario.actions {
        if let Some(side) = timed.action.side_mut() {
            side.retain(|name| name != gone);
        }
    }
    scenario
        .actions
        .retain(|timed| !timed.action.names().iter().any(|name| *name == gone));
    scenario.expect.members.retain(|name| name != gone);
    scenario.expect.events.retain(|event| event.who != gone);
}
