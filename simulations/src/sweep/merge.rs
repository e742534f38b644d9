//! Records to one table: Parquet (whole, and by axes in Hive's way), CSV and JSON lines, with their provenance.
//!
//! ```text
//! merged/table.parquet  table.csv  table.jsonl  table.provenance.json
//! merged/by_axis/members=5/network.loss_percent=10/runs.parquet
//! ```

use std::{collections::BTreeMap, fs, path::Path};

use super::{
    flatten::flatten,
    parquet_file,
    plan::{Plan, Task},
    provenance::Provenance,
    store::{Store, read_json, write_whole},
    table::{Cell, Row, Table},
};

/// Columns after the axes.
const FIRST: [&str; 5] = ["point", "seed", "violations", "first_violation", "trace_hash"];

/// What a merge found.
#[derive(Clone, Debug)]
pub struct Merged {
    /// All runs that are finished.
    pub table: Table,
    /// Those that are not.
    pub missing: Vec<Task>,
    /// Those in which something did not hold, with the first sentence about it.
    pub violated: Vec<(Task, String)>,
}

/// Reads all records of a plan.
#[must_use]
pub fn collect(plan: &Plan, store: &Store) -> Merged {
    let (mut rows, mut missing, mut violated) = (Vec::new(), Vec::new(), Vec::new());
    for point in 0..plan.points.len() {
        for &seed in &plan.seeds {
            let task = Task { point, seed };
            let Some(record) = store.record(plan, task) else {
                missing.push(task);
                continue;
            };
            let row = row(plan, task, flatten(&record.report));
            if let Some(Cell::Text(first)) = row.get("first_violation").filter(|first| **first != empty()) {
                violated.push((task, first.clone()));
            }
            rows.push(row);
        }
    }
    let first: Vec<String> = plan
        .axes
        .iter()
        .map(|axis| axis.key.clone())
        .chain(FIRST.map(str::to_owned))
        .collect();
    Merged {
        table: Table::new(&first, rows),
        missing,
        violated,
    }
}

const fn empty() -> Cell {
    Cell::Text(String::new())
}

fn row(plan: &Plan, task: Task, mut row: Row) -> Row {
    // An axis says what was asked for; a report's column of that name (`rtt_ms`) says the same.
    for (axis, value) in plan.axes.iter().zip(&plan.points[task.point].values) {
        row.insert(axis.key.clone(), Cell::from(value));
    }
    row.insert("point".to_owned(), Cell::Int(task.point as i64));
    row.insert(
        "seed".to_owned(),
        Cell::Int(task.seed.try_into().unwrap_or(i64::MAX)),
    );
    row
}

impl From<&super::plan::AxisValue> for Cell {
    fn from(value: &super::plan::AxisValue) -> Self {
        use super::plan::AxisValue;
        match value {
            AxisValue::Bool(value) => Self::Bool(*value),
            AxisValue::Int(value) => Self::Int(*value),
            AxisValue::Float(value) => Self::Float(*value),
            AxisValue::Text(value) => Self::Text(value.clone()),
        }
    }
}

/// Writes a table in all formats.
///
/// # Errors
/// A sentence if a file cannot be written.
pub fn write(plan: &Plan, merged: &Merged, store: &Store, mut provenance: Provenance) -> Result<(), String> {
    let table = &merged.table;
    let all: Vec<&Row> = table.rows.iter().collect();
    let files = [
        ("table.csv", table.to_csv()?),
        ("table.jsonl", table.to_json_lines()?),
        ("table.parquet", parquet_file::write(&table.columns, &all)?),
    ];
    for (name, bytes) in &files {
        write_whole(&store.path(&format!("merged/{name}")), bytes)?;
        provenance.output(name, bytes);
    }
    write_partitions(plan, table, store, &mut provenance)?;
    provenance.count("runs", table.rows.len());
    provenance.count("missing", merged.missing.len());
    provenance.count("violated", merged.violated.len());
    provenance.shards = shards(store)?;
    provenance.finish(&store.path("merged/table.provenance.json"))
}

/// One file for each combination of the axes. Their columns are in the paths and not in the files: readers that find both
/// stumble over the types.
fn write_partitions(
    plan: &Plan,
    table: &Table,
    store: &Store,
    provenance: &mut Provenance,
) -> Result<(), String> {
    let folder = store.path("merged/by_axis");
    if folder.exists() {
        fs::remove_dir_all(&folder).map_err(|error| format!("cannot renew {}: {error}", folder.display()))?;
    }
    let keys: Vec<&str> = plan.axes.iter().map(|axis| axis.key.as_str()).collect();
    let columns = table.without(&keys);
    let mut parts: BTreeMap<String, Vec<&Row>> = BTreeMap::new();
    for row in &table.rows {
        let path: String = keys
            .iter()
            .map(|key| format!("{}={}/", escaped(key), escaped(&row[*key].text())))
            .collect();
        parts.entry(path).or_default().push(row);
    }
    for (path, rows) in parts {
        let name = format!("by_axis/{path}runs.parquet");
        let bytes = parquet_file::write(&columns, &rows)?;
        write_whole(&store.path(&format!("merged/{name}")), &bytes)?;
        provenance.output(&name, &bytes);
    }
    Ok(())
}

/// Hive's escape: what a file name may not have, as `%` and two hexadecimal digits.
fn escaped(text: &str) -> String {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-+ ".contains(byte);
    let bytes = text.bytes();
    bytes
        .map(|byte| {
            if plain(&byte) {
                char::from(byte).to_string()
            } else {
                format!("%{byte:02X}")
            }
        })
        .collect()
}

/// What the shards say of themselves.
fn shards(store: &Store) -> Result<Vec<Provenance>, String> {
    let Ok(folder) = fs::read_dir(store.path("shards")) else {
        return Ok(Vec::new());
    };
    let is_one = |path: &Path| path.to_string_lossy().ends_with(".provenance.json");
    let mut paths: Vec<_> = folder
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_one(path))
        .collect();
    paths.sort();
    paths.iter().map(|path| read_json(path)).collect()
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn partition_paths_are_safe() {
        assert_eq!(escaped("network.loss_percent"), "network.loss_percent");
        assert_eq!(escaped("a/b=ü"), "a%2Fb%3D%C3%BC");
    }
}
