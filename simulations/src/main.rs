//! `subrosa-sim`: run scenarios.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};
use subrosa_sim::{report::Report, run, scenario::Scenario};

/// Subrosa's protocol under virtual time.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run scenarios and check what must hold. Exit code 1 if something does not, 2 if a scenario cannot be read.
    Run {
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
    },
}

fn main() -> ExitCode {
    let Command::Run {
        scenarios,
        seed,
        seeds,
        loss,
        rtt,
        timeline,
        json,
    } = Arguments::parse().command;
    let mut good = true;
    for path in &scenarios {
        for seed in seed..seed.saturating_add(seeds) {
            let report = Scenario::read(path).and_then(|mut scenario| {
                scenario.network.loss_percent = loss.unwrap_or(scenario.network.loss_percent);
                scenario.network.rtt_ms = rtt.unwrap_or(scenario.network.rtt_ms);
                run(&scenario, seed)
            });
            let report = match report {
                Ok(report) => report,
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::from(2);
                }
            };
            good &= report.is_good();
            if json {
                match serde_json::to_string(&report) {
                    Ok(line) => println!("{line}"),
                    Err(error) => eprintln!("{error}"),
                }
                continue;
            }
            if timeline {
                println!("{}\n", report.full_timeline());
            }
            print!("{report}");
            println!("repeat: {}\n", command(path, &report));
        }
    }
    if good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// The command that repeats a run.
fn command(path: &std::path::Path, report: &Report) -> String {
    format!(
        "cargo run -p subrosa-sim -- run {} --seed {} --loss {} --rtt {}",
        path.display(),
        report.seed,
        report.loss_percent,
        report.rtt_ms
    )
}
