//! Errors in the shapes of the real servers.

use hyper::StatusCode;
use serde_json::json;

use super::config::Engine;

/// An answer that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// HTTP status.
    pub status: StatusCode,
    /// Body; JSON, or empty.
    pub body: String,
}

impl Refusal {
    /// A request that the engine finds invalid.
    pub fn invalid(engine: Engine, message: &str) -> Self {
        let status = match engine {
            Engine::Tgi | Engine::Transformers => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::BAD_REQUEST,
        };
        let kind = match engine {
            engine if engine.passes_on_vllm() => "BadRequestError",
            Engine::Tgi => "validation",
            Engine::SgLang | Engine::TensorRtLlm => "BadRequestError",
            _ => "invalid_request_error",
        };
        Self::new(engine, status, message, kind)
    }

    /// A request for a model that is not served.
    pub fn unknown_model(engine: Engine, model: &str) -> Self {
        let message = match engine {
            Engine::TritonVllm | Engine::TritonTensorRtLlm | Engine::TritonEnsemble => {
                format!("Request for unknown model: '{model}' is not found")
            }
            _ => format!("The model `{model}` does not exist."),
        };
        match engine {
            Engine::Transformers => Self::new(
                engine,
                StatusCode::BAD_REQUEST,
                &format!("Server is pinned to another model; requested '{model}'."),
                "invalid_request_error",
            ),
            engine if engine.passes_on_vllm() => Self {
                status: StatusCode::NOT_FOUND,
                body: json!({"error": {
                    "message": message, "type": "NotFoundError", "param": "model", "code": 404,
                }})
                .to_string(),
            },
            _ => Self::new(
                engine,
                StatusCode::BAD_REQUEST,
                &message,
                "invalid_request_error",
            ),
        }
    }

    /// One request too many, such as beyond TGI's `max_concurrent_requests`.
    pub fn overloaded(engine: Engine) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(engine, status, "Model is overloaded", "overloaded")
    }

    /// The fault of that name.
    pub fn server_error(engine: Engine) -> Self {
        let kind = match engine {
            engine if engine.passes_on_vllm() => "InternalServerError",
            Engine::Tgi => "generation",
            _ => "server_error",
        };
        let message = "Internal server error";
        Self::new(engine, StatusCode::INTERNAL_SERVER_ERROR, message, kind)
    }

    /// The model is still being loaded.
    pub fn loading(engine: Engine) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(engine, status, "Loading model", "unavailable_error")
    }

    /// A path that the engine does not serve.
    pub fn not_found(engine: Engine) -> Self {
        let body = match engine {
            Engine::LlamaCpp => json!({"error": {
                "code": 404, "message": "File Not Found", "type": "not_found_error",
            }})
            .to_string(),
            Engine::TorchServe | Engine::TransformersInstances => {
                torchserve(404, "ModelNotFoundException", "Model not found")
            }
            Engine::Wrapper | Engine::Sax | Engine::JetStream => {
                json!({"detail": "Not Found"}).to_string()
            }
            Engine::Tgi
            | Engine::TritonVllm
            | Engine::TritonTensorRtLlm
            | Engine::TritonEnsemble
            | Engine::KserveV2 => String::new(),
            // The answer of FastAPI, on which the others stand.
            _ => json!({"detail": "Not Found"}).to_string(),
        };
        Self {
            status: StatusCode::NOT_FOUND,
            body,
        }
    }

    fn new(engine: Engine, status: StatusCode, message: &str, kind: &str) -> Self {
        let code = status.as_u16();
        let body = match engine {
            Engine::SgLang | Engine::TensorRtLlm => json!({
                "object": "error", "message": message, "type": kind, "param": null, "code": code,
            }),
            Engine::FastChat => json!({"object": "error", "message": message, "code": 50001}),
            Engine::Transformers => json!({"detail": message}),
            Engine::Tgi => json!({"error": message, "error_type": kind}),
            Engine::TorchServe | Engine::TransformersInstances => {
                return Self {
                    status,
                    body: torchserve(code, "InternalServerException", message),
                };
            }
            Engine::TritonVllm
            | Engine::TritonTensorRtLlm
            | Engine::TritonEnsemble
            | Engine::KserveV2 => json!({"error": message}),
            Engine::Wrapper | Engine::Sax | Engine::JetStream => json!({"detail": message}),
            Engine::LlamaCpp => json!({"error": {"code": code, "message": message, "type": kind}}),
            Engine::Vllm | Engine::TorchServeVllm | Engine::RayServe | Engine::OpenLlm => {
                json!({"error": {
                    "message": message, "type": kind, "param": null, "code": code,
                }})
            }
        };
        Self {
            status,
            body: body.to_string(),
        }
    }
}

/// An error as TorchServe's frontend writes it.
fn torchserve(code: u16, kind: &str, message: &str) -> String {
    json!({"code": code, "type": kind, "message": message}).to_string()
}
