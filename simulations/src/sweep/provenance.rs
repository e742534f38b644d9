//! Where a result comes from: enough to make it again, and nothing about whose machine made it.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

use super::{plan::Plan, source_hash, store};

/// The hash of the sources that this program was built from.
pub const SOURCE_SHA256: &str = env!("SUBROSA_SIM_SOURCE_SHA256");
/// What stands for something that cannot be known.
const UNKNOWN: &str = "unknown";
/// The format.
const VERSION: u32 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Provenance {
    /// The format.
    pub v: u32,
    /// The program's name and version.
    pub program: String,
    /// Its arguments; of paths, only the last part.
    pub command: Vec<String>,
    /// The commit of the tree that the program was built from; `unknown` without one, or if the sources changed since.
    pub commit: String,
    /// Whether that tree had changes that are in no commit; absent if it cannot be known.
    pub dirty: Option<bool>,
    /// SHA-256 of the sources that decide what a run does.
    pub source_sha256: String,
    /// SHA-256 of `Cargo.lock`.
    pub cargo_lock_sha256: String,
    /// The compiler.
    pub rustc: String,
    /// The machine's kind.
    pub target: String,
    /// `debug` or `release`.
    pub profile: String,
    /// The sweep's name.
    pub sweep: String,
    /// SHA-256 of the sweep file.
    pub sweep_sha256: String,
    /// The seeds of each point.
    pub seeds: Vec<u64>,
    /// When it began (RFC 3339, UTC).
    pub started: String,
    /// When it was finished.
    pub finished: String,
    /// What it did, in numbers: runs, those that were there before, those with violations.
    pub counts: BTreeMap<String, u64>,
    /// SHA-256 of each file beside it.
    pub outputs: BTreeMap<String, String>,
    /// Where the runs come from, in a merged table.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shards: Vec<Provenance>,
}

impl Provenance {
    /// What is known before the work.
    #[must_use]
    pub fn begin(plan: &Plan) -> Self {
        let (commit, dirty) = commit();
        Self {
            v: VERSION,
            program: format!("subrosa-sim {}", env!("CARGO_PKG_VERSION")),
            command: std::env::args()
                .skip(1)
                .map(|argument| without_folders(&argument))
                .collect(),
            commit,
            dirty,
            source_sha256: SOURCE_SHA256.to_owned(),
            cargo_lock_sha256: env!("SUBROSA_SIM_CARGO_LOCK_SHA256").to_owned(),
            rustc: env!("SUBROSA_SIM_RUSTC").to_owned(),
            target: env!("SUBROSA_SIM_TARGET").to_owned(),
            profile: env!("SUBROSA_SIM_PROFILE").to_owned(),
            sweep: plan.name.clone(),
            sweep_sha256: plan.sweep_sha256.clone(),
            seeds: plan.seeds.clone(),
            started: now(),
            finished: String::new(),
            counts: BTreeMap::new(),
            outputs: BTreeMap::new(),
            shards: Vec::new(),
        }
    }

    /// Counts something.
    pub fn count(&mut self, what: &str, number: usize) {
        self.counts.insert(what.to_owned(), number as u64);
    }

    /// Notes a file that was written.
    pub fn output(&mut self, name: &str, bytes: &[u8]) {
        self.outputs.insert(name.to_owned(), source_hash::of_bytes(bytes));
    }

    /// Writes it, with the present time as its end.
    ///
    /// # Errors
    /// A sentence if it cannot be written.
    pub fn finish(mut self, path: &Path) -> Result<(), String> {
        self.finished = now();
        store::write_json(path, &self)
    }
}

fn now() -> String {
    DateTime::<Utc>::from(SystemTime::now()).to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// An argument that is a path says its last part only.
fn without_folders(argument: &str) -> String {
    let (option, value) = match argument.split_once('=') {
        Some((option, value)) if option.starts_with("--") => (format!("{option}="), value),
        _ => (String::new(), argument),
    };
    let is_shard = value.parse::<super::plan::Shard>().is_ok();
    let name = Path::new(value).file_name().filter(|_| !is_shard);
    let name = name.map_or(value.to_owned(), |name| name.to_string_lossy().into_owned());
    option + &name
}

/// The commit of the source tree, if it still is what the program was built from.
fn commit() -> (String, Option<bool>) {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..");
    let unknown = (UNKNOWN.to_owned(), None);
    if source_hash::of_tree(&root).as_deref() != Some(SOURCE_SHA256) {
        return unknown;
    }
    let git = |arguments: &[&str]| {
        let output = Command::new("git")
            .arg("-C")
            .arg(&root)
            .args(arguments)
            .output()
            .ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "HEAD"]) else {
        return unknown;
    };
    let mut status = vec!["status", "--porcelain", "--"];
    status.extend(source_hash::PARTS);
    let without = source_hash::WITHOUT.map(|part| format!(":(exclude){part}"));
    status.extend(without.iter().map(String::as_str));
    (commit, git(&status).map(|changes| !changes.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_tell_no_folders() {
        assert_eq!(without_folders("/home/ada/loss.toml"), "loss.toml");
        assert_eq!(without_folders("--out=/scratch/x/results"), "--out=results");
        assert_eq!(without_folders("2/4"), "2/4");
        assert_eq!(without_folders("--shard"), "--shard");
        assert_eq!(without_folders("network.loss_percent"), "network.loss_percent");
    }
}
