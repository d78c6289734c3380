//! Every codec against its simulator over real connections, and the faults.

mod faults;

use std::time::Duration;

use bakeoff_crds::{
    plan::{Endpoint, endpoint::default_path},
    run::{Fault, Protocol, Sampling},
};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request, StatusCode, body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::*;
use crate::{
    prompt::{Message, Prompt},
    protocol::{Codec, DecodeError, Event, RequestOptions},
};

fn config(protocol: Protocol, fault: Fault) -> SimulatorConfig {
    let simulated: SimulatedEngine =
        serde_json::from_value(serde_json::json!({"protocol": protocol})).unwrap();
    SimulatorConfig {
        time_to_first_token: Duration::from_millis(20),
        inter_token_latency: Duration::from_millis(2),
        fault,
        ..SimulatorConfig::new(&simulated, "org/model")
    }
}

fn codec(protocol: Protocol, streaming: bool) -> (Codec, String) {
    let model = Engine::native(protocol)
        .triton_model()
        .unwrap_or("org/model");
    let path = default_path(protocol, model, streaming);
    let endpoint = Endpoint {
        protocol,
        port: 0,
        path: path.clone(),
        model: model.to_owned(),
        http: None,
        request_port: None,
    };
    let sampling = Sampling {
        ignore_eos: true,
        stop: vec!["END".to_owned()],
        ..Sampling::default()
    };
    let options = RequestOptions {
        sampling,
        streaming,
        ..RequestOptions::default()
    };
    (Codec::new(&endpoint, options), path)
}

fn prompt() -> Prompt {
    Prompt {
        messages: vec![Message {
            role: "user".to_owned(),
            content: "hello there".to_owned(),
        }],
        text: "hello there".to_owned(),
        max_tokens: 16,
        ..Prompt::default()
    }
}

async fn send(
    url: &str,
    method: &str,
    path: &str,
    body: Bytes,
) -> Result<hyper::Response<Incoming>, Box<dyn std::error::Error>> {
    let address = url.trim_start_matches("http://");
    let stream = TcpStream::connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", address)
        .body(Full::new(body))?;
    Ok(sender.send_request(request).await?)
}

async fn get(url: &str, path: &str) -> (StatusCode, String) {
    let response = send(url, "GET", path, Bytes::new()).await.unwrap();
    let status = response.status();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

/// What a codec makes of an answer.
#[derive(Debug, Default)]
struct Decoded {
    text: String,
    contents: usize,
    counted: Option<u32>,
    usage: (Option<u32>, Option<u32>),
    ended: bool,
    error: Option<DecodeError>,
    /// The connection broke within the body.
    broken: bool,
}

async fn ask(url: &str, protocol: Protocol, streaming: bool) -> Decoded {
    let (codec, path) = codec(protocol, streaming);
    let response = send(url, "POST", &path, codec.encode(&[&prompt()], 0).unwrap())
        .await
        .unwrap();
    assert_eq!(response.status(), StatusCode::OK, "{protocol:?}");
    let mut decoder = codec.decoder(codec.echo(&[&prompt()]));
    let mut decoded = Decoded::default();
    let mut body = response.into_body();
    let mut outcome = Ok(());
    let mut on_event = |event: Event<'_>| match event {
        Event::Content { text, tokens, .. } => {
            decoded.text.push_str(text);
            decoded.contents += 1;
            decoded.counted = tokens.map(|tokens| tokens + decoded.counted.unwrap_or(0));
        }
        Event::Usage {
            input_tokens,
            output_tokens,
        } => decoded.usage = (input_tokens, output_tokens),
        Event::Finish { .. } => {}
        Event::End => decoded.ended = true,
    };
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            decoded.broken = true;
            return decoded;
        };
        // One byte at a time: any split must do. But of bare text every piece is one of its own.
        let data = frame.into_data().unwrap();
        let size = if protocol == Protocol::TorchServe {
            data.len().max(1)
        } else {
            1
        };
        for byte in data.chunks(size) {
            outcome = outcome.and_then(|()| decoder.feed(byte, &mut on_event));
        }
    }
    decoded.error = outcome.and_then(|()| decoder.finish(&mut on_event)).err();
    decoded
}

/// Protocols whose answers hold no count of their tokens.
const COUNT_NOTHING: [Protocol; 6] = [
    Protocol::TritonTensorRtLlm,
    Protocol::TorchServe,
    Protocol::TransformersInstances,
    Protocol::Sax,
    Protocol::JetStream,
    Protocol::KserveV2,
];

/// Protocols over HTTP/1.1. Calls by gRPC are tested with the client that makes them: see `measure`.
fn over_http() -> impl Iterator<Item = Protocol> {
    Protocol::ALL.into_iter().filter(|it| !it.is_grpc())
}

/// Protocols over HTTP/1.1 that can stream.
fn streaming() -> impl Iterator<Item = Protocol> {
    over_http().filter(|protocol| codec(*protocol, true).0.options().streaming)
}

#[tokio::test]
async fn every_protocol_decodes_its_simulator() {
    for protocol in over_http() {
        let engine = start_with(config(protocol, Fault::None)).unwrap();
        for streaming in [true, false] {
            let decoded = ask(&engine.url, protocol, streaming).await;
            assert_eq!(decoded.error, None, "{protocol:?}");
            assert!(decoded.ended && !decoded.broken, "{protocol:?}");
            let record = engine.log.records().pop().unwrap();
            assert_eq!(record.outcome, Outcome::Completed, "{protocol:?}");
            let tokens = usize::try_from(record.output_tokens).unwrap();
            assert_eq!(
                decoded.text.split_whitespace().count(),
                tokens,
                "{protocol:?}"
            );
            let streaming = streaming && codec(protocol, true).0.options().streaming;
            let frames = if streaming { tokens } else { 1 };
            assert_eq!(decoded.contents, frames, "{protocol:?}");
            assert_eq!(record.frames.len(), frames, "{protocol:?}");
            if Engine::native(protocol).ignores_eos() {
                assert_eq!(tokens, 16, "{protocol:?}");
            }
            if !COUNT_NOTHING.contains(&protocol) {
                assert_eq!(decoded.usage.1, Some(record.output_tokens), "{protocol:?}");
            }
            if let Some(counted) = decoded.counted {
                assert_eq!(counted, record.output_tokens, "{protocol:?}");
            }
            if let (Some(input), _) = decoded.usage {
                assert_eq!(input, record.input_tokens, "{protocol:?}");
            }
        }
    }
}

#[tokio::test]
async fn times_are_never_shorter_than_asked_for() {
    let engine = start_with(config(Protocol::OpenAiChat, Fault::None)).unwrap();
    ask(&engine.url, Protocol::OpenAiChat, true).await;
    let record = engine.log.records().pop().unwrap();
    let first = record.first_token_at.unwrap();
    assert!(first - record.received_at >= 20_000_000, "{record:?}");
    // The schedule is absolute: 15 steps of 2 ms from the first token's due time, which lies
    // before its write.
    let due = record.received_at + 20_000_000 + 15 * 2_000_000;
    assert!(record.last_token_at.unwrap() >= due, "{record:?}");
    assert!(record.frames.is_sorted(), "{record:?}");
}

#[tokio::test]
async fn a_full_batch_makes_requests_wait() {
    let engine = start_with(SimulatorConfig {
        max_batch_size: 1,
        ..config(Protocol::Tgi, Fault::None)
    })
    .unwrap();
    let ask = || ask(&engine.url, Protocol::Tgi, true);
    tokio::join!(ask(), ask());
    let records = engine.log.records();
    let [first, second] = records.as_slice() else {
        panic!("{records:?}");
    };
    assert!(second.first_token_at > first.last_token_at, "{records:?}");
}

#[tokio::test]
async fn tgi_refuses_more_requests_than_it_was_told() {
    let engine = start_with(SimulatorConfig {
        max_concurrent_requests: Some(1),
        ..config(Protocol::Tgi, Fault::Stall)
    })
    .unwrap();
    let (codec, path) = codec(Protocol::Tgi, true);
    let body = codec.encode(&[&prompt()], 0).unwrap();
    // The first one's place is taken once its head is here, and a stall keeps it.
    let first = send(&engine.url, "POST", &path, body.clone())
        .await
        .unwrap();
    let second = send(&engine.url, "POST", &path, body).await.unwrap();
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(second.status(), StatusCode::TOO_MANY_REQUESTS);
    let text = second.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(
        &text[..],
        br#"{"error":"Model is overloaded","error_type":"overloaded"}"#
    );
}

#[tokio::test]
async fn the_endpoints_of_the_real_servers_are_there() {
    for (protocol, paths) in [
        (
            Protocol::OpenAiChat,
            &["/health", "/v1/models", "/version", "/metrics"][..],
        ),
        (Protocol::Tgi, &["/health", "/info", "/metrics"]),
        (
            Protocol::TritonVllm,
            &[
                "/v2/health/ready",
                "/v2/models/vllm_model/ready",
                "/v2",
                "/metrics",
            ],
        ),
        (
            Protocol::LlamaCpp,
            &["/health", "/v1/models", "/props", "/slots", "/metrics"],
        ),
        (
            Protocol::KserveV2,
            &[
                "/v2/health/ready",
                "/v2/models/org/model/ready",
                "/v2",
                "/metrics",
            ],
        ),
        (Protocol::JetStream, &["/healthcheck", "/metrics"]),
        (Protocol::Sax, &["/"]),
    ] {
        let engine = start_with(config(protocol, Fault::None)).unwrap();
        for path in paths {
            assert_eq!(get(&engine.url, path).await.0, StatusCode::OK, "{path}");
        }
        assert_eq!(get(&engine.url, "/nothing").await.0, StatusCode::NOT_FOUND);
    }
    // A Triton without the model is not ready for it.
    let engine = start_with(config(Protocol::KserveV2, Fault::None)).unwrap();
    let (status, _) = get(&engine.url, "/v2/models/other/ready").await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn the_log_is_served_and_written() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("truth.jsonl");
    let engine = start_with(SimulatorConfig {
        log: Some(file.clone()),
        ..config(Protocol::LlamaCpp, Fault::None)
    })
    .unwrap();
    ask(&engine.url, Protocol::LlamaCpp, true).await;
    let (_, served) = get(&engine.url, "/bakeoff/log").await;
    assert_eq!(served, std::fs::read_to_string(file).unwrap());
    let record: Record = serde_json::from_str(served.trim_end()).unwrap();
    assert_eq!(vec![record], engine.log.records());
}

#[tokio::test]
async fn requests_that_the_engine_finds_invalid_are_refused_in_its_way() {
    for (protocol, path, body, status) in [
        (
            Protocol::OpenAiChat,
            "/v1/chat/completions",
            r#"{"model":"org/model"}"#,
            400,
        ),
        (Protocol::OpenAiChat, "/v1/completions", "{", 400),
        (
            Protocol::Tgi,
            "/generate_stream",
            r#"{"inputs":"a","parameters":{"temperature":0.0}}"#,
            422,
        ),
        (
            Protocol::Tgi,
            "/generate_stream",
            r#"{"inputs":"a","parameters":{"top_p":1.0}}"#,
            422,
        ),
        (
            Protocol::TritonVllm,
            "/v2/models/vllm_model/generate_stream",
            r#"{"text_input":"a","parameters":{"stop":["x"]}}"#,
            400,
        ),
        (
            Protocol::TritonVllm,
            "/v2/models/other/generate_stream",
            r#"{"text_input":"a"}"#,
            400,
        ),
        (Protocol::LlamaCpp, "/completion", "{}", 400),
    ] {
        let engine = start_with(config(protocol, Fault::None)).unwrap();
        let body = Bytes::from_static(body.as_bytes());
        let response = send(&engine.url, "POST", path, body).await.unwrap();
        assert_eq!(response.status().as_u16(), status, "{path}");
    }
}
