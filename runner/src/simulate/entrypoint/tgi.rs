//! `text-generation-launcher`, the entrypoint of TGI's image.

use super::{
    Engine, Launch, Misuse, World, address, config,
    flags::{Arguments, Fault, Flag, Style, optional, switch, value},
};

const FLAGS: &[Flag] = &[
    value(&["--model-id"]),
    value(&["--revision"]),
    value(&["--validation-workers"]),
    optional(&["--sharded"]),
    value(&["--num-shard"]),
    value(&["--quantize"]),
    value(&["--speculate"]),
    value(&["--dtype"]),
    value(&["--kv-cache-dtype"]),
    switch(&["--trust-remote-code"]),
    value(&["--max-concurrent-requests"]),
    value(&["--max-best-of"]),
    value(&["--max-stop-sequences"]),
    value(&["--max-top-n-tokens"]),
    value(&["--max-input-tokens"]),
    value(&["--max-input-length"]),
    value(&["--max-total-tokens"]),
    value(&["--waiting-served-ratio"]),
    value(&["--max-batch-prefill-tokens"]),
    value(&["--max-batch-total-tokens"]),
    value(&["--max-waiting-tokens"]),
    value(&["--max-batch-size"]),
    value(&["--cuda-graphs"]),
    value(&["--hostname"]),
    value(&["--port", "-p"]),
    value(&["--prometheus-port"]),
    value(&["--shard-uds-path"]),
    value(&["--master-addr"]),
    value(&["--master-port"]),
    value(&["--huggingface-hub-cache"]),
    value(&["--weights-cache-override"]),
    switch(&["--disable-custom-kernels"]),
    value(&["--cuda-memory-fraction"]),
    value(&["--rope-scaling"]),
    value(&["--rope-factor"]),
    switch(&["--json-output"]),
    value(&["--otlp-endpoint"]),
    value(&["--otlp-service-name"]),
    value(&["--cors-allow-origin"]),
    value(&["--api-key"]),
    value(&["--tokenizer-config-path"]),
    switch(&["--disable-grammar-support"]),
    value(&["--max-client-batch-size"]),
    value(&["--lora-adapters"]),
    value(&["--usage-stats"]),
    value(&["--payload-limit"]),
    switch(&["--enable-prefill-logprobs"]),
];

/// Reads what follows the program's name. As in the real one, a flag may also come from the
/// environment: `MODEL_ID`, `PORT`, `MAX_CONCURRENT_REQUESTS`, `MAX_BATCH_SIZE`,
/// `MAX_TOTAL_TOKENS`, `LORA_ADAPTERS`. The image sets `PORT=80`.
pub fn plan(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let refuse = |message: String| {
        Misuse(format!(
            "error: {message}\n\nUsage: text-generation-launcher [OPTIONS]\n\nFor more information, try '--help'."
        ))
    };
    let arguments = Arguments::read(FLAGS, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) | Fault::Surplus(word) => {
                format!("unexpected argument '{word}' found")
            }
            Fault::NoValue(word) => {
                format!("a value is required for '{word}' but none was supplied")
            }
        })
    })?;
    if let Some(word) = arguments.positional.first() {
        return Err(refuse(format!("unexpected argument '{word}' found")));
    }
    if arguments.get("--dtype").is_some() && arguments.get("--quantize").is_some() {
        return Err(refuse(
            "only one of '--dtype' and '--quantize' can be set".into(),
        ));
    }
    let setting = |flag: &str| -> Option<String> {
        let variable = flag
            .trim_start_matches('-')
            .replace('-', "_")
            .to_uppercase();
        arguments
            .get(flag)
            .map(str::to_owned)
            .or_else(|| (world.variable)(&variable))
    };
    let number = |flag: &str| -> Result<Option<u32>, Misuse> {
        setting(flag)
            .map(|text| {
                text.parse()
                    .map_err(|_| refuse(format!("invalid value '{text}' for '{flag}'")))
            })
            .transpose()
    };
    let model = setting("--model-id").unwrap_or_else(|| "bigscience/bloom-560m".to_owned());
    let mut config = config(
        Engine::Tgi,
        &model,
        number("--max-batch-size")?.unwrap_or(256),
    );
    config.max_concurrent_requests = Some(number("--max-concurrent-requests")?.unwrap_or(128));
    if let Some(length) = number("--max-total-tokens")? {
        config.max_model_len = length;
    }
    let adapters = setting("--lora-adapters").unwrap_or_default();
    config.adapters = adapters
        .split(',')
        .filter(|adapter| !adapter.is_empty())
        .map(adapter_id)
        .collect::<Option<_>>()
        .ok_or_else(|| refuse(format!("Invalid LoRA adapter format: {adapters}")))?;
    let port = number("--port")?.unwrap_or(3000);
    let port =
        u16::try_from(port).map_err(|_| refuse(format!("invalid value '{port}' for '--port'")))?;
    Ok(Launch {
        config,
        listen: address(arguments.get("--hostname").unwrap_or("0.0.0.0"), port),
        metrics: None,
        grpc: None,
    })
}

/// The id of `ID`, `ID=PATH`, `ID@REVISION` or `ID=PATH@REVISION`.
fn adapter_id(adapter: &str) -> Option<String> {
    let at_most_once = |mark| adapter.matches(mark).count() <= 1;
    let id = adapter.split(['=', '@']).next()?.trim();
    (at_most_once('=') && at_most_once('@') && !id.is_empty()).then(|| id.to_owned())
}
