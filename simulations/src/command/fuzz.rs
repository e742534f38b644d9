//! `subrosa-sim fuzz`: random scenarios until a checker fails.

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use clap::{Args, ValueEnum};
use subrosa_sim::{
    fuzz::{Finding, generate, generate_roster, generate_unrest, search, shrink},
    scenario::Scenario,
};

/// Progress is told after so many scenarios.
const PROGRESS_EVERY: u64 = 100;

/// What a seed draws.
#[derive(Clone, Copy, ValueEnum)]
enum Kind {
    /// A few people, relays, all kinds of faults.
    Mixed,
    /// Schedules of the roster: 5 to 50 people who come, go and are put out, partitions, loss, repetition, reordering,
    /// wrong clocks.
    Roster,
    /// Half an hour with twelve people of whom somebody always comes, goes or crashes: every frame is explained.
    Unrest,
}

/// See the module.
#[derive(Args)]
pub(crate) struct Fuzz {
    /// The first seed. A seed draws a scenario and runs it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many seeds, counting up.
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// What to draw.
    #[arg(long, value_enum, default_value_t = Kind::Mixed)]
    draw: Kind,
    /// Scenarios at a time [default: one for each core].
    #[arg(long)]
    threads: Option<usize>,
    /// Do not look for the smallest scenario that still fails.
    #[arg(long)]
    no_shrink: bool,
    /// Where scenarios that fail are written.
    #[arg(long, default_value = ".")]
    out: PathBuf,
    /// Print the scenario of the first seed, and run nothing.
    #[arg(long)]
    print: bool,
}

impl Fuzz {
    /// Searches, shrinks what it finds, and writes it down. Exit code 1 if something was found.
    pub(crate) fn execute(&self) -> ExitCode {
        let draw: fn(u64) -> Scenario = match self.draw {
            Kind::Mixed => generate,
            Kind::Roster => generate_roster,
            Kind::Unrest => generate_unrest,
        };
        if self.print {
            print!("{}", draw(self.seed).to_toml());
            return ExitCode::SUCCESS;
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let began = Instant::now();
        let (done, failed) = (AtomicU64::new(0), AtomicU64::new(0));
        let told = |seed: u64, held: bool| {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if !held {
                failed.fetch_add(1, Ordering::Relaxed);
                eprintln!("seed {seed} fails");
            }
            if done.is_multiple_of(PROGRESS_EVERY) {
                let (rate, failed) = (
                    done as f64 / began.elapsed().as_secs_f64(),
                    failed.load(Ordering::Relaxed),
                );
                eprintln!("{done} of {}, {failed} failed, {rate:.1} scenarios/s", self.count);
            }
        };
        let threads = self.threads.unwrap_or(cores);
        let findings = match search(self.seed, self.count, threads, draw, &told) {
            Ok(findings) => findings,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        };
        let seconds = began.elapsed().as_secs_f64();
        println!(
            "{} scenarios in {seconds:.0} s, {} failed",
            self.count,
            findings.len()
        );
        let found = !findings.is_empty();
        for finding in findings {
            let finding = if self.no_shrink { finding } else { shrink(finding) };
            if let Err(error) = self.tell(&finding) {
                eprintln!("{error}");
                return ExitCode::from(2);
            }
        }
        if found {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    fn tell(&self, finding: &Finding) -> Result<(), String> {
        fs::create_dir_all(&self.out).map_err(|error| {
            let out = self.out.display();
            format!("cannot make {out}: {error}; choose another --out")
        })?;
        let path = self.out.join(format!("drawn_{}.toml", finding.seed));
        write(&path, &finding.scenario.to_toml())?;
        println!("\nseed {}:", finding.seed);
        for violation in &finding.violations {
            println!("  {violation}");
        }
        println!(
            "repeat: cargo run -p subrosa-sim -- run {} --seed {} --timeline",
            path.display(),
            finding.seed
        );
        Ok(())
    }
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    fs::write(path, text)
        .map_err(|error| format!("cannot write {}: {error}; choose another --out", path.display()))
}
