//! What the server answers with, by its media type.

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::{
    Response, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue},
};

use crate::simulate::{body::StreamBody, call, config::Engine, refusal::Refusal};

pub(in crate::simulate) type AnswerBody = Either<Full<Bytes>, StreamBody>;

pub(super) fn streamed(engine: Engine, body: StreamBody) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Right(body));
    let headers = response.headers_mut();
    let media_type = match engine {
        Engine::Wrapper => Some("application/x-ndjson"),
        Engine::JetStream => Some("application/json"),
        Engine::TorchServe => None,
        _ => Some("text/event-stream; charset=utf-8"),
    };
    if let Some(media_type) = media_type {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    response
}

pub(super) fn json(status: StatusCode, body: String) -> Response<AnswerBody> {
    let mut response = plain("application/json", body);
    *response.status_mut() = status;
    response
}

pub(super) fn refused(refusal: Refusal) -> Response<AnswerBody> {
    json(refusal.status, refusal.body)
}

/// How a refusal is told.
pub(super) fn refusal_of(is_call: bool) -> fn(Refusal) -> Response<AnswerBody> {
    if is_call {
        |refusal| call::refused(&refusal)
    } else {
        refused
    }
}

pub(super) fn plain(content_type: &'static str, body: String) -> Response<AnswerBody> {
    let mut response = Response::new(Either::Left(Full::from(body)));
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
