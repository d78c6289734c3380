//! Pictures of a report: panels over the load, one line per engine, as SVG and PNG.
//!
//! [`data`] picks the figures, [`scale`] maps them to places, [`panel`] draws one panel, and
//! [`png`] turns the whole picture into pixels with a font that is built in.

pub mod data;
pub mod panel;
pub mod png;
pub mod scale;
pub mod svg;

use bakeoff_crds::report::Report;

pub use data::panels;
pub use png::png;

use panel::{HEIGHT, WIDTH};

/// Style of a picture that stands alone. In the page the page's own style holds, which knows light
/// and dark.
const STYLE: &str = include_str!("chart.css");
/// Space round the panels.
const MARGIN: f64 = 24.0;
/// Height of title and legend.
const HEAD: f64 = 76.0;

/// `comparison.svg`: every panel beside the others, with title and legend.
pub fn comparison(report: &Report) -> String {
    let panels = panels(report);
    // Four panels are two and two; up to three stand side by side.
    let columns = if panels.len() == 4 {
        2
    } else {
        panels.len().max(1)
    };
    let rows = panels.len().div_ceil(columns).max(1);
    let width = MARGIN * 2.0 + WIDTH * columns as f64;
    let height = MARGIN * 2.0 + HEAD + HEIGHT * rows as f64;
    let mut body = format!(
        "<style>{STYLE}</style><rect class=\"ground\" width=\"{width}\" height=\"{height}\"/>"
    );
    body.push_str(&head(report));
    for (place, one) in panels.iter().enumerate() {
        let x = MARGIN + WIDTH * (place % columns) as f64;
        let y = MARGIN + HEAD + HEIGHT * (place / columns) as f64;
        body.push_str(&format!(
            "<g transform=\"translate({x} {y})\">{}</g>",
            panel::body(one)
        ));
    }
    let label = format!("Comparison of the engines of {}", report.run.identity.name);
    svg::document(width, height, &label, &body)
}

fn head(report: &Report) -> String {
    let identity = &report.run.identity;
    let model = report
        .run
        .spec
        .pointer("/model/id")
        .and_then(|id| id.as_str())
        .unwrap_or_default();
    let title = match model {
        "" => identity.name.clone(),
        model => format!("{}: {model}", identity.name),
    };
    let mut head = svg::text(MARGIN + 8.0, MARGIN + 18.0, "title", &title);
    let mut x = MARGIN + 8.0;
    for (place, engine) in report.engines.iter().enumerate() {
        let y = MARGIN + 46.0;
        head.push_str(&format!(
            "<g class=\"{}\"><path class=\"line\" d=\"M{x} {y}h22\"/>{}</g>",
            panel::series_class(place),
            panel::marker(place, x + 11.0, y, "")
        ));
        head.push_str(&svg::text(x + 30.0, y + 4.5, "legend", &engine.name));
        // The font is proportional; this is room enough for its widest letters on average.
        x += 30.0 + 9.0 * engine.name.chars().count() as f64 + 22.0;
    }
    head
}

#[cfg(test)]
mod tests;
