//! The table and the JSON lines.

use std::process::ExitCode;

use serde_json::json;

/// One measured value.
pub(crate) struct Figure {
    /// Stable name for scripts.
    pub(crate) name: &'static str,
    /// Which of several cases, for people.
    pub(crate) case: String,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    /// What `performance` aims at; smaller values are better in every figure that has one.
    pub(crate) goal: Option<f64>,
    /// The most that is tolerated.
    pub(crate) floor: Option<f64>,
}

impl Figure {
    /// A figure without goal or floor.
    pub(crate) fn new(name: &'static str, case: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self {
            name,
            case: case.into(),
            value,
            unit,
            goal: None,
            floor: None,
        }
    }
}

/// Collects figures.
pub(crate) struct Report {
    json: Vec<String>,
    missed: Vec<String>,
}

impl Report {
    pub(crate) fn begin() -> Self {
        println!("| figure | case | value | goal | floor | |");
        println!("|---|---|---|---|---|---|");
        Self {
            json: Vec::new(),
            missed: Vec::new(),
        }
    }

    pub(crate) fn add(&mut self, figure: &Figure) {
        let Figure {
            name,
            case,
            value,
            unit,
            goal,
            floor,
        } = figure;
        let verdict = match (goal, floor) {
            (_, Some(floor)) if value > floor => {
                self.missed.push(format!(
                    "{name}, {case}: {} {unit}, at most {}",
                    short(*value),
                    short(*floor)
                ));
                "below the floor"
            }
            (Some(goal), _) if value <= goal => "goal met",
            (Some(_), Some(_)) => "floor met",
            (Some(_), None) => "goal missed",
            (None, Some(_)) => "floor met",
            (None, None) => "",
        };
        let optional = |value: &Option<f64>| value.map_or_else(String::new, short);
        println!(
            "| {name} | {case} | {} {unit} | {} | {} | {verdict} |",
            short(*value),
            optional(goal),
            optional(floor)
        );
        self.json.push(
            json!({
                "figure": name, "case": case, "value": (value * 1_000.0).round() / 1_000.0, "unit": unit, "goal": goal,
                "floor": floor,
            })
            .to_string(),
        );
    }

    /// Prints the JSON lines; fails if a floor was missed.
    pub(crate) fn end(self) -> ExitCode {
        for line in &self.json {
            println!("{line}");
        }
        for missed in &self.missed {
            eprintln!("floor missed: {missed}");
        }
        if self.missed.is_empty() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }
}

/// Three or four digits.
fn short(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The middle of `values`, and the value that 95 % do not exceed (nearest rank). Sorts them.
///
/// # Panics
/// If there are none.
pub(crate) fn median_and_p95(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let rank =
        |share: f64| values[((values.len() as f64 * share).ceil() as usize).clamp(1, values.len()) - 1];
    (rank(0.5), rank(0.95))
}
