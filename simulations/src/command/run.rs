//! `subrosa-sim run`: scenario files on seeds.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use subrosa_sim::{report::Report, run, scenario::Scenario};

/// See the module.
#[derive(Args)]
pub(crate) struct Run {
    /// Scenario files.
    #[arg(required = true)]
    scenarios: Vec<PathBuf>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, counting up.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// Packets lost on each hop, in percent, instead of the scenario's.
    #[arg(long)]
    loss: Option<f64>,
    /// Round-trip time in milliseconds, instead of the scenario's.
    #[arg(long)]
    rtt: Option<f64>,
    /// Everything that people did and were told.
    #[arg(long)]
    timeline: bool,
    /// One JSON object per run, on a line of its own.
    #[arg(long)]
    json: bool,
}

impl Run {
    /// Runs all, and says what came of it.
    pub(crate) fn execute(&self) -> ExitCode {
        let mut good = true;
        for path in &self.scenarios {
            for seed in self.seed..self.seed.saturating_add(self.seeds) {
                let report = Scenario::read(path).and_then(|mut scenario| {
                    let network = &mut scenario.network;
                    network.loss_percent = self.loss.unwrap_or(network.loss_percent);
                    network.rtt_ms = self.rtt.unwrap_or(network.rtt_ms);
                    run(&scenario, seed)
                });
                match report {
                    Ok(report) => {
                        good &= report.is_good();
                        self.tell(path, &report);
                    }
                    Err(error) => {
                        eprintln!("{error}");
                        return ExitCode::from(2);
                    }
                }
            }
        }
        if good {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        }
    }

    fn tell(&self, path: &Path, report: &Report) {
        if self.json {
            match serde_json::to_string(report) {
                Ok(line) => println!("{line}"),
                Err(error) => eprintln!("{error}"),
            }
            return;
        }
        if self.timeline {
            println!("{}\n", report.full_timeline());
        }
        print!("{report}");
        println!("repeat: {}\n", command(path, report));
    }
}

/// The command that repeats a run.
fn command(path: &Path, report: &Report) -> String {
    format!(
        "cargo run -p subrosa-sim -- run {} --seed {} --loss {} --rtt {}",
        path.display(),
        report.seed,
        report.loss_percent,
        report.rtt_ms
    )
}
