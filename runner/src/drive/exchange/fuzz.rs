//! Captured answers, framed as HTTP, mutated at random: in whatever pieces the bytes come, they tell
//! the same, and nothing panics.

use std::{fs, path::PathBuf};

use super::*;
use crate::{
    protocol::{Codec, RequestOptions},
    testing::fuzz::{self, Random},
};
use bakeoff_crds::{plan::Endpoint, run::Protocol};

const CASES: u64 = 1500;
/// Pieces that mean something to one of the layers.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n\n",
    b"\r",
    b"\n",
    b" ",
    b"data: ",
    b"data:",
    b"data: [DONE]\n\n",
    b"event: error\n",
    b"error: ",
    b": ping\n\n",
    b"id: 1\nretry: 2\n",
    b"\xEF\xBB\xBF",
    b"\xFF\xFE",
    b"\x00",
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"",
    b"\\u0000",
    b"\\ud800",
    b"null",
    b"-1",
    b"1e999",
    b"4294967296",
    b"18446744073709551616",
    b"\"error\":\"x\",",
    b"\"usage\":null,",
    b"\"choices\":[],",
    b"\"index\":4294967295,",
    b"\"token\":\"x\",",
    b"\"finish_reason\":true,",
    b"}{",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"7FFFFFFFFFFFFFFF\r\n",
    b"-5\r\n",
    b"5;a=\"b\"\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 503 No\r\n",
    b"content-length: 10\r\n",
    b"content-length: 99999999999999999999\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip\r\n",
    b"connection: close\r\n",
    b"HTTP/1.1 429 Slow\r\n",
    b"retry-after: 7\r\n",
    b"retry-after: 99999999999\r\n",
    b"retry-after: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
    b"date: Sun, 22 Nov 2026 10:00:00 GMT\r\n",
];

/// What an exchange tells of an answer.
#[derive(Debug, PartialEq)]
struct Told {
    outcome: Outcome,
    chunks: u32,
    tokens: (Option<u32>, Option<u32>),
    finish: Option<&'static str>,
    texts: Option<Vec<String>>,
}

/// An answer that comes in the given pieces, and then the end of the connection.
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
    let mut exchange = Exchange::new(record, Arc::from(*b"request"), decoder, 1, true);
    let mut gaps = Gaps::new();
    let mut step = Step::Continue;
    for piece in pieces {
        step = exchange.receive(piece, 1, &mut gaps);
        if step != Step::Continue {
            break;
        }
    }
    if step == Step::Continue {
        step = exchange.disconnected(None, 1, &mut gaps);
    }
    let Step::Ended { outcome, .. } = step else {
        panic!("an exchange outlives its connection");
    };
    if let Outcome::Failed(_, message) = &outcome {
        assert!(!message.is_empty() && message.len() <= MAX_MESSAGE);
    }
    let record = exchange.record;
    Told {
        outcome,
        chunks: record.chunks,
        tokens: (record.input_tokens, record.output_tokens),
        finish: record.finish,
        texts: exchange.texts,
    }
}

/// The captures with the protocol that reads each.
fn captures() -> Vec<(Protocol, Vec<u8>)> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/wire");
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .into_iter()
        .map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            (protocol_of(name), fs::read(&path).unwrap())
        })
        .collect()
}

fn protocol_of(name: &str) -> Protocol {
    match name {
        _ if name.starts_with("tgi-generate") => Protocol::Tgi,
        _ if name.starts_with("triton-tensorrt") => Protocol::TritonTensorRtLlm,
        _ if name.starts_with("triton") => Protocol::TritonVllm,
        _ if name.starts_with("http-") => Protocol::Http,
        _ if name.starts_with("jetstream") => Protocol::JetStream,
        _ if name.starts_with("sax") => Protocol::Sax,
        _ if name.starts_with("transformers-instances") => Protocol::TransformersInstances,
        _ if name.starts_with("kserve") => Protocol::KserveV2,
        _ if name.contains("-completions") => Protocol::OpenAiCompletions,
        _ if name.contains("-completion") => Protocol::LlamaCpp,
        _ => Protocol::OpenAiChat,
    }
}

/// An HTTP response with this body, framed one way or another.
fn response(body: &[u8], random: &mut Random) -> Vec<u8> {
    let mut whole = random
        .pick(&[
            &b"HTTP/1.1 200 OK\r\n"[..],
            b"HTTP/1.0 200 OK\r\n",
            b"HTTP/1.1 500 No\r\n",
        ])
        .to_vec();
    match random.below(4) {
        0 => {
            whole.extend_from_slice(b"\r\n");
            whole.extend_from_slice(body);
        }
        1 => {
            let head = format!("Content-Length: {}\r\n\r\n", body.len());
            whole.extend_from_slice(head.as_bytes());
            whole.extend_from_slice(body);
        }
        _ => {
            whole.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
            let mut rest = body;
            while !rest.is_empty() {
                let (chunk, after) = rest.split_at(1 + random.below(rest.len().min(200)));
                whole.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                whole.extend_from_slice(chunk);
                whole.extend_from_slice(b"\r\n");
                rest = after;
            }
            whole.extend_from_slice(b"0\r\n\r\n");
        }
    }
    whole
}

fn mutant(captures: &[(Protocol, Vec<u8>)], random: &mut Random) -> (Protocol, Vec<u8>) {
    let (protocol, body) = random.pick(captures);
    // Now and then read by another protocol.
    let protocol = if random.below(8) == 0 {
        random.pick(captures).0
    } else {
        *protocol
    };
    let bodies: Vec<&[u8]> = captures.iter().map(|(_, body)| body.as_slice()).collect();
    let mut body = body.clone();
    for _ in 0..random.below(4) {
        random.mutate(&mut body, &bodies, WORDS);
    }
    let mut whole = response(&body, random);
    for _ in 0..random.below(3) {
        random.mutate(&mut whole, &bodies, WORDS);
    }
    (protocol, whole)
}

fn pieces<'a>(bytes: &'a [u8], random: &mut Random) -> Vec<&'a [u8]> {
    let mut cuts: Vec<usize> = (0..1 + random.below(12))
        .map(|_| random.below(bytes.len() + 1))
        .collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    cuts.windows(2)
        .map(|window| &bytes[window[0]..window[1]])
        .filter(|piece| !piece.is_empty())
        .collect()
}

#[test]
fn mutated_answers_tell_the_same_in_whatever_pieces_they_come() {
    let captures = captures();
    let mut outcomes = std::collections::BTreeMap::new();
    let cases = fuzz::cases(CASES, |random| {
        let (protocol, bytes) = mutant(&captures, random);
        let whole = told(protocol, [bytes.as_slice()]);
        let shown = || String::from_utf8_lossy(&bytes).into_owned();
        assert_eq!(
            told(protocol, bytes.chunks(1)),
            whole,
            "byte by byte: {}",
            shown()
        );
        let cut = pieces(&bytes, random);
        assert_eq!(
            told(protocol, cut.iter().copied()),
            whole,
            "cut into {cut:?}: {}",
            shown()
        );
        let kind = match whole.outcome {
            Outcome::Succeeded => "succeeded",
            Outcome::Failed(kind, _) => kind.name(),
        };
        *outcomes.entry(kind).or_insert(0_u64) += 1;
    });
    eprintln!("{outcomes:?}");
    // The mutants get past the first checks: some of every kind that an answer can be.
    if cases >= CASES {
        let kinds: Vec<_> = outcomes.into_keys().collect();
        let all = [
            "empty",
            "http5xx",
            "protocol",
            "streamError",
            "succeeded",
            "truncated",
        ];
        assert!(all.iter().all(|kind| kinds.contains(kind)), "{kinds:?}");
    }
}
