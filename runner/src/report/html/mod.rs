//! `report.html`: one page that needs no network and no script.
//!
//! Everything in a report may be hostile: model output, names, metadata. The template engine
//! escapes each value, pictures escape theirs, and the page's own policy forbids scripts and
//! requests, should both fail.

pub mod answers;
mod cache;
mod conditions;
mod cost;
mod engine_view;
mod fairness;
mod groups;
mod metrics;
mod reconciliation;
mod shards;
mod steady;
mod view;

use bakeoff_crds::report::Report;
use minijinja::Environment;

const PAGE: &str = include_str!("page.html.j2");
const STYLE: &str = include_str!("page.css");

/// The page of a report.
///
/// # Errors
/// Where the template cannot be rendered, which a test rules out.
pub fn page(report: &Report) -> Result<String, minijinja::Error> {
    let mut environment = Environment::new();
    // The ending `.html` switches escaping on.
    environment.add_template("page.html", PAGE)?;
    environment
        .get_template("page.html")?
        .render(minijinja::context! {
            style => minijinja::Value::from_safe_string(STYLE.to_owned()),
            page => minijinja::value::Serde(view::Page::of(report)),
        })
}

#[cfg(test)]
mod tests;
