//! What was the same for all engines, in words, from the run's spec.

use serde_json::Value;

use crate::report::format;

/// A label and what stands beside it.
pub type Row = (String, String);

/// The conditions of a run. Reads the spec as JSON, so that reports of other versions show as much
/// as they hold. Hardware is said of runs that deployed an engine on it; others took none.
pub fn conditions(spec: &Value, prompts: u64, deployed: bool) -> Vec<Row> {
    let rows = [
        ("Model", model(spec)),
        ("Number format", format_of_weights(spec)),
        ("Engine settings", settings(spec)),
        ("Accelerator", accelerator(spec).filter(|_| deployed)),
        ("Nodes", nodes(spec).filter(|_| deployed)),
        ("Prompts", prompts_in_words(spec, prompts)),
        ("Length caps", caps(spec)),
        ("Sampling", sampling(spec)),
        ("Load", load(spec)),
        ("Answers", answers(spec)),
        (
            "Warm-up",
            number(spec, "/workload/warmup/requests").map(|n| format!("{n} requests, thrown away")),
        ),
        ("Repetitions", repetitions(spec)),
    ];
    rows.into_iter()
        .filter_map(|(label, value)| {
            Some((label.to_owned(), value.filter(|value| !value.is_empty())?))
        })
        .collect()
}

fn word<'a>(spec: &'a Value, pointer: &str) -> Option<&'a str> {
    spec.pointer(pointer)?.as_str()
}

fn number(spec: &Value, pointer: &str) -> Option<String> {
    let value = spec.pointer(pointer)?;
    match value.as_u64() {
        Some(whole) => Some(format::count(whole)),
        None => value.as_f64().map(|number| number.to_string()),
    }
}

fn join(parts: impl IntoIterator<Item = Option<String>>) -> Option<String> {
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn model(spec: &Value) -> Option<String> {
    let id = word(spec, "/model/id")?;
    let revision = word(spec, "/model/revision").unwrap_or("main");
    Some(format!("{id} at revision {revision}"))
}

fn format_of_weights(spec: &Value) -> Option<String> {
    let dtype = word(spec, "/model/dtype").map(|dtype| match dtype {
        "Auto" => "as the model's configuration says".to_owned(),
        other => other.to_owned(),
    });
    let quantization = word(spec, "/model/quantization").map(|name| format!("quantized by {name}"));
    let longest =
        number(spec, "/model/maxModelLen").map(|tokens| format!("sequences up to {tokens} tokens"));
    join([dtype, quantization, longest])
}

fn settings(spec: &Value) -> Option<String> {
    let tuning = spec.pointer("/tuning")?.as_object()?;
    join(
        tuning
            .iter()
            .map(|(name, value)| Some(format!("{name} {}", plain(value)))),
    )
    .or_else(|| Some("each engine's own defaults".into()))
}

fn accelerator(spec: &Value) -> Option<String> {
    let count = spec.pointer("/hardware/accelerator/count")?.as_u64()?;
    let resource = word(spec, "/hardware/accelerator/resource")?;
    Some(match count {
        0 => "none; engines run on the CPU".to_owned(),
        count => format!("{count} × {resource}, one engine at a time"),
    })
}

fn nodes(spec: &Value) -> Option<String> {
    let selector = spec
        .pointer("/hardware/nodeSelector")
        .and_then(Value::as_object);
    let labels = selector
        .into_iter()
        .flatten()
        .map(|(key, value)| Some(format!("{key} = {}", plain(value))));
    let same = match word(spec, "/hardware/sameNode") {
        Some("Required") => Some("the same node for all".to_owned()),
        Some("Preferred") => Some("the same node for all where it has room".to_owned()),
        _ => None,
    };
    join(labels.chain([same]))
}

fn prompts_in_words(spec: &Value, prompts: u64) -> Option<String> {
    let source = spec.pointer("/workload/prompts")?.as_object()?;
    let kind = source.keys().find_map(|key| match key.as_str() {
        "shareGpt" => Some("from a ShareGPT file"),
        "jsonl" => Some("from a JSON Lines file"),
        "synthetic" => Some("made up to given lengths"),
        "inline" => Some("written out in the run"),
        _ => None,
    })?;
    let lengths = ["input", "output"].map(|side| {
        let mean = number(
            spec,
            &format!("/workload/prompts/synthetic/{side}Tokens/mean"),
        )?;
        Some(format!("{mean} {side} tokens on average"))
    });
    let first = Some(format!(
        "{} different ones {kind}, the same for all, byte for byte",
        format::count(prompts)
    ));
    join([first].into_iter().chain(lengths))
}

fn caps(spec: &Value) -> Option<String> {
    join([
        number(spec, "/workload/limits/maxInputTokens")
            .map(|tokens| format!("{tokens} input tokens")),
        number(spec, "/workload/limits/maxOutputTokens")
            .map(|tokens| format!("{tokens} output tokens")),
    ])
}

fn sampling(spec: &Value) -> Option<String> {
    let sampling = spec.pointer("/workload/sampling")?.as_object()?;
    join(
        sampling
            .iter()
            .map(|(name, value)| match (name.as_str(), value) {
                ("ignoreEos", Value::Bool(true)) => {
                    Some("answers run to their full length".to_owned())
                }
                ("ignoreEos", _) => Some("answers end where the model ends them".to_owned()),
                (name, value) => Some(format!("{name} {}", plain(value))),
            }),
    )
}

fn load(spec: &Value) -> Option<String> {
    let list = |pointer: &str| {
        let values = spec.pointer(pointer)?.as_array()?;
        let values: Vec<_> = values.iter().map(plain).collect();
        (!values.is_empty()).then(|| values.join(", "))
    };
    let concurrency =
        list("/workload/sweep/concurrency").map(|levels| format!("{levels} requests in flight"));
    let arrival = word(spec, "/workload/sweep/arrival").unwrap_or("Poisson");
    let rates = list("/workload/sweep/requestRate")
        .map(|rates| format!("{rates} requests/s, {arrival} arrivals"));
    let requests =
        number(spec, "/workload/requestsPerStage").map(|n| format!("{n} requests a stage"));
    let duration = word(spec, "/workload/stageDuration").map(|time| format!("{time} a stage"));
    join([concurrency, rates, requests, duration])
}

fn answers(spec: &Value) -> Option<String> {
    let streaming = spec.pointer("/workload/streaming")?.as_bool()?;
    let how = if streaming {
        "streamed"
    } else {
        "whole, not streamed"
    }
    .to_owned();
    let timeout =
        word(spec, "/workload/requestTimeout").map(|time| format!("given up after {time}"));
    join([Some(how), timeout])
}

fn repetitions(spec: &Value) -> Option<String> {
    join([
        number(spec, "/workload/repetitions")
            .map(|n| format!("of the sweep within one life of an engine: {n}")),
        number(spec, "/policy/rounds").map(|n| format!("rounds over all engines: {n}")),
    ])
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
