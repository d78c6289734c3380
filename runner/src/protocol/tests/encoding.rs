//! Golden request bodies.

use super::*;

/// Bodies of all protocols that write text, one a line, that a sampling gives.
fn bodies(sampling: &Sampling, streaming: bool) -> String {
    Protocol::ALL
        .iter()
        .filter(|protocol| !protocol.is_grpc())
        .map(|protocol| {
            let body = codec(*protocol, sampling.clone(), streaming)
                .encode(&[&prompt()], 0)
                .unwrap();
            format!("{protocol:?} {}\n", String::from_utf8_lossy(&body))
        })
        .collect()
}

#[test]
fn greedy_is_said_in_each_engines_own_words() {
    insta::assert_snapshot!(bodies(&Sampling::default(), true));
}

#[test]
fn every_sampling_field_reaches_the_engines_that_know_it() {
    let sampling = Sampling {
        temperature: 0.7,
        top_p: Some(0.9),
        top_k: Some(20),
        seed: Some(42),
        stop: vec!["END".to_owned(), "\n\n".to_owned()],
        ignore_eos: true,
    };
    insta::assert_snapshot!(bodies(&sampling, true));
}

#[test]
fn several_prompts_are_one_list_with_the_greatest_length() {
    let endpoint = Endpoint {
        protocol: Protocol::OpenAiCompletions,
        port: 8000,
        path: "/".to_owned(),
        model: "tiny".to_owned(),
        http: None,
        request_port: None,
    };
    let options = RequestOptions {
        prompts_per_request: 2,
        ..RequestOptions::default()
    };
    let codec = Codec::new(&endpoint, options);
    let (mut first, mut second) = (prompt(), prompt());
    (first.text, first.max_tokens) = ("one".to_owned(), 4);
    (second.text, second.max_tokens) = ("two".to_owned(), 9);
    let body: serde_json::Value =
        serde_json::from_slice(&codec.encode(&[&first, &second], 0).unwrap()).unwrap();
    assert_eq!(body["prompt"], serde_json::json!(["one", "two"]));
    assert_eq!(body["max_tokens"], 9);
}

#[test]
fn without_streaming_no_stream_is_asked_for() {
    let bodies = bodies(&Sampling::default(), false);
    assert!(!bodies.contains("\"stream\": true"), "{bodies}");
    assert!(!bodies.contains("\"streaming\": true"), "{bodies}");
    assert!(!bodies.contains("stream_options"), "{bodies}");
    assert_eq!(
        codec(Protocol::Tgi, Sampling::default(), false).accept(),
        "application/json"
    );
}

#[test]
fn tgi_is_never_sent_a_top_p_that_it_refuses() {
    for top_p in [0.0, 1.0] {
        let sampling = Sampling {
            temperature: 1.0,
            top_p: Some(top_p),
            ..Sampling::default()
        };
        let body = codec(Protocol::Tgi, sampling, true)
            .encode(&[&prompt()], 0)
            .unwrap();
        let body = String::from_utf8_lossy(&body).into_owned();
        assert!(!body.contains("top_p"), "{body}");
    }
}
