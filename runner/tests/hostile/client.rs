//! Drives two requests against a server, and fails where that does not end.

use std::{
    sync::{Arc, mpsc},
    time::Duration,
};

use bakeoff_crds::{
    plan::{Endpoint, Load, StageEnd},
    run::Protocol,
};
use bakeoff_runner::{
    clock::Nanos,
    drive::{Control, Driven, Script, Share, StageInput, drive},
    prompt::Prompt,
    protocol::{Codec, RequestOptions},
    record::{FailureKind, Outcome, Record},
    wire::{request::RequestHead, target::Target},
};

use crate::server::{Act, serve};

/// A stage that takes this long hangs: far more than its time, on a machine that is busy.
const HANGS: Duration = Duration::from_secs(60);

/// Two requests at a time, two in all.
fn stage(url: &str, request_timeout: Nanos) -> StageInput {
    let endpoint = Endpoint {
        protocol: Protocol::OpenAiCompletions,
        port: 0,
        path: "/v1/completions".into(),
        model: "m".into(),
        http: None,
        request_port: None,
    };
    let codec = Codec::new(&endpoint, RequestOptions::default());
    let target = Target::resolve(url).unwrap();
    let head = RequestHead {
        path: endpoint.path,
        accept: codec.accept().into(),
        ..RequestHead::default()
    };
    let body = codec.encode(&[&Prompt::default()], 0).unwrap();
    StageInput {
        script: Arc::new(Script::of_requests([head.post(&target, &body)])),
        target,
        tls: None,
        codec: Arc::new(codec),
        first_request: 0,
        load: Load {
            concurrency: Some(2),
            ..Load::default()
        },
        end: StageEnd::Requests(2),
        seed: 1,
        trace: Arc::from([]),
        request_timeout,
        deadline: None,
        threads: 1,
        share: Share::WHOLE,
        gate: None,
        keep_text: true,
    }
}

pub fn failure_of(record: &Record) -> Option<FailureKind> {
    match &record.outcome {
        Outcome::Failed(kind, _) => Some(*kind),
        Outcome::Succeeded => None,
    }
}

/// Drives two requests against a server, and fails where that does not end.
pub fn driven(name: &str, acts: Vec<Act>, timeout: Nanos) -> Driven {
    let stage = stage(&serve(acts), timeout);
    let (done, result) = mpsc::channel();
    std::thread::spawn(move || {
        let driven = drive(&stage, &Control::default());
        assert!(done.send(driven).is_ok());
    });
    result
        .recv_timeout(HANGS)
        .unwrap_or_else(|_| panic!("{name} hangs"))
        .unwrap()
}

pub fn check(name: &str, acts: Vec<Act>, timeout: Nanos, kind: FailureKind) {
    let driven = driven(name, acts, timeout);
    assert_eq!(driven.records.len(), 2, "{name}");
    for record in &driven.records {
        assert_eq!(failure_of(record), Some(kind), "{name}: {record:?}");
    }
}
