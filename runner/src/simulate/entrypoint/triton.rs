//! `tritonserver`, with a repository that holds `vllm_model`, `tensorrt_llm`, an ensemble round one
//! or a model of texts.
//!
//! A repository cannot be listed here, so `BAKEOFF_SIM_MODEL` tells the name of a model of texts.

use std::path::Path;

use serde_json::{Map, Value};

use super::{
    Engine, Launch, Misuse, SimulatorConfig, World, address, config,
    flags::{Arguments, Fault, Flag, Style, optional, switch, value},
};

const FLAGS: &[Flag] = &[
    value(&["--model-repository", "--model-store"]),
    value(&["--id"]),
    value(&["--http-port"]),
    value(&["--http-address"]),
    value(&["--grpc-port"]),
    value(&["--grpc-address"]),
    value(&["--metrics-port"]),
    value(&["--metrics-address"]),
    value(&["--metrics-interval-ms"]),
    value(&["--metrics-config"]),
    value(&["--allow-http"]),
    value(&["--allow-grpc"]),
    value(&["--allow-metrics"]),
    value(&["--allow-gpu-metrics"]),
    value(&["--http-thread-count"]),
    value(&["--model-control-mode"]),
    value(&["--load-model"]),
    value(&["--backend-directory"]),
    value(&["--backend-config"]),
    value(&["--log-verbose"]),
    value(&["--log-info"]),
    value(&["--log-warning"]),
    value(&["--log-error"]),
    value(&["--log-format"]),
    value(&["--exit-timeout-secs"]),
    value(&["--exit-on-error"]),
    value(&["--strict-readiness"]),
    value(&["--model-load-thread-count"]),
    value(&["--pinned-memory-pool-byte-size"]),
    value(&["--cuda-memory-pool-byte-size"]),
    value(&["--buffer-manager-thread-count"]),
    value(&["--rate-limit"]),
    value(&["--cache-config"]),
    optional(&["--strict-model-config"]),
    switch(&["--disable-auto-complete-config"]),
];

/// Engine arguments that `model.json` may hold; vLLM refuses others.
pub const VLLM_KEYS: &[&str] = &[
    "model",
    "served_model_name",
    "tokenizer",
    "tokenizer_mode",
    "tokenizer_revision",
    "trust_remote_code",
    "revision",
    "code_revision",
    "dtype",
    "quantization",
    "kv_cache_dtype",
    "load_format",
    "download_dir",
    "seed",
    "max_model_len",
    "max_num_seqs",
    "max_num_batched_tokens",
    "gpu_memory_utilization",
    "swap_space",
    "block_size",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "distributed_executor_backend",
    "enable_prefix_caching",
    "enable_chunked_prefill",
    "enforce_eager",
    "generation_config",
    "override_generation_config",
    "speculative_config",
    "compilation_config",
    "hf_overrides",
    "enable_lora",
    "max_lora_rank",
    "max_loras",
    "disable_log_stats",
];

/// Arguments of the LLM API that `model.yaml` may hold; it refuses others.
pub const TENSORRT_LLM_KEYS: &[&str] = &[
    "model",
    "tokenizer",
    "tokenizer_mode",
    "tokenizer_revision",
    "skip_tokenizer_init",
    "trust_remote_code",
    "revision",
    "backend",
    "dtype",
    "load_format",
    "tensor_parallel_size",
    "pipeline_parallel_size",
    "context_parallel_size",
    "gpus_per_node",
    "moe_tensor_parallel_size",
    "moe_expert_parallel_size",
    "enable_attention_dp",
    "enable_chunked_prefill",
    "enable_lora",
    "lora_config",
    "quant_config",
    "kv_cache_config",
    "scheduler_config",
    "cuda_graph_config",
    "speculative_config",
    "model_kwargs",
    // Of the TensorRT backend alone.
    "batching_type",
    "max_batch_size",
    "max_input_len",
    "max_seq_len",
    "max_beam_width",
    "max_num_tokens",
    "return_perf_metrics",
    "enable_iter_perf_stats",
    "disable_overlap_scheduler",
    "sampler_type",
    "triton_config",
];

/// Reads what follows the program's name, and the repository.
pub fn plan(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let refuse = |message: String| Misuse(format!("{message}\nUsage: tritonserver [options]"));
    let arguments = Arguments::read(FLAGS, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) => format!("tritonserver: unrecognized option '{word}'"),
            Fault::NoValue(word) => format!("tritonserver: option '{word}' requires an argument"),
            Fault::Surplus(word) => {
                format!("tritonserver: option '{word}' doesn't allow an argument")
            }
        })
    })?;
    if let Some(word) = arguments.positional.first() {
        return Err(refuse(format!("Unexpected argument: {word}")));
    }
    let repository = arguments
        .get("--model-repository")
        .ok_or_else(|| refuse("--model-repository must be specified".into()))?;
    let addresses = (
        address(
            arguments.get("--http-address").unwrap_or("0.0.0.0"),
            arguments.number("--http-port")?.unwrap_or(8000),
        ),
        address(
            arguments.get("--metrics-address").unwrap_or("0.0.0.0"),
            arguments.number("--metrics-port")?.unwrap_or(8002),
        ),
        address(
            arguments.get("--grpc-address").unwrap_or("0.0.0.0"),
            arguments.number("--grpc-port")?.unwrap_or(8001),
        ),
    );
    let launch = |mut config: SimulatorConfig| {
        config.metrics = false;
        Launch {
            config,
            listen: addresses.0,
            metrics: Some(addresses.1),
            grpc: Some(addresses.2),
        }
    };
    if let Some(model) = model_of_texts(Path::new(repository), world) {
        // One at a time, as without an instance group and dynamic batching.
        return Ok(launch(config(Engine::KserveV2, &model, 1)));
    }
    if let Some(config) = ensemble(Path::new(repository), world)? {
        return Ok(launch(config));
    }
    let (engine, settings) = repository_model(Path::new(repository), world)?;
    let model = settings.get("model").and_then(Value::as_str);
    let number = |name: &str| {
        settings
            .get(name)
            .and_then(Value::as_u64)
            .and_then(|number| u32::try_from(number).ok())
    };
    let (batch, length) = match engine {
        Engine::TritonVllm => (number("max_num_seqs").unwrap_or(256), "max_model_len"),
        _ => (number("max_batch_size").unwrap_or(2048), "max_seq_len"),
    };
    let model = model.ok_or_else(|| Misuse("error: the model's settings name no model".into()))?;
    let mut config = config(engine, model, batch);
    config.max_model_len = number(length).unwrap_or(config.max_model_len);
    Ok(launch(config))
}

/// The model that the environment names, where the repository has a folder of it.
fn model_of_texts(repository: &Path, world: &World<'_>) -> Option<String> {
    let name = (world.variable)("BAKEOFF_SIM_MODEL")?;
    let is_there = |file: &str| match (world.file)(&repository.join(&name).join(file)) {
        Ok(_) => true,
        // Weights are no text.
        Err(error) => error.kind() != std::io::ErrorKind::NotFound,
    };
    let files = ["config.pbtxt", "1/model.onnx", "1/model.pt"];
    files.into_iter().any(is_there).then_some(name)
}

/// What follows `mpirun`: one server for each GPU, of which the first one answers.
pub fn under_mpi(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let first = words.split(|word| word == ":").next().unwrap_or_default();
    let mut words = first.iter().skip_while(|word| *word != "tritonserver");
    match words.next() {
        Some(_) => plan(&words.cloned().collect::<Vec<_>>(), world),
        None => Err(Misuse(
            "mpirun: the only program played here is tritonserver".into(),
        )),
    }
}

/// An ensemble round an engine of TensorRT-LLM, which must have been built.
fn ensemble(repository: &Path, world: &World<'_>) -> Result<Option<SimulatorConfig>, Misuse> {
    if (world.file)(&repository.join("ensemble/config.pbtxt")).is_err() {
        return Ok(None);
    }
    let bad = |cause: String| {
        Misuse(format!(
            "error: creating server: Internal - failed to load all models: tensorrt_llm: {cause}"
        ))
    };
    let text = (world.file)(&repository.join("tensorrt_llm/config.pbtxt"))
        .map_err(|error| bad(error.to_string()))?;
    let batching = parameter(&text, "gpt_model_type").unwrap_or_default();
    if !["inflight_fused_batching", "V1"].contains(&batching) {
        return Err(bad(format!("Invalid gpt_model_type {batching:?}")));
    }
    let engine = Path::new(parameter(&text, "gpt_model_path").unwrap_or_default());
    let file = engine.join("config.json");
    let settings =
        (world.file)(&file).map_err(|error| bad(format!("{}: {error}", file.display())))?;
    let settings: Value =
        serde_json::from_str(&settings).map_err(|error| bad(error.to_string()))?;
    let number = |name: &str| {
        let number = settings["build_config"][name].as_u64();
        number.and_then(|number| u32::try_from(number).ok())
    };
    let batch = number("max_batch_size").unwrap_or(1);
    let mut config = config(Engine::TritonEnsemble, "ensemble", batch);
    config.max_model_len = number("max_seq_len").unwrap_or(config.max_model_len);
    Ok(Some(config))
}

/// A parameter of a model's configuration.
fn parameter<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    let (_, after) = text.split_once(&format!("key: \"{key}\""))?;
    let (_, value) = after.split_once("string_value: \"")?;
    Some(value.split_once('"')?.0)
}

/// The model of a repository, and its settings.
fn repository_model(
    repository: &Path,
    world: &World<'_>,
) -> Result<(Engine, Map<String, Value>), Misuse> {
    let vllm = repository.join("vllm_model/1/model.json");
    let tensorrt_llm = repository.join("tensorrt_llm/1/model.yaml");
    let bad = |path: &Path, cause: String| {
        Misuse(format!(
            "error: creating server: Internal - failed to load all models: {}: {cause}",
            path.display()
        ))
    };
    if let Ok(text) = (world.file)(&vllm) {
        let settings =
            serde_json::from_str(&text).map_err(|error| bad(&vllm, error.to_string()))?;
        known(&settings, VLLM_KEYS).map_err(|cause| bad(&vllm, cause))?;
        return Ok((Engine::TritonVllm, settings));
    }
    let text =
        (world.file)(&tensorrt_llm).map_err(|error| bad(&tensorrt_llm, error.to_string()))?;
    let settings: Map<String, Value> =
        serde_saphyr::from_str(&text).map_err(|error| bad(&tensorrt_llm, error.to_string()))?;
    known(&settings, TENSORRT_LLM_KEYS).map_err(|cause| bad(&tensorrt_llm, cause))?;
    let decoupled = settings
        .get("triton_config")
        .and_then(|triton| triton.get("decoupled"));
    if decoupled.and_then(Value::as_bool) != Some(true) {
        let cause = "triton_config.decoupled is not true, so nothing can stream";
        return Err(bad(&tensorrt_llm, cause.to_owned()));
    }
    Ok((Engine::TritonTensorRtLlm, settings))
}

fn known(settings: &Map<String, Value>, keys: &[&str]) -> Result<(), String> {
    match settings.keys().find(|key| !keys.contains(&key.as_str())) {
        Some(key) => Err(format!("got an unexpected keyword argument '{key}'")),
        None => Ok(()),
    }
}
