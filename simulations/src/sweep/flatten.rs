//! A report as one row: numbers by dotted names. It knows no field by name where it can do without, so that what reports
//! tell tomorrow becomes a column by itself.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{statistics, table::Cell};

/// What is no figure.
const LEFT_OUT: [&str; 5] = ["v", "scenario", "summary", "seed", "timeline"];

/// A report's columns.
pub(super) fn flatten(report: &Value) -> BTreeMap<String, Cell> {
    let mut row = BTreeMap::new();
    for (key, value) in report.as_object().into_iter().flatten() {
        match value {
            _ if LEFT_OUT.contains(&key.as_str()) => {}
            Value::Array(violations) if key == "violations" => {
                row.insert(key.clone(), Cell::Int(violations.len() as i64));
                let first = violations.first().and_then(Value::as_str).unwrap_or_default();
                row.insert("first_violation".to_owned(), Cell::Text(first.trim().to_owned()));
            }
            Value::Array(marks) if key == "marks" => flatten_marks(marks, &mut row),
            Value::Array(items) => flatten_items(key, items, &mut row),
            Value::Object(fields) => {
                for (name, number) in leaves(fields) {
                    row.insert(format!("{key}.{name}"), number);
                }
            }
            Value::String(text) => {
                row.insert(key.clone(), Cell::Text(text.clone()));
            }
            other => {
                row.extend(number(other).map(|cell| (key.clone(), cell)));
            }
        }
    }
    row
}

/// Each mark has columns of its own.
fn flatten_marks(marks: &[Value], row: &mut BTreeMap<String, Cell>) {
    for mark in marks.iter().filter_map(Value::as_object) {
        let name = mark.get("name").and_then(Value::as_str).unwrap_or_default();
        for (leaf, cell) in leaves(mark) {
            row.insert(format!("marks.{name}.{leaf}"), cell);
        }
    }
}

/// A list is told by how many it has, and for each number that its items have, the sum, mean, percentiles and maximum.
fn flatten_items(key: &str, items: &[Value], row: &mut BTreeMap<String, Cell>) {
    row.insert(format!("{key}.count"), Cell::Int(items.len() as i64));
    let mut numbers: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for item in items.iter().filter_map(Value::as_object) {
        for (leaf, cell) in leaves(item) {
            numbers.entry(leaf).or_default().extend(cell.as_f64());
        }
        if let Some(share) = loss_share(item) {
            numbers.entry("loss_share".to_owned()).or_default().push(share);
        }
    }
    for (leaf, mut values) in numbers.into_iter().filter(|(_, values)| !values.is_empty()) {
        values.sort_by(f64::total_cmp);
        let sum: f64 = values.iter().sum();
        let told = [
            ("sum", sum),
            ("mean", sum / values.len() as f64),
            ("p50", statistics::percentile(&values, 50.0)),
            ("p95", statistics::percentile(&values, 95.0)),
            ("max", statistics::percentile(&values, 100.0)),
        ];
        for (name, value) in told
            .into_iter()
            .filter(|(name, _)| leaf != "loss_share" || *name != "sum")
        {
            row.insert(format!("{key}.{leaf}.{name}"), Cell::Float(value));
        }
    }
}

/// Of what one speaker sent to one listener, the share that did not arrive.
fn loss_share(pair: &Map<String, Value>) -> Option<f64> {
    let (lost, heard) = (pair.get("lost")?.as_f64()?, pair.get("heard")?.as_f64()?);
    (lost + heard > 0.0).then(|| lost / (lost + heard))
}

/// Numbers and truth values, at any depth of objects.
fn leaves(fields: &Map<String, Value>) -> Vec<(String, Cell)> {
    let mut found = Vec::new();
    for (name, value) in fields {
        match value {
            Value::Object(inner) => {
                let inner = leaves(inner).into_iter();
                found.extend(inner.map(|(leaf, cell)| (format!("{name}.{leaf}"), cell)));
            }
            other => found.extend(number(other).map(|cell| (name.clone(), cell))),
        }
    }
    found
}

fn number(value: &Value) -> Option<Cell> {
    match value {
        Value::Bool(value) => Some(Cell::Bool(*value)),
        Value::Number(number) => {
            let float = number.as_f64().map(Cell::Float);
            number.as_i64().map(Cell::Int).or(float)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_report_becomes_columns() {
        let report = json!({
            "v": 1, "seed": 3, "trace_hash": "ab", "timeline": ["x"], "rtt_ms": 40.0,
            "figures": { "events": 5, "delay": { "p50": 1.5, "none": null } },
            "pairs": [{ "speaker": "A", "heard": 90, "lost": 10 }, { "speaker": "B", "heard": 100, "lost": 0 }],
            "marks": [{ "name": "end", "frames": 7 }],
            "relays": [],
            "violations": ["    1.000 s  delivery: x", "y"],
        });
        let row = flatten(&report);
        assert_eq!(row["figures.events"], Cell::Int(5));
        assert_eq!(row["figures.delay.p50"], Cell::Float(1.5));
        assert_eq!(row["pairs.count"], Cell::Int(2));
        assert_eq!(row["pairs.lost.sum"], Cell::Float(10.0));
        assert_eq!(row["pairs.loss_share.mean"], Cell::Float(0.05));
        assert_eq!(row["pairs.loss_share.max"], Cell::Float(0.1));
        assert_eq!(row["marks.end.frames"], Cell::Int(7));
        assert_eq!(row["relays.count"], Cell::Int(0));
        assert_eq!(row["violations"], Cell::Int(2));
        assert_eq!(row["first_violation"], Cell::Text("1.000 s  delivery: x".into()));
        for absent in [
            "v",
            "seed",
            "timeline",
            "figures.delay.none",
            "pairs.loss_share.sum",
        ] {
            assert!(!row.contains_key(absent), "{absent}");
        }
    }
}
