//! `subrosa-sim sweep`: many settings on many seeds, to one table and figures.

use std::{
    io::IsTerminal,
    path::PathBuf,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use subrosa_sim::sweep::{
    file::SweepFile,
    merge,
    plan::{Plan, Shard, Task},
    plot,
    provenance::Provenance,
    run::{self, Outcome},
    store::{Store, write_whole},
    table::Row,
};

/// Without a terminal, progress is told this often.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// Runs that are named when they are missing or violated.
const NAMED_MAX: usize = 10;

/// See the module.
#[derive(Args)]
pub(crate) struct Sweep {
    #[command(subcommand)]
    step: Step,
}

#[derive(Subcommand)]
enum Step {
    /// Say how many runs a sweep has and about how long they take; with --out, write plan and scenarios.
    Plan(PlanStep),
    /// Run a sweep, or one shard of it. What is finished is not run again.
    Run(RunStep),
    /// Make one table of all runs: Parquet, CSV, JSON lines. Exit code 1 if something did not hold in a run.
    Merge(MergeStep),
    /// Draw a column of the table by an axis, as SVG and PNG: means over seeds with 95 % confidence intervals.
    Plot(PlotStep),
}

#[derive(Args)]
struct PlanStep {
    /// The sweep file.
    file: PathBuf,
    /// The folder that `run` will take.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Shards to tell the time for.
    #[arg(long, default_value_t = 1)]
    shards: usize,
    /// So many seconds are spent on trying points out.
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS")]
    measure: f64,
}

#[derive(Args)]
struct RunStep {
    /// The sweep file.
    file: PathBuf,
    /// The folder for plan and records; the same for all shards.
    #[arg(long)]
    out: PathBuf,
    /// Which part of the runs, as 2/4.
    #[arg(long, default_value = "1/1")]
    shard: Shard,
    /// Runs at a time [default: one for each core].
    #[arg(long)]
    threads: Option<usize>,
}

#[derive(Args)]
struct MergeStep {
    /// The folder that `run` was given.
    folder: PathBuf,
    /// Make the table though runs are missing.
    #[arg(long)]
    partial: bool,
}

#[derive(Args)]
struct PlotStep {
    /// The folder that was merged.
    folder: PathBuf,
    /// The axis from left to right.
    #[arg(long, value_name = "AXIS")]
    x: String,
    /// The column whose mean is drawn.
    #[arg(long, value_name = "COLUMN")]
    y: String,
    /// The axis of which each value is a line.
    #[arg(long, value_name = "AXIS")]
    by: Option<String>,
    /// Only runs with this value of another axis.
    #[arg(long = "where", value_name = "AXIS=VALUE")]
    only: Vec<String>,
    /// The file without its ending [default: in the folder `plots`, named after column and axes].
    #[arg(long)]
    out: Option<PathBuf>,
    /// Instead of the title that is made from the names.
    #[arg(long)]
    title: Option<String>,
    /// Instead of the axis' name and unit.
    #[arg(long)]
    x_label: Option<String>,
    /// Instead of the column's name and unit.
    #[arg(long)]
    y_label: Option<String>,
}

impl Sweep {
    /// Does one step. Exit code 2 for whatever cannot be read or written.
    pub(crate) fn execute(&self) -> ExitCode {
        let done = match &self.step {
            Step::Plan(step) => step.execute(),
            Step::Run(step) => step.execute(),
            Step::Merge(step) => step.execute(),
            Step::Plot(step) => step.execute(),
        };
        done.unwrap_or_else(|error| {
            eprintln!("{error}");
            ExitCode::from(2)
        })
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl PlanStep {
    fn execute(&self) -> Result<ExitCode, String> {
        let plan = Plan::new(&SweepFile::read(&self.file)?)?;
        println!("{}: {}", plan.name, plan.summary);
        for axis in &plan.axes {
            println!("  axis {}: {} values", axis.key, axis.values);
        }
        let (points, seeds, runs) = (plan.points.len(), plan.seeds.len(), plan.len());
        println!("{points} points × {seeds} seeds = {runs} runs");
        if let Some(seconds) = self.estimate(&plan)? {
            let (shards, cores) = (self.shards.max(1), cores());
            let each = seconds / (shards * cores) as f64;
            println!(
                "about {} on one core; {} with {shards} shards of {cores} cores",
                clock(seconds),
                clock(each)
            );
        }
        for index in 1..=self.shards.max(1) {
            let shard = Shard {
                index,
                count: self.shards.max(1),
            };
            println!("shard {shard}: {} runs", plan.shard(shard).len());
        }
        if let Some(out) = &self.out {
            Store::new(out).keep_plan(&plan)?;
            println!("plan and scenarios are in {}", out.display());
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Seconds on one core, from trying out as many points as the time allows, evenly spread.
    fn estimate(&self, plan: &Plan) -> Result<Option<f64>, String> {
        let began = Instant::now();
        let points = plan.points.len();
        // The dearest are usually the last: both ends first, then what lies between.
        let order = (0..points).map(|index| {
            if index % 2 == 0 {
                points - 1 - index / 2
            } else {
                index / 2
            }
        });
        let mut tried = Vec::new();
        for point in order {
            if began.elapsed().as_secs_f64() >= self.measure {
                break;
            }
            let start = Instant::now();
            run::report(
                plan,
                Task {
                    point,
                    seed: plan.seeds[0],
                },
            )?;
            tried.push(start.elapsed().as_secs_f64());
        }
        let mean = tried.iter().sum::<f64>() / tried.len() as f64;
        Ok((!tried.is_empty()).then_some(mean * plan.len() as f64))
    }
}

/// Seconds as people say them.
fn clock(seconds: f64) -> String {
    match seconds {
        s if s < 90.0 => format!("{s:.0} s"),
        s if s < 5_400.0 => format!("{:.0} min", s / 60.0),
        s => format!("{:.1} h", s / 3_600.0),
    }
}

impl RunStep {
    fn execute(&self) -> Result<ExitCode, String> {
        let plan = Plan::new(&SweepFile::read(&self.file)?)?;
        let store = Store::new(&self.out);
        store.keep_plan(&plan)?;
        let tasks = plan.shard(self.shard);
        let mut provenance = Provenance::begin(&plan);
        let progress = Progress::new(tasks.len());
        let threads = self.threads.unwrap_or_else(cores);
        run::run_tasks(&plan, &tasks, &store, threads, &|outcome| progress.told(outcome))?;
        let (there, violated) = progress.finish();
        provenance.count("runs", tasks.len());
        provenance.count("finished before", there);
        provenance.count("violated", violated);
        let Shard { index, count } = self.shard;
        provenance.finish(&store.path(&format!("shards/{index}-of-{count}.provenance.json")))?;
        println!(
            "shard {}: {} runs finished, {there} of them before; {violated} of the new ones with violations",
            self.shard,
            tasks.len()
        );
        Ok(ExitCode::SUCCESS)
    }
}

/// A bar on a terminal; lines now and then elsewhere.
struct Progress {
    bar: ProgressBar,
    runs: usize,
    there: AtomicUsize,
    done: AtomicUsize,
    violated: AtomicUsize,
    began: Instant,
    told_at: Mutex<Option<Instant>>,
}

impl Progress {
    fn new(runs: usize) -> Self {
        let has_bar = std::io::stderr().is_terminal();
        let target = if has_bar {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(Some(runs as u64), target);
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} runs, {eta} left {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self {
            bar,
            runs,
            there: AtomicUsize::new(0),
            done: AtomicUsize::new(0),
            violated: AtomicUsize::new(0),
            began: Instant::now(),
            told_at: Mutex::new((!has_bar).then(Instant::now)),
        }
    }

    fn told(&self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::WasThere => &self.there,
            Outcome::Held => &self.done,
            Outcome::Violated => {
                let violated = self.violated.fetch_add(1, Ordering::Relaxed) + 1;
                self.bar.set_message(format!("({violated} with violations)"));
                &self.done
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.bar.inc(1);
        self.tell_line();
    }

    fn tell_line(&self) {
        let Ok(mut told_at) = self.told_at.lock() else {
            return;
        };
        let Some(at) = told_at.as_mut().filter(|at| at.elapsed() >= TELL_EVERY) else {
            return;
        };
        *at = Instant::now();
        let [there, done, violated] =
            [&self.there, &self.done, &self.violated].map(|counter| counter.load(Ordering::Relaxed));
        let left = self.runs.saturating_sub(there + done);
        let each = self.began.elapsed().as_secs_f64() / done.max(1) as f64;
        eprintln!(
            "{} of {} runs, {violated} with violations, about {} left",
            there + done,
            self.runs,
            clock(each * left as f64)
        );
    }

    /// How many were there before, and how many of the others had violations.
    fn finish(&self) -> (usize, usize) {
        self.bar.finish_and_clear();
        (
            self.there.load(Ordering::Relaxed),
            self.violated.load(Ordering::Relaxed),
        )
    }
}

impl MergeStep {
    fn execute(&self) -> Result<ExitCode, String> {
        let store = Store::new(&self.folder);
        let plan = store.plan()?;
        let provenance = Provenance::begin(&plan);
        let merged = merge::collect(&plan, &store);
        if !merged.missing.is_empty() {
            let (missing, all) = (merged.missing.len(), plan.len());
            tell(&plan, "missing", &merged.missing);
            if !self.partial {
                return Err(format!(
                    "{missing} of {all} runs are missing: `sweep run` them again (what is finished stays), or merge with --partial"
                ));
            }
        }
        merge::write(&plan, &merged, &store, provenance)?;
        let table = &merged.table;
        println!(
            "{} runs, {} columns: {}",
            table.rows.len(),
            table.columns.len(),
            store.path("merged/table.parquet").display()
        );
        if merged.violated.is_empty() {
            return Ok(ExitCode::SUCCESS);
        }
        eprintln!("{} runs with violations:", merged.violated.len());
        for (task, first) in merged.violated.iter().take(NAMED_MAX) {
            let scenario = store.path(&format!("points/{:05}.toml", task.point));
            eprintln!("  {}: {first}", plan.describe(task.point));
            eprintln!(
                "  repeat: subrosa-sim explain {} --seed {}",
                scenario.display(),
                task.seed
            );
        }
        Ok(ExitCode::FAILURE)
    }
}

fn tell(plan: &Plan, what: &str, tasks: &[Task]) {
    for task in tasks.iter().take(NAMED_MAX) {
        eprintln!("{what}: seed {} with {}", task.seed, plan.describe(task.point));
    }
}

impl PlotStep {
    fn execute(&self) -> Result<ExitCode, String> {
        let store = Store::new(&self.folder);
        let plan = store.plan()?;
        let mut provenance = Provenance::begin(&plan);
        let rows = read_rows(&store)?;
        let only = self.only.iter().map(|only| {
            let pair = only
                .split_once('=')
                .map(|(key, value)| (key.to_owned(), value.to_owned()));
            pair.ok_or_else(|| format!("`--where {only}`: write AXIS=VALUE"))
        });
        let request = plot::Request {
            x: self.x.clone(),
            y: self.y.clone(),
            by: self.by.clone(),
            only: only.collect::<Result<_, _>>()?,
            title: self.title.clone(),
            x_label: self.x_label.clone(),
            y_label: self.y_label.clone(),
        };
        let figure = plot::plot(&plan, &rows, &request)?;
        for warning in &figure.warnings {
            eprintln!("warning: {warning}");
        }
        let stem = self
            .out
            .clone()
            .unwrap_or_else(|| store.path("plots").join(self.name()));
        for (ending, bytes) in [("svg", figure.svg.as_bytes()), ("png", figure.png.as_slice())] {
            let path = with_ending(&stem, ending);
            write_whole(&path, bytes)?;
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            provenance.output(&name, bytes);
            println!("{}", path.display());
        }
        provenance.count("runs", rows.len());
        provenance.finish(&with_ending(&stem, "provenance.json"))?;
        Ok(ExitCode::SUCCESS)
    }

    fn name(&self) -> String {
        let by = self.by.as_ref().map_or(String::new(), |by| format!("_and_{by}"));
        let only: String = self.only.iter().map(|only| format!("_where_{only}")).collect();
        format!("{}_by_{}{by}{only}", self.y, self.x).replace(['/', '\\'], "_")
    }
}

/// Columns have dots in their names: an ending is added, nothing is replaced.
fn with_ending(stem: &std::path::Path, ending: &str) -> PathBuf {
    let mut path = stem.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

fn read_rows(store: &Store) -> Result<Vec<Row>, String> {
    let path = store.path("merged/table.jsonl");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}; `sweep merge` makes it", path.display()))?;
    let rows = text.lines().map(|line| {
        serde_json::from_str(line).map_err(|error| format!("cannot read {}: {error}", path.display()))
    });
    rows.collect()
}
