//! A figure from a merged table: the mean over seeds with its confidence interval, by one axis, and by another as series.
//!
//! | module | concern |
//! |---|---|
//! | `series` | rows to points |
//! | `words` | what axes and columns are called, and their units |
//! | `draw` | points to SVG |
//! | `raster` | SVG to PNG |

mod draw;
mod raster;
mod series;
mod words;

use super::{plan::Plan, statistics::CONFIDENCE, table::Row};
use series::{Grid, Series};

/// Fewer seeds than that are said to be few.
pub const SEEDS_MIN: usize = 30;
/// The figure's font, for measuring text and for PNG: no font of the system is needed.
const FONT: &[u8] = include_bytes!("font/DejaVuSans-subset.ttf");

/// What to draw.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// The axis from left to right.
    pub x: String,
    /// The column whose mean is drawn.
    pub y: String,
    /// The axis of which each value is a line.
    pub by: Option<String>,
    /// Values of other axes that are drawn, others are not.
    pub only: Vec<(String, String)>,
    /// Instead of the words that are known for it.
    pub title: Option<String>,
    /// Instead of the words that are known for it.
    pub x_label: Option<String>,
    /// Instead of the words that are known for it.
    pub y_label: Option<String>,
}

/// A figure.
#[derive(Clone, Debug)]
pub struct Figure {
    /// As text.
    pub svg: String,
    /// The same as pixels, twice as fine.
    pub png: Vec<u8>,
    /// What whoever shows it should know.
    pub warnings: Vec<String>,
}

/// Everything that is written on a figure.
#[derive(Clone, Debug)]
struct Chart {
    title: String,
    subtitle: String,
    footer: String,
    x: String,
    y: String,
    legend: Option<String>,
    grid: Grid,
    series: Vec<Series>,
    /// Whether the points' numbers of seeds differ, so that each says its own.
    tells_n: bool,
}

/// Draws a figure.
///
/// # Errors
/// A sentence if an axis or column is unknown, another axis is left open, or nothing is left to draw.
pub fn plot(plan: &Plan, rows: &[Row], request: &Request) -> Result<Figure, String> {
    let (grid, series) = series::group(plan, rows, request)?;
    let counts = || {
        series
            .iter()
            .flat_map(|series| series.points.iter().map(|(_, mean)| mean.n))
    };
    let (least, most) = (
        counts().min().unwrap_or_default(),
        counts().max().unwrap_or_default(),
    );
    let mut warnings = Vec::new();
    if least < SEEDS_MIN {
        warnings.push(format!(
            "a point has {least} seeds only: take at least {SEEDS_MIN} for a figure that others rely on"
        ));
    }
    let seeds = if least == most {
        format!("n = {least} seeds at each point")
    } else {
        "n at each point".to_owned()
    };
    let interval = if most < 2 {
        "no interval from a single seed".to_owned()
    } else {
        format!(
            "bars: {:.0} % confidence interval of the mean (Student t)",
            CONFIDENCE * 100.0
        )
    };
    let y = request
        .y_label
        .clone()
        .unwrap_or_else(|| words::column(&request.y));
    let x = request
        .x_label
        .clone()
        .unwrap_or_else(|| words::axis(plan, &request.x));
    let legend = request.by.as_ref().map(|by| words::axis(plan, by));
    let only: Vec<String> = request
        .only
        .iter()
        .map(|(key, value)| format!("{key} = {value}"))
        .collect();
    let title = request.title.clone().unwrap_or_else(|| {
        let by = legend
            .as_ref()
            .map_or(String::new(), |by| format!(" and {}", words::without_unit(by)));
        format!(
            "{} by {}{by}",
            words::capital(words::without_unit(&y)),
            words::without_unit(&x)
        )
    });
    let fixed = if only.is_empty() {
        String::new()
    } else {
        format!("; {}", only.join(", "))
    };
    let source = plan.source_sha256.get(..12).unwrap_or_default();
    let chart = Chart {
        title,
        subtitle: format!("mean over seeds, {seeds}; {interval}{fixed}"),
        footer: format!(
            "subrosa-sim {}, sweep “{}”, sources {source}",
            env!("CARGO_PKG_VERSION"),
            plan.name
        ),
        x,
        y,
        legend,
        grid,
        series,
        tells_n: least != most,
    };
    let svg = draw::svg(&chart)?;
    let png = raster::png(&svg)?;
    Ok(Figure { svg, png, warnings })
}
