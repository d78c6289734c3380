//! Draws one panel.

use super::{
    data::{Line, Panel, Point},
    scale::Scale,
    svg::{self, anchored, escape, text},
};
use crate::report::{format, measure::Unit};

/// Width of a panel, its labels among it.
pub const WIDTH: f64 = 400.0;
/// Height of a panel, its labels among it.
pub const HEIGHT: f64 = 320.0;

const LEFT: f64 = 62.0;
const RIGHT: f64 = 18.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 52.0;
const INNER_WIDTH: f64 = WIDTH - LEFT - RIGHT;
const INNER_HEIGHT: f64 = HEIGHT - TOP - BOTTOM;
/// Colours there are; engines after them have dashed lines in the same colours.
const COLOURS: usize = 8;

/// Class of an engine's colour, by its place in the report.
pub fn series_class(place: usize) -> String {
    let later = if place >= COLOURS { " later" } else { "" };
    format!("e{}{later}", place % COLOURS)
}

/// A panel as a document of its own, without a style: that of the page holds.
pub fn document(panel: &Panel) -> String {
    let label = format!("{} over {}: {}", panel.title, panel.x_label, panel.better);
    svg::document(WIDTH, HEIGHT, &label, &body(panel))
}

/// A panel within a picture.
pub fn body(panel: &Panel) -> String {
    let mut drawing = text(8.0, 16.0, "heading", &panel.title);
    drawing.push_str(&text(
        8.0,
        33.0,
        "better",
        &format!("{}, {}", axis_unit(panel), panel.better),
    ));
    if panel.lines.is_empty() {
        drawing.push_str(&anchored(
            LEFT + INNER_WIDTH / 2.0,
            TOP + INNER_HEIGHT / 2.0,
            "axis",
            "middle",
            panel.empty,
        ));
        return drawing;
    }
    let axes = Axes::of(panel);
    drawing.push_str(&axes.draw(panel));
    for line in &panel.lines {
        drawing.push_str(&draw_line(line, panel, axes));
    }
    drawing.push_str(&draw_notes(panel, axes));
    drawing
}

#[derive(Clone, Copy, Debug)]
struct Axes {
    x: Scale,
    y: Scale,
    /// Factor from seconds to the unit of the ticks.
    factor: f64,
}

impl Axes {
    fn of(panel: &Panel) -> Self {
        let points = || panel.lines.iter().flat_map(|line| &line.points);
        let xs: Vec<f64> = points().map(|point| point.x).collect();
        let factor = factor(panel);
        let ys: Vec<f64> = points()
            .flat_map(|point| {
                let (low, high) = point.y.whisker().unwrap_or((point.y.min, point.y.max));
                [
                    point.y.min.min(low) * factor,
                    point.y.max.max(high) * factor,
                ]
            })
            .collect();
        Self {
            x: if panel.loads.is_empty() {
                Scale::of_figures(&xs, false)
            } else {
                Scale::of_loads(&xs)
            },
            y: Scale::of_figures(&ys, panel.wide),
            factor,
        }
    }

    fn left(self, value: f64) -> f64 {
        LEFT + self.x.place(value) * INNER_WIDTH
    }

    fn top(self, value: f64) -> f64 {
        TOP + (1.0 - self.y.place(value * self.factor)) * INNER_HEIGHT
    }

    fn draw(self, panel: &Panel) -> String {
        let mut drawing = String::new();
        let bottom = TOP + INNER_HEIGHT;
        for tick in self.y.ticks() {
            let y = TOP + (1.0 - self.y.place(tick)) * INNER_HEIGHT;
            drawing.push_str(&format!(
                "<path class=\"grid\" d=\"M{LEFT} {y:.1}h{INNER_WIDTH}\"/>"
            ));
            drawing.push_str(&anchored(
                LEFT - 8.0,
                y + 4.0,
                "tick",
                "end",
                &tick_text(tick),
            ));
        }
        drawing.push_str(&format!(
            "<path class=\"base\" d=\"M{LEFT} {bottom}h{INNER_WIDTH}\"/>"
        ));
        for tick in self.x_ticks(panel) {
            let x = self.left(tick);
            drawing.push_str(&format!("<path class=\"base\" d=\"M{x:.1} {bottom}v4\"/>"));
            drawing.push_str(&anchored(
                x,
                bottom + 18.0,
                "tick",
                "middle",
                &tick_text(tick),
            ));
        }
        let middle = LEFT + INNER_WIDTH / 2.0;
        drawing.push_str(&anchored(
            middle,
            HEIGHT - 12.0,
            "axis",
            "middle",
            &panel.x_label,
        ));
        drawing
    }

    /// Every load that was driven, but for those whose labels would touch.
    fn x_ticks(self, panel: &Panel) -> Vec<f64> {
        if panel.loads.is_empty() {
            return self.x.ticks();
        }
        let mut taken = f64::NEG_INFINITY;
        let mut ticks = Vec::new();
        for load in &panel.loads {
            let half = tick_text(*load).chars().count() as f64 * 3.6;
            if self.left(*load) - half > taken + 5.0 {
                ticks.push(*load);
                taken = self.left(*load) + half;
            }
        }
        ticks
    }
}

fn draw_line(line: &Line, panel: &Panel, axes: Axes) -> String {
    let place = |point: &Point| (axes.left(point.x), axes.top(point.y.mean));
    let path: Vec<String> = line
        .points
        .iter()
        .map(|point| {
            let (x, y) = place(point);
            format!("{x:.1} {y:.1}")
        })
        .collect();
    let mut drawing = format!(
        "<g class=\"{}\"><path class=\"line\" d=\"M{}\"/>",
        series_class(line.place),
        path.join("L")
    );
    for point in &line.points {
        let (x, y) = place(point);
        if let Some((low, high)) = point.y.whisker() {
            let (low, high) = (axes.top(low), axes.top(high));
            // A bar with a foot and a head.
            let (left, width) = (x - 4.0, 8.0);
            drawing.push_str(&format!(
                "<path class=\"range\" d=\"M{x:.1} {low:.1}V{high:.1}M{left:.1} {low:.1}h{width}M{left:.1} {high:.1}h{width}\"/>"
            ));
        }
        drawing.push_str(&marker(line.place, x, y, &tooltip(line, point, panel)));
    }
    drawing.push_str("</g>");
    drawing
}

/// Words beside points, but for those that would stand on others.
fn draw_notes(panel: &Panel, axes: Axes) -> String {
    let mut drawing = String::new();
    let mut taken: Vec<(f64, f64)> = Vec::new();
    for point in panel.lines.iter().flat_map(|line| &line.points) {
        let (x, y) = (axes.left(point.x), axes.top(point.y.mean));
        let free = taken
            .iter()
            .all(|(other_x, other_y)| (x - other_x).abs() > 32.0 || (y - other_y).abs() > 12.0);
        if point.note.is_empty() || !free {
            continue;
        }
        taken.push((x, y));
        let (at, anchor) = if x > LEFT + INNER_WIDTH - 24.0 {
            (x - 6.0, "end")
        } else {
            (x + 6.0, "start")
        };
        drawing.push_str(&anchored(at, y - 7.0, "note", anchor, &point.note));
    }
    drawing
}

fn tooltip(line: &Line, point: &Point, panel: &Panel) -> String {
    let value = |value| panel.unit.show(value);
    let range = if let Some((low, high)) = point.y.whisker() {
        format!(
            " ({} to {}, {} measurements; 95 % CI {} to {})",
            value(point.y.min),
            value(point.y.max),
            point.y.samples,
            value(low),
            value(high)
        )
    } else {
        String::new()
    };
    format!(
        "{} at {}: {}{range}",
        line.engine,
        point.stage,
        value(point.y.mean)
    )
}

/// The mark of an engine, so that lines can be told apart without colour.
pub fn marker(place: usize, x: f64, y: f64, tooltip: &str) -> String {
    let (element, shape) = match place % 4 {
        0 => ("circle", format!("cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4.2\"")),
        1 => (
            "rect",
            format!(
                "x=\"{:.1}\" y=\"{:.1}\" width=\"7.6\" height=\"7.6\"",
                x - 3.8,
                y - 3.8
            ),
        ),
        2 => (
            "path",
            format!("d=\"M{x:.1} {:.1}l4.8 8.4h-9.6z\"", y - 5.2),
        ),
        _ => (
            "path",
            format!("d=\"M{x:.1} {:.1}l5 5l-5 5l-5-5z\"", y - 5.0),
        ),
    };
    if tooltip.is_empty() {
        return format!("<{element} class=\"point\" {shape}/>");
    }
    let title = escape(tooltip);
    format!("<{element} class=\"point\" {shape}><title>{title}</title></{element}>")
}

/// Seconds are shown as milliseconds where all of them are short.
fn factor(panel: &Panel) -> f64 {
    let figures = panel.lines.iter().flat_map(|line| &line.points);
    let greatest = figures.map(|point| point.y.max).fold(0.0, f64::max);
    if panel.unit == Unit::Seconds && greatest < 1.0 {
        1000.0
    } else {
        1.0
    }
}

fn axis_unit(panel: &Panel) -> &'static str {
    match panel.unit {
        Unit::TokensPerSecond => "output tokens/s",
        Unit::RequestsPerSecond => "requests/s",
        Unit::Seconds if factor(panel) > 1.0 => "ms",
        Unit::Seconds => "s",
        Unit::PerMillionOutputTokens => "per million output tokens",
    }
}

fn tick_text(value: f64) -> String {
    // Ticks are round, so what is left of the binary fraction is noise.
    let rounded = (value * 1e6).round() / 1e6;
    if rounded.abs() >= 1000.0 {
        format::number(rounded)
    } else {
        format!("{rounded}")
    }
}
