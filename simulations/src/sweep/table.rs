//! All runs of a sweep, one row each.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// One value.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Cell {
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Another number.
    Float(f64),
    /// Words.
    Text(String),
}

impl Cell {
    /// The number, if it is one.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::Int(value) => Some(*value as f64),
            Self::Float(value) => Some(*value),
            Self::Bool(_) | Self::Text(_) => None,
        }
    }

    /// As CSV has it.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Int(value) => value.to_string(),
            Self::Float(value) => value.to_string(),
            Self::Text(value) => value.clone(),
        }
    }

    const fn kind(&self) -> Kind {
        match self {
            Self::Bool(_) => Kind::Bool,
            Self::Int(_) => Kind::Int,
            Self::Float(_) => Kind::Float,
            Self::Text(_) => Kind::Text,
        }
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Yes or no.
    Bool,
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Words.
    Text,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its dotted name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// A run.
pub type Row = BTreeMap<String, Cell>;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// Axes, then `point`, `seed`, and everything else by name.
    pub columns: Vec<Column>,
    /// By point and seed. A column that a row lacks is empty there.
    pub rows: Vec<Row>,
}

impl Table {
    /// A table with these columns first. A column of whole and other numbers holds numbers; of other mixtures, words.
    #[must_use]
    pub fn new(first: &[String], rows: Vec<Row>) -> Self {
        let names: BTreeSet<&String> = rows.iter().flat_map(Row::keys).collect();
        let others = names.iter().filter(|name| !first.contains(name)).copied();
        let columns = first.iter().chain(others).map(|name| Column {
            name: name.clone(),
            kind: kind(rows.iter().filter_map(|row| row.get(name))),
        });
        let columns: Vec<Column> = columns.collect();
        Self { columns, rows }
    }

    /// The table with some columns left out.
    #[must_use]
    pub fn without(&self, names: &[&str]) -> Vec<Column> {
        let kept = |column: &&Column| !names.contains(&column.name.as_str());
        self.columns.iter().filter(kept).cloned().collect()
    }

    /// Comma-separated values (RFC 4180), with a line of names.
    ///
    /// # Errors
    /// A sentence.
    pub fn to_csv(&self) -> Result<Vec<u8>, String> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        let names = self.columns.iter().map(|column| column.name.as_str());
        writer.write_record(names).map_err(|error| error.to_string())?;
        for row in &self.rows {
            let cells = self
                .columns
                .iter()
                .map(|column| row.get(&column.name).map_or(String::new(), Cell::text));
            writer.write_record(cells).map_err(|error| error.to_string())?;
        }
        writer.into_inner().map_err(|error| error.to_string())
    }

    /// A JSON object per row and line; what is empty is left out.
    ///
    /// # Errors
    /// A sentence.
    pub fn to_json_lines(&self) -> Result<Vec<u8>, String> {
        let mut bytes = Vec::new();
        for row in &self.rows {
            serde_json::to_writer(&mut bytes, row).map_err(|error| error.to_string())?;
            bytes.push(b'\n');
        }
        Ok(bytes)
    }
}

fn kind<'a>(cells: impl Iterator<Item = &'a Cell>) -> Kind {
    let joined = cells.map(Cell::kind).reduce(|a, b| match (a, b) {
        _ if a == b => a,
        (Kind::Int | Kind::Float, Kind::Int | Kind::Float) => Kind::Float,
        _ => Kind::Text,
    });
    joined.unwrap_or(Kind::Text)
}
