//! A dashboard's file: its queries and variables, filled in as Grafana fills them in.

use std::path::Path;

use serde_json::Value;

use crate::pages;

/// A query of a panel.
pub struct Query {
    /// The panel's title.
    pub panel: String,
    /// As it is in the file.
    pub expr: String,
}

impl Query {
    pub fn filled(&self) -> String {
        filled(&self.expr)
    }
}

/// What a dashboard asks.
pub struct Board {
    pub queries: Vec<Query>,
    /// Name, query and label of `label_values(query, label)`.
    pub variables: Vec<(String, String, String)>,
    /// Of its panels.
    pub ids: Vec<u64>,
}

impl Board {
    pub fn read(name: &str) -> Self {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts/bakeoff/dashboards");
        let text = std::fs::read(folder.join(format!("{name}.json"))).unwrap();
        let file: Value = serde_json::from_slice(&text).unwrap();
        let panels = file["panels"].as_array().unwrap();
        let queries = panels.iter().flat_map(|panel| {
            let title = panel["title"].as_str().unwrap();
            let targets = panel["targets"].as_array().cloned().unwrap_or_default();
            assert!(panel["type"] == "row" || !targets.is_empty(), "{title}");
            targets.into_iter().map(move |target| Query {
                panel: title.to_owned(),
                expr: target["expr"].as_str().unwrap().to_owned(),
            })
        });
        let variables = file["templating"]["list"].as_array().unwrap().iter();
        let variables = variables.filter(|it| it["type"] == "query").map(|it| {
            let query = it["query"]["query"].as_str().unwrap();
            let inner = query.strip_prefix("label_values(").unwrap();
            let (series, label) = inner.strip_suffix(')').unwrap().rsplit_once(", ").unwrap();
            let name = it["name"].as_str().unwrap();
            (name.to_owned(), series.to_owned(), label.to_owned())
        });
        Self {
            queries: queries.collect(),
            variables: variables.collect(),
            ids: panels.iter().map(|it| it["id"].as_u64().unwrap()).collect(),
        }
    }

    /// The queries of one panel.
    pub fn of<'a>(&'a self, panel: &'a str) -> impl Iterator<Item = &'a Query> {
        let mut found = self
            .queries
            .iter()
            .filter(move |it| it.panel == panel)
            .peekable();
        assert!(found.peek().is_some(), "there is no panel {panel:?}");
        found
    }
}

/// What a variable stands for in the test; of several values, as Grafana joins them.
pub fn value_of(variable: &str) -> String {
    match variable {
        "namespace" => "bench".to_owned(),
        "run" => pages::RUN.to_owned(),
        "pod" => pages::pods().join("|"),
        "runner" => pages::RUNNER_JOB.to_owned(),
        other => panic!("the test has no value for ${other}"),
    }
}

/// A query with its variables filled in.
pub fn filled(expr: &str) -> String {
    let mut filled = expr
        .replace("$__rate_interval", "2s")
        .replace("$__range", "4s");
    for variable in ["namespace", "runner", "run", "pod"] {
        let value = value_of(variable);
        let value = if value.contains('|') {
            format!("({value})")
        } else {
            value
        };
        filled = filled.replace(&format!("${variable}"), &value);
    }
    filled
}
