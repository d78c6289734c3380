//! Paths of servers with one simple interface each.

use serde_json::json;

use super::{Route, generate};
use crate::simulate::{
    config::{Engine, SimulatorConfig},
    frames::Interface,
};

/// The route of a request.
pub fn route(config: &SimulatorConfig, post: bool, path: &str) -> Route {
    let text = generate(Interface::Native);
    let served = |model: &str| model == config.shown_model();
    match (config.engine, post) {
        (Engine::Wrapper | Engine::Sax | Engine::JetStream, true) if path == "/generate" => text,
        (Engine::TorchServe | Engine::TransformersInstances, true) => {
            match path.strip_prefix("/predictions/") {
                Some(model) if served(model) => text,
                _ => Route::NotFound,
            }
        }
        (Engine::KserveV2, true) => {
            let model = path.strip_prefix("/v2/models/");
            match model.and_then(|rest| rest.strip_suffix("/infer")) {
                Some(model) if served(model) => text,
                Some(model) => Route::UnknownModel(model.to_owned()),
                None => Route::NotFound,
            }
        }
        (Engine::KserveV2, false) => match path {
            "/v2/health/ready" | "/v2/health/live" => Route::Empty,
            "/v2" => Route::Document(json!({
                "name": "triton",
                "version": config.engine.version(),
            })),
            _ => {
                let model = path.strip_prefix("/v2/models/");
                match model.and_then(|rest| rest.strip_suffix("/ready")) {
                    Some(model) if served(model) => Route::Empty,
                    Some(model) => Route::UnknownModel(model.to_owned()),
                    None => Route::NotFound,
                }
            }
        },
        (Engine::TorchServe | Engine::TransformersInstances, false) if path == "/ping" => {
            Route::Document(json!({"status": "Healthy"}))
        }
        (Engine::JetStream, false) if path == "/healthcheck" => Route::Empty,
        (Engine::Sax, false) if path == "/" => Route::Empty,
        (Engine::Wrapper, false) if path == "/health" => Route::Empty,
        _ => Route::NotFound,
    }
}
