//! `llama-server`, the entrypoint of llama.cpp's server images.

use super::{
    Engine, Launch, Misuse, World, address, config,
    flags::{Arguments, Fault, Flag, Style, optional, switch, value},
};

const FLAGS: &[Flag] = &[
    value(&["--model", "-m"]),
    value(&["--hf-repo", "-hf", "-hfr"]),
    value(&["--hf-file", "-hff"]),
    value(&["--hf-token", "-hft"]),
    value(&["--model-url", "-mu"]),
    value(&["--alias", "-a"]),
    value(&["--host"]),
    value(&["--port"]),
    value(&["--ctx-size", "-c"]),
    value(&["--parallel", "-np"]),
    value(&["--n-predict", "--predict", "-n"]),
    value(&["--batch-size", "-b"]),
    value(&["--ubatch-size", "-ub"]),
    value(&["--threads", "-t"]),
    value(&["--threads-batch", "-tb"]),
    value(&["--threads-http"]),
    value(&["--n-gpu-layers", "--gpu-layers", "-ngl"]),
    value(&["--split-mode", "-sm"]),
    value(&["--tensor-split", "-ts"]),
    value(&["--main-gpu", "-mg"]),
    value(&["--cache-type-k", "-ctk"]),
    value(&["--cache-type-v", "-ctv"]),
    value(&["--model-draft", "-md"]),
    value(&["--hf-repo-draft", "-hfd", "-hfrd"]),
    value(&["--draft-max", "--draft", "--draft-n"]),
    value(&["--draft-min", "--draft-n-min"]),
    value(&["--chat-template"]),
    value(&["--chat-template-file"]),
    value(&["--seed", "-s"]),
    value(&["--timeout", "-to"]),
    value(&["--api-key"]),
    value(&["--slot-prompt-similarity", "-sps"]),
    value(&["--cache-reuse"]),
    value(&["--cache-ram", "-cram"]),
    value(&["--log-file"]),
    value(&["--verbosity", "-lv"]),
    optional(&["--flash-attn", "-fa"]),
    switch(&["--metrics"]),
    switch(&["--slots"]),
    switch(&["--no-slots"]),
    switch(&["--props"]),
    switch(&["--cont-batching", "-cb"]),
    switch(&["--no-cont-batching", "-nocb"]),
    switch(&["--cache-prompt"]),
    switch(&["--no-cache-prompt"]),
    switch(&["--kv-unified", "-kvu"]),
    switch(&["--no-kv-unified", "-no-kvu"]),
    switch(&["--jinja"]),
    switch(&["--no-jinja"]),
    switch(&["--no-webui"]),
    switch(&["--no-warmup"]),
    switch(&["--mlock"]),
    switch(&["--no-mmap"]),
    switch(&["--log-disable"]),
    switch(&["--verbose", "-v"]),
];

/// Reads what follows the program's name. As in the real one, `LLAMA_ARG_MODEL`,
/// `LLAMA_ARG_HF_REPO`, `LLAMA_ARG_HOST` and `LLAMA_ARG_PORT` stand for flags that are not there.
pub fn plan(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let arguments = Arguments::read(FLAGS, Style::Space, words).map_err(|fault| {
        Misuse(match fault {
            Fault::Unknown(word) | Fault::Surplus(word) => {
                format!("error: invalid argument: {word}")
            }
            Fault::NoValue(word) => {
                format!("error while handling argument \"{word}\": expected value for argument")
            }
        })
    })?;
    if let Some(word) = arguments.positional.first() {
        return Err(Misuse(format!("error: invalid argument: {word}")));
    }
    let variable = |name: &str| (world.variable)(&format!("LLAMA_ARG_{name}"));
    let setting = |flag: &str, name: &str| {
        arguments
            .get(flag)
            .map(str::to_owned)
            .or_else(|| variable(name))
    };
    let source = setting("--model", "MODEL")
        .or_else(|| setting("--hf-repo", "HF_REPO"))
        .or_else(|| arguments.get("--model-url").map(str::to_owned))
        .ok_or_else(|| Misuse("error: no model: give --model or --hf-repo".into()))?;
    let model = arguments.get("--alias").unwrap_or(&source);
    let slots = arguments.number("--parallel")?.unwrap_or(4);
    let mut config = config(Engine::LlamaCpp, model, slots);
    if let Some(context) = arguments.number::<u32>("--ctx-size")?.filter(|it| *it > 0) {
        // All slots share the context.
        config.max_model_len = context / slots.max(1);
    }
    config.metrics = arguments.get("--metrics").is_some();
    let port = match setting("--port", "PORT") {
        None => 8080,
        Some(text) => text
            .parse()
            .map_err(|_| Misuse(format!("error while handling argument \"--port\": {text}")))?,
    };
    let host = setting("--host", "HOST").unwrap_or_else(|| "127.0.0.1".to_owned());
    Ok(Launch {
        config,
        listen: address(&host, port),
        metrics: None,
        grpc: None,
    })
}
