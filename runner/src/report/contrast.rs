//! In what two runs differ, and whether their figures can be held against each other all the same.

use std::collections::BTreeSet;

use bakeoff_crds::report::Report;
use serde::Serialize;
use serde_json::{Value, json};

/// Longest value that is shown, in characters.
const LENGTH: usize = 40;

/// What must be the same in two runs, or else their figures are of different things.
const SAME: [(&str, &str); 15] = [
    ("prefix cache between stages", "/workload/cachePolicy"),
    ("model", "/model/id"),
    ("model revision", "/model/revision"),
    ("number format", "/model/dtype"),
    ("quantization", "/model/quantization"),
    ("chat template", "/model/chatTemplate"),
    ("accelerator", "/hardware/accelerator"),
    ("node selector", "/hardware/nodeSelector"),
    ("length caps", "/workload/limits"),
    ("sampling", "/workload/sampling"),
    ("interface", "/workload/api"),
    ("streaming", "/workload/streaming"),
    ("prompts per request", "/workload/promptsPerRequest"),
    ("conversations", "/workload/prompts/conversations"),
    ("shares of the models", "/workload/models"),
];
/// What a reader should know of, who holds figures of two runs against each other.
const NAMED: [(&str, &str); 11] = [
    ("engine settings", "/tuning"),
    ("adapters", "/model/adapters"),
    ("longest sequence", "/model/maxModelLen"),
    ("resources of the engines", "/hardware/resources"),
    ("affinity", "/hardware/affinity"),
    ("requests per stage", "/workload/requestsPerStage"),
    ("stage duration", "/workload/stageDuration"),
    ("warm-up", "/workload/warmup"),
    ("seed", "/workload/seed"),
    ("runner pods", "/runner/parallelism"),
    ("resources of the runner", "/runner/resources"),
];

/// One thing in which two runs differ.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Contrast {
    /// What it is, in words.
    pub what: String,
    /// How it is in the one run; null where it has no such thing.
    pub first: Value,
    /// How it is in the other.
    pub second: Value,
    /// Whether figures of the two say nothing about each other for that.
    pub incomparable: bool,
}

impl Contrast {
    /// In words: `seed (0 and 7)`.
    pub fn words(&self) -> String {
        let [first, second] = [&self.first, &self.second].map(shown);
        format!("{} ({first} and {second})", self.what)
    }
}

/// In what two runs differ.
pub fn contrasts(first: &Report, second: &Report) -> Vec<Contrast> {
    let mut found = Vec::new();
    let mut hold = |what: &str, first: Value, second: Value, incomparable: bool| {
        if first != second {
            let what = what.to_owned();
            found.push(Contrast {
                what,
                first,
                second,
                incomparable,
            });
        }
    };
    let spec = |report: &Report, pointer: &str| match report.run.spec.pointer(pointer) {
        // A list or an object that was left out may be there without anything in it.
        Some(Value::Array(list)) if list.is_empty() => Value::Null,
        Some(Value::Object(map)) if map.is_empty() => Value::Null,
        found => json!(found),
    };
    for (what, pointer) in SAME {
        hold(what, spec(first, pointer), spec(second, pointer), true);
    }
    hold(
        "prompts",
        json!(first.run.prompts_sha256),
        json!(second.run.prompts_sha256),
        true,
    );
    for stage in names(first).intersection(&names(second)) {
        let (one, other) = (load(first, stage), load(second, stage));
        hold(&format!("load of {stage}"), one, other, true);
    }
    for (what, pointer) in NAMED {
        hold(what, spec(first, pointer), spec(second, pointer), false);
    }
    hold("nodes", nodes(first), nodes(second), false);
    hold(
        "version of Bakeoff",
        json!(first.run.bakeoff_version),
        json!(second.run.bakeoff_version),
        false,
    );
    found
}

fn names(report: &Report) -> BTreeSet<&str> {
    let stages = report.engines.iter().flat_map(|engine| &engine.stages);
    stages.map(|stage| stage.name.as_str()).collect()
}

fn load(report: &Report, name: &str) -> Value {
    let mut stages = report.engines.iter().flat_map(|engine| &engine.stages);
    json!(
        stages
            .find(|stage| stage.name == name)
            .map(|stage| &stage.load)
    )
}

/// The nodes that the engines ran on; null where the run deployed none.
fn nodes(report: &Report) -> Value {
    let nodes = report
        .engines
        .iter()
        .flat_map(|engine| &engine.provenance.nodes);
    let nodes: BTreeSet<&String> = nodes.collect();
    match nodes.is_empty() {
        true => Value::Null,
        false => json!(nodes),
    }
}

/// A value for people.
fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn what_differs_is_named_with_both_values() {
        let first = fixture::report();
        assert_eq!(contrasts(&first, &first), []);
        let change = |change: &dyn Fn(&mut Report)| {
            let mut second = first.clone();
            change(&mut second);
            let found = contrasts(&first, &second);
            assert_eq!(found.len(), 1, "{found:?}");
            (found[0].words(), found[0].incomparable)
        };
        let spec = |pointer: &'static str, value: Value| {
            change(&|report: &mut Report| {
                let (parent, key) = pointer.rsplit_once('/').unwrap();
                let parent = report.run.spec.pointer_mut(parent).unwrap();
                parent[key] = value.clone();
            })
        };
        for (found, words, incomparable) in [
            (
                spec("/model/id", json!("other/model")),
                "model (mistralai/Mistral-7B-Instruct-v0.2 and other/model)",
                true,
            ),
            (
                spec("/hardware/accelerator/count", json!(2)),
                r#"accelerator ({"count":1,"resource":"nvidia.com/gpu"} and {"count":2,"resource":"nvidia.com/gpu"})"#,
                true,
            ),
            (
                change(&|report| report.run.prompts_sha256 = "f00d".into()),
                "prompts (0123456789abcdef0123456789abcdef01234567… and f00d)",
                true,
            ),
            (
                change(&|report| {
                    for engine in &mut report.engines {
                        engine.stages[1].load.concurrency = Some(9);
                    }
                }),
                r#"load of concurrency-8 ({"concurrency":8,"mode":"closed"} and {"concurrency":9,"mode":"closed"})"#,
                true,
            ),
            (spec("/workload/seed", json!(7)), "seed (0 and 7)", false),
            (
                spec("/tuning/maxBatchSize", json!(8)),
                r#"engine settings ({"maxBatchSize":64} and {"maxBatchSize":8})"#,
                false,
            ),
            (
                change(&|report| {
                    for engine in &mut report.engines {
                        engine.provenance.nodes.clear();
                    }
                }),
                r#"nodes (["node-a"] and none)"#,
                false,
            ),
            (
                change(&|report| report.run.bakeoff_version = "9".into()),
                "version of Bakeoff (0.1.0 and 9)",
                false,
            ),
        ] {
            assert_eq!(found.1, incomparable, "{words}");
            let [found, words] = [&found.0, words].map(|text| text.to_owned());
            assert!(
                found.starts_with(words.split('…').next().unwrap()),
                "{found}"
            );
        }
        // What is left out and what is empty are the same.
        let mut second = first.clone();
        second.run.spec["workload"]["models"] = json!([]);
        assert_eq!(contrasts(&first, &second), []);
    }
}
