//! JetStream's two programs, by the names of their images: `maxengine-server KEY=VALUE…`, the engine
//! with gRPC on port 9000, and `jetstream-http`, the HTTP server before it on port 8000.
//!
//! Each is a whole simulated server: load by HTTP does not show in the engine's metrics, load by gRPC
//! does. There is one simulated chip, so a batch is what `per_device_batch_size` says.

use std::collections::BTreeMap;

use super::{Engine, Launch, Misuse, address, config};

/// Keys of MaxText's `base.yml` that matter to a server.
const KEYS: &[&str] = &[
    "run_name",
    "model_name",
    "override_model_config",
    "tokenizer_path",
    "tokenizer_type",
    "hf_access_token",
    "load_parameters_path",
    "enable_checkpointing",
    "async_checkpointing",
    "dtype",
    "weight_dtype",
    "quantization",
    "quant_cfg_path",
    "quantize_kvcache",
    "kv_quant_axis",
    "kv_quant_dtype",
    "checkpoint_is_quantized",
    "scan_layers",
    "attention",
    "ici_data_parallelism",
    "ici_fsdp_parallelism",
    "ici_autoregressive_parallelism",
    "ici_tensor_parallelism",
    "ici_expert_parallelism",
    "per_device_batch_size",
    "max_prefill_predict_length",
    "max_target_length",
    "decode_sampling_strategy",
    "decode_sampling_nucleus_p",
    "decode_sampling_top_k",
    "decode_sampling_temperature",
    "inference_server",
    "enable_model_warmup",
    "stack_prefill_result_cache",
    "prefill_cache_axis_order",
    "ar_cache_axis_order",
    "compute_axis_order",
    "prometheus_port",
    "use_chunked_prefill",
    "prefill_chunk_size",
    "enable_prefix_caching",
];

/// Lengths to which prompts are padded; no other one may be the longest.
const PREFILLS: std::ops::RangeInclusive<u32> = 16..=32_768;

/// Reads what follows `maxengine-server`.
pub fn engine(words: &[String]) -> Result<Launch, Misuse> {
    let mut settings = BTreeMap::new();
    for word in words {
        let (key, value) = word
            .split_once('=')
            .ok_or_else(|| Misuse(format!("ValueError: {word:?} is no setting as KEY=VALUE")))?;
        if !KEYS.contains(&key) {
            return Err(Misuse(format!(
                "ValueError: Key {key} was passed at the command line but isn't in config."
            )));
        }
        settings.insert(key, value);
    }
    let number = |key: &str, default: f64| match settings.get(key) {
        None => Ok(default),
        Some(text) => text.parse::<f64>().map_err(|_| {
            Misuse(format!(
                "ValueError: Couldn't parse value from CLI '{text}' for key '{key}'"
            ))
        }),
    };
    let prefill = number("max_prefill_predict_length", 64.0)? as u32;
    let length = number("max_target_length", 2048.0)? as u32;
    if !PREFILLS.contains(&prefill) || !prefill.is_power_of_two() {
        return Err(Misuse(format!("ValueError: {prefill} is not in list")));
    }
    if length < prefill {
        return Err(Misuse(format!(
            "ValueError: Invalid max_target_length {length}, it is less than max_prefill_predict_length {prefill}"
        )));
    }
    let metrics = number("prometheus_port", 0.0)? as u16;
    let batch = number("per_device_batch_size", 12.0)?.max(1.0) as u32;
    let model = settings.get("model_name").copied().unwrap_or("default");
    let mut config = config(Engine::JetStream, model, batch);
    config.max_model_len = length;
    config.metrics = false;
    Ok(Launch {
        config,
        listen: address("0.0.0.0", 9000),
        metrics: (metrics > 0).then(|| address("0.0.0.0", metrics)),
        grpc: None,
    })
}

/// Reads what follows `jetstream-http`: nothing.
pub fn http(words: &[String]) -> Result<Launch, Misuse> {
    if let Some(word) = words.first() {
        return Err(Misuse(format!(
            "jetstream-http: {word:?} is not played here"
        )));
    }
    let mut config = config(Engine::JetStream, "default", 12);
    config.metrics = false;
    Ok(Launch {
        config,
        listen: address("0.0.0.0", 8000),
        metrics: None,
        grpc: None,
    })
}
