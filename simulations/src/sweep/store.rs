//! A sweep's folder: the plan, each point's scenario, and one record for each run. Files appear whole or not at all.
//!
//! ```text
//! plan.json
//! points/00002.toml              a scenario that `subrosa-sim run` and `explain` take
//! runs/00002/seed-7.json         a record
//! shards/1-of-4.provenance.json
//! merged/                        see `merge`
//! ```

use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::plan::{Plan, Task};

/// A finished run.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Record {
    /// [`Plan::key`]: a record of other sources or another scenario counts as none.
    pub key: String,
    /// The run's report as JSON, without its timeline.
    pub report: Value,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

impl Store {
    /// A sweep's folder, which need not be there yet.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// A file in it.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Writes the plan and the scenarios, unless the folder has just these.
    ///
    /// # Errors
    /// A sentence if the folder is another plan's, or cannot be written.
    pub fn keep_plan(&self, plan: &Plan) -> Result<(), String> {
        let path = self.path("plan.json");
        if path.exists() {
            let there: Plan = read_json(&path)?;
            let folder = self.folder.display();
            if there.source_sha256 != plan.source_sha256 {
                return Err(format!(
                    "{folder} was begun by a program from other sources: results would mix; choose another --out"
                ));
            }
            // Compared as written: a number need not be read back to its last bit.
            if fs::read(&path).ok() != to_json(plan).ok() {
                return Err(format!(
                    "{folder} belongs to another sweep or another version of this one; choose another --out"
                ));
            }
            return Ok(());
        }
        for (index, point) in plan.points.iter().enumerate() {
            let name = format!("points/{index:05}.toml");
            write_whole(&self.path(&name), point.scenario.as_bytes())?;
        }
        write_json(&path, plan)
    }

    /// The plan that is there.
    ///
    /// # Errors
    /// A sentence if there is none.
    pub fn plan(&self) -> Result<Plan, String> {
        read_json(&self.path("plan.json"))
    }

    /// A run's record; `None` if there is none, or none of this plan, or one that is not whole.
    #[must_use]
    pub fn record(&self, plan: &Plan, task: Task) -> Option<Record> {
        let bytes = fs::read(self.record_path(task)).ok()?;
        let record: Record = serde_json::from_slice(&bytes).ok()?;
        (record.key == plan.key(task)).then_some(record)
    }

    /// Keeps a run's record.
    ///
    /// # Errors
    /// A sentence if it cannot be written.
    pub fn keep_record(&self, task: Task, record: &Record) -> Result<(), String> {
        write_json(&self.record_path(task), record)
    }

    fn record_path(&self, task: Task) -> PathBuf {
        self.path(&format!("runs/{:05}/seed-{}.json", task.point, task.seed))
    }
}

/// Reads a JSON file.
///
/// # Errors
/// A sentence that names it.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, String> {
    let bytes = fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    serde_json::from_slice(&bytes).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

/// Writes a JSON file, whole or not at all.
///
/// # Errors
/// A sentence that names it.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), String> {
    write_whole(path, &to_json(value)?)
}

fn to_json(value: &impl Serialize) -> Result<Vec<u8>, String> {
    let mut bytes = serde_json::to_vec_pretty(value).map_err(|error| error.to_string())?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// Writes a file beside its place and moves it there, so that nobody ever sees half of it.
///
/// # Errors
/// A sentence that names it.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), String> {
    let write = || -> std::io::Result<()> {
        let folder = path.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder)?;
        let mut file = tempfile::Builder::new().prefix(".part-").tempfile_in(folder)?;
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        share(file.as_file())?;
        file.persist(path)?;
        Ok(())
    };
    write().map_err(|error| format!("cannot write {}: {error}; choose another --out", path.display()))
}

/// Temporary files are for their owner alone; results are for whoever may read the folder.
#[cfg(unix)]
fn share(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn share(_: &fs::File) -> std::io::Result<()> {
    Ok(())
}
