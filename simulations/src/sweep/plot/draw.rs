//! Points to SVG.

use std::{ops::Range, sync::Once};

use plotters::{
    coord::{
        Shift,
        ranged1d::{DefaultFormatting, KeyPointHint, Ranged},
        types::RangedCoordf64,
    },
    prelude::*,
    style::{
        FontStyle, register_font,
        text_anchor::{HPos, Pos, VPos},
    },
};

use super::{
    Chart, FONT,
    series::{Grid, Series, extent},
};

/// Width and height, in SVG's units.
const SIZE: (u32, u32) = (900, 560);
/// Left for the legend.
const LEGEND_WIDTH: i32 = 190;
/// Left for title and subtitle, and for the footer.
const HEAD_HEIGHT: i32 = 62;
const FOOT_HEIGHT: i32 = 22;
/// Okabe and Ito's palette, which people who confuse colours can tell apart; dark ones first.
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(230, 159, 0),
    RGBColor(86, 180, 233),
    RGBColor(0, 0, 0),
];
const GREY: RGBColor = RGBColor(90, 90, 90);
/// Half an error bar's cap, and half a marker.
const CAP: i32 = 6;
const MARKER: i32 = 5;
/// How many values of an axis are each written below it.
const TICKS_MAX: usize = 12;
/// Series stand so far side by side, in places of words, and as a share of the width: bars would hide each other.
const DODGE: f64 = 0.08;
const NUMBERS_DODGE: f64 = 0.011;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Plane<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<Ticks, RangedCoordf64>>;

/// From left to right, with labels just where there are values.
struct Ticks {
    span: Range<f64>,
    ticks: Vec<f64>,
}

impl Ranged for Ticks {
    type FormatOption = DefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        RangedCoordf64::from(self.span.clone()).map(value, limit)
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.span.clone()
    }
}

/// Draws a chart.
pub(super) fn svg(chart: &Chart) -> Result<String, String> {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // Only for measuring; a font that cannot be read would be found by the tests.
        let _ = register_font("sans-serif", FontStyle::Normal, FONT);
    });
    let mut text = String::new();
    {
        let root = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        draw(&root, chart).map_err(|error| format!("cannot draw the figure: {error}"))?;
        root.present()
            .map_err(|error| format!("cannot draw the figure: {error}"))?;
    }
    Ok(text)
}

type Drawn = Result<(), Box<dyn std::error::Error>>;

fn draw(root: &Area<'_>, chart: &Chart) -> Drawn {
    root.fill(&WHITE)?;
    let (head, below) = root.split_vertically(HEAD_HEIGHT);
    let height = i32::try_from(SIZE.1)? - HEAD_HEIGHT - FOOT_HEIGHT;
    let (body, foot) = below.split_vertically(height);
    let legend_width = if chart.legend.is_some() { LEGEND_WIDTH } else { 16 };
    let (plane, legend) = body.split_horizontally(i32::try_from(SIZE.0)? - legend_width);
    let words = |size: i32, colour: &RGBColor| ("sans-serif", size).into_font().color(colour);
    // Long titles are written smaller rather than beyond the edge.
    let title_size = if chart.title.chars().count() > 76 { 14 } else { 18 };
    head.draw(&Text::new(
        chart.title.clone(),
        (16, 14),
        words(title_size, &BLACK),
    ))?;
    head.draw(&Text::new(chart.subtitle.clone(), (16, 40), words(13, &GREY)))?;
    foot.draw(&Text::new(chart.footer.clone(), (16, 4), words(10, &GREY)))?;
    draw_plane(&plane, chart)?;
    draw_legend(&legend, chart)
}

fn draw_plane(area: &Area<'_>, chart: &Chart) -> Drawn {
    let (low, high) = vertical(&chart.series);
    let (left, right, ticks) = horizontal(&chart.grid);
    let mut plane: Plane<'_, '_> = ChartBuilder::on(area)
        .margin_left(8)
        .margin_right(12)
        .x_label_area_size(48)
        .y_label_area_size(76)
        .build_cartesian_2d(
            Ticks {
                span: left..right,
                ticks,
            },
            low..high,
        )?;
    let named = |x: &f64| match &chart.grid {
        Grid::Numbers(_) => short(*x),
        Grid::Words(words) => words.get(x.round() as usize).cloned().unwrap_or_default(),
    };
    plane
        .configure_mesh()
        .x_desc(&chart.x)
        .y_desc(&chart.y)
        .axis_desc_style(("sans-serif", if chart.y.chars().count() > 60 { 12 } else { 14 }))
        .label_style(("sans-serif", 13))
        .x_label_formatter(&named)
        .y_label_formatter(&|y| short(*y))
        .light_line_style(TRANSPARENT)
        .bold_line_style(RGBColor(225, 225, 225))
        .draw()?;
    for (index, series) in chart.series.iter().enumerate() {
        draw_series(&mut plane, chart, index, series)?;
    }
    Ok(())
}

fn draw_series(plane: &mut Plane<'_, '_>, chart: &Chart, index: usize, series: &Series) -> Drawn {
    let colour = COLOURS[index % COLOURS.len()];
    let side = index as f64 - (chart.series.len() as f64 - 1.0) / 2.0;
    let span = plane.x_range().end - plane.x_range().start;
    let place = |x: f64| match chart.grid {
        Grid::Numbers(_) => x + side * NUMBERS_DODGE * span,
        Grid::Words(_) => x + side * DODGE,
    };
    // Between words there is nothing that a line could pass through.
    if matches!(chart.grid, Grid::Numbers(_)) {
        let line = series.points.iter().map(|(x, mean)| (place(*x), mean.mean));
        plane.draw_series(LineSeries::new(line, colour.stroke_width(2)))?;
    }
    for (x, mean) in &series.points {
        let x = place(*x);
        if let Some(half) = mean.half_width {
            let ends = [mean.mean - half, mean.mean + half];
            let bar = PathElement::new(ends.map(|y| (x, y)).to_vec(), colour.stroke_width(2));
            plane.draw_series([bar])?;
            let cap = |y: f64| {
                let cap = PathElement::new(vec![(-CAP, 0), (CAP, 0)], colour.stroke_width(2));
                EmptyElement::at((x, y)) + cap
            };
            plane.draw_series(ends.map(cap))?;
        }
        plane.draw_series([EmptyElement::at((x, mean.mean)) + marker(index, (0, 0))])?;
        if chart.tells_n {
            let top = mean.mean + mean.half_width.unwrap_or_default();
            let style = ("sans-serif", 11)
                .into_font()
                .color(&colour)
                .pos(Pos::new(HPos::Center, VPos::Bottom));
            let text = Text::new(format!("n = {}", mean.n), (0, -MARKER - 2), style);
            plane.draw_series([EmptyElement::at((x, top)) + text])?;
        }
    }
    Ok(())
}

/// Series differ by shape as well as by colour, for print without colours.
fn marker(index: usize, (x, y): (i32, i32)) -> Polygon<(i32, i32)> {
    let corners: Vec<(f64, f64)> = match index % 4 {
        0 => (0..24)
            .map(|part| (f64::from(part) * std::f64::consts::TAU / 24.0).sin_cos())
            .collect(),
        1 => vec![(-0.95, -0.95), (0.95, -0.95), (0.95, 0.95), (-0.95, 0.95)],
        2 => vec![(0.0, -1.3), (1.2, 0.9), (-1.2, 0.9)],
        _ => vec![(0.0, -1.4), (1.4, 0.0), (0.0, 1.4), (-1.4, 0.0)],
    };
    let radius = f64::from(MARKER);
    let corner = |(a, b): (f64, f64)| (x + (a * radius).round() as i32, y + (b * radius).round() as i32);
    let colour = COLOURS[index % COLOURS.len()];
    Polygon::new(
        corners.into_iter().map(corner).collect::<Vec<_>>(),
        colour.filled(),
    )
}

fn draw_legend(area: &Area<'_>, chart: &Chart) -> Drawn {
    let Some(title) = &chart.legend else {
        return Ok(());
    };
    let style = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    let lines = wrap(title, 24);
    let mut y = 8;
    for line in lines {
        area.draw(&Text::new(line, (6, y), style(13)))?;
        y += 17;
    }
    y += 8;
    for (index, series) in chart.series.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        area.draw(&PathElement::new(vec![(8, y), (36, y)], colour.stroke_width(2)))?;
        area.draw(&marker(index, (22, y)))?;
        area.draw(&Text::new(series.name.clone(), (44, y - 7), style(13)))?;
        y += 24;
    }
    Ok(())
}

/// Words in lines of about so many letters.
fn wrap(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines
            .last_mut()
            .filter(|line| line.chars().count() + word.chars().count() < letters)
        {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// From where to where, and which places have a label.
fn horizontal(grid: &Grid) -> (f64, f64, Vec<f64>) {
    match grid {
        Grid::Numbers(numbers) => {
            let (low, high) = (
                numbers.iter().copied().fold(f64::INFINITY, f64::min),
                numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max),
            );
            let pad = if high > low { (high - low) * 0.05 } else { 1.0 };
            // Few values are each written; of many, plotters chooses round ones.
            let ticks = if numbers.len() <= TICKS_MAX {
                numbers.clone()
            } else {
                round_ticks(low, high)
            };
            (low - pad, high + pad, ticks)
        }
        Grid::Words(words) => {
            let last = words.len() as f64 - 1.0;
            (
                -0.5,
                last + 0.5,
                (0..words.len()).map(|place| place as f64).collect(),
            )
        }
    }
}

/// About eight round numbers: 1, 2 or 5 times a power of ten apart.
fn round_ticks(low: f64, high: f64) -> Vec<f64> {
    let rough = (high - low) / 8.0;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|step| step * power)
        .into_iter()
        .find(|step| *step >= rough);
    let step = step.unwrap_or(rough);
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    (first..=last).map(|tick| tick as f64 * step).collect()
}

/// From where to where: with zero, unless that would press everything together.
fn vertical(series: &[Series]) -> (f64, f64) {
    let (mut low, mut high) = extent(series);
    if low >= 0.0 && low < high * 0.7 {
        low = 0.0;
    }
    let span = if high > low {
        high - low
    } else {
        high.abs().max(1.0)
    };
    if low != 0.0 {
        low -= span * 0.06;
    }
    high += span * 0.1;
    (low, high)
}

/// A number without needless digits; thousands are set apart.
fn short(number: f64) -> String {
    let rounded = format!("{number:.6}");
    let rounded = rounded.trim_end_matches('0').trim_end_matches('.');
    let (whole, rest) = rounded.split_at(rounded.find('.').unwrap_or(rounded.len()));
    let (sign, digits) = whole
        .strip_prefix('-')
        .map_or(("", whole), |digits| ("−", digits));
    let mut spaced = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) && digits.len() > 4 {
            spaced.push('\u{a0}');
        }
        spaced.push(digit);
    }
    format!("{sign}{spaced}{rest}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (number, text) in [
            (5.0, "5"),
            (0.25, "0.25"),
            (-1_234_567.0, "−1\u{a0}234\u{a0}567"),
            (1500.0, "1500"),
        ] {
            assert_eq!(short(number), text);
        }
    }

    #[test]
    fn ticks_are_round() {
        assert_eq!(round_ticks(0.0, 100.0), [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]);
    }
}
