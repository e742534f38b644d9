//! Rows to points: grouped by the x axis and the series' axis, over seeds.

use std::collections::BTreeSet;

use super::Request;
use crate::sweep::{
    plan::Plan,
    statistics::{self, Mean},
    table::{Cell, Row},
};

/// Lines that can be told apart.
const SERIES_MAX: usize = 7;

/// Where points stand from left to right.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Grid {
    /// At their numbers.
    Numbers(Vec<f64>),
    /// Side by side, in the order of the sweep file.
    Words(Vec<String>),
}

/// One line.
#[derive(Clone, Debug)]
pub(super) struct Series {
    /// The value of the series' axis.
    pub(super) name: String,
    /// Position and mean.
    pub(super) points: Vec<(f64, Mean)>,
}

/// Groups a table's rows.
pub(super) fn group(plan: &Plan, rows: &[Row], request: &Request) -> Result<(Grid, Vec<Series>), String> {
    check(plan, rows, request)?;
    let only = |row: &&Row| {
        request
            .only
            .iter()
            .all(|(key, value)| row.get(key).is_some_and(|cell| same(cell, value)))
    };
    let rows: Vec<&Row> = rows
        .iter()
        .filter(only)
        .filter(|row| number(row, &request.y).is_some())
        .collect();
    if rows.is_empty() {
        return Err(format!(
            "no run has a number for `{}` with these values",
            request.y
        ));
    }
    let xs = order(plan, &request.x, &rows);
    let grid = match xs.iter().map(Cell::as_f64).collect::<Option<Vec<f64>>>() {
        Some(numbers) => Grid::Numbers(numbers),
        None => Grid::Words(xs.iter().map(Cell::text).collect()),
    };
    let names = request
        .by
        .as_ref()
        .map_or(Vec::new(), |by| order(plan, by, &rows));
    if names.len() > SERIES_MAX {
        let by = request.by.as_deref().unwrap_or_default();
        return Err(format!(
            "`{by}` has {} values, and at most {SERIES_MAX} lines can be told apart: draw it with --x",
            names.len()
        ));
    }
    let of = |name: Option<&Cell>| {
        let mine = |row: &&&Row| {
            name.is_none_or(|name| row.get(request.by.as_deref().unwrap_or_default()) == Some(name))
        };
        let rows: Vec<&&Row> = rows.iter().filter(mine).collect();
        let points = xs.iter().enumerate().filter_map(|(index, x)| {
            let there = rows.iter().filter(|row| row.get(&request.x) == Some(x));
            let values: Vec<f64> = there.filter_map(|row| number(row, &request.y)).collect();
            let position = match &grid {
                Grid::Numbers(numbers) => numbers[index],
                Grid::Words(_) => index as f64,
            };
            statistics::mean(&values).map(|mean| (position, mean))
        });
        Series {
            name: name.map_or(String::new(), Cell::text),
            points: points.collect(),
        }
    };
    let series = if request.by.is_some() {
        names.iter().map(|name| of(Some(name))).collect()
    } else {
        vec![of(None)]
    };
    Ok((grid, series))
}

fn check(plan: &Plan, rows: &[Row], request: &Request) -> Result<(), String> {
    let keys: Vec<&str> = plan.axes.iter().map(|axis| axis.key.as_str()).collect();
    let wanted = [Some(&request.x), request.by.as_ref()].into_iter().flatten();
    let mut wanted = wanted.chain(request.only.iter().map(|(key, _)| key));
    if let Some(unknown) = wanted.find(|key| !keys.contains(&key.as_str())) {
        let near = crate::sweep::suggest::nearest(unknown, keys.iter().copied());
        return Err(format!(
            "`{unknown}` is no axis of this sweep ({}){near}",
            keys.join(", ")
        ));
    }
    if !rows.iter().any(|row| number(row, &request.y).is_some()) {
        let columns: BTreeSet<&String> = rows.iter().flat_map(Row::keys).collect();
        let near = crate::sweep::suggest::nearest(&request.y, columns.iter().map(|name| name.as_str()));
        return Err(format!(
            "`{}` is no column of numbers{near}; merged/table.csv begins with all names",
            request.y
        ));
    }
    let drawn = |key: &str| {
        request.x == key
            || request.by.as_deref() == Some(key)
            || request.only.iter().any(|(only, _)| only == key)
    };
    if let Some(open) = plan.axes.iter().find(|axis| axis.values > 1 && !drawn(&axis.key)) {
        let (key, values) = (&open.key, open.values);
        return Err(format!(
            "axis `{key}` has {values} values, and a mean over different settings says nothing: \
             add --where {key}=VALUE or --by {key}"
        ));
    }
    Ok(())
}

/// The values of an axis that rows have, in the order of the sweep file; numbers from small to large.
fn order(plan: &Plan, key: &str, rows: &[&Row]) -> Vec<Cell> {
    let place = plan
        .axes
        .iter()
        .position(|axis| axis.key == key)
        .unwrap_or_default();
    let mut seen: Vec<Cell> = Vec::new();
    let all = plan.points.iter().map(|point| Cell::from(&point.values[place]));
    for cell in all {
        if !seen.contains(&cell) && rows.iter().any(|row| row.get(key) == Some(&cell)) {
            seen.push(cell);
        }
    }
    if seen.iter().all(|cell| cell.as_f64().is_some()) {
        seen.sort_by(|a, b| {
            a.as_f64()
                .unwrap_or_default()
                .total_cmp(&b.as_f64().unwrap_or_default())
        });
    }
    seen
}

fn number(row: &Row, column: &str) -> Option<f64> {
    row.get(column).and_then(Cell::as_f64)
}

/// Whether a cell is what somebody wrote on the command line: `5` is also 5.0.
fn same(cell: &Cell, written: &str) -> bool {
    cell.text() == written || cell.as_f64().is_some_and(|number| written.parse() == Ok(number))
}

/// The positions and the extent of everything that is drawn, as (lowest, highest).
pub(super) fn extent(series: &[Series]) -> (f64, f64) {
    let values = series
        .iter()
        .flat_map(|series| &series.points)
        .flat_map(|(_, mean)| {
            let half = mean.half_width.unwrap_or_default();
            [mean.mean - half, mean.mean + half]
        });
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    })
}
