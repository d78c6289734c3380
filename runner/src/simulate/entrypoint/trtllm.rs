//! `trtllm-serve MODEL`, flags by the source code (`tensorrt_llm/commands/serve.py`).

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    Engine, Launch, Misuse, World, address, config,
    flags::{Arguments, Fault, Flag, Style, switch, value},
    triton::TENSORRT_LLM_KEYS,
};

const FLAGS: &[Flag] = &[
    value(&["--tokenizer"]),
    value(&["--host"]),
    value(&["--port"]),
    value(&["--backend"]),
    value(&["--log_level"]),
    value(&["--max_beam_width"]),
    value(&["--max_batch_size"]),
    value(&["--max_num_tokens"]),
    value(&["--max_seq_len"]),
    value(&["--tp_size", "--tensor_parallel_size"]),
    value(&["--pp_size", "--pipeline_parallel_size"]),
    value(&["--ep_size", "--moe_expert_parallel_size"]),
    value(&["--gpus_per_node"]),
    value(&[
        "--kv_cache_free_gpu_memory_fraction",
        "--free_gpu_memory_fraction",
    ]),
    value(&["--num_postprocess_workers"]),
    switch(&["--trust_remote_code"]),
    value(&["--revision"]),
    value(&["--extra_llm_api_options", "--config"]),
    value(&["--reasoning_parser"]),
    value(&["--tool_parser"]),
    switch(&["--enable_chunked_prefill"]),
    value(&["--chat_template"]),
];

/// Reads what follows `trtllm-serve`, and the file that it names.
pub fn plan(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let refuse = |message: String| {
        Misuse(format!(
            "Usage: trtllm-serve serve [OPTIONS] MODEL\n\nError: {message}"
        ))
    };
    let arguments = Arguments::read(FLAGS, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) => format!("No such option: {word}"),
            Fault::Surplus(word) => format!("Option '{word}' does not take a value."),
            Fault::NoValue(word) => format!("Option '{word}' requires an argument."),
        })
    })?;
    // The command may be left out.
    let mut positional = arguments.positional.iter().peekable();
    positional.next_if(|word| *word == "serve");
    let model = positional
        .next()
        .ok_or_else(|| refuse("Missing argument 'MODEL'.".into()))?;
    // Weights on a volume are served under the name of their folder.
    let served = match model.starts_with('/') {
        true => model.rsplit('/').next().unwrap_or(model),
        false => model,
    };
    let batch = arguments.number("--max_batch_size")?.unwrap_or(2048);
    let mut config = config(Engine::TensorRtLlm, served, batch);
    // Its /metrics is JSON; Prometheus' text is elsewhere.
    config.metrics = false;
    if let Some(length) = arguments.number("--max_seq_len")? {
        config.max_model_len = length;
    }
    if let Some(path) = arguments.get("--extra_llm_api_options") {
        known(path, world)?;
    }
    Ok(Launch {
        config,
        listen: address(
            arguments.get("--host").unwrap_or("localhost"),
            arguments.number("--port")?.unwrap_or(8000),
        ),
        metrics: None,
        grpc: None,
    })
}

/// The file's keys are the LLM API's.
fn known(path: &str, world: &World<'_>) -> Result<(), Misuse> {
    let bad = |cause: String| Misuse(format!("error: {path}: {cause}"));
    let text = (world.file)(Path::new(path)).map_err(|error| bad(error.to_string()))?;
    let settings: Map<String, Value> =
        serde_saphyr::from_str(&text).map_err(|error| bad(error.to_string()))?;
    match settings
        .keys()
        .find(|key| !TENSORRT_LLM_KEYS.contains(&key.as_str()))
    {
        Some(key) => Err(bad(format!("{key}: Extra inputs are not permitted"))),
        None => Ok(()),
    }
}
