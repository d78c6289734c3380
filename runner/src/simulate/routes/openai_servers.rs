//! Servers that speak OpenAI's interfaces and have further paths of their own.

use serde_json::json;

use super::{Engine, Interface, Route, SimulatorConfig, generate, models};

pub fn route(engine: Engine, config: &SimulatorConfig, post: bool, path: &str) -> Route {
    // TorchServe's handler lies behind its model's name and version.
    let path = match (engine, path.strip_prefix("/predictions/model/1.0")) {
        (Engine::TorchServeVllm, Some(below)) => below,
        (Engine::TorchServeVllm, None) => {
            return match (post, path) {
                (false, "/ping") => Route::Document(json!({"status": "Healthy"})),
                _ => Route::NotFound,
            };
        }
        (_, _) => path,
    };
    match (post, path) {
        (true, "/v1/completions") => return generate(Interface::Completions),
        (true, "/v1/chat/completions") => return generate(Interface::Chat),
        (false, "/v1/models") => return models(config, owner(engine)),
        _ => {}
    }
    match (engine, post, path) {
        (Engine::SgLang | Engine::TensorRtLlm, false, "/health" | "/health_generate") => {
            Route::Empty
        }
        (Engine::SgLang, false, "/server_info" | "/get_server_info") => Route::Document(json!({
            "version": engine.version(),
            "served_model_name": config.shown_model(),
        })),
        (Engine::SgLang, _, "/flush_cache") => Route::ResetPrefixCache,
        (Engine::TensorRtLlm, false, "/version") => {
            Route::Document(json!({"version": engine.version()}))
        }
        // JSON here; Prometheus' text has a path of its own.
        (Engine::TensorRtLlm, false, "/metrics") => Route::Document(json!([])),
        (Engine::TensorRtLlm, false, "/prometheus/metrics") => Route::Metrics,
        (Engine::Transformers, false, "/health") => Route::Document(json!({"status": "ok"})),
        (Engine::RayServe, false, "/-/healthz") => Route::Empty,
        (Engine::OpenLlm, false, "/livez" | "/readyz" | "/healthz") => Route::Empty,
        _ => Route::NotFound,
    }
}

fn owner(engine: Engine) -> &'static str {
    match engine {
        Engine::SgLang => "sglang",
        Engine::TensorRtLlm => "tensorrt_llm",
        Engine::FastChat => "fastchat",
        _ => "vllm",
    }
}
