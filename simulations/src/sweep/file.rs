//! A sweep file: a scenario, what varies in it, and the seeds. TOML; unknown keys are refused.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde::Deserialize;
use toml::{Table, Value};

use super::suggest;

/// Seeds that one sweep may have. Reason: each is a file for each point.
const SEEDS_MAX: usize = 100_000;
/// The axis that sets how many people there are.
pub const MEMBERS: &str = "members";
/// The axis that sets how many of them speak.
pub const SPEAKERS: &str = "speakers";

/// What is written in a sweep file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    #[serde(default)]
    summary: String,
    scenario: PathBuf,
    seeds: Value,
    #[serde(default)]
    axes: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    set: BTreeMap<String, Value>,
    #[serde(default)]
    members: Option<Template>,
}

/// How members are added to the scenario's own.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Template {
    /// How many of all members speak, the first ones; the scenario and the template decide if absent.
    pub speakers: Option<u64>,
    /// A `[[member]]` of a scenario; `{n}` in its strings becomes 1, 2, 3, ….
    pub template: Table,
}

/// One axis.
#[derive(Clone, Debug)]
pub struct Axis {
    /// A dotted key of the scenario, [`MEMBERS`] or [`SPEAKERS`].
    pub key: String,
    /// What a figure calls it, if the file says so.
    pub label: Option<String>,
    /// Strings, numbers or booleans, all of one kind, none twice.
    pub values: Vec<Value>,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct SweepFile {
    /// The sweep's name.
    pub name: String,
    /// What it asks, in a sentence.
    pub summary: String,
    /// The scenario that is varied.
    pub scenario: Table,
    /// Each combination is run with each of these.
    pub seeds: Vec<u64>,
    /// Sorted by key.
    pub axes: Vec<Axis>,
    /// Keys of the scenario that are the same in all runs.
    pub set: BTreeMap<String, Value>,
    /// For the axes [`MEMBERS`] and [`SPEAKERS`].
    pub members: Option<Template>,
    /// The file as it is written.
    pub text: String,
}

impl SweepFile {
    /// Reads a sweep file and the scenario that it names, from the sweep file's folder.
    ///
    /// # Errors
    /// A sentence that names file and place, and what may be meant.
    pub fn read(path: &Path) -> Result<Self, String> {
        let text = read(path)?;
        let place = |error: String| format!("{}: {error}", path.display());
        let written: Written =
            toml::from_str(&text).map_err(|error| place(suggest::explain(&error.to_string())))?;
        let base = path.parent().unwrap_or(Path::new("")).join(&written.scenario);
        let scenario = read(&base)?;
        let scenario: Table =
            toml::from_str(&scenario).map_err(|error| format!("{}: {error}", base.display()))?;
        Self::assemble(written, scenario, text).map_err(place)
    }

    fn assemble(mut written: Written, scenario: Table, text: String) -> Result<Self, String> {
        let seeds = seeds(&written.seeds)?;
        let varies = |key: &str| written.axes.contains_key(key);
        if (varies(MEMBERS) || varies(SPEAKERS)) && written.members.is_none() {
            return Err(format!(
                "{}the axes `{MEMBERS}` and `{SPEAKERS}` need a section `[members]` with a `template`",
                at(&text, MEMBERS)
            ));
        }
        if let Some(both) = written.set.keys().find(|key| varies(key)) {
            return Err(format!(
                "{}`{both}` is both an axis and under `[set]`",
                at(&text, both)
            ));
        }
        let unknown = |key: &&String| !varies(key);
        if let Some(label) = written.labels.keys().find(unknown) {
            let near = suggest::nearest(label, written.axes.keys().map(String::as_str));
            return Err(format!("{}`{label}` is no axis{near}", at(&text, label)));
        }
        let mut axes = Vec::new();
        for (key, values) in std::mem::take(&mut written.axes) {
            check_values(&values).map_err(|error| format!("{}axis `{key}`: {error}", at(&text, &key)))?;
            let label = written.labels.remove(&key);
            axes.push(Axis { key, label, values });
        }
        Ok(Self {
            name: written.name,
            summary: written.summary,
            scenario,
            seeds,
            axes,
            set: written.set,
            members: written.members,
            text,
        })
    }
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// `line N: ` for the first line that begins with a key.
fn at(text: &str, key: &str) -> String {
    let begins = |line: &str| {
        line.trim_start()
            .trim_start_matches(['"', '\'', '['])
            .starts_with(key)
    };
    let line = text.lines().position(begins);
    line.map_or(String::new(), |line| format!("line {}: ", line + 1))
}

fn seeds(written: &Value) -> Result<Vec<u64>, String> {
    let wrong = || format!("`seeds` is how many (1 to {SEEDS_MAX}), or a list of different numbers");
    let seeds: Option<Vec<u64>> = match written {
        Value::Integer(count) => {
            let count = usize::try_from(*count).ok().filter(|count| *count <= SEEDS_MAX);
            count.map(|count| (1..=count as u64).collect())
        }
        Value::Array(list) if list.len() <= SEEDS_MAX => {
            let seeds = list.iter().map(|seed| seed.as_integer()?.try_into().ok());
            seeds.collect()
        }
        _ => None,
    };
    let seeds = seeds.filter(|seeds| !seeds.is_empty()).ok_or_else(wrong)?;
    let different: BTreeSet<&u64> = seeds.iter().collect();
    if different.len() == seeds.len() {
        Ok(seeds)
    } else {
        Err(wrong())
    }
}

fn check_values(values: &[Value]) -> Result<(), String> {
    let kind = |value: &Value| match value {
        Value::Integer(_) | Value::Float(_) => Some("number"),
        Value::String(_) => Some("string"),
        Value::Boolean(_) => Some("boolean"),
        _ => None,
    };
    let first = values.first().ok_or("it has no values")?;
    let expected = kind(first).ok_or("values are numbers, strings or booleans")?;
    if let Some(other) = values.iter().find(|value| kind(value) != Some(expected)) {
        return Err(format!(
            "all values are of one kind, but `{first}` and `{other}` are not"
        ));
    }
    let texts: BTreeSet<String> = values.iter().map(super::value_text).collect();
    if texts.len() < values.len() {
        return Err("a value stands there twice".to_owned());
    }
    Ok(())
}
