//! `subrosa-sim explain`: one run, told.

use std::{path::PathBuf, process::ExitCode};

use clap::Args;
use subrosa_sim::{
    explain::explain, scenario::Scenario, sweep::store::write_whole, transport::TransportKind,
};

/// See the module.
#[derive(Args)]
pub(crate) struct Explain {
    /// The scenario file; of a sweep, one of those in its folder `points`.
    scenario: PathBuf,
    /// The run's seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a page with a map of the routes, delay and loss over time. It needs no network; open it in a browser.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Packets lost on each hop, in percent, instead of the scenario's.
    #[arg(long)]
    loss: Option<f64>,
    /// Round-trip time in milliseconds, instead of the scenario's.
    #[arg(long)]
    rtt: Option<f64>,
    /// What carries links, instead of the scenario's.
    #[arg(long, value_enum)]
    transport: Option<TransportKind>,
}

impl Explain {
    /// Runs and tells. Exit code 1 if something did not hold, 2 if something cannot be read or written.
    pub(crate) fn execute(&self) -> ExitCode {
        match self.tell() {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(2)
            }
        }
    }

    fn tell(&self) -> Result<bool, String> {
        let mut scenario = Scenario::read(&self.scenario)?;
        scenario.network.loss_percent = self.loss.unwrap_or(scenario.network.loss_percent);
        scenario.network.rtt_ms = self.rtt.unwrap_or(scenario.network.rtt_ms);
        scenario.transport = self.transport.unwrap_or(scenario.transport);
        let explanation = explain(&scenario, self.seed)?;
        print!("{}", explanation.text());
        if let Some(path) = &self.html {
            write_whole(path, explanation.html()?.as_bytes())?;
            println!("\npage: {}", path.display());
        }
        Ok(explanation.report.is_good())
    }
}
