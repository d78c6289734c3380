//! Answers by gRPC: whole, split, cut and garbled.

use bakeoff_crds::run::Protocol;
use proptest::prelude::*;

use super::{protobuf::Writer, *};
use crate::protocol::{DecodeError, Decoder, Event};

fn told<'a>(
    protocol: Protocol,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Option<DecodeError>) {
    let mut decoder = Decoder::new(protocol, 1);
    let mut events = Vec::new();
    let mut on_event = |event: Event<'_>| events.push(format!("{event:?}"));
    let outcome = pieces
        .into_iter()
        .try_for_each(|piece| decoder.feed(piece, &mut on_event))
        .and_then(|()| decoder.finish(&mut on_event));
    (events, outcome.err())
}

/// A ModelStreamInferResponse round [`response`].
fn infer(outputs: &[(&str, Result<&str, u32>)], raw: bool, last: bool) -> Vec<u8> {
    let response = response(outputs, raw, last);
    message(&Writer::default().bytes(2, &response.0).0)
}

/// A ModelInferResponse with outputs of texts and numbers, as raw contents or within tensors.
fn response(outputs: &[(&str, Result<&str, u32>)], raw: bool, last: bool) -> Writer {
    let mut response = Writer::default().bytes(1, b"vllm_model").bytes(2, b"1");
    if last {
        let yes = Writer::default().number(1, 1);
        let parameter = Writer::default()
            .bytes(1, b"triton_final_response")
            .bytes(2, &yes.0);
        response = response.bytes(4, &parameter.0);
    }
    let mut contents = Vec::new();
    for (name, value) in outputs {
        let own = match value {
            Ok(text) => Writer::default().bytes(8, text.as_bytes()),
            Err(number) => Writer::default().numbers(4, &[u64::from(*number)]),
        };
        let mut tensor = Writer::default().bytes(1, name.as_bytes());
        if !raw {
            tensor = tensor.bytes(5, &own.0);
        }
        response = response.bytes(5, &tensor.0);
        contents.push(match value {
            Ok(text) => [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat(),
            Err(number) => number.to_le_bytes().to_vec(),
        });
    }
    for content in contents.iter().filter(|_| raw) {
        response = response.bytes(6, content);
    }
    response
}

fn prediction(piece: &[u8]) -> Vec<u8> {
    message(&Writer::default().bytes(1, piece).0)
}

fn error(words: &str) -> Vec<u8> {
    message(&Writer::default().bytes(1, words.as_bytes()).0)
}

fn decode(text: &str, tokens: &[u64]) -> Vec<u8> {
    let sample = Writer::default()
        .bytes(1, text.as_bytes())
        .numbers(2, tokens);
    let content = Writer::default().bytes(1, &sample.0);
    message(&Writer::default().bytes(3, &content.0).0)
}

/// An answer of two frames of each protocol that streams.
fn answers() -> Vec<(Protocol, Vec<u8>)> {
    let vllm = |raw| {
        [
            infer(
                &[
                    ("text_output", Ok(" é")),
                    ("finish_reason", Ok("None")),
                    ("num_input_tokens", Err(5)),
                    ("num_output_tokens", Err(1)),
                ],
                raw,
                false,
            ),
            infer(
                &[
                    ("text_output", Ok(" b")),
                    ("finish_reason", Ok("length")),
                    ("num_input_tokens", Err(5)),
                    ("num_output_tokens", Err(2)),
                ],
                raw,
                false,
            ),
            infer(&[], raw, true),
        ]
        .concat()
    };
    let tensorrt = [
        infer(&[("text_output", Ok(" é"))], true, false),
        infer(&[("text_output", Ok(" é b"))], true, false),
        infer(&[], true, true),
    ];
    let initial = message(&Writer::default().bytes(2, &[]).0);
    let jetstream = [initial, decode(" é", &[7]), decode(" b", &[8, 300])];
    let torchserve = [" é", " b", ""].map(|piece| prediction(piece.as_bytes()));
    vec![
        (Protocol::TritonVllmGrpc, vllm(true)),
        (Protocol::TritonVllmGrpc, vllm(false)),
        (Protocol::TritonTensorRtLlmGrpc, tensorrt.concat()),
        (Protocol::JetStreamGrpc, jetstream.concat()),
        (Protocol::TorchServeGrpc, torchserve.concat()),
    ]
}

#[test]
fn answers_decode_to_their_events_in_any_split() {
    for (protocol, body) in answers() {
        let (events, error) = told(protocol, [body.as_slice()]);
        assert_eq!(error, None, "{protocol:?}: {events:?}");
        let counts =
            ![Protocol::TritonTensorRtLlmGrpc, Protocol::TorchServeGrpc].contains(&protocol);
        let content = |text: &str, tokens: u32| {
            let tokens = counts.then_some(tokens);
            format!("Content {{ text: {text:?}, tokens: {tokens:?}, answer: 0 }}")
        };
        assert!(
            events.contains(&content(" é", 1)),
            "{protocol:?}: {events:?}"
        );
        assert!(
            events.contains(&content(" b", 2)),
            "{protocol:?}: {events:?}"
        );
        assert_eq!(events.last().unwrap(), "End");
        if counts {
            let usage = events.iter().rfind(|event| event.starts_with("Usage"));
            assert!(
                usage.unwrap().contains("output_tokens: Some(3)"),
                "{usage:?}"
            );
        }
        let whole = (events, None);
        assert_eq!(told(protocol, body.chunks(1)), whole, "{protocol:?}");
        for at in 0..body.len() {
            let (a, b) = body.split_at(at);
            assert_eq!(told(protocol, [a, b]), whole, "{protocol:?} at {at}");
        }
    }
}

#[test]
fn a_whole_answer_is_one_response() {
    let kserve = Protocol::KserveV2Grpc;
    let expected = [
        r#"Content { text: " é b", tokens: None, answer: 0 }"#,
        "End",
    ];
    let expected = (expected.map(str::to_owned).to_vec(), None);
    for raw in [true, false] {
        let body = message(&response(&[("text_output", Ok(" é b"))], raw, false).0);
        assert_eq!(told(kserve, [body.as_slice()]), expected, "{raw}");
        assert_eq!(told(kserve, body.chunks(1)), expected, "{raw}");
        for at in 1..body.len() {
            let (_, error) = told(kserve, [&body[..at]]);
            assert_eq!(error, Some(DecodeError::Truncated), "{raw} at {at}");
        }
    }
}

/// A handler that sends bytes need not care where characters end.
#[test]
fn characters_may_be_cut_by_the_end_of_a_prediction() {
    let torchserve = Protocol::TorchServeGrpc;
    let pieces: Vec<_> = " é€".as_bytes().chunks(1).map(prediction).collect();
    let (events, error) = told(torchserve, pieces.iter().map(Vec::as_slice));
    let text = |text: &str| format!("Content {{ text: {text:?}, tokens: None, answer: 0 }}");
    let expected = [text(" "), text("é"), text("€"), "End".to_owned()];
    assert_eq!((events.as_slice(), error), (expected.as_slice(), None));
    let cut = pieces[..pieces.len() - 1].iter().map(Vec::as_slice);
    assert_eq!(told(torchserve, cut).1, Some(DecodeError::Truncated));
}

/// The call's status tells more; but a message that is cut is noticed here, and so is an answer of
/// the vLLM backend whose last response is missing.
#[test]
fn a_cut_message_is_no_shorter_answer() {
    for (protocol, body) in answers() {
        for at in 1..body.len() {
            let (_, error) = told(protocol, [&body[..at]]);
            let within = !starts(&body).contains(&at);
            if within || protocol == Protocol::TritonVllmGrpc && at < starts(&body)[2] {
                assert_eq!(error, Some(DecodeError::Truncated), "{protocol:?} at {at}");
            }
        }
    }
}

/// Where the messages of a body begin.
fn starts(body: &[u8]) -> Vec<usize> {
    let mut starts = vec![0];
    while let Some(head) = body[*starts.last().unwrap()..].first_chunk::<5>() {
        let [_, length @ ..] = head;
        starts.push(starts.last().unwrap() + 5 + u32::from_be_bytes(*length) as usize);
    }
    starts
}

#[test]
fn what_is_no_answer_is_one_kind_of_error() {
    let vllm = Protocol::TritonVllmGrpc;
    let jetstream = Protocol::JetStreamGrpc;
    let kserve = Protocol::KserveV2Grpc;
    let torchserve = Protocol::TorchServeGrpc;
    let garbled = message(&Writer::default().bytes(3, &[0xa, 2, 0xa, 9]).0);
    let binary = message(&Writer::default().bytes(3, &[0xa, 3, 0xa, 1, 0xff]).0);
    for (protocol, body, expected) in [
        (vllm, Vec::new(), "Empty"),
        (jetstream, Vec::new(), "Empty"),
        (vllm, error("boom"), "StreamError(\"boom\")"),
        (
            vllm,
            infer(&[("other", Ok("x"))], true, false),
            "text_output",
        ),
        (jetstream, message(&[]), "jetstream.proto"),
        (jetstream, garbled, "jetstream.proto"),
        (jetstream, binary, "not UTF-8"),
        (jetstream, vec![1, 0, 0, 0, 0], "compressed"),
        (vllm, vec![0, 0xff, 0, 0, 0], "FrameTooLarge"),
        (vllm, b"<html>".to_vec(), "compressed"),
        (kserve, Vec::new(), "Empty"),
        (kserve, message(&[]), "text_output"),
        (kserve, message(&[0xa, 9]), ".proto says"),
        (torchserve, Vec::new(), "Empty"),
        (torchserve, message(&[0x12, 1, b'x']), "inference.proto"),
        (torchserve, message(&[0xa, 9]), "inference.proto"),
        (torchserve, prediction(b"a\xff"), "not UTF-8"),
    ] {
        let (_, found) = told(protocol, [body.as_slice()]);
        let found = format!("{found:?}");
        assert!(found.contains(expected), "{protocol:?} {expected}: {found}");
    }
}

#[test]
fn codes_stand_for_http_and_words_are_decoded() {
    let field = |name: &str, value: &str| (name.into(), value.as_bytes().to_vec());
    let found = status::Status::of(&[
        field(":status", "200"),
        field("grpc-status", "8"),
        field("grpc-message", "too%20many 100%"),
    ]);
    assert_eq!((found.http, found.code), (Some(200), Some(8)));
    assert_eq!(found.message, "too many 100%");
    let codes = [3, 5, 8, 13, 14, 99].map(|code| (status::http_status(code), status::name(code)));
    let names = [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "RESOURCE_EXHAUSTED",
        "INTERNAL",
        "UNAVAILABLE",
        "an unknown code",
    ];
    let expected: Vec<_> = [400, 404, 429, 500, 503, 500]
        .into_iter()
        .zip(names)
        .collect();
    assert_eq!(codes.to_vec(), expected);
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(
        body in any::<Vec<u8>>(),
        protocol in proptest::sample::select(Protocol::ALL.to_vec()).prop_filter("by gRPC", |it| it.is_grpc()),
    ) {
        told(protocol, [body.as_slice()]);
        told(protocol, [message(&body).as_slice()]);
        let inner = Writer::default().bytes(2, &body).bytes(3, &body);
        told(protocol, [message(&inner.0).as_slice()]);
    }
}
