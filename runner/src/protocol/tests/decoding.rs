//! Answers of real servers, whole, split, cut and garbled.

use std::{fs, path::PathBuf};

use proptest::prelude::*;

use super::*;

/// The captures, and the protocol that reads each.
const CAPTURES: [(&str, Protocol); 36] = [
    ("vllm-completions", Protocol::OpenAiCompletions),
    ("vllm-chat", Protocol::OpenAiChat),
    ("vllm-chat-two-tokens-in-a-frame", Protocol::OpenAiChat),
    ("vllm-chat-continuous-usage", Protocol::OpenAiChat),
    ("vllm-chat-whole", Protocol::OpenAiChat),
    ("llama-cpp-completions", Protocol::OpenAiCompletions),
    ("llama-cpp-chat", Protocol::OpenAiChat),
    ("llama-cpp-completions-whole", Protocol::OpenAiCompletions),
    ("llama-cpp-chat-whole", Protocol::OpenAiChat),
    ("transformers-completions", Protocol::OpenAiCompletions),
    ("transformers-chat", Protocol::OpenAiChat),
    ("fastchat-completions", Protocol::OpenAiCompletions),
    ("fastchat-chat", Protocol::OpenAiChat),
    ("torchserve-chat", Protocol::OpenAiChat),
    ("sglang-completions", Protocol::OpenAiCompletions),
    ("sglang-chat", Protocol::OpenAiChat),
    ("tensorrt-llm-completions", Protocol::OpenAiCompletions),
    ("tensorrt-llm-chat", Protocol::OpenAiChat),
    ("tgi-completions", Protocol::OpenAiCompletions),
    ("tgi-chat", Protocol::OpenAiChat),
    ("tgi-generate-stream", Protocol::Tgi),
    ("tgi-generate-stream-eos", Protocol::Tgi),
    ("tgi-generate-whole", Protocol::Tgi),
    ("triton-vllm-generate-stream", Protocol::TritonVllm),
    (
        "triton-tensorrt-llm-generate-stream",
        Protocol::TritonTensorRtLlm,
    ),
    ("triton-generate-stream", Protocol::TritonTensorRtLlm),
    ("triton-generate-whole", Protocol::TritonVllm),
    ("llama-cpp-completion", Protocol::LlamaCpp),
    ("llama-cpp-completion-whole", Protocol::LlamaCpp),
    ("http-generate-stream", Protocol::Http),
    ("http-generate-whole", Protocol::Http),
    ("jetstream-generate-stream", Protocol::JetStream),
    ("jetstream-generate-whole", Protocol::JetStream),
    ("sax-generate-whole", Protocol::Sax),
    (
        "transformers-instances-whole",
        Protocol::TransformersInstances,
    ),
    ("kserve-v2-infer-whole", Protocol::KserveV2),
];

/// Whose answers are bare text: nothing in it tells an end or an error.
const TEXT: Protocol = Protocol::TorchServe;

/// Protocols whose answers are made of frames of text. Those by gRPC have tests of their own.
fn framed() -> impl Iterator<Item = Protocol> {
    let all = Protocol::ALL.into_iter();
    all.filter(|protocol| *protocol != TEXT && !protocol.is_grpc())
}

/// Whether nothing but the end of the body tells the end of a stream: HTTP's framing alone shows a
/// cut between two frames.
fn ends_with_its_body(name: &str) -> bool {
    name == "jetstream-generate-stream"
}

/// An answer of llama.cpp that an error ended amid the stream.
const ERROR_CAPTURE: &str = "llama-cpp-completion-error";

fn capture(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/wire")
        .join(format!("{name}.txt"));
    fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The events of a body that comes in the given pieces, and the error that ended it.
fn decode<'a>(
    protocol: Protocol,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<String>, Option<DecodeError>) {
    let mut decoder = codec(protocol, Sampling::default(), true).decoder(None);
    let mut events = Vec::new();
    let mut on_event = |event: Event<'_>| events.push(format!("{event:?}"));
    let outcome = pieces
        .into_iter()
        .try_for_each(|piece| decoder.feed(piece, &mut on_event))
        .and_then(|()| decoder.finish(&mut on_event));
    (events, outcome.err())
}

#[test]
fn captures_decode_to_their_golden_events() {
    for (name, protocol) in CAPTURES {
        let (events, error) = decode(protocol, [capture(name).as_slice()]);
        assert_eq!(error, None, "{name}");
        insta::assert_snapshot!(name, events.join("\n"));
    }
}

#[test]
fn every_capture_is_read() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut found: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            entry
                .unwrap()
                .path()
                .file_stem()
                .unwrap()
                .display()
                .to_string()
        })
        .collect();
    found.sort();
    let mut read = CAPTURES.map(|(name, _)| name.to_owned()).to_vec();
    read.push(ERROR_CAPTURE.to_owned());
    read.sort();
    assert_eq!(found, read);
}

#[test]
fn any_byte_split_gives_the_same_events() {
    for (name, protocol) in CAPTURES {
        let body = capture(name);
        let whole = decode(protocol, [body.as_slice()]);
        assert_eq!(decode(protocol, body.chunks(1)), whole, "{name}");
        for at in 0..body.len() {
            let (first, second) = body.split_at(at);
            assert_eq!(decode(protocol, [first, second]), whole, "{name} at {at}");
        }
    }
}

/// However a capture is cut, it is either whole (only what stands after its last token and reason
/// is missing) or an error; it never looks like a shorter answer.
#[test]
fn a_cut_is_never_taken_for_a_shorter_answer() {
    for (name, protocol) in CAPTURES {
        let body = capture(name);
        let contents = |events: &[String]| {
            let is_content = |event: &&String| event.starts_with("Content");
            events.iter().filter(is_content).count()
        };
        let expected = contents(&decode(protocol, [body.as_slice()]).0);
        for at in 0..body.len() {
            let (events, error) = decode(protocol, [&body[..at]]);
            match error {
                None if ends_with_its_body(name) => {
                    assert!(body[..at].ends_with(b"}"), "{name} at {at}");
                }
                None => assert_eq!(contents(&events), expected, "{name} at {at}"),
                Some(DecodeError::Truncated | DecodeError::Empty) => {}
                Some(other) => panic!("{name} at {at}: {other}"),
            }
        }
    }
}

#[test]
fn nothing_is_empty() {
    let nothing = [
        "",
        "\n\n",
        ": ping\n\n",
        "data: [DONE]\n\n",
        "event: ping\n\n",
    ];
    for protocol in framed() {
        for body in nothing {
            assert_eq!(
                decode(protocol, [body.as_bytes()]),
                (Vec::new(), Some(DecodeError::Empty)),
                "{protocol:?} {body:?}"
            );
        }
    }
}

#[test]
fn errors_under_http_200_are_failures() {
    let cases = [
        (
            r#"data: {"error":{"message":"boom","type":"x","code":500}}"#,
            "boom",
        ),
        (
            r#"data: {"error":"boom","error_type":"generation"}"#,
            "boom",
        ),
        (r#"data: {"error":"boom"}"#, "boom"),
        (r#"data: {"error":{"code":500}}"#, "without a message"),
        (r#"error: {"code":500,"message":"boom"}"#, "boom"),
        ("event: error\ndata: boom", "boom"),
        (
            "event: error\ndata: {\"error\":{\"message\":\"boom\"}}",
            "boom",
        ),
        (r#"{"error":{"message":"boom"}}"#, "boom"),
    ];
    for protocol in framed() {
        for (body, message) in cases {
            let body = format!("{body}\n\n");
            assert_eq!(
                decode(protocol, [body.as_bytes()]),
                (
                    Vec::new(),
                    Some(DecodeError::StreamError(message.to_owned()))
                ),
                "{protocol:?} {body:?}"
            );
        }
    }
    for body in [
        r#"data: {"object":"error","message":"boom","code":40303}"#,
        r#"data: {"text":"boom","error_code":50002}"#,
    ] {
        let (_, error) = decode(Protocol::OpenAiChat, [format!("{body}\n\n").as_bytes()]);
        assert_eq!(error, Some(DecodeError::StreamError("boom".to_owned())));
    }
}

#[test]
fn a_real_servers_error_amid_the_stream_is_a_failure() {
    let body = capture(ERROR_CAPTURE);
    let (events, error) = decode(Protocol::LlamaCpp, [body.as_slice()]);
    assert_eq!(events.len(), 6, "{events:?}");
    let message = "The model produced output that does not match the expected Content-only format";
    assert_eq!(error, Some(DecodeError::StreamError(message.to_owned())));
}

#[test]
fn frames_of_no_protocol_are_refused() {
    for protocol in framed() {
        for body in [
            "data: hello\n\n",
            "data: {\"choices\":7}\n\n",
            "data: \u{0}\n\ndata: x\n\n",
        ] {
            let (_, error) = decode(protocol, [body.as_bytes()]);
            let refused = matches!(error, Some(DecodeError::Protocol(_)));
            assert!(refused, "{protocol:?} {body:?}: {error:?}");
        }
    }
}

#[test]
fn a_page_of_words_is_no_stream_and_says_so() {
    let page = "<!DOCTYPE html>\n<title>502 Bad Gateway</title>\n";
    for protocol in framed() {
        let (events, error) = decode(protocol, [page.as_bytes()]);
        assert_eq!(events, [] as [String; 0]);
        let Some(DecodeError::Protocol(message)) = error else {
            panic!("{protocol:?}: {error:?}");
        };
        assert!(message.contains("<!DOCTYPE html>"), "{message}");
    }
}

#[test]
fn white_space_before_an_answer_means_nothing_in_whichever_piece_it_comes() {
    let body = b" \r\n data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\n";
    for at in 0..body.len() {
        let (first, second) = body.split_at(at);
        let (events, error) = decode(Protocol::OpenAiCompletions, [first, second]);
        assert_eq!((events.len(), error), (2, None), "{at}");
    }
}

#[test]
fn invalid_utf8_is_an_error_and_no_panic() {
    let body = b"data: {\"choices\":[{\"text\":\"\xff\xfe\"}]}\n\n";
    let (_, error) = decode(Protocol::OpenAiCompletions, [body.as_slice()]);
    assert!(matches!(error, Some(DecodeError::Protocol(_))), "{error:?}");
}

#[test]
fn reasoning_counts_as_content_once() {
    let frame = r#"data: {"choices":[{"delta":{"reasoning_content":"why","reasoning":"why"},"finish_reason":"stop"}]}"#;
    let (events, error) = decode(Protocol::OpenAiChat, [format!("{frame}\n\n").as_bytes()]);
    assert_eq!(error, None);
    assert_eq!(
        events[0],
        "Content { text: \"why\", tokens: None, answer: 0 }"
    );
    assert_eq!(events.len(), 3, "{events:?}");
}

#[test]
fn several_answers_are_told_apart_and_none_may_be_missing() {
    let frame = |answer: u32, reason: &str| {
        format!(
            "data: {{\"choices\":[{{\"index\":{answer},\"text\":\"t\",\"finish_reason\":{reason}}}]}}\n\n"
        )
    };
    let usage = "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":6,\"completion_tokens\":3}}\n\ndata: [DONE]\n\n";
    let decode = |body: &str| {
        let mut decoder = Decoder::new(Protocol::OpenAiCompletions, 2);
        let mut answers = Vec::new();
        let mut on_event = |event: Event<'_>| {
            if let Event::Content { answer, .. } = event {
                answers.push(answer);
            }
        };
        let outcome = decoder
            .feed(body.as_bytes(), &mut on_event)
            .and_then(|()| decoder.finish(&mut on_event));
        (answers, outcome)
    };
    let (first, last) = (frame(0, "null"), frame(0, "\"length\""));
    let other = frame(1, "\"stop\"");
    let whole = decode(&format!("{first}{other}{last}{usage}"));
    assert_eq!(whole, (vec![0, 1, 0], Ok(())));
    // However the stream ends, an answer that has no end is missed.
    for body in [format!("{first}{last}{usage}"), format!("{first}{last}")] {
        assert_eq!(decode(&body).1, Err(DecodeError::Truncated), "{body}");
    }
    let list = r#"{"choices":[{"index":0,"text":"a","finish_reason":"stop"},{"index":1,"text":"b","finish_reason":"stop"}],"usage":{"completion_tokens":5}}"#;
    assert_eq!(decode(list), (vec![0, 1], Ok(())));
    let one = r#"{"choices":[{"index":0,"text":"a","finish_reason":"stop"}],"usage":{"completion_tokens":5}}"#;
    assert_eq!(decode(one).1, Err(DecodeError::Truncated));
}

#[test]
fn what_stands_after_the_end_is_not_read() {
    let body = "data: {\"choices\":[{\"text\":\"a\"}]}\n\ndata: [DONE]\n\ndata: rubbish\n\n";
    let (events, error) = decode(Protocol::OpenAiCompletions, [body.as_bytes()]);
    assert_eq!(error, None);
    assert_eq!(events.last().unwrap(), "End");
}

#[test]
fn a_body_without_framing_is_bounded() {
    let mut decoder = codec(Protocol::Tgi, Sampling::default(), false).decoder(None);
    let piece = vec![b' '; 1 << 20];
    decoder.feed(b"{", &mut |_| ()).unwrap();
    let outcome = (0..32).try_for_each(|_| decoder.feed(&piece, &mut |_| ()));
    assert!(matches!(outcome, Err(DecodeError::FrameTooLarge { .. })));
}

/// JSON-like rubbish that has a chance to get past the first checks.
fn rubbish() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"data: ".to_vec()),
        Just(b"\n\n".to_vec()),
        Just(br#"{"choices":[{"text":"#.to_vec()),
        Just(br#"{"text_output":""#.to_vec()),
        Just(br#"{"token":{"text":"a"}"#.to_vec()),
        Just(br#"{"content":"","stop":true}"#.to_vec()),
        Just(br#"{"token":"a"}"#.to_vec()),
        Just(br#"{"finish_reason":"stop"}"#.to_vec()),
        Just(br#"{"response":["#.to_vec()),
        Just(br#""}]}"#.to_vec()),
        Just(b"null".to_vec()),
        Just(b"[DONE]".to_vec()),
        any::<Vec<u8>>(),
    ];
    proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_bytes_make_a_decoder_panic(body in rubbish(), at in any::<proptest::sample::Index>()) {
        let (first, second) = body.split_at(at.index(body.len() + 1));
        for protocol in Protocol::ALL {
            decode(protocol, [first, second]);
        }
    }
}
