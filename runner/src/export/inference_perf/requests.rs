//! `per_request_lifecycle_metrics.json`.

use serde_json::{Value, json};

use crate::export::{Pass, Stage, requests::Request, sample::object};

/// Every request. Its clock is the Unix epoch's; the tool's own is a monotonic one.
pub(super) fn requests(pass: &Pass<'_>) -> Vec<Value> {
    let stages = pass.stages.iter();
    stages
        .flat_map(|stage| {
            stage
                .log
                .requests
                .iter()
                .map(|request| entry(pass, stage, request))
        })
        .collect()
}

fn entry(pass: &Pass<'_>, stage: &Stage<'_>, request: &Request) -> Value {
    let epoch = |at: i64| stage.epoch(at) as f64 / 1e9;
    let adapter = stage
        .report
        .models
        .get(request.model)
        .map(|group| &group.name);
    let adapter = adapter.filter(|name| *name != pass.model());
    let seconds = |value: Option<f64>| value.map(|nanoseconds| nanoseconds / 1e9);
    let mut pairs = vec![
        ("start_time", json!(epoch(request.sent))),
        ("end_time", json!(epoch(request.end))),
        // Texts are not in the log.
        ("request", Value::Null),
        ("response", Value::Null),
        (
            "info",
            json!({
                "request_metrics": {"text": {"input_tokens": request.input_tokens}},
                "response_metrics": request.failure.is_none().then(|| json!({
                    "output_tokens": request.answer_tokens(),
                    "server_usage": {
                        "prompt_tokens": request.input_tokens,
                        "completion_tokens": request.output_tokens,
                    },
                })),
                "lora_adapter": adapter,
                "input_tokens": request.input_tokens,
            }),
        ),
    ];
    if request.failure.is_none() {
        let streaming = pass.streaming();
        let per_token = pass.per_token();
        let tokens = request.answer_tokens().filter(|tokens| *tokens > 0);
        pairs.push((
            "computed_metrics",
            json!({
                "request_latency": request.until_end() / 1e9,
                "normalized_time_per_output_token":
                    tokens.map(|tokens| request.until_end() / 1e9 / f64::from(tokens)),
                "time_to_first_token": seconds(request.time_to_first_token().filter(|_| streaming)),
                "time_per_output_token":
                    seconds(request.time_per_output_token().filter(|_| per_token)),
                "input_tokens": request.input_tokens,
                "output_tokens": request.answer_tokens(),
            }),
        ));
    }
    let error = request.failure.as_ref();
    pairs.push((
        "error",
        json!(error.map(|(kind, message)| json!({"error_type": kind, "error_msg": message}))),
    ));
    object(pairs)
}
