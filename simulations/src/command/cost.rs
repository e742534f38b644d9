//! `subrosa-sim cost`: what joining, leaving and removing cost, by the size of the meeting.

use std::process::ExitCode;

use clap::Args;
use subrosa_sim::cost::{Cost as Amount, measure};

/// See the module.
#[derive(Args)]
pub(crate) struct Cost {
    /// Sizes of meetings. 200 takes some minutes.
    #[arg(long, value_delimiter = ',', default_values_t = [5, 20, 50, 200])]
    members: Vec<usize>,
    /// One JSON object per size, on a line of its own.
    #[arg(long)]
    json: bool,
}

impl Cost {
    /// Measures and tells.
    pub(crate) fn execute(&self) -> ExitCode {
        if !self.json {
            println!(
                "Control messages of all members together, and their bytes, without pings and QUIC's packets.\n"
            );
            println!("| members | join | leave | removal | quiet, 5 s |");
            println!("|---|---|---|---|---|");
        }
        for &members in &self.members {
            let costs = match measure(members) {
                Ok(costs) => costs,
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            };
            if self.json {
                match serde_json::to_string(&costs) {
                    Ok(line) => println!("{line}"),
                    Err(error) => eprintln!("{error}"),
                }
                continue;
            }
            let [join, leave, remove, quiet] = [costs.join, costs.leave, costs.remove, costs.quiet].map(cell);
            println!("| {members} | {join} | {leave} | {remove} | {quiet} |");
        }
        ExitCode::SUCCESS
    }
}

fn cell(amount: Amount) -> String {
    format!("{} ({:.1} kB)", amount.messages, amount.bytes as f64 / 1e3)
}
