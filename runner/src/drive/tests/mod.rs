//! Whole stages against servers on this machine.

mod connections;
mod conversations;
mod failures;
mod loads;
mod processes;
mod requests;
mod timer;
mod tls;

use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bakeoff_crds::{
    Duration,
    plan::{Endpoint, LoadMode},
    run::{Arrival, Fault, Protocol, SimulatedEngine},
};

use super::*;
use crate::{
    clock::{MILLISECOND, SECOND},
    prompt::Prompt,
    protocol::RequestOptions,
    record::{FailureKind, Outcome},
    simulate,
    wire::request::RequestHead,
};

const MODEL: &str = "demo/model";

fn simulated(fault: Fault) -> SimulatedEngine {
    SimulatedEngine {
        protocol: Protocol::OpenAiCompletions,
        time_to_first_token: Duration::from_millis(20),
        inter_token_latency: Duration::from_millis(2),
        max_batch_size: 64,
        batch_slowdown: 0.0,
        fault,
    }
}

fn endpoint() -> Endpoint {
    Endpoint {
        protocol: Protocol::OpenAiCompletions,
        port: 0,
        path: "/v1/completions".into(),
        model: MODEL.into(),
        http: None,
        request_port: None,
    }
}

/// A stage against a server, with answers of five tokens.
fn stage(url: &str, load: Load, end: StageEnd) -> StageInput {
    let endpoint = endpoint();
    let mut options = RequestOptions {
        streaming: true,
        ..RequestOptions::default()
    };
    options.sampling.ignore_eos = true;
    let codec = Codec::new(&endpoint, options);
    let target = Target::resolve(url).unwrap();
    let head = RequestHead {
        path: endpoint.path.clone(),
        accept: codec.accept().into(),
        ..RequestHead::default()
    };
    let prompt = Prompt {
        text: "hello there".into(),
        max_tokens: 5,
        ..Prompt::default()
    };
    StageInput {
        script: Arc::new(Script::of_requests([
            head.post(&target, &codec.encode(&[&prompt], 0).unwrap())
        ])),
        target,
        tls: None,
        codec: Arc::new(codec),
        first_request: 0,
        load,
        end,
        seed: 1,
        trace: Arc::from([]),
        request_timeout: 20 * SECOND,
        deadline: None,
        threads: 1,
        share: Share::WHOLE,
        gate: None,
        keep_text: false,
    }
}

fn closed(concurrency: u32) -> Load {
    Load {
        concurrency: Some(concurrency),
        ..Load::default()
    }
}

fn open(rate: Option<f64>) -> Load {
    Load {
        mode: LoadMode::Open,
        rate,
        arrival: rate.map(|_| Arrival::Poisson),
        ..Load::default()
    }
}

fn failure_of(record: &Record) -> Option<FailureKind> {
    match &record.outcome {
        Outcome::Failed(kind, _) => Some(*kind),
        Outcome::Succeeded => None,
    }
}

/// Most requests that were under way at the same time.
fn most_in_flight(records: &[Record]) -> i64 {
    let mut moments: Vec<(Nanos, i64)> = records
        .iter()
        .flat_map(|record| [(record.sent.unwrap(), 1), (record.end, -1)])
        .collect();
    moments.sort_unstable();
    let running = moments.iter().scan(0, |now, (_, change)| {
        *now += change;
        Some(*now)
    });
    running.max().unwrap_or_default()
}
