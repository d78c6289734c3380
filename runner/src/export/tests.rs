//! Every format against its layout as published, golden files, and figures worked out by hand.

mod layouts;

use bakeoff_crds::run::Format;
use serde_json::{Value, json};

use super::{File, Pass, files, fixture, inference_perf};
use crate::{measure::REQUESTS, store::Store};

/// The documents of a file: each line of one that has lines.
fn documents(file: &File) -> Vec<Value> {
    let text = std::str::from_utf8(&file.bytes).unwrap();
    if file.path.ends_with(".yaml") {
        return vec![serde_saphyr::from_str(text).unwrap()];
    }
    if file.path.ends_with(".jsonl") {
        return text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
    }
    vec![serde_json::from_str(text).unwrap()]
}

fn all(pass: &Pass<'_>) -> Vec<File> {
    let formats = super::FORMATS.into_iter();
    formats
        .flat_map(|format| files(format, pass).unwrap())
        .collect()
}

/// The one document of a pass whose path ends so.
fn document(pass: &Pass<'_>, ending: &str) -> Value {
    let files = all(pass);
    let file = files.iter().find(|file| file.path.ends_with(ending));
    documents(file.unwrap()).remove(0)
}

fn near(value: &Value, expected: f64) -> bool {
    let value = value.as_f64().unwrap();
    (value - expected).abs() <= expected.abs() * 1e-9 + 1e-12
}

#[test]
fn golden_files() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(concat!(env!("CARGO_MANIFEST_DIR"), "/src/export/snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let (streamed, whole) = (fixture::streamed(), fixture::whole());
    for pass in [
        fixture::pass(&streamed, &fixture::open_lines()),
        fixture::pass(&whole, &fixture::closed_lines()),
    ] {
        for file in all(&pass) {
            if file.path.ends_with(".yaml") {
                continue;
            }
            let text = String::from_utf8(file.bytes).unwrap();
            let name = file.path.replace('/', ".");
            settings.bind(|| insta::assert_snapshot!(name, text));
        }
    }
}

#[test]
fn yaml_and_json_say_the_same() {
    let report = fixture::streamed();
    let pass = fixture::pass(&report, &fixture::open_lines());
    let [yaml, json] = ["yaml", "json"]
        .map(|ending| document(&pass, &format!("llm-d/vllm/round-1/rep-1/rate-2.{ending}")));
    assert_eq!(yaml, json);
}

/// The first request of the fixture: first token after 100 ms, last content after 400 ms, the end 2
/// ms later, 7 tokens in and 4 out. Alone in a stage, each figure is worked out by hand.
#[test]
fn units_and_definitions_are_those_of_each_tool() {
    let report = fixture::streamed();
    let pass = fixture::pass(&report, &fixture::open_lines()[..1]);
    let google = document(&pass, "google/vllm/round-1/rep-1/rate-2.json");
    let vllm = document(&pass, "vllm/vllm/round-1/rep-1/rate-2.json");
    let llm_d = document(&pass, "llm-d/vllm/round-1/rep-1/rate-2.json");
    let inference_perf = document(&pass, "rep-1/stage_0_lifecycle_metrics.json");
    let aiperf = document(&pass, "rate-2/profile_export_aiperf.json");
    let latency = "/results/request_performance/aggregate/latency";
    for (document, pointer, expected) in [
        // Google: milliseconds; a latency ends with the stream.
        (&google, "/metrics/avg_TTFT_ms".to_owned(), 100.0),
        (&google, "/metrics/p99_TPOT_ms".into(), 100.0),
        (&google, "/metrics/median_latency_ms".into(), 402.0),
        // Over input and output tokens together: 402 / 11.
        (
            &google,
            "/metrics/avg_per_token_latency_ms".into(),
            402.0 / 11.0,
        ),
        // What it calls tpot there holds the first token: 402 / 4.
        (&google, "/summary_stats/stats/0/tpot/mean".into(), 100.5),
        (
            &google,
            "/summary_stats/stats/0/request_latency/sd".into(),
            0.0,
        ),
        // vLLM: statistics in milliseconds, lists in seconds; a latency ends with the content.
        (&vllm, "/mean_ttft_ms".into(), 100.0),
        (&vllm, "/p99_tpot_ms".into(), 100.0),
        (&vllm, "/mean_e2el_ms".into(), 400.0),
        (&vllm, "/mean_client_queue_time_ms".into(), 1.0),
        (&vllm, "/mean_e2el_including_client_queue_ms".into(), 401.0),
        // Of frames, over the requests together: three gaps of 100 ms and seven of 20 ms.
        (&vllm, "/mean_itl_ms".into(), 44.0),
        (&vllm, "/ttfts/0".into(), 0.1),
        (&vllm, "/latencies/0".into(), 0.4),
        // llm-d: seconds.
        (&llm_d, format!("{latency}/time_to_first_token/mean"), 0.1),
        (&llm_d, format!("{latency}/time_per_output_token/p50"), 0.1),
        (
            &llm_d,
            format!("{latency}/normalized_time_per_output_token/mean"),
            0.1,
        ),
        (&llm_d, format!("{latency}/request_latency/max"), 0.4),
        // inference-perf: seconds; a latency ends with the stream.
        (
            &inference_perf,
            "/successes/latency/time_to_first_token/median".into(),
            0.1,
        ),
        (
            &inference_perf,
            "/successes/latency/time_per_output_token/mean".into(),
            0.1,
        ),
        (
            &inference_perf,
            "/successes/latency/request_latency/max".into(),
            0.402,
        ),
        (
            &inference_perf,
            "/successes/latency/normalized_time_per_output_token/mean".into(),
            0.1005,
        ),
        (
            &inference_perf,
            "/load_summary/schedule_delay/max".into(),
            0.001,
        ),
        (&inference_perf, "/benchmark_time_seconds".into(), 0.402),
        // AIPerf: milliseconds; what we call time per output token is its inter-token latency.
        (&aiperf, "/time_to_first_token/avg".into(), 100.0),
        (&aiperf, "/inter_token_latency/p50".into(), 100.0),
        (
            &aiperf,
            "/output_token_throughput_per_user/avg".into(),
            10.0,
        ),
        (&aiperf, "/request_latency/sum".into(), 400.0),
        (&aiperf, "/inter_chunk_latency/avg".into(), 44.0),
    ] {
        let found = document.pointer(&pointer);
        assert!(
            found.is_some_and(|value| near(value, expected)),
            "{pointer}: {found:?}"
        );
    }
    let record = document(&pass, "profile_export.jsonl");
    assert_eq!(
        record["metrics"]["request_latency"],
        json!({"value": 400.0, "unit": "ms"})
    );
    // 2026-03-01T12:00:00.001Z.
    assert_eq!(
        record["metadata"]["request_start_ns"],
        1_772_366_400_001_000_000_i64
    );
}

#[test]
fn rates_and_counts_are_of_the_window() {
    let report = fixture::streamed();
    let pass = fixture::pass(&report, &fixture::open_lines());
    // From 0.001 s to 2.001 s; three of four answered; 21 tokens in, 13 out.
    let google = document(&pass, "google/vllm/round-1/rep-1/rate-2.json");
    assert_eq!(google["metrics"]["benchmark_time"], 2.0);
    assert_eq!(google["metrics"]["throughput"], 6.5);
    assert_eq!(google["metrics"]["queries_per_second"], 2.0);
    assert_eq!(google["metrics"]["TimeoutError"], 1);
    let vllm = document(&pass, "vllm/vllm/round-1/rep-1/rate-2.json");
    assert_eq!(vllm["request_throughput"], 1.5);
    assert_eq!(vllm["total_token_throughput"], 17.0);
    assert_eq!(vllm["request_goodput"], 1.0);
    assert_eq!(
        (&vllm["request_rate"], &vllm["burstiness"]),
        (&json!(2.0), &json!(1.0))
    );
    assert_eq!(vllm["errors"][3], "timeout: no whole answer within 500 ms");
    let aiperf = document(&pass, "rate-2/profile_export_aiperf.json");
    assert_eq!(aiperf["output_token_throughput"]["avg"], 6.5);
    assert_eq!(aiperf["error_request_count"]["avg"], 1.0);
    // Its time per output token holds two requests: 100 ms and 140 / 7.
    assert_eq!(aiperf["inter_token_latency"]["count"], 2);
    assert_eq!(aiperf["inter_token_latency"]["avg"], 60.0);
    let stages: Vec<_> = pass.stages.iter().collect();
    let lifecycle = inference_perf::lifecycle(&pass, &stages, true);
    assert_eq!(lifecycle["load_summary"]["send_duration"], 1.499);
    // Two of the three that were answered began within 80 ms; failed ones do not count there.
    let goodput = &lifecycle["successes"]["goodput_metrics"];
    assert_eq!(
        (&goodput["good_requests"], &goodput["total_requests"]),
        (&json!(2), &json!(3))
    );
    assert_eq!(goodput["token_goodput"], 11.5);
    let timeouts = &lifecycle["failures"]["by_label"]["Timeout"];
    assert_eq!(timeouts["count"], 1);
}

#[test]
fn whole_answers_have_no_first_token() {
    let report = fixture::whole();
    let pass = fixture::pass(&report, &fixture::closed_lines());
    let google = document(&pass, "google/hosted/round-1/rep-1/concurrency-2.json");
    let metrics = google["metrics"].as_object().unwrap();
    assert!(
        !metrics
            .keys()
            .any(|key| key.contains("TTFT") || key.contains("TPOT"))
    );
    assert_eq!(metrics["avg_latency_ms"], 500.0);
    assert_eq!(metrics["request_rate"], Value::Null);
    let vllm = document(&pass, "vllm/hosted/round-1/rep-1/concurrency-2.json");
    let keys: Vec<_> = vllm.as_object().unwrap().keys().collect();
    assert!(
        !keys
            .iter()
            .any(|key| key.contains("ttft") || key.contains("itl")),
        "{keys:?}"
    );
    assert_eq!(
        (&vllm["request_rate"], &vllm["max_concurrency"]),
        (&json!("inf"), &json!(2))
    );
    let aiperf = document(&pass, "concurrency-2/profile_export_aiperf.json");
    assert_eq!(aiperf.get("time_to_first_token"), None);
    assert_eq!(aiperf["request_latency"]["p50"], 500.0);
    let llm_d = document(&pass, "llm-d/hosted/round-1/rep-1/concurrency-2.json");
    let aggregate = &llm_d["results"]["request_performance"]["aggregate"];
    assert_eq!(aggregate["latency"].get("time_to_first_token"), None);
    assert_eq!(
        llm_d["scenario"]["stack"][0]["standardized"]["kind"],
        "generic"
    );
}

#[tokio::test]
async fn a_run_is_exported_stage_by_stage_and_what_is_left_out_is_named() {
    let report = fixture::streamed();
    let (from, to) = (Store::in_memory(), Store::in_memory());
    for repetition in [1, 2] {
        let folder = format!("engines/vllm/round-1/rep-{repetition}/rate-2/attempt-1");
        let bytes = fixture::packed(&fixture::open_lines());
        from.put_new(&format!("{folder}/{REQUESTS}"), bytes)
            .await
            .unwrap();
    }
    let formats = [Format::Vllm, Format::Html, Format::InferencePerf];
    let exported = super::write(&report, &from, &to, "there/", &formats)
        .await
        .unwrap();
    assert_eq!(
        exported.files,
        [
            "there/inference-perf/vllm/round-1/rep-1/per_request_lifecycle_metrics.json",
            "there/inference-perf/vllm/round-1/rep-1/stage_0_lifecycle_metrics.json",
            "there/inference-perf/vllm/round-1/rep-1/summary_lifecycle_metrics.json",
            "there/inference-perf/vllm/round-1/rep-2/per_request_lifecycle_metrics.json",
            "there/inference-perf/vllm/round-1/rep-2/stage_0_lifecycle_metrics.json",
            "there/inference-perf/vllm/round-1/rep-2/summary_lifecycle_metrics.json",
            "there/vllm/vllm/round-1/rep-1/rate-2.json",
            "there/vllm/vllm/round-1/rep-2/rate-2.json",
        ]
    );
    let stored = to.list("").await.unwrap();
    assert!(stored.iter().map(|entry| &entry.path).eq(&exported.files));
    let [left_out] = &exported.left_out[..] else {
        panic!("{:?}", exported.left_out)
    };
    assert_eq!(
        left_out.stage,
        "engines/vllm/round-1/rep-1/rate-9/attempt-1"
    );
    assert!(left_out.why.contains("Invalid (ErrorRateExceeded)"));
    // Logs that are not there, and one that is none, cost their stages.
    let (none, to) = (Store::in_memory(), Store::in_memory());
    let broken = "engines/vllm/round-1/rep-2/rate-2/attempt-1/requests.jsonl.zst";
    none.put_new(broken, "x").await.unwrap();
    let exported = super::write(&report, &none, &to, "", &formats)
        .await
        .unwrap();
    assert_eq!(exported.files, [""; 0]);
    assert!(
        exported.left_out[0]
            .why
            .contains("have Requests in output.formats")
    );
    assert!(
        exported.left_out[2].why.contains("cannot be unpacked"),
        "{exported:?}"
    );
}

/// Where several runner pods left their parts and nobody laid them together.
#[tokio::test]
async fn parts_of_a_log_are_laid_together() {
    let report = fixture::streamed();
    let lines = fixture::open_lines();
    let folder = "engines/vllm/round-1/rep-1/rate-2/attempt-1";
    let (whole, parts) = (Store::in_memory(), Store::in_memory());
    let log = fixture::packed(&lines);
    whole
        .put_new(&format!("{folder}/{REQUESTS}"), log)
        .await
        .unwrap();
    for (shard, part) in [
        &[lines[1].clone(), lines[3].clone()],
        &[lines[0].clone(), lines[2].clone()],
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("{folder}/shard-{shard}/{REQUESTS}");
        parts.put_new(&path, fixture::packed(part)).await.unwrap();
    }
    let mut files = Vec::new();
    for from in [whole, parts] {
        let to = Store::in_memory();
        let exported = super::write(&report, &from, &to, "", &[Format::Vllm])
            .await
            .unwrap();
        assert_eq!(exported.files, ["vllm/vllm/round-1/rep-1/rate-2.json"]);
        files.push(to.get(&exported.files[0]).await.unwrap());
    }
    assert_eq!(files[0], files[1]);
}
