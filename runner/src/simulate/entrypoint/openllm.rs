//! `openllm serve BENTO`. The Bento holds everything but the port.

use super::{
    Engine, Launch, Misuse, address, config,
    flags::{Arguments, Fault, Flag, Style, switch, value},
};

pub(super) const FLAGS: &[Flag] = &[
    value(&["--repo"]),
    value(&["--port"]),
    value(&["--env"]),
    value(&["--arg"]),
    switch(&["--verbose"]),
    switch(&["--no-verbose"]),
];

/// Reads what follows `openllm`.
pub fn plan(words: &[String]) -> Result<Launch, Misuse> {
    let refuse = |message: String| {
        Misuse(format!(
            "Usage: openllm serve [OPTIONS] MODEL\n\nError: {message}"
        ))
    };
    let arguments = Arguments::read(FLAGS, Style::SpaceOrEquals, words).map_err(|fault| {
        refuse(match fault {
            Fault::Unknown(word) | Fault::Surplus(word) => format!("No such option: {word}"),
            Fault::NoValue(word) => format!("Option '{word}' requires an argument."),
        })
    })?;
    let [command, bento] = arguments.positional.as_slice() else {
        return Err(refuse("Missing argument 'MODEL'.".into()));
    };
    if command != "serve" {
        return Err(refuse("the only command played here is serve".into()));
    }
    let port = arguments.number("--port")?.unwrap_or(3000);
    Ok(Launch {
        config: config(Engine::OpenLlm, bento, 256),
        listen: address("0.0.0.0", port),
        metrics: None,
        grpc: None,
    })
}
