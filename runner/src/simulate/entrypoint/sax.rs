//! SAX's three servers by the names of their images, and the publisher of its profile, which here finds
//! the model published: each is a whole simulated server that knows nothing of the others.

use super::{
    Engine, Launch, Misuse, address, config,
    flags::{Arguments, Flag, Style, value},
};

/// The file of the profile that publishes the model.
pub(super) const PUBLISHER: &str = "/etc/bakeoff-engine/publish.py";

/// Flags of the model server by Google's guides.
const MODEL_SERVER: &[Flag] = &[
    value(&["--sax_cell"]),
    value(&["--port"]),
    value(&["--platform_chip"]),
    value(&["--platform_topology"]),
    value(&["--jax_platforms"]),
];

/// Reads what follows `sax-admin-server`: nothing.
pub fn admin(words: &[String]) -> Result<Launch, Misuse> {
    nothing("sax-admin-server", words)?;
    Ok(launch(10_000))
}

/// Reads what follows `sax-model-server`.
pub fn model(words: &[String]) -> Result<Launch, Misuse> {
    let refuse = |message: String| Misuse(format!("FATAL Flags parsing error: {message}"));
    let arguments = Arguments::read(MODEL_SERVER, Style::SpaceOrEquals, words)
        .map_err(|fault| refuse(format!("Unknown command line flag: {fault:?}")))?;
    if arguments.get("--sax_cell").is_none() {
        return Err(refuse("flag --sax_cell must have a value".into()));
    }
    Ok(launch(arguments.number("--port")?.unwrap_or(10_001)))
}

/// Reads what follows `sax-http`: nothing.
pub fn http(words: &[String]) -> Result<Launch, Misuse> {
    nothing("sax-http", words)?;
    Ok(launch(8888))
}

/// The publisher, whose port says that the model has answered.
pub fn publisher() -> Launch {
    launch(8889)
}

fn nothing(program: &str, words: &[String]) -> Result<(), Misuse> {
    match words.first() {
        Some(word) => Err(Misuse(format!("{program}: {word:?} is not played here"))),
        None => Ok(()),
    }
}

fn launch(port: u16) -> Launch {
    let mut config = config(Engine::Sax, "/sax/test/model", 32);
    config.metrics = false;
    Launch {
        config,
        listen: address("0.0.0.0", port),
        metrics: None,
        grpc: None,
    }
}
