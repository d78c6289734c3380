//! Pages of metrics and answers of a Prometheus, mutated at random: what can be read is, the rest has
//! a reason, and a report can hold all of it.

use std::collections::BTreeMap;

use bakeoff_crds::{
    plan::{CommonMetric, PlannedMetrics, Series, SeriesKind},
    report::EngineMetric,
};
use serde_json::json;

use super::{
    aggregate::{Aggregate, Moment},
    promql::value_of,
};
use crate::testing::fuzz;

const PAGE: &str = r#"# HELP vllm:num_requests_running Number of requests.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="tiny"} 2.0
vllm:kv_cache_usage_perc{engine="0"} 0.25
vllm:prompt_tokens_total{engine="0"} 1234.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="0.001"} 0.0
vllm:time_to_first_token_seconds_bucket{engine="0",le="+Inf"} 9.0
vllm:time_to_first_token_seconds_count{engine="0"} 9.0
vllm:time_to_first_token_seconds_sum{engine="0"} 0.45
{"a quoted name","la bel"="x\"\\\n"} 1 1700000000000
x_bucket{le="+Inf"} 7 # {trace="1"} 0.5
# EOF
"#;
const LATER: &str = "vllm:num_requests_running 3\nvllm:prompt_tokens_total 5678\nvllm:time_to_first_token_seconds_count 19\nvllm:time_to_first_token_seconds_sum 1.5\n";

/// Pieces that mean something to one of the readers.
const WORDS: &[&[u8]] = &[
    b"\n",
    b"\r\n",
    b"{",
    b"}",
    b"\"",
    b"\\",
    b"=",
    b",",
    b"#",
    b" ",
    b"\t",
    b"\x00",
    b"\xFF",
    b"NaN",
    b"+Inf",
    b"-Inf",
    b"1e308",
    b"-1.7976931348623157e308",
    b"1e999",
    b"0x10",
    b"-0",
    b"18446744073709551616",
    b"_total",
    b"_sum",
    b"_count",
    b"le=\"",
    b"vllm:num_requests_running 1e308\n",
    b"vllm:time_to_first_token_seconds_count 0\n",
    b"\xC2\x85",
    b"\xE2\x80\xA8",
];

fn metrics() -> PlannedMetrics {
    let series = [
        (
            CommonMetric::Running,
            "vllm:num_requests_running",
            SeriesKind::Gauge,
        ),
        (
            CommonMetric::KvCacheUsage,
            "vllm:kv_cache_usage_perc",
            SeriesKind::Gauge,
        ),
        (
            CommonMetric::PromptTokens,
            "vllm:prompt_tokens_total",
            SeriesKind::Counter,
        ),
        (
            CommonMetric::TimeToFirstToken,
            "vllm:time_to_first_token_seconds",
            SeriesKind::Histogram,
        ),
    ];
    PlannedMetrics {
        series: series
            .map(|(metric, name, kind)| {
                (
                    metric,
                    Series {
                        names: vec![name.into()],
                        kind,
                    },
                )
            })
            .into(),
        ..PlannedMetrics::default()
    }
}

#[test]
fn pages_of_metrics_give_values_that_a_report_can_hold() {
    let metrics = metrics();
    let mut with_value = 0_u64;
    let cases = fuzz::cases(1000, |random| {
        let mut window = Aggregate::new(&metrics);
        for moment in [Moment::Begin, Moment::During, Moment::During, Moment::End] {
            let mut page = random.pick(&[PAGE, LATER]).as_bytes().to_vec();
            for _ in 0..random.below(6) {
                random.mutate(&mut page, &[PAGE.as_bytes(), LATER.as_bytes()], WORDS);
            }
            window.page(moment, &String::from_utf8_lossy(&page));
        }
        let values = window.finish();
        for (name, value) in &values {
            assert!(
                value.direct.is_some() != value.absent.is_some(),
                "{name}: {value:?}"
            );
            with_value += u64::from(value.direct.is_some());
        }
        let bytes = serde_json::to_vec(&values).unwrap();
        let back: BTreeMap<String, EngineMetric> = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(back, values);
    });
    eprintln!("{with_value} of {} values", 4 * cases);
    assert!(with_value > cases, "{with_value}");
}

#[test]
fn answers_of_a_prometheus_are_a_value_or_a_reason() {
    let sample = json!([1_700_000_000.25, "1.5"]);
    let whole = [
        json!({"status": "success", "data": {"resultType": "scalar", "result": sample}}),
        json!({"status": "success", "data": {"resultType": "vector", "result": [{"metric": {"pod": "a"}, "value": sample}]}, "warnings": ["w"]}),
        json!({"status": "success", "data": {"resultType": "matrix", "result": [{"metric": {}, "values": [sample]}]}}),
        json!({"status": "error", "errorType": "bad_data", "error": "parse error"}),
    ];
    let (mut values, mut reasons) = (0, 0);
    fuzz::cases(2000, |random| {
        let mut answer = random.pick(&whole).clone();
        for _ in 0..random.below(3) {
            random.mutate_json(&mut answer);
        }
        let mut body = serde_json::to_vec(&answer).unwrap();
        if random.below(3) == 0 {
            random.mutate(&mut body, &[PAGE.as_bytes()], WORDS);
        }
        match value_of(&body) {
            Ok(value) => {
                values += 1;
                assert!(value.is_none_or(f64::is_finite));
            }
            Err(reason) => {
                reasons += 1;
                let word = reason.split(':').next().unwrap();
                let words = [
                    "PrometheusUnreachable",
                    "QueryRefused",
                    "ManySeries",
                    "NotAnInstant",
                ];
                assert!(
                    words.contains(&word) && reason.chars().count() < 600,
                    "{reason}"
                );
            }
        }
    });
    eprintln!("{values} values, {reasons} reasons");
    assert!(values > 0 && reasons > 0);
}
