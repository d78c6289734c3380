//! Connections with a call on them, mutated at random: in whatever pieces the bytes come, they tell
//! the same, and nothing panics.

use std::sync::Arc;

use bakeoff_crds::{plan::Endpoint, run::Protocol};

use super::*;
use crate::{
    protocol::{
        Codec, RequestOptions,
        grpc::{message, protobuf::Writer},
    },
    record::Record,
    testing::fuzz,
    wire::http2::{client::Client, hpack},
};

const CASES: u64 = 1500;
const WORDS: &[&[u8]] = &[
    b"\0\0\x08\x06\0\0\0\0\0",
    b"\0\0\0\x04\0\0\0\0\0",
    b"\0\0\x04\x08\0\0\0\0\0\0\0\xff\xff",
    b"\0\0\x04\x03\0\0\0\0\x01\0\0\0\x02",
    b"\0\0\x08\x07\0\0\0\0\0\0\0\0\x01\0\0\0\0",
    b"\0\0\0\0\x01\0\0\0\x01",
    b"\xff\xff\xff",
    b"\x88",
    b"\x20",
    b"\x3f\xe1\x1f",
    b"\0\0\0\0\x05",
    b"\x0bgrpc-status\x018",
    b"HTTP/1.1 400 No\r\n\r\n",
];

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let stream = [0, 0, 0, u8::from(kind != 4)];
    [&length[1..], &[kind, flags], &stream, payload].concat()
}

/// What a server sends: greetings, fields, messages, trailers.
fn answer(messages: &[Vec<u8>], status: &str) -> Vec<u8> {
    let (mut head, mut trailers) = (Vec::new(), Vec::new());
    hpack::write(&mut head, ":status", "200");
    hpack::write(&mut head, "content-type", "application/grpc");
    hpack::write(&mut trailers, "grpc-status", status);
    hpack::write(&mut trailers, "grpc-message", "all%20is said");
    let mut whole = frame(4, 0, b"\0\x04\0\x01\0\0");
    whole.extend(frame(1, 4, &head));
    for message in messages {
        whole.extend(frame(0, 0, message));
    }
    whole.extend(frame(1, 5, &trailers));
    whole
}

fn seeds() -> Vec<(Protocol, Vec<u8>)> {
    let sample = Writer::default().bytes(1, b" word").numbers(2, &[7]);
    let content = Writer::default().bytes(1, &sample.0);
    let decoded = message(&Writer::default().bytes(3, &content.0).0);
    let tensor = Writer::default().bytes(1, b"text_output");
    let response = Writer::default()
        .bytes(5, &tensor.0)
        .bytes(6, b"\x05\0\0\0 word");
    let inferred = message(&Writer::default().bytes(2, &response.0).0);
    let whole = message(&response.0);
    let predicted = message(&Writer::default().bytes(1, " wörd".as_bytes()).0);
    let mut seeds = Vec::new();
    for status in ["0", "8", "13"] {
        let twice = |message: &Vec<u8>| vec![message.clone(); 2];
        seeds.push((Protocol::JetStreamGrpc, answer(&twice(&decoded), status)));
        seeds.push((Protocol::TritonVllmGrpc, answer(&twice(&inferred), status)));
        seeds.push((Protocol::TritonTensorRtLlmGrpc, answer(&[], status)));
        let whole = std::slice::from_ref(&whole);
        seeds.push((Protocol::KserveV2Grpc, answer(whole, status)));
        seeds.push((Protocol::TorchServeGrpc, answer(&twice(&predicted), status)));
    }
    seeds
}

#[derive(Debug, PartialEq)]
struct Told {
    outcome: Outcome,
    chunks: u32,
    bytes: u64,
    tokens: Option<u32>,
    texts: Option<Vec<String>>,
}

/// What a connection tells of a call, in the given pieces and then closed.
fn told<'a>(protocol: Protocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Told {
    let endpoint = Endpoint {
        protocol,
        port: 0,
        path: "/".into(),
        model: "m".into(),
        http: None,
        request_port: None,
    };
    let decoder = Codec::new(&endpoint, RequestOptions::default()).decoder(None);
    let record = Record::new(0, 0, None, 0);
    let mut exchange = Exchange::new(record, Arc::from(*b"\0\0\0\x01ab"), decoder, 1, true);
    let mut client = Client::default();
    let (fields, body) = exchange.begin_call().unwrap();
    client.call(fields, body);
    let mut gaps = Gaps::new();
    let mut step = Step::Continue;
    for piece in pieces {
        let fed = client.feed(piece, &mut |event| {
            if step == Step::Continue {
                step = exchange.take(event, 1, &mut gaps);
            }
        });
        if let (Step::Continue, Err(cause)) = (&step, fed) {
            step = ended(failure(FailureKind::Protocol, &cause.to_string()), false);
        }
        if step != Step::Continue {
            break;
        }
    }
    if step == Step::Continue {
        step = exchange.disconnected(None, 1, &mut gaps);
    }
    let Step::Ended { outcome, .. } = step else {
        panic!("a call outlives its connection");
    };
    let record = exchange.record;
    Told {
        outcome,
        chunks: record.chunks,
        bytes: record.bytes,
        tokens: record.output_tokens,
        texts: exchange.texts,
    }
}

#[test]
fn mutated_connections_tell_the_same_in_whatever_pieces_they_come() {
    let seeds = seeds();
    let others: Vec<&[u8]> = seeds.iter().map(|(_, bytes)| bytes.as_slice()).collect();
    let mut outcomes = std::collections::BTreeSet::new();
    let cases = fuzz::cases(CASES, |random| {
        let (protocol, bytes) = random.pick(&seeds);
        let mut bytes = bytes.clone();
        for _ in 0..random.below(4) {
            random.mutate(&mut bytes, &others, WORDS);
        }
        let whole = told(*protocol, [bytes.as_slice()]);
        assert_eq!(told(*protocol, bytes.chunks(1)), whole, "{bytes:?}");
        let (first, second) = bytes.split_at(random.below(bytes.len() + 1));
        assert_eq!(told(*protocol, [first, second]), whole, "{bytes:?}");
        outcomes.insert(match whole.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed(kind, _) => kind.name(),
        });
    });
    if cases >= CASES {
        let all = [
            "connect",
            "empty",
            "http5xx",
            "protocol",
            "rateLimited",
            "streamError",
            "succeeded",
            "truncated",
        ];
        assert!(
            all.iter().all(|kind| outcomes.contains(kind)),
            "{outcomes:?}"
        );
    }
}
