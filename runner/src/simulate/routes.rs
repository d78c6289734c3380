//! Which path means what, engine by engine.

mod openai_servers;
mod plain;

use serde_json::{Value, json};

use super::{
    config::{Engine, SimulatorConfig},
    frames::Interface,
};

/// What a request is for.
#[derive(Clone, Debug, PartialEq)]
pub enum Route {
    /// Text. `streams` is said by the path of TGI and Triton, else by the body.
    Generate {
        /// The interface.
        interface: Interface,
        /// What the path says.
        streams: Option<bool>,
    },
    /// A document that does not change.
    Document(Value),
    /// An empty 200.
    Empty,
    /// A model of Triton's that is not in its repository.
    UnknownModel(String),
    /// Empties the prefix cache.
    ResetPrefixCache,
    /// The engine's metrics.
    Metrics,
    /// The truth log: the simulator's own.
    Log,
    /// Nothing.
    NotFound,
}

/// The route of a request.
pub fn route(config: &SimulatorConfig, post: bool, path: &str) -> Route {
    match (post, path) {
        (false, "/bakeoff/log") => return Route::Log,
        // No engine's own: the servers have little in common by which one could tell.
        (false, "/bakeoff/ready") => return Route::Empty,
        (false, "/metrics") if config.metrics => return Route::Metrics,
        _ => {}
    }
    match config.engine {
        Engine::Vllm => vllm(config, post, path),
        Engine::Tgi => tgi(config, post, path),
        Engine::TritonVllm | Engine::TritonTensorRtLlm | Engine::TritonEnsemble => {
            triton(config, post, path)
        }
        Engine::LlamaCpp => llama_cpp(config, post, path),
        Engine::SgLang
        | Engine::TensorRtLlm
        | Engine::Transformers
        | Engine::FastChat
        | Engine::TorchServeVllm
        | Engine::RayServe
        | Engine::OpenLlm => openai_servers::route(config.engine, config, post, path),
        _ => plain::route(config, post, path),
    }
}

fn generate(interface: Interface) -> Route {
    Route::Generate {
        interface,
        streams: None,
    }
}

fn native(streams: bool) -> Route {
    Route::Generate {
        interface: Interface::Native,
        streams: Some(streams),
    }
}

fn models(config: &SimulatorConfig, owner: &str) -> Route {
    let id = config.shown_model();
    let mut data = vec![json!({
        "id": id, "object": "model", "created": 0, "owned_by": owner, "root": id,
        "parent": null, "max_model_len": config.max_model_len,
    })];
    if config.engine.serves_adapters() {
        data.extend(config.adapters.iter().map(|adapter| {
            json!({
                "id": adapter, "object": "model", "created": 0, "owned_by": owner, "root": adapter,
                "parent": id, "max_model_len": null,
            })
        }));
    }
    Route::Document(json!({"object": "list", "data": data}))
}

fn vllm(config: &SimulatorConfig, post: bool, path: &str) -> Route {
    match (post, path) {
        (true, "/v1/completions") => generate(Interface::Completions),
        (true, "/v1/chat/completions") => generate(Interface::Chat),
        (false, "/health" | "/ping") => Route::Empty,
        (true, "/reset_prefix_cache") if config.dev_mode => Route::ResetPrefixCache,
        (false, "/v1/models") => models(config, "vllm"),
        (false, "/version") => Route::Document(json!({"version": config.engine.version()})),
        _ => Route::NotFound,
    }
}

fn tgi(config: &SimulatorConfig, post: bool, path: &str) -> Route {
    match (post, path) {
        (true, "/generate_stream") => native(true),
        (true, "/generate") => native(false),
        (true, "/v1/completions") => generate(Interface::Completions),
        (true, "/v1/chat/completions") => generate(Interface::Chat),
        (false, "/health" | "/ping") => Route::Empty,
        (false, "/v1/models") => models(config, config.shown_model()),
        (false, "/info") => Route::Document(json!({
            "model_id": config.shown_model(),
            "model_sha": config.revision,
            "model_pipeline_tag": "text-generation",
            "max_concurrent_requests": config.max_concurrent_requests,
            "max_best_of": 2,
            "max_stop_sequences": 4,
            "max_input_tokens": config.max_model_len.saturating_sub(1),
            "max_total_tokens": config.max_model_len,
            "validation_workers": 2,
            "max_client_batch_size": 4,
            "router": "text-generation-router",
            "version": config.engine.version(),
            "sha": null,
            "docker_label": null,
        })),
        _ => Route::NotFound,
    }
}

fn triton(config: &SimulatorConfig, post: bool, path: &str) -> Route {
    let name = config.engine.triton_model().unwrap_or_default();
    let Some(path) = path.strip_prefix("/v2") else {
        return Route::NotFound;
    };
    if let Some(rest) = path.strip_prefix("/models/") {
        let (model, verb) = rest.split_once('/').unwrap_or((rest, ""));
        if model != name {
            return Route::UnknownModel(model.to_owned());
        }
        return match (post, verb) {
            (true, "generate_stream") => native(true),
            (true, "generate") => native(false),
            (false, "ready") => Route::Empty,
            (false, "") => triton_model(config),
            _ => Route::NotFound,
        };
    }
    match (post, path) {
        (false, "/health/ready" | "/health/live") => Route::Empty,
        (false, "") => Route::Document(json!({
            "name": "triton",
            "version": config.engine.version(),
            "extensions": ["model_repository", "schedule_policy", "generate", "statistics"],
        })),
        _ => Route::NotFound,
    }
}

fn triton_model(config: &SimulatorConfig) -> Route {
    let wrong = config.shown_model() != config.model;
    let name = if wrong {
        config.shown_model()
    } else {
        config.engine.triton_model().unwrap_or_default()
    };
    let platform = match config.engine {
        Engine::TritonVllm => "vllm",
        Engine::TritonEnsemble => "ensemble",
        _ => "python",
    };
    Route::Document(json!({
        "name": name,
        "versions": ["1"],
        "platform": platform,
        "inputs": [{"name": "text_input", "datatype": "BYTES", "shape": [1]}],
        "outputs": [{"name": "text_output", "datatype": "BYTES", "shape": [-1]}],
    }))
}

fn llama_cpp(config: &SimulatorConfig, post: bool, path: &str) -> Route {
    match (post, path) {
        (true, "/completion" | "/completions") => generate(Interface::Native),
        (true, "/v1/completions") => generate(Interface::Completions),
        (true, "/v1/chat/completions" | "/chat/completions") => generate(Interface::Chat),
        (false, "/health" | "/v1/health") => Route::Document(json!({"status": "ok"})),
        (false, "/v1/models" | "/models") => models(config, "llamacpp"),
        (false, "/props") => Route::Document(json!({
            "default_generation_settings": {"n_ctx": config.max_model_len},
            "total_slots": config.max_batch_size,
            "model_alias": config.shown_model(),
            "build_info": config.engine.version(),
        })),
        (false, "/slots") => Route::Document(Value::Array(
            (0..config.max_batch_size)
                .map(|id| json!({"id": id, "n_ctx": config.max_model_len}))
                .collect(),
        )),
        _ => Route::NotFound,
    }
}
