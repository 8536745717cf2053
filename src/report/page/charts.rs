//! Charts of the report, drawn by plotters as SVG in the colours of the page.
//!
//! plotters writes fixed colours and a fixed size. Each colour drawn here is a `ColourToken`, which is then replaced by a
//! CSS variable of the page, so that one drawing serves light, dark and print styles. The size is removed, so that a chart
//! fills its column. `view` decides what is drawn; the words around a chart are in the templates.

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::PageError;
use super::axis::RoundAxis;
use crate::report::findings::{Histogram, TextMap};

/// A placeholder for a colour that the page defines.
#[derive(Debug, Clone, Copy)]
enum ColourToken {
    Text,
    Grid,
    Asked,
    Actual,
    Point(u8),
}

impl ColourToken {
    /// Returns an RGB value that is used for nothing else.
    fn token(self) -> RGBColor {
        let number = match self {
            Self::Text => 1,
            Self::Grid => 2,
            Self::Asked => 3,
            Self::Actual => 4,
            Self::Point(place) => 16 + place,
        };
        RGBColor(1, 2, number)
    }

    fn variable(self) -> String {
        match self {
            Self::Text => "var(--soft)".to_owned(),
            Self::Grid => "var(--grid)".to_owned(),
            Self::Asked => "var(--asked)".to_owned(),
            Self::Actual => "var(--actual)".to_owned(),
            Self::Point(place) if place < POINT_COLOURS => format!("var(--c{place})"),
            Self::Point(_) => "var(--other)".to_owned(),
        }
    }
}

/// The number of colours for attribute values on the map; rarer values share one more colour.
pub(super) const POINT_COLOURS: u8 = 10;

/// Dimensions and font size of a chart. Charts with text are drawn in two sizes, since letters scale with the drawing and
/// would be too small on a phone.
#[derive(Debug, Clone, Copy)]
struct ChartSize {
    width: u32,
    height: u32,
    letters: u32,
    labels: usize,
}

const LARGE: ChartSize = ChartSize { width: 1600, height: 520, letters: 30, labels: 12 };
const SMALL: ChartSize = ChartSize { width: 800, height: 520, letters: 32, labels: 6 };
const SQUARE: ChartSize = ChartSize { width: 900, height: 760, letters: 30, labels: 6 };

/// Draws actual lengths as bars with requested ones as an outline; returns a wide and a narrow chart.
pub(super) fn histogram(histogram: &Histogram, unit: &str) -> Result<[String; 2], PageError> {
    Ok([draw_histogram(histogram, unit, LARGE)?, draw_histogram(histogram, unit, SMALL)?])
}

fn draw_histogram(data: &Histogram, unit: &str, size: ChartSize) -> Result<String, PageError> {
    let (edges, last) = shown_edges(data);
    let asked = data.asked.as_deref().unwrap_or_default();
    let highest = data.actual.iter().chain(asked).copied().max().unwrap_or(0).max(1);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (size.width, size.height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(size.letters / 2)
            .margin_right(size.letters * 3 / 2)
            .x_label_area_size(size.letters * 2 + size.letters / 2)
            .y_label_area_size(size.letters * 4)
            .build_cartesian_2d(RoundAxis::new(edges[0], last), RoundAxis::new(0.0, highest as f64 * 1.04))
            .map_err(drawn)?;
        axes(&mut chart, size, &format!("{unit} in a text"), "texts")?;
        let bars = edges.windows(2).zip(&data.actual).filter(|(_, count)| **count > 0);
        chart
            .draw_series(bars.map(|(edge, count)| {
                let corners = [(edge[0], 0.0), (edge[1], *count as f64)];
                let mut bar = Rectangle::new(corners, ColourToken::Actual.token().mix(0.75).filled());
                bar.set_margin(0, 0, 1, 1);
                bar
            }))
            .map_err(drawn)?;
        if !asked.is_empty() {
            let outline = edges
                .windows(2)
                .zip(asked)
                .flat_map(|(edge, count)| [(edge[0], *count as f64), (edge[1], *count as f64)]);
            let line = ColourToken::Asked.token().stroke_width(5);
            chart.draw_series(LineSeries::new(outline, line)).map_err(drawn)?;
        }
        area.present().map_err(drawn)?;
    }
    Ok(finish(&svg))
}

/// Draws the lengths of several data sets over the same bins as outlines, in percent of the texts, so that sets of
/// different sizes can be compared; returns a wide and a narrow chart.
pub(super) fn outlines(histograms: &[(usize, &Histogram)], unit: &str) -> Result<[String; 2], PageError> {
    Ok([draw_outlines(histograms, unit, LARGE)?, draw_outlines(histograms, unit, SMALL)?])
}

fn draw_outlines(
    histograms: &[(usize, &Histogram)],
    unit: &str,
    size: ChartSize,
) -> Result<String, PageError> {
    let Some((_, first)) = histograms.first() else { return Ok(String::new()) };
    let (edges, last) = shown_edges(first);
    let percent = |data: &Histogram| -> Vec<f64> {
        let all = data.actual.iter().sum::<u64>().max(1) as f64;
        data.actual.iter().map(|count| *count as f64 / all * 100.0).collect()
    };
    let highest = histograms.iter().flat_map(|(_, data)| percent(data)).fold(1.0, f64::max);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (size.width, size.height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(size.letters / 2)
            .margin_right(size.letters * 3 / 2)
            .x_label_area_size(size.letters * 2 + size.letters / 2)
            .y_label_area_size(size.letters * 4)
            .build_cartesian_2d(RoundAxis::new(edges[0], last), RoundAxis::new(0.0, highest * 1.04))
            .map_err(drawn)?;
        axes(&mut chart, size, &format!("{unit} in a text"), "% of the texts")?;
        for (place, data) in histograms {
            let outline =
                edges.windows(2).zip(percent(data)).flat_map(|(edge, y)| [(edge[0], y), (edge[1], y)]);
            let colour = u8::try_from(*place).unwrap_or(POINT_COLOURS).min(POINT_COLOURS);
            let line = LineSeries::new(outline, ColourToken::Point(colour).token().stroke_width(5));
            chart.draw_series(line).map_err(drawn)?;
        }
        area.present().map_err(drawn)?;
    }
    Ok(finish(&svg))
}

/// Returns the edges of the bins as drawn: the open last bin is as wide as the others.
fn shown_edges(data: &Histogram) -> (Vec<f64>, f64) {
    let mut edges: Vec<f64> = data.edges.iter().map(|edge| *edge as f64).collect();
    if edges.len() < 2 {
        edges = vec![0.0, 1.0];
    }
    let width = edges[1] - edges[0];
    let end = edges.len() - 1;
    edges[end] = edges[end].min(edges[end - 1] + width).max(edges[end - 1] + 1.0);
    let last = edges[end];
    (edges, last)
}

/// Draws requested against actual lengths, one point per record, with the diagonal. Both axes end at `longest`, which is
/// the same for all data sets of a page.
pub(super) fn scatter(pairs: &[(u64, u64)], longest: u64) -> Result<String, PageError> {
    let size = SQUARE;
    let highest = longest.max(1) as f64 * 1.04;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, (size.width, size.height)).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(size.letters / 2)
            .margin_right(size.letters * 3 / 2)
            .x_label_area_size(size.letters * 2 + size.letters / 2)
            .y_label_area_size(size.letters * 4)
            .build_cartesian_2d(RoundAxis::new(0.0, highest), RoundAxis::new(0.0, highest))
            .map_err(drawn)?;
        axes(&mut chart, size, "words asked for", "words it has")?;
        let equal =
            LineSeries::new([(0.0, 0.0), (highest, highest)], ColourToken::Asked.token().stroke_width(4));
        chart.draw_series(equal).map_err(drawn)?;
        let style = ColourToken::Actual.token().mix(0.6).filled();
        let points = pairs.iter().map(|pair| Circle::new((pair.0 as f64, pair.1 as f64), 7, style));
        chart.draw_series(points).map_err(drawn)?;
        area.present().map_err(drawn)?;
    }
    Ok(finish(&svg))
}

/// Draws the map. Circle `i` is point `i` and is numbered for the script; `colour_of` returns its index in the palette.
pub(super) fn map(map: &TextMap, colour_of: impl Fn(usize) -> u8) -> Result<String, PageError> {
    const SIZE: (u32, u32) = (1600, 1040);
    const EDGE: f64 = 40.0;
    let radius = if map.points.len() > 800 { 7 } else { 10 };
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        for (number, point) in map.points.iter().enumerate() {
            let x = EDGE + point.x.clamp(0.0, 1.0) * (f64::from(SIZE.0) - 2.0 * EDGE);
            let y = EDGE + (1.0 - point.y.clamp(0.0, 1.0)) * (f64::from(SIZE.1) - 2.0 * EDGE);
            let style = ColourToken::Point(colour_of(number).min(POINT_COLOURS)).token().filled();
            area.draw(&Circle::new((x as i32, y as i32), radius, style)).map_err(drawn)?;
        }
        area.present().map_err(drawn)?;
    }
    let mut numbered = String::with_capacity(svg.len() + map.points.len() * 16);
    for (number, part) in finish(&svg).split("<circle ").enumerate() {
        if number > 0 {
            numbered.push_str(&format!("<circle data-point=\"{}\" ", number - 1));
        }
        numbered.push_str(part);
    }
    Ok(numbered)
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RoundAxis, RoundAxis>>;

fn axes(chart: &mut Chart<'_, '_>, size: ChartSize, across: &str, up: &str) -> Result<(), PageError> {
    let letters = ("sans-serif", size.letters).into_font().color(&ColourToken::Text.token());
    let centred = letters.pos(Pos::new(HPos::Center, VPos::Top));
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(ColourToken::Grid.token().stroke_width(2))
        .axis_style(ColourToken::Grid.token().stroke_width(2))
        .x_labels(size.labels)
        .y_labels(5)
        .x_label_style(centred)
        .y_label_style(letters_right(size))
        .x_desc(across)
        .y_desc(up)
        .axis_desc_style(("sans-serif", size.letters).into_font().color(&ColourToken::Text.token()))
        .draw()
        .map_err(drawn)
}

fn letters_right(size: ChartSize) -> TextStyle<'static> {
    let style = ("sans-serif", size.letters).into_font().color(&ColourToken::Text.token());
    style.pos(Pos::new(HPos::Right, VPos::Center))
}

/// Replaces colour tokens by CSS variables, and removes size and font so that the page sets them.
fn finish(svg: &str) -> String {
    let mut page = svg.to_owned();
    let plain = [ColourToken::Text, ColourToken::Grid, ColourToken::Asked, ColourToken::Actual];
    for colour in plain.into_iter().chain((0..=POINT_COLOURS).map(ColourToken::Point)) {
        let RGBColor(red, green, blue) = colour.token();
        page = page.replace(&format!("#{red:02X}{green:02X}{blue:02X}"), &colour.variable());
    }
    page =
        page.replace(" font-family=\"sans-serif\"", "").replace(" xmlns=\"http://www.w3.org/2000/svg\"", "");
    page = page.replace(" opacity=\"1\"", "").replace(" stroke=\"none\"", "");
    let Some(start) = page.find(" width=") else { return page };
    let Some(end) = page.find(" viewBox=") else { return page };
    page.replace_range(start..end, " aria-hidden=\"true\" focusable=\"false\"");
    page
}

fn drawn(error: impl std::fmt::Display) -> PageError {
    PageError::Chart { message: error.to_string() }
}
