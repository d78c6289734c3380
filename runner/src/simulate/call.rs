//! Calls by gRPC on the simulator's own server: which they are, and how refusals are told.

use http_body_util::{Either, Full};
use hyper::{
    HeaderMap, Request, Response,
    header::{CONTENT_TYPE, HeaderValue},
};

use super::{
    config::Engine, frames::Interface, refusal::Refusal, routes::Route, server::AnswerBody,
};
use bytes::Bytes;

const TORCHSERVE: &str = "/org.pytorch.serve.grpc.inference.InferenceAPIsService";

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

/// Whether a request is a call.
pub fn is_call<B>(request: &Request<B>) -> bool {
    let media_type = request.headers().get(CONTENT_TYPE);
    media_type.is_some_and(|it| it.as_bytes().starts_with(b"application/grpc"))
}

/// The route of a call.
pub fn route(engine: Engine, path: &str) -> Route {
    let streams = match (engine, path) {
        (
            Engine::TritonVllm | Engine::TritonTensorRtLlm,
            "/inference.GRPCInferenceService/ModelStreamInfer",
        )
        | (Engine::JetStream, "/jetstream_proto.Orchestrator/Decode") => None,
        (Engine::KserveV2, "/inference.GRPCInferenceService/ModelInfer") => Some(false),
        (Engine::TorchServe, path) => match path.strip_prefix(TORCHSERVE) {
            Some("/StreamPredictions") => Some(true),
            Some("/Predictions") => Some(false),
            _ => return Route::NotFound,
        },
        _ => return Route::NotFound,
    };
    Route::Generate {
        interface: Interface::Grpc,
        streams,
    }
}

/// The end of a call with a code.
pub fn trailers(code: u8) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    trailers
}

/// The head of an answer.
pub fn accepted(body: AnswerBody) -> Response<AnswerBody> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, GRPC);
    response
}

/// A refusal as gRPC tells it: by a status alone.
pub fn refused(refusal: &Refusal) -> Response<AnswerBody> {
    let code = match refusal.status.as_u16() {
        404 => 12,
        400..=428 => 3,
        429 => 8,
        503 => 14,
        _ => 13,
    };
    let mut response = accepted(Either::Left(Full::from(Bytes::new())));
    response.headers_mut().extend(trailers(code));
    let words = refusal.body.replace(
        |letter: char| !matches!(letter, ' '..='~') || letter == '%',
        "?",
    );
    if let Ok(words) = HeaderValue::from_str(&words) {
        response.headers_mut().insert("grpc-message", words);
    }
    response
}
