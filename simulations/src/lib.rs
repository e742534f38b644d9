//! Subrosa's protocol under virtual time: the production state machines of participants and relays, a modelled network,
//! a script of people and faults, and checkers of what must hold.
//!
//! [`run`] is a pure function: the same scenario and seed give the same trace hash on any machine.
//!
//! | module | concern |
//! |---|---|
//! | `scenario` | what happens, read from TOML |
//! | `event_queue`, `network` | virtual time and the modelled network |
//! | `transport` | what carries links: a model, or quinn-proto with Noise |
//! | `churn` | people who come and go at random |
//! | `world` | machines, and doing what they ask for |
//! | `checker` | confidentiality, jurisdiction, convergence, delivery, bounds |
//! | `fuzz` | random scenarios, and the smallest that still fails |
//! | `cost` | what joining, leaving and removing cost |
//! | `sweep` | many settings on many seeds, to one table and figures |
//! | `explain` | one run, told with routes, delay and loss over time |
//! | `report`, `trace`, `quantiles` | what is told in the end |

mod checker;
pub mod churn;
pub mod cost;
pub mod event_queue;
pub mod explain;
pub mod fuzz;
pub mod network;
pub mod quantiles;
pub mod report;
pub mod scenario;
pub mod sweep;
pub mod trace;
pub mod transport;
mod world;

use report::Report;
use scenario::Scenario;

/// Runs a scenario.
///
/// # Errors
/// A sentence if the scenario cannot be built (an unknown country, a name that nobody may have).
pub fn run(scenario: &Scenario, seed: u64) -> Result<Report, String> {
    let scenario = churn::expanded(scenario, seed)?;
    Ok(world::World::new(&scenario, seed)?.run(seed))
}
