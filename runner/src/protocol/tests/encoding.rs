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

/// The fields of a message in its envelope, and of a message within: number and bytes.
fn fields(message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let fields = grpc::protobuf::Fields(message).map(|field| match field.unwrap() {
        (number, grpc::protobuf::Value::Bytes(bytes)) => (number, bytes.to_vec()),
        other => panic!("{other:?}"),
    });
    fields.collect()
}

fn call(protocol: Protocol, sampling: &Sampling) -> Vec<(u64, Vec<u8>)> {
    let bytes = codec(protocol, sampling.clone(), true).encode(&[&prompt()], 0);
    fields(&bytes.unwrap()[5..])
}

fn over_http(protocol: Protocol, sampling: &Sampling) -> Bytes {
    let codec = codec(protocol, sampling.clone(), true);
    codec.encode(&[&prompt()], 0).unwrap()
}

#[test]
fn torchserves_call_holds_the_body_of_its_twin_over_http() {
    let sampling = Sampling {
        temperature: 0.7,
        seed: Some(42),
        ..Sampling::default()
    };
    let body = over_http(Protocol::TorchServe, &sampling);
    let [(1, model), (3, entry)] = &call(Protocol::TorchServeGrpc, &sampling)[..] else {
        panic!("not a model and an input");
    };
    assert_eq!(model, b"tiny");
    let data = [(1, b"data".to_vec()), (2, body.to_vec())];
    assert_eq!(fields(entry), data);
}

#[test]
fn kserves_call_holds_the_tensors_of_its_twin_over_http() {
    let sampling = Sampling::default();
    let twin: serde_json::Value =
        serde_json::from_slice(&over_http(Protocol::KserveV2, &sampling)).unwrap();
    let call = call(Protocol::KserveV2Grpc, &sampling);
    let of = |number: u64| {
        let found = call.iter().filter(move |(field, _)| *field == number);
        found.map(|(_, bytes)| bytes.as_slice()).collect::<Vec<_>>()
    };
    assert_eq!(of(1), [b"tiny"]);
    // No parameter of a call that streams.
    assert!(call.iter().all(|(number, _)| [1, 5, 6, 7].contains(number)));
    let inputs = twin["inputs"].as_array().unwrap();
    assert_eq!((of(5).len(), of(7).len()), (inputs.len(), inputs.len()));
    for ((tensor, content), input) in of(5).into_iter().zip(of(7)).zip(inputs) {
        let word = |name: &str| input[name].as_str().unwrap().as_bytes().to_vec();
        let shape = input["shape"].as_array().unwrap().iter();
        let shape = shape.map(|size| size.as_u64().unwrap() as u8).collect();
        let head = [(1, word("name")), (2, word("datatype")), (3, shape)];
        assert_eq!(fields(tensor), head);
        let value = &input["data"][0];
        let expected = match value.as_str() {
            Some(text) => [&(text.len() as u32).to_le_bytes(), text.as_bytes()].concat(),
            None => (value.as_u64().unwrap() as u32).to_le_bytes().to_vec(),
        };
        assert_eq!(content, expected);
    }
    let output = twin["outputs"][0]["name"].as_str().unwrap();
    let [asked] = of(6)[..] else {
        panic!("{:?}", of(6));
    };
    assert_eq!(fields(asked), [(1, output.as_bytes().to_vec())]);
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
