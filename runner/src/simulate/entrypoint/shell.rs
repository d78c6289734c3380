//! `bash -c "ray start … && exec serve run …"`: Ray Serve in one pod.

use std::path::Path;

use serde_json::Value;

use super::{
    Engine, Launch, Misuse, World, address, config,
    flags::{Arguments, Flag, Style, switch, value},
    triton::VLLM_KEYS,
};

pub(super) const RAY_START: &[Flag] = &[
    switch(&["--head"]),
    switch(&["--block"]),
    switch(&["--disable-usage-stats"]),
    value(&["--port"]),
    value(&["--num-gpus"]),
    value(&["--num-cpus"]),
    value(&["--resources"]),
    value(&["--metrics-export-port"]),
    value(&["--include-dashboard"]),
    value(&["--dashboard-host"]),
    value(&["--object-store-memory"]),
    value(&["--temp-dir"]),
];

pub(super) const SERVE_RUN: &[Flag] = &[
    value(&["--address", "-a"]),
    value(&["--app-dir", "-d"]),
    value(&["--working-dir"]),
    value(&["--runtime-env"]),
    value(&["--runtime-env-json"]),
    value(&["--route-prefix"]),
    value(&["--name"]),
    switch(&["--blocking"]),
    switch(&["--non-blocking"]),
    switch(&["--reload", "-r"]),
];

/// Reads a script whose last command serves.
pub fn plan(words: &[String], world: &World<'_>) -> Result<Launch, Misuse> {
    let [flag, script] = words else {
        return Err(Misuse("bash: only -c SCRIPT is played here".into()));
    };
    if flag != "-c" {
        return Err(Misuse(format!("bash: {flag}: invalid option")));
    }
    let mut launch = None;
    let mut metrics_port = None;
    for command in script.split("&&") {
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let words = match words.split_first() {
            Some((first, rest)) if first == "exec" => rest,
            _ => &words[..],
        };
        match words {
            [program, command, rest @ ..] if program == "ray" && command == "start" => {
                let arguments = read(RAY_START, "ray start", rest)?;
                metrics_port = arguments.number::<u16>("--metrics-export-port")?;
            }
            [program, command, rest @ ..] if program == "serve" && command == "run" => {
                let arguments = read(SERVE_RUN, "serve run", rest)?;
                let file = arguments.positional.first().ok_or_else(|| {
                    Misuse("Error: Missing argument 'CONFIG_OR_IMPORT_PATH'.".into())
                })?;
                launch = Some(serve(file, world)?);
            }
            _ => {
                return Err(Misuse(format!(
                    "bash: line 1: {}: command not found",
                    words.join(" ")
                )));
            }
        }
    }
    let mut launch = launch.ok_or_else(|| Misuse("bash: nothing in the script serves".into()))?;
    launch.metrics = metrics_port.map(|port| address("0.0.0.0", port));
    Ok(launch)
}

fn read(flags: &[Flag], command: &str, words: &[String]) -> Result<Arguments, Misuse> {
    Arguments::read(flags, Style::SpaceOrEquals, words)
        .map_err(|fault| Misuse(format!("Usage: {command} [OPTIONS]\n\nError: {fault:?}")))
}

/// A Serve configuration with one application of Ray Serve LLM.
fn serve(path: &str, world: &World<'_>) -> Result<Launch, Misuse> {
    let bad = |cause: String| Misuse(format!("error: {path}: {cause}"));
    let text = (world.file)(Path::new(path)).map_err(|error| bad(error.to_string()))?;
    let file: Value = serde_saphyr::from_str(&text).map_err(|error| bad(error.to_string()))?;
    let application = &file["applications"][0];
    if application["import_path"] != "ray.serve.llm:build_openai_app" {
        return Err(bad(
            "the only application played here is build_openai_app".into()
        ));
    }
    let model = &application["args"]["llm_configs"][0];
    let engine = &model["engine_kwargs"];
    let unknown = engine.as_object().and_then(|arguments| {
        let mut names = arguments.keys();
        names.find(|name| !VLLM_KEYS.contains(&name.as_str()))
    });
    if let Some(name) = unknown {
        return Err(bad(format!("got an unexpected keyword argument '{name}'")));
    }
    let id = model["model_loading_config"]["model_id"]
        .as_str()
        .ok_or_else(|| bad("model_loading_config.model_id: Field required".into()))?;
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let mut config = config(
        Engine::RayServe,
        id,
        number(&engine["max_num_seqs"]).unwrap_or(256),
    );
    config.metrics = false;
    config.max_model_len = number(&engine["max_model_len"]).unwrap_or(config.max_model_len);
    let http = &file["http_options"];
    let port = number(&http["port"]).and_then(|port| u16::try_from(port).ok());
    Ok(Launch {
        config,
        listen: address(
            http["host"].as_str().unwrap_or("127.0.0.1"),
            port.unwrap_or(8000),
        ),
        metrics: None,
        grpc: None,
    })
}
