//! One suite that every protocol passes: the client that measures, over real connections, against the
//! simulated engine that the protocol is native to.
//!
//! A new protocol does not compile before [`of`] says what is known of it, and then goes through all
//! of it.

use std::{future::Future, net::SocketAddr};

use bakeoff_crds::{run::Protocol, validate::document::schema};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::requests::{first_stage, plan_of, serve};
use super::*;

/// What differs between protocols, of what the suite asks for.
struct Conformance {
    /// Whether an answer can come token by token.
    streams: bool,
    /// Whether it comes so whatever is asked for.
    always_streams: bool,
    /// Whether answers tell how many tokens they have.
    counts_output: bool,
    /// Kind of the failure where the model fails amid an answer that streams. Bare text has no place
    /// for an error, and an answer that comes whole does not come at all.
    model_fails: &'static str,
    /// Whether a refusal of too many requests says how long to wait.
    says_when_to_retry: bool,
}

const STREAMS: Conformance = Conformance {
    streams: true,
    always_streams: false,
    counts_output: true,
    model_fails: "streamError",
    says_when_to_retry: true,
};

const WHOLE: Conformance = Conformance {
    streams: false,
    always_streams: false,
    counts_output: false,
    model_fails: "http5xx",
    says_when_to_retry: true,
};

/// What is known of a protocol. Without a wildcard: a protocol that is not here does not compile.
fn of(protocol: Protocol) -> Conformance {
    match protocol {
        Protocol::OpenAiCompletions
        | Protocol::OpenAiChat
        | Protocol::Tgi
        | Protocol::TritonVllm
        | Protocol::LlamaCpp
        | Protocol::Http => STREAMS,
        Protocol::TritonTensorRtLlm | Protocol::JetStream => Conformance {
            counts_output: false,
            ..STREAMS
        },
        Protocol::TorchServe => Conformance {
            counts_output: false,
            model_fails: "truncated",
            ..STREAMS
        },
        Protocol::TransformersInstances | Protocol::Sax | Protocol::KserveV2 => WHOLE,
        Protocol::TritonVllmGrpc => Conformance {
            says_when_to_retry: false,
            ..STREAMS
        },
        Protocol::JetStreamGrpc => Conformance {
            always_streams: true,
            says_when_to_retry: false,
            ..STREAMS
        },
        Protocol::TritonTensorRtLlmGrpc | Protocol::TorchServeGrpc => Conformance {
            counts_output: false,
            says_when_to_retry: false,
            ..STREAMS
        },
        Protocol::KserveV2Grpc => Conformance {
            says_when_to_retry: false,
            ..WHOLE
        },
    }
}

/// Requests of a stage.
const REQUESTS: u64 = 4;

fn plan(protocol: Protocol, fault: &str, streaming: bool) -> Plan {
    let simulated = format!(
        "{{protocol: {protocol:?}, timeToFirstToken: 5ms, interTokenLatency: 1ms, fault: {fault}}}"
    );
    let timeout = if fault == "Stall" { "200ms" } else { "30s" };
    plan_of(
        &simulated,
        "{id: demo/model}",
        &format!(
            "{{prompts: {{inline: [one, two three]}}, limits: {{maxOutputTokens: 6}}, \
             sampling: {{ignoreEos: true}}, streaming: {streaming}, warmup: {{requests: 0}}, \
             sweep: {{concurrency: [2]}}, requestsPerStage: {REQUESTS}, requestTimeout: {timeout}}}"
        ),
    )
}

/// Goes over all protocols at once, each with what is known of it.
async fn every<F: Future<Output = ()>>(check: impl Fn(Protocol, Conformance) -> F) {
    let all = Protocol::ALL.into_iter();
    futures::future::join_all(all.map(|protocol| check(protocol, of(protocol)))).await;
}

/// That every request failed, by one kind.
fn all_failed(stage: &StageReport, kind: &str, context: &str) {
    let requests = &stage.requests;
    let by_kind = requests.failures.get(kind);
    assert_eq!(by_kind, Some(&REQUESTS), "{context}: {requests:?}");
    assert_eq!(
        (requests.succeeded, requests.sent),
        (0, REQUESTS),
        "{context}"
    );
    assert_eq!(stage.request_latency, None, "{context}");
}

/// Of the list that all of it goes by, none is missing.
#[test]
fn all_protocols_are_those_of_the_api() {
    let schema = schema::<bakeoff_crds::BenchmarkRun>();
    let place =
        "/properties/spec/properties/engines/items/properties/simulated/properties/protocol/enum";
    let of_api = schema.pointer(place).and_then(|it| it.as_array()).unwrap();
    let ours = Protocol::ALL.map(|protocol| format!("{protocol:?}"));
    assert_eq!(of_api.len(), ours.len());
    for protocol in of_api {
        assert!(
            ours.contains(&protocol.as_str().unwrap().to_owned()),
            "{protocol}"
        );
    }
}

#[tokio::test]
async fn a_stream_is_timed_token_by_token_and_counted() {
    every(async |protocol, known| {
        let plan = plan(protocol, "None", true);
        let server = serve(&plan, &[]);
        let stage = first_stage(&plan, &server.url, None).await;
        assert_eq!(
            stage.requests.succeeded, REQUESTS,
            "{protocol:?}: {stage:?}"
        );
        assert_eq!(
            stage.time_to_first_token.is_some(),
            known.streams,
            "{protocol:?}"
        );
        assert_eq!(
            stage.inter_chunk_latency.is_some(),
            known.streams,
            "{protocol:?}"
        );
        if let Some(first) = &stage.time_to_first_token {
            assert!(first.min >= 0.005, "{protocol:?}: {first:?}");
        }
        counts_agree(protocol, &known, &stage, &server);
        // Where nothing can stream, the plan says so beforehand.
        let warned = plan
            .warnings
            .iter()
            .any(|it| it.contains("does not stream"));
        assert_eq!(warned, !known.streams, "{protocol:?}: {:?}", plan.warnings);
    })
    .await;
}

#[tokio::test]
async fn a_whole_answer_has_latency_and_tokens_and_no_first_token() {
    every(async |protocol, known| {
        let plan = plan(protocol, "None", false);
        let server = serve(&plan, &[]);
        let stage = first_stage(&plan, &server.url, None).await;
        assert_eq!(
            stage.requests.succeeded, REQUESTS,
            "{protocol:?}: {stage:?}"
        );
        for streamed in [
            &stage.time_to_first_token,
            &stage.time_to_first_token_scheduled,
            &stage.inter_token_latency,
            &stage.inter_chunk_latency,
            &stage.time_per_output_token,
        ] {
            assert_eq!(*streamed, None, "{protocol:?}");
        }
        // The first token's time, and a step for each of at least two further ones.
        let latency = stage.request_latency.as_ref().unwrap();
        assert_eq!(latency.count, REQUESTS, "{protocol:?}");
        assert!(latency.min >= 0.007, "{protocol:?}: {latency:?}");
        counts_agree(protocol, &known, &stage, &server);
    })
    .await;
}

/// Counts are the engine's own, where it tells them.
fn counts_agree(
    protocol: Protocol,
    known: &Conformance,
    stage: &StageReport,
    server: &simulate::Running,
) {
    let truth = server.log.records();
    let output: u32 = truth.iter().map(|record| record.output_tokens).sum();
    let input: u32 = truth.iter().map(|record| record.input_tokens).sum();
    let told = stage.output_tokens.as_ref().map(|it| it.sum);
    let expected = known.counts_output.then_some(u64::from(output));
    assert_eq!(told, expected, "{protocol:?}");
    if let Some(told) = &stage.input_tokens {
        assert_eq!(told.sum, u64::from(input), "{protocol:?}");
    }
}

/// Whatever pieces the network makes of an answer, its head and its framing among them, it is the
/// same answer.
#[tokio::test]
async fn an_answer_in_crumbs_is_the_same_answer() {
    every(async |protocol, _| {
        for streaming in [true, false] {
            let plan = plan(protocol, "None", streaming);
            let server = serve(&plan, &[]);
            let whole = first_stage(&plan, &server.url, None).await;
            let crumbs = first_stage(&plan, &crumbling(&server.url).await, None).await;
            let of = |stage: &StageReport| {
                let tokens = |of: &Option<bakeoff_crds::report::TokenDistribution>| {
                    of.as_ref().map(|it| it.sum)
                };
                (
                    stage.requests.succeeded,
                    tokens(&stage.input_tokens),
                    tokens(&stage.output_tokens),
                    stage.answer_digests.clone(),
                )
            };
            assert_eq!(
                of(&crumbs),
                of(&whole),
                "{protocol:?} streaming {streaming}"
            );
            assert!(!whole.answer_digests.is_empty(), "{protocol:?}");
            // Bare text has no frames: each piece is one.
            if protocol != Protocol::TorchServe {
                assert_eq!(crumbs.client.chunks, whole.client.chunks, "{protocol:?}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_error_amid_an_answer_is_a_failure_of_its_own_kind() {
    every(async |protocol, known| {
        for streaming in [true, false] {
            let plan = plan(protocol, "ErrorEvent", streaming);
            let server = serve(&plan, &[]);
            let stage = first_stage(&plan, &server.url, None).await;
            // Before its head, where it would have come whole.
            let kind = match streaming || known.always_streams {
                true => known.model_fails,
                false => "http5xx",
            };
            all_failed(&stage, kind, &format!("{protocol:?} streaming {streaming}"));
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_that_closes_early_is_never_a_short_answer() {
    every(async |protocol, known| {
        for streaming in [true, false] {
            let plan = plan(protocol, "CutStream", streaming);
            let server = serve(&plan, &[]);
            let stage = first_stage(&plan, &server.url, None).await;
            // One that comes whole is cut before its head.
            let kind = match (streaming && known.streams) || known.always_streams {
                true => "truncated",
                false => "connect",
            };
            all_failed(&stage, kind, &format!("{protocol:?} streaming {streaming}"));
        }
    })
    .await;
}

#[tokio::test]
async fn servers_that_fail_and_servers_that_stall_are_told_apart() {
    every(async |protocol, _| {
        for (fault, kind) in [("ServerError", "http5xx"), ("Stall", "timeout")] {
            for streaming in [true, false] {
                let plan = plan(protocol, fault, streaming);
                let server = serve(&plan, &[]);
                let stage = first_stage(&plan, &server.url, None).await;
                all_failed(
                    &stage,
                    kind,
                    &format!("{protocol:?} {fault} streaming {streaming}"),
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn too_many_requests_are_counted_and_not_sent_again() {
    every(async |protocol, known| {
        let plan = plan(protocol, "RateLimit", true);
        let server = serve(&plan, &[]);
        let stage = first_stage(&plan, &server.url, None).await;
        let requests = &stage.requests;
        let half = REQUESTS / 2;
        let refused = requests.failures.get("rateLimited").copied();
        assert_eq!(
            (requests.succeeded, refused),
            (half, Some(half)),
            "{protocol:?}"
        );
        assert_eq!(server.log.records().len() as u64, REQUESTS, "{protocol:?}");
        let asked = requests.retry_after.as_ref();
        let asked = asked.map(|asked| (asked.count, asked.mean_seconds));
        let expected = known.says_when_to_retry.then_some((half, 7.0));
        assert_eq!(asked, expected, "{protocol:?}");
    })
    .await;
}

/// The address of a relay that hands on what a server says in pieces of a few bytes.
async fn crumbling(url: &str) -> String {
    let server: SocketAddr = url.trim_start_matches("http://").parse().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(server) = TcpStream::connect(server).await {
                    // A connection that ends is an answer's end.
                    let _ = relay(client, server).await;
                }
            });
        }
    });
    format!("http://{address}")
}

async fn relay(client: TcpStream, server: TcpStream) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let asks = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_client, &mut to_server).await;
    });
    let mut sizes = [1, 2, 3, 5, 8, 13, 1].into_iter().cycle();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = from_server.read(&mut buffer).await?;
        if read == 0 {
            break;
        }
        let mut rest = &buffer[..read];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(sizes.next().unwrap_or(1).min(rest.len()));
            to_client.write_all(piece).await?;
            tokio::task::yield_now().await;
            rest = after;
        }
    }
    to_client.shutdown().await?;
    asks.abort();
    Ok(())
}
