//! What was the same for all engines, in words, from the run's spec.

use bakeoff_crds::run::status::ModelVolume;
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
        ("Prefix cache", cache(spec)),
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

/// The volume that the model was fetched into.
pub fn model_volume(volume: Option<&ModelVolume>) -> Option<Row> {
    let volume = volume?;
    let content = &volume.content;
    let gigabytes = |bytes: u64| format!("{:.3} GB", bytes as f64 / 1e9);
    let fetched = match content.fetched_bytes {
        0 => "all of them there before".to_owned(),
        bytes => format!("{} fetched in {:.0} s", gigabytes(bytes), content.seconds),
    };
    let text = format!(
        "claim {}, read-only: {} files, {}, {fetched}; SHA-256 of all {}",
        volume.claim_name,
        format::count(content.files),
        gigabytes(content.bytes),
        content.content_sha256
    );
    Some(("Model's volume".to_owned(), text))
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
        "trace" => Some("from a trace"),
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
    let rates = list("/workload/sweep/requestRate").map(|rates| {
        let arrivals = arrivals(spec, "/workload/sweep").unwrap_or_default();
        format!("{rates} requests/s, {arrivals}")
    });
    let stages = (0..)
        .map(|place| format!("/workload/sweep/stages/{place}"))
        .map_while(|place| stage_in_words(spec, &place))
        .map(Some);
    let pause =
        word(spec, "/workload/sweep/pause").map(|time| format!("{time} of rest between stages"));
    let search = search_in_words(spec);
    let replay = list("/workload/sweep/replaySpeed")
        .map(|speeds| format!("the trace's arrivals at {speeds} times its speed"));
    let requests =
        number(spec, "/workload/requestsPerStage").map(|n| format!("{n} requests a stage"));
    let duration = word(spec, "/workload/stageDuration").map(|time| format!("{time} a stage"));
    join(
        [concurrency, rates]
            .into_iter()
            .chain(stages)
            .chain([replay, search, requests, duration, pause]),
    )
}

/// A search for a load, or for the knee.
fn search_in_words(spec: &Value) -> Option<String> {
    let sweep = spec.pointer("/workload/sweep")?;
    let range = |kind: &str, variable: &str| {
        let range = sweep.get(kind)?.get(variable)?;
        Some((plain(range.get("min")?), plain(range.get("max")?)))
    };
    if let Some((min, max)) = range("knee", "concurrency") {
        return Some(format!(
            "doubled from {min} requests in flight to the knee, {max} at most"
        ));
    }
    let rates = range("search", "requestRate").map(|range| (range, "requests/s"));
    let levels = range("search", "concurrency").map(|range| (range, "requests in flight"));
    let ((min, max), unit) = rates.or(levels)?;
    Some(format!(
        "the highest of {min} to {max} {unit} that meets the objectives, searched for engine by engine"
    ))
}

/// One stage that was written out.
fn stage_in_words(spec: &Value, place: &str) -> Option<String> {
    let name = word(spec, &format!("{place}/name"))?;
    let number = |field: &str| number(spec, &format!("{place}/{field}"));
    let level = if let Some(concurrency) = number("concurrency") {
        format!("{concurrency} requests in flight")
    } else if let Some(rate) = number("requestRate") {
        format!("{rate} requests/s")
    } else if let Some((from, to)) = number("ramp/fromRate").zip(number("ramp/toRate")) {
        format!("{from} to {to} requests/s")
    } else if let Some(speed) = number("replaySpeed") {
        format!("the trace's arrivals at {speed} times its speed")
    } else {
        "all at once".to_owned()
    };
    let open = number("requestRate").or_else(|| number("ramp/fromRate"));
    let spread = open.and_then(|_| arrivals(spec, place));
    let requests = number("requests").map(|requests| format!("{requests} requests"));
    let duration = word(spec, &format!("{place}/duration")).map(str::to_owned);
    join([Some(level), spread, requests, duration]).map(|words| format!("{name}: {words}"))
}

/// How the requests of a rate are spread over time.
fn arrivals(spec: &Value, place: &str) -> Option<String> {
    let arrival = word(spec, &format!("{place}/arrival")).unwrap_or("Poisson");
    let shape = spec
        .pointer(&format!("{place}/burstiness"))
        .and_then(Value::as_f64);
    Some(match shape {
        Some(shape) => format!(
            "{arrival} arrivals of burstiness {shape} (coefficient of variation {:.2})",
            1.0 / shape.sqrt()
        ),
        None => format!("{arrival} arrivals"),
    })
}

fn cache(spec: &Value) -> Option<String> {
    let what = match word(spec, "/workload/cachePolicy")? {
        "Cold" => "emptied before each stage",
        "Warm" => "filled with the stage's prompts before each stage",
        _ => "left as it is from stage to stage",
    };
    Some(what.to_owned())
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
