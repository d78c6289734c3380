//! What planning says of a format: whether it gives requests, and which settings of the run it has no
//! words for.

use super::{BodyValues, RequestTemplate, TemplateMessage, template::HttpFormatError};
use crate::{
    run::{BenchmarkRunSpec, HttpFormat},
    validate::Problem,
};

/// Header fields that the client writes itself.
const OWN_FIELDS: [&str; 8] = [
    "accept",
    "authorization",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
];

/// What a format gives for a run.
#[derive(Debug)]
pub struct Planned {
    /// Path of requests over HTTP.
    pub path: String,
    /// Whether requests can ask for adapters.
    pub adapters: bool,
    /// Whether requests say that answers run to their full length.
    pub ignores_eos: bool,
    /// Whether requests have a seed.
    pub seed: bool,
    /// Settings of the run that the body does not mention.
    pub warnings: Vec<String>,
}

/// Makes a request on trial. `engine` names the engine in warnings, `field` the format in problems.
pub fn check(
    spec: &BenchmarkRunSpec,
    format: &HttpFormat,
    model: &str,
    engine: &str,
    field: &str,
) -> Result<Planned, Problem> {
    let wrong =
        |error: HttpFormatError| Problem::new(format!("{field}.{}", error.place), error.cause);
    let workload = &spec.workload;
    let stream = workload.streaming && format.answer.streams;
    let template = RequestTemplate::new(format).map_err(wrong)?;
    let path = template.path(model, stream).map_err(wrong)?;
    for (name, value) in template.headers(model, stream).map_err(wrong)? {
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.!~*+".contains(&byte);
        let own = OWN_FIELDS.contains(&name.to_ascii_lowercase().as_str());
        let place = format!("{field}.headers.{name}");
        if own {
            return Err(Problem::new(
                place,
                "the client writes this field itself; remove it (contentType and apiKeySecretRef set theirs)",
            ));
        }
        if name.is_empty() || !name.bytes().all(token) || value.bytes().any(|byte| byte < b' ') {
            return Err(Problem::new(
                place,
                format!("{value:?} is no header field; write a name without spaces and one line"),
            ));
        }
    }
    let prompt = "Why is \"the sky\" blue?\n";
    let message = TemplateMessage {
        role: "user",
        content: prompt,
    };
    let values = BodyValues {
        prompt,
        messages: &[message],
        max_tokens: 16,
        sampling: &workload.sampling,
        model,
        stream,
    };
    template.body(&values).map_err(wrong)?;
    let mentioned = template.mentioned();
    if !mentioned.contains("prompt") && !mentioned.contains("messages") {
        return Err(Problem::new(
            format!("{field}.body"),
            "it holds neither prompt nor messages; write {{ prompt }} where the text belongs",
        ));
    }
    let sampling = &workload.sampling;
    let asked = [
        ("maxTokens", true, "answers are as long as it likes"),
        ("temperature", true, "it samples as it likes"),
        ("topP", sampling.top_p.is_some(), "its own holds"),
        ("topK", sampling.top_k.is_some(), "its own holds"),
        ("seed", sampling.seed.is_some(), "its own holds"),
        ("stop", !sampling.stop.is_empty(), "it stops elsewhere"),
    ];
    let missing = asked
        .into_iter()
        .filter(|(name, asked, _)| *asked && !mentioned.contains(*name));
    Ok(Planned {
        path,
        adapters: mentioned.contains("model"),
        ignores_eos: mentioned.contains("ignoreEos"),
        seed: mentioned.contains("seed"),
        warnings: missing
            .map(|(name, _, so)| format!("{engine}: requests have no {name}, so {so}"))
            .collect(),
    })
}
