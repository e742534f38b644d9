//! `subrosa-sim run`: scenario files on seeds.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
};

use clap::Args;
use subrosa_sim::{report::Report, run, scenario::Scenario, transport::TransportKind};

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
    /// What carries links, instead of the scenario's.
    #[arg(long, value_enum)]
    transport: Option<TransportKind>,
    /// Runs at a time.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: u16,
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
        let seeds = self.seed..self.seed.saturating_add(self.seeds);
        let runs: Vec<(&Path, u64)> = self
            .scenarios
            .iter()
            .flat_map(|path| seeds.clone().map(|seed| (path.as_path(), seed)))
            .collect();
        let mut good = true;
        // As many at a time as there are threads, told in order.
        for batch in runs.chunks(usize::from(self.threads)) {
            let reports: Vec<Result<Report, String>> = thread::scope(|scope| {
                let running: Vec<_> = batch
                    .iter()
                    .map(|&(path, seed)| scope.spawn(move || self.run(path, seed)))
                    .collect();
                let died = |_| Err("a run panicked".to_owned());
                running
                    .into_iter()
                    .map(|run| run.join().unwrap_or_else(died))
                    .collect()
            });
            for ((path, _), report) in batch.iter().zip(reports) {
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

    fn run(&self, path: &Path, seed: u64) -> Result<Report, String> {
        let mut scenario = Scenario::read(path)?;
        let network = &mut scenario.network;
        network.loss_percent = self.loss.unwrap_or(network.loss_percent);
        network.rtt_ms = self.rtt.unwrap_or(network.rtt_ms);
        scenario.transport = self.transport.unwrap_or(scenario.transport);
        run(&scenario, seed)
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
    let transport = match report.transport {
        TransportKind::Modelled => "",
        TransportKind::Quic => " --transport quic",
    };
    format!(
        "cargo run -p subrosa-sim -- run {} --seed {} --loss {} --rtt {}{transport}",
        path.display(),
        report.seed,
        report.loss_percent,
        report.rtt_ms
    )
}
