//! Runs a shard: what has no record yet, on several threads.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use serde_json::{Value, json};

use super::{
    plan::{Plan, Task},
    store::{Record, Store},
};
use crate::scenario::Scenario;

/// What came of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was finished before.
    WasThere,
    /// It ran, and everything held.
    Held,
    /// It ran, and something did not hold; that is in its record.
    Violated,
}

/// Runs what has no record, and calls `told` after each run, from any thread.
///
/// # Errors
/// A sentence if a scenario cannot be built or a record cannot be written; runs that are finished stay.
pub fn run_tasks(
    plan: &Plan,
    tasks: &[Task],
    store: &Store,
    threads: usize,
    told: &(dyn Fn(Outcome) + Sync),
) -> Result<(), String> {
    let next = AtomicUsize::new(0);
    let failed: Mutex<Option<String>> = Mutex::new(None);
    let work = || {
        while let Some(task) = tasks.get(next.fetch_add(1, Ordering::Relaxed)) {
            match run_task(plan, *task, store) {
                Ok(outcome) => told(outcome),
                Err(error) => {
                    // Nobody takes another one.
                    next.store(tasks.len(), Ordering::Relaxed);
                    if let Ok(mut failed) = failed.lock() {
                        failed.get_or_insert(error);
                    }
                }
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..threads.clamp(1, tasks.len().max(1)) {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().map_err(|error| error.to_string())?;
    failed.map_or(Ok(()), Err)
}

fn run_task(plan: &Plan, task: Task, store: &Store) -> Result<Outcome, String> {
    if store.record(plan, task).is_some() {
        return Ok(Outcome::WasThere);
    }
    let report = report(plan, task)?;
    let held = report["violations"].as_array().is_some_and(Vec::is_empty);
    let key = plan.key(task);
    store.keep_record(task, &Record { key, report })?;
    Ok(if held { Outcome::Held } else { Outcome::Violated })
}

/// Runs one task, without keeping it. A panic is a violation: it is a finding, and other runs go on.
///
/// # Errors
/// A sentence if the scenario cannot be built.
pub fn report(plan: &Plan, task: Task) -> Result<Value, String> {
    let place = |error: String| format!("with {}: {error}", plan.describe(task.point));
    let scenario = Scenario::parse(&plan.points[task.point].scenario).map_err(place)?;
    let Ok(report) = catch_unwind(AssertUnwindSafe(|| crate::run(&scenario, task.seed))) else {
        let violation = "a state machine panicked; run it alone to see where";
        return Ok(json!({ "seed": task.seed, "violations": [violation] }));
    };
    let mut report = serde_json::to_value(report.map_err(place)?).map_err(|error| error.to_string())?;
    if let Some(fields) = report.as_object_mut() {
        // `explain` tells it again, for any run.
        fields.remove("timeline");
    }
    Ok(report)
}
