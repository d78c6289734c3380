//! Every file against its layout as published.

use serde_json::{Value, json};

use super::{all, document, documents};
use crate::export::fixture;

/// The layouts, by the end of the path of the files that have it.
const PUBLISHED: [(&str, &str); 7] = [
    ("google/", include_str!("../published/google.schema.json")),
    ("vllm/", include_str!("../published/vllm.schema.json")),
    ("llm-d/", include_str!("../published/llm-d.schema.json")),
    (
        "per_request_lifecycle_metrics.json",
        include_str!("../published/inference-perf-requests.schema.json"),
    ),
    (
        "lifecycle_metrics.json",
        include_str!("../published/inference-perf-lifecycle.schema.json"),
    ),
    (
        "profile_export_aiperf.json",
        include_str!("../published/aiperf-profile.schema.json"),
    ),
    (
        "profile_export.jsonl",
        include_str!("../published/aiperf-record.schema.json"),
    ),
];

/// What a file breaks of its layout.
fn problems(path: &str, value: &Value) -> Vec<String> {
    let matches = |key: &&(&str, &str)| path.starts_with(key.0) || path.ends_with(key.0);
    let (_, schema) = PUBLISHED.iter().find(matches).unwrap();
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let errors = validator.iter_errors(value);
    errors
        .map(|error| format!("{path}: {}: {error}", error.instance_path()))
        .collect()
}

#[test]
fn every_file_keeps_to_its_published_layout() {
    let (streamed, whole) = (fixture::streamed(), fixture::whole());
    for pass in [
        fixture::pass(&streamed, &fixture::open_lines()),
        fixture::pass(&whole, &fixture::closed_lines()),
        // A stage in which nothing was answered.
        fixture::pass(&whole, &fixture::closed_lines()[2..]),
    ] {
        for file in all(&pass) {
            for document in documents(&file) {
                assert_eq!(problems(&file.path, &document), [""; 0]);
            }
        }
    }
}

/// The layouts are strict: an unknown key, a missing one and a wrong unit are found in each.
#[test]
fn a_file_that_breaks_its_layout_is_found() {
    let report = fixture::streamed();
    let pass = fixture::pass(&report, &fixture::open_lines());
    for (path, pointer, value) in [
        ("google/x", "/metrics/avg_TTFT_s", Some(json!(1))),
        ("google/x", "/summary_stats/stats/0/tpot/p90", None),
        ("vllm/x", "/mean_ttft_s", Some(json!(0.1))),
        ("vllm/x", "/total_output_tokens", None),
        (
            "llm-d/x",
            "/results/request_performance/aggregate/latency/time_per_output_token/units",
            Some(json!("s")),
        ),
        ("llm-d/x", "/results/goodput", Some(json!({}))),
        (
            "x/summary_lifecycle_metrics.json",
            "/successes/latency/ttft",
            Some(json!(null)),
        ),
        ("x/per_request_lifecycle_metrics.json", "/0/error", None),
        (
            "x/profile_export_aiperf.json",
            "/time_to_first_token/unit",
            Some(json!("s")),
        ),
        ("x/profile_export.jsonl", "/metadata/request_start_ns", None),
    ] {
        let ending = match path.split_once('/').unwrap() {
            ("x", ending) => ending.to_owned(),
            ("google", _) => "rate-2.json".to_owned(),
            (format, _) => format!("{format}/vllm/round-1/rep-1/rate-2.json"),
        };
        let mut document = document(&pass, &ending);
        assert_eq!(problems(path, &document), [""; 0]);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        let parent = document
            .pointer_mut(parent)
            .unwrap()
            .as_object_mut()
            .unwrap();
        match value {
            Some(value) => parent.insert(key.to_owned(), value),
            None => parent.remove(key),
        };
        assert!(!problems(path, &document).is_empty(), "{path} {pointer}");
    }
}
