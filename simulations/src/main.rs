//! `subrosa-sim`: run scenarios, and look for those that fail.

mod command;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
    Run(command::run::Run),
    /// Draw random scenarios until a checker complains, shrink them, and write them down. Exit code 1 if one did.
    Fuzz(command::fuzz::Fuzz),
    /// Measure how fast the simulator is, by the number of nodes.
    Bench(command::bench::Bench),
    /// Measure what joining, leaving and removing cost, by the size of the meeting.
    Cost(command::cost::Cost),
    /// Run a scenario with many values of its keys on many seeds: plan, run in shards, merge to one table, plot.
    Sweep(command::sweep::Sweep),
    /// Tell one run: who did and learned what, when and after what; as text, and as a page with a map of the routes.
    Explain(command::explain::Explain),
}

fn main() -> ExitCode {
    match Arguments::parse().command {
        Command::Run(run) => run.execute(),
        Command::Fuzz(fuzz) => fuzz.execute(),
        Command::Bench(bench) => bench.execute(),
        Command::Cost(cost) => cost.execute(),
        Command::Sweep(sweep) => sweep.execute(),
        Command::Explain(explain) => explain.execute(),
    }
}
