//! `python3 -m MODULE`: SGLang's server, FastChat's controller, worker and API, TorchServe's launcher;
//! and `python3 FILE`: the server that the profile `naive-transformers` brings along.
//!
//! Each of FastChat's three programs is a whole simulated server on its own port. In the real one the
//! API learns from the worker which model there is; here `BAKEOFF_SIM_MODEL` tells it.

use std::path::Path;

use super::{
    Engine, Launch, Misuse, World, address, config,
    flags::{Arguments, Fault, Flag, Style, several, switch, value},
};

pub(super) const SGLANG: &[Flag] = &[
    value(&["--model-path", "--model"]),
    value(&["--tokenizer-path"]),
    value(&["--revision"]),
    value(&["--served-model-name"]),
    value(&["--host"]),
    value(&["--port"]),
    value(&["--dtype"]),
    value(&["--quantization"]),
    value(&["--kv-cache-dtype"]),
    value(&["--context-length"]),
    value(&["--max-running-requests"]),
    value(&["--max-queued-requests"]),
    value(&["--max-prefill-tokens"]),
    value(&["--chunked-prefill-size"]),
    value(&["--mem-fraction-static"]),
    value(&["--tp-size", "--tensor-parallel-size"]),
    value(&["--pp-size"]),
    value(&["--dp-size"]),
    value(&["--attention-backend"]),
    value(&["--sampling-defaults"]),
    value(&["--random-seed"]),
    value(&["--chat-template"]),
    value(&["--speculative-algorithm"]),
    value(&[
        "--speculative-draft-model-path",
        "--speculative-draft-model",
    ]),
    value(&["--speculative-num-steps"]),
    value(&["--speculative-eagle-topk"]),
    value(&["--speculative-num-draft-tokens"]),
    value(&["--max-loras-per-batch"]),
    value(&["--max-lora-rank"]),
    several(&["--lora-paths"]),
    value(&["--log-level"]),
    switch(&["--disable-radix-cache"]),
    switch(&["--disable-cuda-graph"]),
    switch(&["--enable-metrics"]),
    switch(&["--enable-deterministic-inference"]),
    switch(&["--trust-remote-code"]),
];

pub(super) const TORCHSERVE: &[Flag] = &[
    value(&["--model_name"]),
    value(&["--model_store"]),
    value(&["--model_id"]),
    switch(&["--disable_token_auth"]),
    value(&["--vllm_engine.max_num_seqs"]),
    value(&["--vllm_engine.max_model_len"]),
    value(&["--vllm_engine.download_dir"]),
    value(&["--startup_timeout"]),
    value(&["--engine"]),
    value(&["--dtype"]),
    value(&["--trt_llm_engine.max_batch_size"]),
    value(&["--trt_llm_engine.kv_cache_free_gpu_memory_fraction"]),
];

/// The file of the profile `naive-transformers`, which is the server.
const NAIVE_SERVER: &str = "/etc/bakeoff-engine/server.py";

const NAIVE: &[Flag] = &[
    value(&["--model"]),
    value(&["--revision"]),
    value(&["--dtype"]),
    value(&["--port"]),
];

pub(super) const CONTROLLER: &[Flag] = &[
    value(&["--host"]),
    value(&["--port"]),
    value(&["--dispatch-method"]),
    switch(&["--ssl"]),
];

pub(super) const WORKER: &[Flag] = &[
    value(&["--host"]),
    value(&["--port"]),
    value(&["--worker-address"]),
    value(&["--controller-address"]),
    value(&["--model-path"]),
    value(&["--revision"]),
    value(&["--device"]),
    value(&["--gpus"]),
    value(&["--num-gpus"]),
    value(&["--max-gpu-memory"]),
    value(&["--dtype"]),
    switch(&["--load-8bit"]),
    switch(&["--cpu-offloading"]),
    value(&["--model-names"]),
    value(&["--conv-template"]),
    value(&["--limit-worker-concurrency"]),
    value(&["--stream-interval"]),
    value(&["--seed"]),
    value(&["--debug"]),
    switch(&["--no-register"]),
    switch(&["--ssl"]),
];

pub(super) const API: &[Flag] = &[
    value(&["--host"]),
    value(&["--port"]),
    value(&["--controller-address"]),
    value(&["--allowed-origins"]),
    value(&["--allowed-methods"]),
    value(&["--allowed-headers"]),
    value(&["--api-keys"]),
    switch(&["--allow-credentials"]),
    switch(&["--ssl"]),
];

/// Reads what follows `python3`.
pub fn plan(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    if words == [super::sax::PUBLISHER] {
        return Ok(super::sax::publisher());
    }
    let [flag, module, rest @ ..] = words else {
        return Err(Misuse("python3: only -m MODULE is played here".into()));
    };
    if flag == NAIVE_SERVER {
        let arguments = [std::slice::from_ref(module), rest].concat();
        (world.file)(Path::new(flag))
            .map_err(|error| Misuse(format!("python3: can't open file '{flag}': {error}")))?;
        return naive(&read(NAIVE, "server.py", &arguments)?);
    }
    if flag != "-m" {
        return Err(Misuse(format!("python3: can't open file '{flag}'")));
    }
    match module.as_str() {
        "sglang.launch_server" => sglang(&read(SGLANG, "launch_server.py", rest)?),
        "ts.llm_launcher" => torchserve(&read(TORCHSERVE, "llm_launcher.py", rest)?, world),
        "fastchat.serve.controller" => fastchat(&read(CONTROLLER, "controller.py", rest)?, 21001),
        "fastchat.serve.model_worker" => fastchat(&read(WORKER, "model_worker.py", rest)?, 21002),
        "fastchat.serve.openai_api_server" => {
            if (world.variable)("BAKEOFF_SIM_MODEL").is_none() {
                return Err(Misuse(
                    "error: BAKEOFF_SIM_MODEL is not set, and nothing else tells a simulated FastChat API which model there is".into(),
                ));
            }
            fastchat(&read(API, "openai_api_server.py", rest)?, 8000)
        }
        module => Err(Misuse(format!("python3: No module named {module}"))),
    }
}

/// As Python's argparse reads.
fn read(flags: &[Flag], program: &str, words: &[String]) -> Result<Arguments, Misuse> {
    let refuse = |message: String| {
        Misuse(format!(
            "usage: {program} [-h] …\n{program}: error: {message}"
        ))
    };
    let arguments = Arguments::read(flags, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) => format!("unrecognized arguments: {word}"),
            Fault::NoValue(word) => format!("argument {word}: expected one argument"),
            Fault::Surplus(word) => {
                let (name, value) = word.split_once('=').unwrap_or((word, ""));
                format!("argument {name}: ignored explicit argument '{value}'")
            }
        })
    })?;
    match arguments.positional.first() {
        Some(word) => Err(refuse(format!("unrecognized arguments: {word}"))),
        None => Ok(arguments),
    }
}

fn sglang(arguments: &Arguments) -> Result<Launch, Misuse> {
    let model = arguments.get("--model-path").ok_or_else(|| {
        Misuse("launch_server.py: error: the following arguments are required: --model-path".into())
    })?;
    let served = arguments.get("--served-model-name").unwrap_or(model);
    let batch = arguments.number("--max-running-requests")?.unwrap_or(256);
    let mut config = config(Engine::SgLang, served, batch);
    config.metrics = arguments.get("--enable-metrics").is_some();
    config.prefix_caching = arguments.get("--disable-radix-cache").is_none();
    if let Some(length) = arguments.number("--context-length")? {
        config.max_model_len = length;
    }
    config.adapters = arguments
        .get("--lora-paths")
        .unwrap_or_default()
        .lines()
        .map(|path| {
            path.split_once('=')
                .map_or(path, |(name, _)| name)
                .to_owned()
        })
        .collect();
    Ok(Launch {
        config,
        listen: address(
            arguments.get("--host").unwrap_or("127.0.0.1"),
            arguments.number("--port")?.unwrap_or(30000),
        ),
        metrics: None,
        grpc: None,
    })
}

/// Addresses are in the properties' file, loopback ones by default.
fn torchserve(arguments: &Arguments, world: &World<'_>) -> Result<Launch, Misuse> {
    let model = arguments
        .get("--model_id")
        .unwrap_or("meta-llama/Meta-Llama-3.1-8B-Instruct");
    if arguments.get("--disable_token_auth").is_none() {
        return Err(Misuse(
            "error: token authorization is on, and nobody here has the token; give --disable_token_auth".into(),
        ));
    }
    let properties = match (world.variable)("TS_CONFIG_FILE") {
        None => String::new(),
        Some(path) => (world.file)(Path::new(&path))
            .map_err(|error| Misuse(format!("error: {path}: {error}")))?,
    };
    let listen = |name: &str, port: u16| {
        let line = properties.lines().find_map(|line| {
            let (key, value) = line.split_once('=')?;
            (key.trim() == name).then_some(value.trim())
        });
        let place = line.and_then(|url| url.strip_prefix("http://")?.rsplit_once(':'));
        match place {
            Some((host, number)) => address(host, number.parse().unwrap_or(port)),
            None => address("127.0.0.1", port),
        }
    };
    let batch = arguments
        .number("--vllm_engine.max_num_seqs")?
        .unwrap_or(256);
    let mut config = config(Engine::TorchServeVllm, model, batch);
    config.metrics = false;
    if let Some(length) = arguments.number("--vllm_engine.max_model_len")? {
        config.max_model_len = length;
    }
    Ok(Launch {
        config,
        listen: listen("inference_address", 8080),
        metrics: Some(listen("metrics_address", 8082)),
        grpc: None,
    })
}

/// One request at a time; the model goes by the name in the path.
fn naive(arguments: &Arguments) -> Result<Launch, Misuse> {
    if arguments.get("--model").is_none() {
        let message = "the following arguments are required: --model";
        return Err(Misuse(format!("server.py: error: {message}")));
    }
    let mut config = config(Engine::TransformersInstances, "model", 1);
    config.metrics = false;
    Ok(Launch {
        config,
        listen: address("0.0.0.0", arguments.number("--port")?.unwrap_or(8080)),
        metrics: None,
        grpc: None,
    })
}

fn fastchat(arguments: &Arguments, port: u16) -> Result<Launch, Misuse> {
    let names = arguments.get("--model-names");
    let model = names.or(arguments.get("--model-path")).unwrap_or_default();
    let batch = arguments.number("--limit-worker-concurrency")?.unwrap_or(5);
    let mut config = config(Engine::FastChat, model, batch);
    config.metrics = false;
    Ok(Launch {
        config,
        listen: address(
            arguments.get("--host").unwrap_or("localhost"),
            arguments.number("--port")?.unwrap_or(port),
        ),
        metrics: None,
        grpc: None,
    })
}
