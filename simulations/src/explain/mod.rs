//! One run, told: who did and learned what, when, and after what; as text and as a page with a map of the routes.
//!
//! | module | concern |
//! |---|---|
//! | `recorder` | what a run is asked to remember |
//! | `series` | delay and loss over time |
//! | `narrative` | sentences, and what preceded them |
//! | `page` | HTML |

mod narrative;
mod page;
pub(crate) mod recorder;
mod series;

use crate::{report::Report, scenario::Scenario, world::World};
use recorder::{Recorder, Recording};

/// A run and what was remembered of it.
#[derive(Debug)]
pub struct Explanation {
    scenario: Scenario,
    recording: Recording,
    /// What a run without a recorder tells, too.
    pub report: Report,
}

/// Runs a scenario and remembers more than [`crate::run`] does. The run is the same.
///
/// # Errors
/// A sentence if the scenario cannot be built.
pub fn explain(scenario: &Scenario, seed: u64) -> Result<Explanation, String> {
    let recorder = Recorder::new(scenario);
    let (report, recorder) = World::new(scenario, seed)?.run_recorded(seed, recorder);
    let recorder = recorder.ok_or("the recorder was lost")?;
    Ok(Explanation {
        scenario: scenario.clone(),
        recording: recorder.finish(&report),
        report,
    })
}

impl Explanation {
    /// The timeline in sentences, the routes over time, and the report.
    #[must_use]
    pub fn text(&self) -> String {
        narrative::text(&self.scenario, &self.recording, &self.report)
    }

    /// A page that needs nothing but itself.
    ///
    /// # Errors
    /// A sentence if the data cannot be written.
    pub fn html(&self) -> Result<String, String> {
        page::html(&self.scenario, &self.recording, &self.report)
    }
}
