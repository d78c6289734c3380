//! Requests for text, as each engine reads and refuses them.

mod grpc;
mod plain;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::Value;

use super::{
    config::{Engine, SimulatorConfig},
    frames::{Interface, TritonOutputs},
    refusal::Refusal,
};

/// What a request asks for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Generation {
    /// Name of the model, where the interface has one.
    pub model: Option<String>,
    /// The prompt; for a chat all messages, one after the other.
    pub prompt: String,
    /// The prompts beyond the first, where a request holds several.
    pub further_prompts: Vec<String>,
    /// Tokens that the chat template adds by the simulator's rule: four for each message and three
    /// for the answer's beginning.
    pub template_tokens: u32,
    /// Most tokens of the answer.
    pub max_tokens: u32,
    /// Least tokens of the answer.
    pub min_tokens: u32,
    /// Whether the answer runs to its full length.
    pub ignore_eos: bool,
    /// Whether it streams.
    pub stream: bool,
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// `stream_options.continuous_usage_stats`.
    pub continuous_usage: bool,
    /// Outputs that Triton is asked for.
    pub outputs: TritonOutputs,
}

#[derive(Deserialize)]
struct OpenAi {
    model: Option<String>,
    prompt: Option<Value>,
    messages: Option<Vec<Message>>,
    max_tokens: Option<u32>,
    max_completion_tokens: Option<u32>,
    #[serde(default)]
    min_tokens: u32,
    #[serde(default)]
    ignore_eos: bool,
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
}

#[derive(Deserialize)]
struct Message {
    content: Value,
}

#[derive(Default, Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
    #[serde(default)]
    continuous_usage_stats: bool,
}

#[derive(Deserialize)]
struct Tgi {
    inputs: String,
    #[serde(default)]
    parameters: TgiParameters,
}

#[derive(Default, Deserialize)]
struct TgiParameters {
    max_new_tokens: Option<u32>,
    adapter_id: Option<String>,
    temperature: Option<f64>,
    top_p: Option<f64>,
}

#[derive(Deserialize)]
struct LlamaCpp {
    prompt: Value,
    n_predict: Option<i64>,
    #[serde(default)]
    ignore_eos: bool,
    #[serde(default)]
    stream: bool,
}

impl Generation {
    /// Reads a body as the engine would; `streams` is what the path says, where it does.
    ///
    /// # Errors
    /// The engine's own refusal.
    pub fn read(
        config: &SimulatorConfig,
        interface: Interface,
        streams: Option<bool>,
        body: &[u8],
    ) -> Result<Self, Refusal> {
        let engine = config.engine;
        let invalid =
            |error: serde_json::Error| Refusal::invalid(engine, &format!("invalid body: {error}"));
        let mut generation = match (engine, interface) {
            (_, Interface::Completions | Interface::Chat) => {
                if engine == Engine::Transformers {
                    transformers_fields(body)?;
                }
                let request = serde_json::from_slice(body).map_err(invalid)?;
                openai(engine, interface, request)?
            }
            (_, Interface::Grpc) => grpc::read(config, body)?,
            (Engine::Tgi, Interface::Native) => {
                tgi(serde_json::from_slice(body).map_err(invalid)?)?
            }
            (
                Engine::TritonVllm | Engine::TritonTensorRtLlm | Engine::TritonEnsemble,
                Interface::Native,
            ) => {
                let request = serde_json::from_slice(body).map_err(invalid)?;
                triton(engine, &request)?
            }
            (Engine::LlamaCpp | Engine::Vllm, Interface::Native) => {
                let request: LlamaCpp = serde_json::from_slice(body).map_err(invalid)?;
                Self {
                    prompt: text_of(&request.prompt),
                    max_tokens: request
                        .n_predict
                        .and_then(|tokens| u32::try_from(tokens).ok())
                        .unwrap_or(128),
                    ignore_eos: request.ignore_eos,
                    stream: request.stream,
                    ..Self::default()
                }
            }
            (_, Interface::Native) => {
                plain::read(engine, &serde_json::from_slice(body).map_err(invalid)?)?
            }
        };
        if let Some(stream) = streams {
            generation.stream = stream;
        }
        if let Some(asked) = &generation.model
            && engine.knows_its_model()
            && asked != config.shown_model()
            && !config.adapters.contains(asked)
        {
            return Err(Refusal::unknown_model(engine, asked));
        }
        if generation.max_tokens == 0 || generation.max_tokens > config.max_model_len {
            let message = format!(
                "max_tokens is {}, which is not between 1 and the maximum model length {}",
                generation.max_tokens, config.max_model_len
            );
            return Err(Refusal::invalid(engine, &message));
        }
        Ok(generation)
    }
}

fn openai(engine: Engine, interface: Interface, request: OpenAi) -> Result<Generation, Refusal> {
    let missing = |field: &str| Refusal::invalid(engine, &format!("Field required: {field}"));
    let mut further_prompts = Vec::new();
    let (prompt, messages) = if interface == Interface::Chat {
        let messages = request.messages.ok_or_else(|| missing("messages"))?;
        let texts: Vec<String> = messages
            .iter()
            .map(|message| text_of(&message.content))
            .collect();
        (texts.join(" "), messages.len())
    } else {
        let prompt = request.prompt.ok_or_else(|| missing("prompt"))?;
        let mut several = several(engine, &prompt).into_iter();
        let first = several.next().unwrap_or_else(|| text_of(&prompt));
        further_prompts.extend(several);
        (first, 0)
    };
    let template_tokens = if interface == Interface::Chat {
        u32::try_from(messages * 4 + 3).unwrap_or(u32::MAX)
    } else {
        0
    };
    let options = request.stream_options.unwrap_or_default();
    Ok(Generation {
        model: request.model,
        prompt,
        further_prompts,
        template_tokens,
        max_tokens: request
            .max_completion_tokens
            .or(request.max_tokens)
            .unwrap_or(16),
        min_tokens: request.min_tokens,
        ignore_eos: request.ignore_eos,
        stream: request.stream,
        include_usage: options.include_usage,
        continuous_usage: options.continuous_usage_stats,
        outputs: TritonOutputs::default(),
    })
}

/// `transformers serve` takes the fields of OpenAI's own schema, `seed` and `generation_config`, and
/// refuses any other by name (`BaseHandler._validate_request`).
fn transformers_fields(body: &[u8]) -> Result<(), Refusal> {
    const REFUSED: [&str; 4] = ["ignore_eos", "min_tokens", "top_k", "min_p"];
    let fields: serde_json::Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    match REFUSED.iter().find(|name| fields.contains_key(**name)) {
        Some(name) => Err(Refusal::invalid(
            Engine::Transformers,
            &format!("Unexpected fields in the request: {{'{name}'}}"),
        )),
        None => Ok(()),
    }
}

/// The prompts of a list of texts, which vLLM answers one by one.
fn several(engine: Engine, prompt: &Value) -> Vec<String> {
    let texts = prompt.as_array().filter(|_| engine.passes_on_vllm());
    let texts = texts.and_then(|items| items.iter().map(Value::as_str).collect::<Option<Vec<_>>>());
    texts
        .unwrap_or_default()
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// TGI refuses what it calls invalid sampling: a temperature of 0, a top_p of 1.
fn tgi(request: Tgi) -> Result<Generation, Refusal> {
    let parameters = request.parameters;
    let refuse = |message: &str| {
        Refusal::invalid(Engine::Tgi, &format!("Input validation error: {message}"))
    };
    if parameters.temperature.is_some_and(|it| it <= 0.0) {
        return Err(refuse("`temperature` must be strictly positive"));
    }
    if parameters.top_p.is_some_and(|it| it <= 0.0 || it >= 1.0) {
        return Err(refuse("`top_p` must be > 0.0 and < 1.0"));
    }
    Ok(Generation {
        // TGI answers by the model itself where it has no such adapter.
        model: parameters.adapter_id,
        prompt: request.inputs,
        max_tokens: parameters.max_new_tokens.unwrap_or(100),
        ..Generation::default()
    })
}

/// Inputs of the model stand at the top or, like everything else there, in nested objects; what is
/// no input is a request parameter, and must be a string, a number or a boolean.
fn triton(engine: Engine, request: &Value) -> Result<Generation, Refusal> {
    let refuse = |message: String| Refusal {
        status: StatusCode::BAD_REQUEST,
        body: serde_json::json!({ "error": message }).to_string(),
    };
    let mut fields = Vec::new();
    flatten(request, &mut fields);
    const LISTS: [&str; 4] = [
        "text_input",
        "sampling_param_stop",
        "stop_words",
        "bad_words",
    ];
    if let Some((name, _)) = fields
        .iter()
        .find(|(name, value)| value.is_array() && !LISTS.contains(name))
    {
        return Err(refuse(format!(
            "Invalid value for '{name}' should be of type string, integer, boolean, or double"
        )));
    }
    let find = |name: &str| {
        let mut values = fields.iter().filter(|(field, _)| *field == name);
        values.next().map(|(_, value)| *value)
    };
    let Some(prompt) = find("text_input").filter(|it| it.is_string()) else {
        return Err(refuse(
            "expected tensor 'text_input' is missing from the request".to_owned(),
        ));
    };
    let flag = |name: &str| find(name).and_then(Value::as_bool).unwrap_or(false);
    let serialized: Value = find("sampling_parameters")
        .and_then(Value::as_str)
        .map(serde_json::from_str)
        .transpose()
        .map_err(|error| refuse(format!("sampling_parameters: {error}")))?
        .unwrap_or(Value::Null);
    let sampling = |name: &str| serialized.get(name).or_else(|| find(name));
    let number = |name: &str| {
        sampling(name)
            .and_then(Value::as_u64)
            .and_then(|number| u32::try_from(number).ok())
    };
    let tensorrt = engine == Engine::TritonTensorRtLlm;
    let max_tokens = if tensorrt {
        number("sampling_param_max_tokens").unwrap_or(32)
    } else {
        number("max_tokens").unwrap_or(16)
    };
    let needs_length = matches!(engine, Engine::TritonEnsemble | Engine::KserveV2);
    if needs_length && find("max_tokens").is_none() {
        return Err(refuse(
            "expected tensor 'max_tokens' is missing from the request".to_owned(),
        ));
    }
    Ok(Generation {
        prompt: text_of(prompt),
        max_tokens,
        min_tokens: number("min_tokens").filter(|_| !tensorrt).unwrap_or(0),
        ignore_eos: !tensorrt
            && sampling("ignore_eos")
                .and_then(Value::as_bool)
                .unwrap_or(false),
        stream: flag(if tensorrt { "streaming" } else { "stream" }),
        outputs: TritonOutputs {
            finish_reason: flag("return_finish_reason"),
            num_input_tokens: !tensorrt && flag("return_num_input_tokens"),
            num_output_tokens: !tensorrt && flag("return_num_output_tokens"),
        },
        ..Generation::default()
    })
}

fn flatten<'a>(value: &'a Value, fields: &mut Vec<(&'a str, &'a Value)>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        if value.is_object() {
            flatten(value, fields);
        } else {
            fields.push((name, value));
        }
    }
}

/// The text of a string, of a list of strings, or of a chat message's parts.
fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(text_of).collect::<Vec<_>>().join(" "),
        Value::Object(part) => part.get("text").map(text_of).unwrap_or_default(),
        Value::Number(token) => token.to_string(),
        Value::Null | Value::Bool(_) => String::new(),
    }
}
