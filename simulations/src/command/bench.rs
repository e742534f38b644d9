//! `subrosa-sim bench`: how fast the simulator is, by the number of nodes.

use std::{process::ExitCode, time::Instant};

use clap::Args;
use serde::Serialize;
use subrosa_sim::{
    run,
    scenario::{MemberSpec, NetworkSpec, RelaySpec, Scenario},
    transport::TransportKind,
};

/// Between two who come.
const COMING_MS: u64 = 20;
/// Two equal runs differ by so much of their time.
const NOISE: f64 = 0.1;
/// After the last has come: links, keys, subscriptions.
const SETTLE_MS: u64 = 3_000;

/// See the module.
#[derive(Args)]
pub(crate) struct Bench {
    /// Numbers of nodes, one meeting each.
    #[arg(long, value_delimiter = ',', default_values_t = [10, 50, 100])]
    nodes: Vec<usize>,
    /// How many of them speak all the time.
    #[arg(long, default_value_t = 3)]
    speakers: usize,
    /// How long everybody is there, in seconds of virtual time.
    #[arg(long, default_value_t = 20)]
    seconds: u64,
    /// All hide behind one relay, instead of links from each to each.
    #[arg(long)]
    relayed: bool,
    /// What carries links.
    #[arg(long, value_enum, default_value = "modelled")]
    transport: TransportKind,
    /// One JSON object per number of nodes, on a line of its own.
    #[arg(long)]
    json: bool,
}

/// What one size came to. The time in which people come is measured apart.
#[derive(Serialize)]
struct Figures {
    nodes: usize,
    speakers: usize,
    relayed: bool,
    /// What was delivered to machines while all were there.
    deliveries: u64,
    deliveries_per_second: f64,
    /// Seconds of virtual time in a second.
    times_real_time: f64,
    /// The machine's seconds until all were there.
    joining_s: f64,
    /// The most memory that the process ever had, for each node, in kB; of the largest size so far. 0 where that is not known.
    memory_kb_per_node: u64,
}

impl Bench {
    /// Measures and tells.
    pub(crate) fn execute(&self) -> ExitCode {
        if !self.json {
            println!("| nodes | deliveries/s | × real time | until all are there | memory per node |");
            println!("|---|---|---|---|---|");
        }
        for &nodes in &self.nodes {
            match self.measure(nodes.max(2)) {
                Ok(figures) if self.json => match serde_json::to_string(&figures) {
                    Ok(line) => println!("{line}"),
                    Err(error) => eprintln!("{error}"),
                },
                Ok(figures) => println!(
                    "| {} | {:.0} | {:.2} | {:.1} s | {} kB |",
                    figures.nodes,
                    figures.deliveries_per_second,
                    figures.times_real_time,
                    figures.joining_s,
                    figures.memory_kb_per_node
                ),
                Err(error) => {
                    eprintln!("{error}");
                    return ExitCode::FAILURE;
                }
            }
        }
        ExitCode::SUCCESS
    }

    /// The run twice, once only until all are there: the difference is the rest.
    fn measure(&self, nodes: usize) -> Result<Figures, String> {
        let joining_seconds = (nodes as u64 * COMING_MS + SETTLE_MS).div_ceil(1_000);
        let (joined, joining_s) = self.timed(nodes, joining_seconds)?;
        let (all, whole_s) = self.timed(nodes, joining_seconds + self.seconds)?;
        let (deliveries, took) = (all - joined, whole_s - joining_s);
        // Coming takes longer than staying: on a busy machine the difference can be noise.
        if took < joining_s * NOISE {
            return Err(format!(
                "with {nodes} nodes: {joining_s:.1} s until all are there, {whole_s:.1} s in all, too near to each other to tell; \
                 use a longer --seconds, or wait until nothing else runs"
            ));
        }
        Ok(Figures {
            nodes,
            speakers: self.speakers,
            relayed: self.relayed,
            deliveries,
            deliveries_per_second: deliveries as f64 / took,
            times_real_time: self.seconds as f64 / took,
            joining_s,
            memory_kb_per_node: memory_kb() / nodes as u64,
        })
    }

    fn timed(&self, nodes: usize, seconds: u64) -> Result<(u64, f64), String> {
        let scenario = self.scenario(nodes, seconds);
        let began = Instant::now();
        let report = run(&scenario, 1)?;
        let took = began.elapsed().as_secs_f64();
        match report.violations.first() {
            Some(violation) => Err(format!("with {nodes} nodes: {violation}")),
            None => Ok((report.figures.deliveries, took)),
        }
    }

    fn scenario(&self, nodes: usize, seconds: u64) -> Scenario {
        let relay = RelaySpec {
            name: "relay".to_owned(),
            hosting: "DE".to_owned(),
            ..RelaySpec::default()
        };
        let member = |index: usize| MemberSpec {
            name: format!("M{index:05}"),
            direct: !self.relayed,
            speaks: index < self.speakers,
            relays: if self.relayed && index == 0 {
                vec![relay.name.clone()]
            } else {
                Vec::new()
            },
            joins_at_ms: (index > 0).then_some(index as u64 * COMING_MS),
            ..MemberSpec::default()
        };
        Scenario {
            name: format!("bench {nodes}"),
            summary: "How fast the simulator is".to_owned(),
            seconds,
            transport: self.transport,
            network: NetworkSpec::default(),
            members: (0..nodes).map(member).collect(),
            relays: if self.relayed {
                vec![relay.clone()]
            } else {
                Vec::new()
            },
            ..Scenario::default()
        }
    }
}

/// The most that this process ever had in memory, in kB.
fn memory_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}
