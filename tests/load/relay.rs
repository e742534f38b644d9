//! The relay under load: `subrosa relay` with a settings file, and what its metrics and the kernel say of it.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use subrosa_proto::policy::SignedDescriptor;
use subrosa_tests::{relay_client::RelayAddress, watch};

/// Limits out of the way of an honest load from one address. What protects the relay itself stays as it is by default.
const LIMITS: &str = "[limits]\nsessions = 20000\nsessions_per_address_block = 20000\nrooms = 5000\n\
    session_kbit_per_s = 1000000\nsession_burst_kbyte = 65536\nroom_kbit_per_s = 10000000\nroom_burst_kbyte = 1048576\n\
    address_block_kbit_per_s = 10000000\naddress_block_burst_kbyte = 1048576\nmemory_mbyte = 2000\n\
    handshakes_per_s = 5000\nhandshakes_per_address_block_per_s = 5000\n";

/// Ends its process and removes its folder when dropped.
pub(crate) struct Relay {
    process: Child,
    folder: PathBuf,
    metrics: String,
    namespace: Option<String>,
    /// The line that names it.
    pub(crate) descriptor: String,
    /// What clients dial.
    pub(crate) address: RelayAddress,
}

/// All metrics at one moment, by name with labels.
pub(crate) struct Metrics(BTreeMap<String, f64>);

fn binary() -> PathBuf {
    std::env::var_os("SUBROSA_BIN").map_or_else(
        || {
            let this = std::env::current_exe().expect("this program has a path");
            let folder = this.parent().and_then(|folder| folder.parent());
            folder.expect("in a target folder").join("subrosa")
        },
        PathBuf::from,
    )
}

/// A command inside a network namespace, or not.
pub(crate) fn within(namespace: Option<&str>, program: &Path) -> Command {
    match namespace {
        None => Command::new(program),
        Some(namespace) => {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", namespace]).arg(program);
            command
        }
    }
}

/// What clients dial, by the relay's address and its descriptor's line.
pub(crate) fn address(listen: &str, descriptor: &str) -> RelayAddress {
    let signed = SignedDescriptor::from_text(descriptor).expect("a descriptor");
    RelayAddress {
        addr: listen.parse().expect("an address"),
        relay: signed.unverified().relay,
        static_key: signed.unverified().static_key,
    }
}

/// What is told at `/metrics` of this address.
pub(crate) fn scrape(at: &str) -> String {
    let mut stream = TcpStream::connect(at).expect("metrics are told");
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
    )
    .expect("the relay listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("text");
    answer
}

impl Relay {
    /// Starts one on the loopback interface, on the first core, whose limits are out of the way.
    pub(crate) fn start() -> Self {
        Self::start_in(None, "127.0.0.1:0", LIMITS)
    }

    /// Starts one in a network namespace, at an address, on the first core.
    pub(crate) fn start_in(namespace: Option<&str>, listen: &str, limits: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("subrosa-load-{}", std::process::id()));
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).expect("the temporary directory is writable");
        let file = folder.join("relay.toml");
        let settings = format!(
            "listen = '{listen}'\nmetrics = '127.0.0.1:0'\ndata_dir = 'data'\nhosting = 'DE'\n\
             [operator]\nname = 'load'\ncontact = 'relay@example.org'\nlegal_seat = 'DE'\n\
             [discovery]\nenabled = false\n{limits}"
        );
        fs::write(&file, settings).expect("writable");
        let mut process = within(namespace, &binary())
            .args(["relay", "--json", "--config", &file.display().to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .expect("SUBROSA_BIN names the program, or it lies beside this one's folder");
        watch::pin(process.id(), 0);
        let mut lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let ready = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let event: serde_json::Value = serde_json::from_str(&line).ok()?;
            (event["event"] == "relay_ready").then_some(event)
        });
        let ready = ready.expect("the relay starts");
        // Whoever does not read its statistics would stop it when the pipe is full.
        std::thread::spawn(move || lines.count());
        let text = |key: &str| ready[key].as_str().expect("a text").to_owned();
        let address = address(&text("listen"), &text("descriptor"));
        Self {
            metrics: text("metrics"),
            namespace: namespace.map(str::to_owned),
            descriptor: text("descriptor"),
            process,
            folder,
            address,
        }
    }

    pub(crate) fn cpu(&self) -> Duration {
        watch::cpu(self.process.id())
    }

    pub(crate) fn resident_bytes(&self) -> u64 {
        watch::resident_bytes(self.process.id())
    }

    /// What Prometheus would be told now.
    pub(crate) fn metrics(&self) -> Metrics {
        let answer = match &self.namespace {
            None => scrape(&self.metrics),
            // They are told on the namespace's own loopback interface.
            Some(namespace) => {
                let this = std::env::current_exe().expect("this program has a path");
                let told = within(Some(namespace), &this)
                    .args(["--role=scrape", &self.metrics])
                    .output()
                    .expect("this program starts again");
                String::from_utf8(told.stdout).expect("text")
            }
        };
        let values = answer.lines().filter_map(|line| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        });
        Metrics(values.collect())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

impl Metrics {
    pub(crate) fn get(&self, name: &str) -> f64 {
        let value = self.0.get(&format!("subrosa_relay_{name}"));
        *value.unwrap_or_else(|| panic!("the relay does not tell subrosa_relay_{name}"))
    }

    /// How much a counter grew since `before`.
    pub(crate) fn since(&self, before: &Self, name: &str) -> f64 {
        self.get(name) - before.get(name)
    }

    /// Frames dropped since `before`, by reason.
    pub(crate) fn drops(&self, before: &Self) -> BTreeMap<String, f64> {
        self.labelled(before, "frames_dropped_total", "reason")
    }

    /// What a counter with a label grew by since `before`, by the label's value.
    pub(crate) fn labelled(&self, before: &Self, name: &str, label: &str) -> BTreeMap<String, f64> {
        let prefix = format!("subrosa_relay_{name}{{{label}=\"");
        let grown = self.0.iter().filter_map(|(name, value)| {
            let of = name.strip_prefix(&prefix)?.strip_suffix("\"}")?;
            let grown = value - before.0.get(name).copied().unwrap_or(0.0);
            (grown > 0.0).then(|| (of.to_owned(), grown))
        });
        grown.collect()
    }

    /// The bound in milliseconds under which this share of frames waited since `before`.
    pub(crate) fn queue_delay_ms(&self, before: &Self, share: f64) -> f64 {
        let prefix = "subrosa_relay_queue_delay_seconds_bucket{le=\"";
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter_map(|(name, value)| {
                let bound = name.strip_prefix(prefix)?.strip_suffix("\"}")?;
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse().ok()?
                };
                Some((bound, value - before.0.get(name).copied().unwrap_or(0.0)))
            })
            .collect();
        buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
        let all = buckets.last().map_or(0.0, |(_, count)| *count);
        let bound = buckets.iter().find(|(_, count)| *count >= all * share);
        bound.map_or(0.0, |(bound, _)| bound * 1e3)
    }
}
