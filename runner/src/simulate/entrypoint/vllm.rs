//! `vllm serve MODEL`, the entrypoint of `vllm/vllm-openai`.

use super::{
    Engine, Launch, Misuse, World, address, config,
    flags::{Arguments, Fault, Flag, Style, optional, several, switch, value},
};

pub(super) const FLAGS: &[Flag] = &[
    value(&["--model"]),
    value(&["--served-model-name"]),
    value(&["--host"]),
    value(&["--port"]),
    value(&["--revision"]),
    value(&["--code-revision"]),
    value(&["--tokenizer"]),
    value(&["--tokenizer-revision"]),
    value(&["--tokenizer-mode"]),
    value(&["--dtype"]),
    value(&["--quantization", "-q"]),
    value(&["--kv-cache-dtype"]),
    value(&["--load-format"]),
    value(&["--download-dir"]),
    value(&["--hf-overrides"]),
    value(&["--max-model-len"]),
    value(&["--max-num-seqs"]),
    value(&["--max-num-batched-tokens"]),
    value(&["--gpu-memory-utilization"]),
    value(&["--block-size"]),
    value(&["--tensor-parallel-size", "-tp"]),
    value(&["--pipeline-parallel-size", "-pp"]),
    value(&["--data-parallel-size", "-dp"]),
    value(&["--distributed-executor-backend"]),
    value(&["--nnodes"]),
    value(&["--node-rank"]),
    value(&["--master-addr"]),
    value(&["--master-port"]),
    switch(&["--headless"]),
    value(&["--seed"]),
    value(&["--generation-config"]),
    value(&["--override-generation-config"]),
    value(&["--chat-template"]),
    value(&["--chat-template-content-format"]),
    value(&["--speculative-config"]),
    value(&["--compilation-config"]),
    value(&["--scheduling-policy"]),
    value(&["--api-key"]),
    several(&["--lora-modules"]),
    value(&["--max-lora-rank"]),
    value(&["--max-loras"]),
    value(&["--uvicorn-log-level"]),
    value(&["--config"]),
    optional(&["--hf-token"]),
    switch(&["--enable-lora"]),
    switch(&["--trust-remote-code"]),
    switch(&["--enforce-eager"]),
    switch(&["--enable-prefix-caching"]),
    switch(&["--no-enable-prefix-caching"]),
    switch(&["--enable-chunked-prefill"]),
    switch(&["--no-enable-chunked-prefill"]),
    switch(&["--disable-log-stats"]),
    switch(&["--enable-log-requests"]),
    switch(&["--no-enable-log-requests"]),
    switch(&["--disable-uvicorn-access-log"]),
];

/// Reads what follows `vllm`.
pub fn plan(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let refuse = |message: String| {
        Misuse(format!(
            "usage: vllm serve [model_tag] [options]\nvllm serve: error: {message}"
        ))
    };
    let arguments = Arguments::read(FLAGS, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) => format!("unrecognized arguments: {word}"),
            Fault::NoValue(word) => format!("argument {word}: expected one argument"),
            Fault::Surplus(word) => {
                let (name, value) = word.split_once('=').unwrap_or((word, ""));
                format!("argument {name}: ignored explicit argument '{value}'")
            }
        })
    })?;
    let mut positional = arguments.positional.iter().map(String::as_str);
    if positional.next() != Some("serve") {
        return Err(refuse("the only command played here is serve".into()));
    }
    let tag = positional.next();
    if let Some(word) = positional.next() {
        return Err(refuse(format!("unrecognized arguments: {word}")));
    }
    let model = tag
        .or(arguments.get("--model"))
        .ok_or_else(|| refuse("the following arguments are required: model_tag".into()))?;
    let served = arguments.get("--served-model-name").unwrap_or(model);
    let mut config = config(
        Engine::Vllm,
        served,
        arguments.number("--max-num-seqs")?.unwrap_or(256),
    );
    config.adapters = adapters(arguments.get("--lora-modules").unwrap_or_default())
        .map_err(|message| refuse(format!("argument --lora-modules: {message}")))?;
    if !config.adapters.is_empty() && arguments.get("--enable-lora").is_none() {
        return Err(refuse(
            "LoRA is not enabled. Use --enable-lora to enable LoRA.".into(),
        ));
    }
    config.prefix_caching = arguments.get("--no-enable-prefix-caching").is_none();
    config.dev_mode = (world.variable)("VLLM_SERVER_DEV_MODE").as_deref() == Some("1");
    if let Some(length) = arguments.number("--max-model-len")? {
        config.max_model_len = length;
    }
    let (nodes, rank) = (
        arguments.number::<u32>("--nnodes")?.unwrap_or(1),
        arguments.number::<u32>("--node-rank")?.unwrap_or(0),
    );
    if rank >= nodes {
        return Err(refuse(format!(
            "node rank {rank} is not below the number of nodes, {nodes}"
        )));
    }
    Ok(Launch {
        config,
        listen: match arguments.get("--headless") {
            // A further node of an engine serves nobody.
            Some(_) => address("127.0.0.1", 0),
            None => address(
                arguments.get("--host").unwrap_or("0.0.0.0"),
                arguments.number("--port")?.unwrap_or(8000),
            ),
        },
        metrics: None,
        grpc: None,
    })
}

/// Names of `--lora-modules`: `NAME=PATH`, or JSON with `name` and `path`.
fn adapters(modules: &str) -> Result<Vec<String>, String> {
    modules
        .lines()
        .map(|module| {
            if let Some((name, path)) = module.split_once('=').filter(|_| !module.contains(',')) {
                return if path.contains('=') {
                    Err(format!("invalid value: '{module}'"))
                } else {
                    Ok(name.to_owned())
                };
            }
            let json: serde_json::Value = serde_json::from_str(module)
                .map_err(|_| format!("Invalid JSON format for --lora-modules: {module}"))?;
            match (json["name"].as_str(), json["path"].as_str()) {
                (Some(name), Some(_)) => Ok(name.to_owned()),
                _ => Err(format!("Invalid fields for --lora-modules: {module}")),
            }
        })
        .collect()
}
