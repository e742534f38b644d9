//! What a sweep runs: points (one value of each axis) times seeds, split into shards.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use toml::Value;

use super::{
    edit,
    file::{Axis, MEMBERS, SPEAKERS, SweepFile},
    provenance, source_hash, suggest, value_text,
};
use crate::scenario::Scenario;

/// Points that one sweep may have. Reason: whoever writes more has mistaken something.
const POINTS_MAX: usize = 100_000;
/// The plan's format.
const VERSION: u32 = 1;

/// See the module.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Plan {
    /// The format.
    pub v: u32,
    /// The sweep's name.
    pub name: String,
    /// What it asks.
    pub summary: String,
    /// What varies.
    pub axes: Vec<AxisPlan>,
    /// The seeds of each point.
    pub seeds: Vec<u64>,
    /// All combinations; the last axis varies fastest.
    pub points: Vec<Point>,
    /// SHA-256 of the sweep file.
    pub sweep_sha256: String,
    /// SHA-256 of the sources that run it.
    pub source_sha256: String,
}

/// An axis as tables and figures name it.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct AxisPlan {
    /// The key.
    pub key: String,
    /// In words, if the sweep file has some.
    pub label: Option<String>,
    /// How many values.
    pub values: usize,
}

/// One value of each axis.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
pub struct Point {
    /// In the order of the plan's axes.
    pub values: Vec<AxisValue>,
    /// The scenario, as TOML.
    pub scenario: String,
}

/// A value of an axis.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum AxisValue {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// A word.
    Text(String),
}

impl fmt::Display for AxisValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Int(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

/// One run of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    /// The point's index.
    pub point: usize,
    /// The seed.
    pub seed: u64,
}

/// The `index`-th of `count` parts, counted from 1; written `2/4`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Which, from 1.
    pub index: usize,
    /// Of how many.
    pub count: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(index, count)| {
            let (index, count) = (index.parse().ok()?, count.parse().ok()?);
            (1..=count).contains(&index).then_some(Self { index, count })
        });
        numbers.ok_or_else(|| format!("`{text}` is no shard: 1/4 to 4/4 are the four parts of a sweep"))
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

impl Plan {
    /// Makes every point's scenario, and reads it as a run will.
    ///
    /// # Errors
    /// A sentence that names the axis' values with which the scenario cannot be read.
    pub fn new(file: &SweepFile) -> Result<Self, String> {
        let count = file
            .axes
            .iter()
            .try_fold(1_usize, |count, axis| count.checked_mul(axis.values.len()))
            .filter(|count| *count <= POINTS_MAX)
            .ok_or_else(|| {
                format!("more than {POINTS_MAX} combinations of the axes: leave some values out")
            })?;
        let points = (0..count)
            .map(|index| point(file, index))
            .collect::<Result<_, _>>()?;
        let axes = file.axes.iter().map(|axis| AxisPlan {
            key: axis.key.clone(),
            label: axis.label.clone(),
            values: axis.values.len(),
        });
        Ok(Self {
            v: VERSION,
            name: file.name.clone(),
            summary: file.summary.clone(),
            axes: axes.collect(),
            seeds: file.seeds.clone(),
            points,
            sweep_sha256: source_hash::of_bytes(file.text.as_bytes()),
            source_sha256: provenance::SOURCE_SHA256.to_owned(),
        })
    }

    /// How many runs there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.points.len() * self.seeds.len()
    }

    /// Whether there is nothing to run.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All runs, seed by seed, so that a sweep that is cut short has something of each point.
    pub fn tasks(&self) -> impl Iterator<Item = Task> + '_ {
        let points = 0..self.points.len();
        let tasks = self
            .seeds
            .iter()
            .map(move |&seed| points.clone().map(move |point| Task { point, seed }));
        tasks.flatten()
    }

    /// The runs of one shard: each `count`-th, so that dear points are spread over all shards.
    #[must_use]
    pub fn shard(&self, shard: Shard) -> Vec<Task> {
        // Along the diagonal: with as many points as shards, each shard would have one point's runs otherwise.
        let points = self.points.len();
        let mine = |index: usize| (index + index / points) % shard.count == shard.index - 1;
        let tasks = self.tasks().enumerate();
        tasks
            .filter(|(index, _)| mine(*index))
            .map(|(_, task)| task)
            .collect()
    }

    /// What a record must say to be the one of this run: a hash of scenario, seed and sources.
    #[must_use]
    pub fn key(&self, task: Task) -> String {
        let scenario = &self.points[task.point].scenario;
        let text = format!("{}\n{}\n{scenario}", self.source_sha256, task.seed);
        source_hash::of_bytes(text.as_bytes())
    }

    /// `loss 5, members 10`, for messages.
    #[must_use]
    pub fn describe(&self, point: usize) -> String {
        let values = self.axes.iter().zip(&self.points[point].values);
        let values: Vec<String> = values
            .map(|(axis, value)| format!("{} = {value}", axis.key))
            .collect();
        values.join(", ")
    }
}

fn point(file: &SweepFile, index: usize) -> Result<Point, String> {
    let mut rest = index;
    let mut chosen: Vec<(&Axis, &Value)> = Vec::new();
    for axis in file.axes.iter().rev() {
        chosen.push((axis, &axis.values[rest % axis.values.len()]));
        rest /= axis.values.len();
    }
    chosen.reverse();
    let described: Vec<String> = chosen
        .iter()
        .map(|(axis, value)| format!("{} = {}", axis.key, value_text(value)))
        .collect();
    let scenario = edited(file, &chosen).map_err(|error| {
        let described = described.join(", ");
        format!("with {described}: {}", suggest::explain(&error))
    })?;
    Ok(Point {
        values: chosen
            .into_iter()
            .map(|(_, value)| AxisValue::from(value))
            .collect(),
        scenario,
    })
}

/// The scenario of one point, as TOML that [`Scenario::parse`] takes.
fn edited(file: &SweepFile, chosen: &[(&Axis, &Value)]) -> Result<String, String> {
    let mut scenario = file.scenario.clone();
    for (key, value) in &file.set {
        edit::set(&mut scenario, key, value)?;
    }
    let number = |key: &str| -> Result<Option<u64>, String> {
        let value = chosen
            .iter()
            .find(|(axis, _)| axis.key == key)
            .map(|(_, value)| *value);
        let number = |value: &Value| value.as_integer()?.try_into().ok();
        value
            .map(|value| number(value).ok_or(format!("`{key}` is a whole number")))
            .transpose()
    };
    let (members, speakers) = (number(MEMBERS)?, number(SPEAKERS)?);
    if let Some(template) = &file.members {
        edit::populate(&mut scenario, template, members, speakers)?;
    }
    for (axis, value) in chosen
        .iter()
        .filter(|(axis, _)| ![MEMBERS, SPEAKERS].contains(&axis.key.as_str()))
    {
        edit::set(&mut scenario, &axis.key, value)?;
    }
    let text = toml::to_string(&scenario).map_err(|error| error.to_string())?;
    Scenario::parse(&text)?;
    Ok(text)
}

impl From<&Value> for AxisValue {
    fn from(value: &Value) -> Self {
        match value {
            Value::Boolean(value) => Self::Bool(*value),
            Value::Integer(value) => Self::Int(*value),
            Value::Float(value) => Self::Float(*value),
            other => Self::Text(value_text(other)),
        }
    }
}
