//! The decoders against what real servers sent (`tests/fixtures/wire`), cut, split and garbled; the
//! requests against golden bodies.

mod decoding;
mod encoding;
mod http;

use bakeoff_crds::{
    plan::Endpoint,
    run::{Protocol, Sampling},
};

use super::*;
use crate::prompt::Message;

fn codec(protocol: Protocol, sampling: Sampling, streaming: bool) -> Codec {
    let endpoint = Endpoint {
        protocol,
        port: 8000,
        path: "/".to_owned(),
        model: "tiny".to_owned(),
        http: None,
        request_port: None,
    };
    Codec::new(
        &endpoint,
        RequestOptions {
            sampling,
            streaming,
            ..RequestOptions::default()
        },
    )
}

fn prompt() -> Prompt {
    Prompt {
        messages: vec![Message {
            role: "user".to_owned(),
            content: "hello \"there\"\n".to_owned(),
        }],
        text: "<user>hello \"there\"\n".to_owned(),
        max_tokens: 4,
        ..Prompt::default()
    }
}
