//! Random scenarios until a checker fails; then the smallest scenario that still fails, as a file that repeats it.

mod draw;
mod generate;
mod roster;
mod script;
mod shrink;
mod unrest;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

pub use generate::generate;
pub use roster::generate_roster;
pub use shrink::shrink;
pub use unrest::generate_unrest;

use crate::{run, scenario::Scenario};

/// A scenario that fails, and how.
#[derive(Clone, Debug)]
pub struct Finding {
    /// Draws the scenario and runs it.
    pub seed: u64,
    /// The scenario.
    pub scenario: Scenario,
    /// What must hold and did not.
    pub violations: Vec<String>,
}

/// Runs a scenario; a panic of the machines counts as a violation like any other.
///
/// # Errors
/// A sentence if the scenario cannot be built.
pub fn violations(scenario: &Scenario, seed: u64) -> Result<Vec<String>, String> {
    match catch_unwind(AssertUnwindSafe(|| run(scenario, seed))) {
        Ok(report) => Ok(report?.violations),
        Err(panic) => {
            let text = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("without a word");
            Ok(vec![format!("{:>9} s  panic: {text}", "?")])
        }
    }
}

/// Draws with `draw` and runs the scenarios of `count` seeds from `first` on, on so many threads. `told` hears of each seed that
/// has run, and whether it held. Returns the findings in the order of their seeds; each seed's outcome depends on the
/// seed alone.
///
/// # Errors
/// A sentence if a drawn scenario cannot be built, which is a fault of the generator.
pub fn search(
    first: u64,
    count: u64,
    threads: usize,
    draw: fn(u64) -> Scenario,
    told: &(dyn Fn(u64, bool) + Sync),
) -> Result<Vec<Finding>, String> {
    let next = AtomicU64::new(0);
    let findings = Mutex::new(Vec::new());
    let failed = Mutex::new(None);
    let work = || {
        loop {
            let offset = next.fetch_add(1, Ordering::Relaxed);
            if offset >= count {
                return;
            }
            let seed = first.saturating_add(offset);
            let scenario = draw(seed);
            match violations(&scenario, seed) {
                Ok(violations) => {
                    told(seed, violations.is_empty());
                    if !violations.is_empty() {
                        let mut findings = findings.lock().expect("no thread panics holding it");
                        findings.push(Finding {
                            seed,
                            scenario,
                            violations,
                        });
                    }
                }
                Err(error) => {
                    *failed.lock().expect("no thread panics holding it") =
                        Some(format!("seed {seed}: {error}"));
                    return;
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(work);
        }
    });
    if let Some(error) = failed.into_inner().expect("the threads have ended") {
        return Err(error);
    }
    let mut findings = findings.into_inner().expect("the threads have ended");
    findings.sort_by_key(|finding| finding.seed);
    Ok(findings)
}

/// The checkers that complain, without times and names: shrinking must not wander off to another fault.
fn kinds(violations: &[String]) -> std::collections::BTreeSet<&str> {
    violations
        .iter()
        .filter_map(|line| line.split_once(" s  ")?.1.split(':').next())
        .collect()
}
