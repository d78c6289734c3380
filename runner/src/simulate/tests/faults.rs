//! Each fault, as a client sees it and as the log tells it.

use super::*;

#[tokio::test]
async fn an_error_event_amid_the_stream_is_told_as_such() {
    // Bare text has no place for an error: TorchServe's stream breaks.
    for protocol in streaming().filter(|it| *it != Protocol::TorchServe) {
        let engine = start_with(config(protocol, Fault::ErrorEvent)).unwrap();
        let decoded = ask(&engine.url, protocol, true).await;
        let told = matches!(decoded.error, Some(DecodeError::StreamError(_)));
        assert!(told, "{protocol:?}: {decoded:?}");
        assert!(decoded.contents > 0, "{protocol:?}");
        let record = engine.log.records().pop().unwrap();
        assert_eq!(record.outcome, Outcome::ErrorEvent, "{protocol:?}");
        assert_eq!(record.frames.len(), decoded.contents, "{protocol:?}");
    }
}

#[tokio::test]
async fn a_cut_stream_breaks_the_connection() {
    for protocol in streaming() {
        let engine = start_with(config(protocol, Fault::CutStream)).unwrap();
        let decoded = ask(&engine.url, protocol, true).await;
        assert!(
            decoded.broken && decoded.contents > 0,
            "{protocol:?}: {decoded:?}"
        );
        let record = engine.log.records().pop().unwrap();
        assert_eq!(record.outcome, Outcome::Cut, "{protocol:?}");
    }
}

#[tokio::test]
async fn server_errors_come_with_their_status() {
    for protocol in over_http() {
        let engine = start_with(config(protocol, Fault::ServerError)).unwrap();
        let (codec, path) = codec(protocol, true);
        let response = send(
            &engine.url,
            "POST",
            &path,
            codec.encode(&[&prompt()], 0).unwrap(),
        )
        .await
        .unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let record = engine.log.records().pop().unwrap();
        assert_eq!(record.outcome, Outcome::Rejected);
    }
}

#[tokio::test]
async fn an_engine_that_refuses_was_ready_before() {
    let engine = start_with(config(Protocol::OpenAiChat, Fault::Refuse)).unwrap();
    assert_eq!(get(&engine.url, "/health").await.0, StatusCode::OK);
    let (codec, path) = codec(Protocol::OpenAiChat, true);
    let first = send(
        &engine.url,
        "POST",
        &path,
        codec.encode(&[&prompt()], 0).unwrap(),
    )
    .await;
    assert!(first.is_err());
    // The listener goes with the first request; from then on there is nobody.
    let address = engine.url.trim_start_matches("http://");
    while TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn another_model_is_shown_and_the_asked_one_refused() {
    for (protocol, path, pointer) in [
        (Protocol::OpenAiChat, "/v1/models", "/data/0/id"),
        (Protocol::Tgi, "/info", "/model_id"),
        (Protocol::TritonVllm, "/v2/models/vllm_model", "/name"),
        (
            Protocol::TritonTensorRtLlm,
            "/v2/models/tensorrt_llm",
            "/name",
        ),
        (Protocol::LlamaCpp, "/v1/models", "/data/0/id"),
    ] {
        let right = Engine::native(protocol)
            .triton_model()
            .unwrap_or("org/model");
        for (fault, expected) in [(Fault::None, true), (Fault::WrongModel, false)] {
            let engine = start_with(config(protocol, fault)).unwrap();
            let (_, body) = get(&engine.url, path).await;
            let body: serde_json::Value = serde_json::from_str(&body).unwrap();
            let shown = body.pointer(pointer).unwrap();
            assert_eq!(shown == right, expected, "{protocol:?}: {body}");
        }
    }
    let engine = start_with(config(Protocol::OpenAiChat, Fault::WrongModel)).unwrap();
    let (codec, path) = codec(Protocol::OpenAiChat, true);
    let response = send(
        &engine.url,
        "POST",
        &path,
        codec.encode(&[&prompt()], 0).unwrap(),
    )
    .await;
    assert_eq!(response.unwrap().status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_slow_start_is_not_ready() {
    let engine = start_with(config(Protocol::OpenAiChat, Fault::SlowStart)).unwrap();
    let (status, _) = get(&engine.url, "/health").await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn every_second_request_is_one_too_many() {
    for protocol in over_http() {
        let engine = start_with(config(protocol, Fault::RateLimit)).unwrap();
        let (codec, path) = codec(protocol, true);
        let body = codec.encode(&[&prompt()], 0).unwrap();
        let mut found = Vec::new();
        for _ in 0..4 {
            let response = send(&engine.url, "POST", &path, body.clone())
                .await
                .unwrap();
            let asked = response.headers().get("retry-after");
            let asked = asked.map(|it| it.to_str().unwrap().to_owned());
            found.push((response.status().as_u16(), asked));
        }
        let (answered, refused) = ((200, None), (429, Some("7".to_owned())));
        let expected = [answered.clone(), refused.clone(), answered, refused];
        assert_eq!(found, expected, "{protocol:?}");
    }
}
