//! `transformers serve MODEL`, flags as of 5.23.0.

use super::{
    Engine, Launch, Misuse, address, config,
    flags::{Arguments, Fault, Flag, Style, switch, value},
};

pub(super) const FLAGS: &[Flag] = &[
    switch(&["--continuous-batching"]),
    switch(&["--no-continuous-batching"]),
    value(&["--attn-implementation"]),
    switch(&["--compile"]),
    switch(&["--no-compile"]),
    value(&["--quantization"]),
    value(&["--reasoning"]),
    value(&["--chat-template-kwargs"]),
    value(&["--decision-config"]),
    value(&["--device"]),
    value(&["--dtype"]),
    switch(&["--trust-remote-code"]),
    switch(&["--no-trust-remote-code"]),
    value(&["--model-timeout"]),
    value(&["--cb-block-size"]),
    value(&["--cb-num-blocks"]),
    value(&["--cb-max-batch-tokens"]),
    value(&["--cb-max-memory-percent"]),
    switch(&["--cb-use-cuda-graph"]),
    switch(&["--no-cb-use-cuda-graph"]),
    value(&["--host"]),
    value(&["--port"]),
    switch(&["--enable-cors"]),
    switch(&["--no-enable-cors"]),
    value(&["--log-level"]),
    value(&["--default-seed"]),
];

/// Reads what follows `transformers`.
pub fn plan(words: &[String]) -> Result<Launch, Misuse> {
    let refuse = |message: String| {
        Misuse(format!(
            "Usage: transformers serve [OPTIONS] [FORCE_MODEL]\n\nError: {message}"
        ))
    };
    let arguments = Arguments::read(FLAGS, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) => format!("No such option: {word}"),
            Fault::Surplus(word) => format!("Option '{word}' does not take a value."),
            Fault::NoValue(word) => format!("Option '{word}' requires an argument."),
        })
    })?;
    let [command, model] = arguments.positional.as_slice() else {
        return Err(refuse("a model to be pinned to is needed here".into()));
    };
    if command != "serve" {
        return Err(refuse("the only command played here is serve".into()));
    }
    let quantization = arguments.get("--quantization");
    if let Some(method) = quantization.filter(|it| !["bnb-4bit", "bnb-8bit"].contains(it)) {
        return Err(Misuse(format!(
            "ValueError: Unsupported quantization method: '{method}'. Must be 'bnb-4bit' or 'bnb-8bit'."
        )));
    }
    let batched = arguments.get("--continuous-batching").is_some();
    let mut config = config(Engine::Transformers, model, if batched { 256 } else { 1 });
    config.metrics = false;
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
