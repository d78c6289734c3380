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

/// A stage against a server, with answers of five tokens.
fn stage(url: &str, load: Load, end: StageEnd) -> StageInput {
    let endpoint = Endpoint {
        protocol: Protocol::OpenAiCompletions,
        port: 0,
        path: "/v1/completions".into(),
        model: MODEL.into(),
    };
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
        requests: Arc::from([head.post(&target, &codec.encode(&prompt))]),
        target,
        tls: None,
        codec: Arc::new(codec),
        first_request: 0,
        load,
        end,
        seed: 1,
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

/// Two processes' parts, driven side by side from one start that is named once both are ready.
#[test]
fn processes_that_begin_together_take_the_whole_sequence() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for (load, end) in [
        (closed(3), StageEnd::Requests(13)),
        (open(Some(200.0)), StageEnd::Requests(20)),
    ] {
        let whole = stage(&server.url, load.clone(), end);
        let due = intake::Arrivals::of(&whole).unwrap();
        let both = Arc::new((Barrier::new(2), std::sync::OnceLock::new()));
        let parts: Vec<Driven> = std::thread::scope(|scope| {
            let handles: Vec<_> = (0..2)
                .map(|index| {
                    let mut part = stage(&server.url, load.clone(), end);
                    part.share = Share { index, of: 2 };
                    let both = Arc::clone(&both);
                    part.gate = Some(Arc::new(move || {
                        both.0.wait();
                        Some(*both.1.get_or_init(|| clock::now() + 50 * MILLISECOND))
                    }));
                    scope.spawn(move || drive(&part, &Control::default()).unwrap())
                })
                .collect();
            handles
                .into_iter()
                .map(|handle| handle.join().unwrap())
                .collect()
        });
        assert_eq!(parts[0].start, parts[1].start);
        let mut records: Vec<&Record> = parts.iter().flat_map(|part| &part.records).collect();
        records.sort_by_key(|record| record.index);
        assert!(
            records
                .iter()
                .all(|record| record.started >= parts[0].start)
        );
        let indexes: Vec<u64> = records.iter().map(|record| record.index).collect();
        assert_eq!(indexes, (0..due.intended().unwrap()).collect::<Vec<_>>());
        let offsets: Vec<Nanos> = records
            .iter()
            .filter_map(|record| Some(record.due? - parts[0].start))
            .collect();
        if let intake::Kind::Open { due, .. } = &due.kind {
            assert_eq!(&offsets, due);
        }
    }
}

#[test]
fn a_stage_that_others_do_not_begin_is_not_driven() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(1), StageEnd::Requests(1));
    stage.gate = Some(Arc::new(|| None));
    stage.threads = 2;
    let driven = drive(&stage, &Control::default());
    assert!(matches!(driven, Err(DriveError::NotBegun)));
    assert_eq!(server.log.records().len(), 0);
}

#[test]
fn a_closed_loop_keeps_its_concurrency_and_agrees_with_the_server() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for threads in [1, 2] {
        let before = server.log.records().len();
        let mut stage = stage(&server.url, closed(4), StageEnd::Requests(40));
        stage.threads = threads;
        let driven = drive(&stage, &Control::default()).unwrap();
        assert_eq!((driven.intended, driven.dropped, driven.cut), (40, 0, None));
        assert_eq!(driven.records.len(), 40);
        for (index, record) in driven.records.iter().enumerate() {
            assert_eq!(record.outcome, Outcome::Succeeded);
            assert_eq!(record.index, index as u64);
            assert_eq!((record.chunks, record.output_tokens), (5, Some(5)));
            assert_eq!(record.due, None);
        }
        assert_eq!(most_in_flight(&driven.records), 4);
        assert_eq!(driven.gaps.chunk.count(), 40 * 4);
        assert_eq!(driven.vitals.chunks, 200);
        assert!(driven.vitals.cpu > 0);

        let truth = server.log.records();
        let truth = &truth[before..];
        assert_eq!(truth.len(), 40);
        let true_mean = truth
            .iter()
            .map(|record| (record.first_token_at.unwrap() - record.received_at) as f64 / 1e9)
            .sum::<f64>()
            / 40.0;
        let said_mean = driven
            .records
            .iter()
            .map(|record| clock::seconds(record.first_content.unwrap() - record.sent.unwrap()))
            .sum::<f64>()
            / 40.0;
        // The client sees a first token after it was written, and on a busy machine a little later.
        assert!(said_mean >= true_mean, "{said_mean} {true_mean}");
        assert!(said_mean - true_mean < 0.010, "{said_mean} {true_mean}");
    }
}

#[test]
fn an_open_loop_sends_at_its_due_times_whatever_the_answers_do() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let stage = stage(&server.url, open(Some(100.0)), StageEnd::Seconds(0.5));
    let due = crate::workload::arrival::due_times(&stage.load, stage.end, stage.seed).unwrap();
    let driven = drive(&stage, &Control::default()).unwrap();
    assert_eq!(driven.intended, due.len() as u64);
    assert_eq!(driven.records.len(), due.len());
    for (record, due) in driven.records.iter().zip(&due) {
        assert_eq!(record.due, Some(driven.start + due));
        assert!(record.sent.unwrap() >= record.due.unwrap());
        assert!(record.succeeded(), "{record:?}");
    }
}

#[test]
fn a_burst_is_under_way_all_at_once() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let stage = stage(&server.url, open(None), StageEnd::Requests(50));
    let driven = drive(&stage, &Control::default()).unwrap();
    assert!(driven.records.iter().all(Record::succeeded));
    assert!(
        driven
            .records
            .iter()
            .all(|record| record.due == Some(driven.start))
    );
    assert_eq!(most_in_flight(&driven.records), 50);
}

#[test]
fn a_stage_of_a_duration_begins_nothing_after_it_and_waits_for_what_it_began() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let stage = stage(&server.url, closed(3), StageEnd::Seconds(0.2));
    let driven = drive(&stage, &Control::default()).unwrap();
    let end = driven.start + 200 * MILLISECOND;
    assert!(driven.records.len() >= 3);
    assert_eq!(
        (driven.intended, driven.dropped),
        (driven.records.len() as u64, 0)
    );
    assert!(
        driven
            .records
            .iter()
            .all(|record| record.started < end && record.succeeded())
    );
}

#[test]
fn each_fault_is_one_kind_of_failure() {
    for (fault, kind) in [
        (Fault::ServerError, FailureKind::Http5xx),
        (Fault::ErrorEvent, FailureKind::StreamError),
        (Fault::CutStream, FailureKind::Truncated),
        (Fault::Stall, FailureKind::Timeout),
    ] {
        let server = simulate::start(&simulated(fault), MODEL).unwrap();
        let mut stage = stage(&server.url, closed(2), StageEnd::Requests(4));
        stage.request_timeout = 500 * MILLISECOND;
        let driven = drive(&stage, &Control::default()).unwrap();
        assert_eq!(driven.records.len(), 4, "{fault:?}");
        for record in &driven.records {
            assert_eq!(failure_of(record), Some(kind), "{fault:?}: {record:?}");
        }
    }
}

#[test]
fn nobody_listening_is_a_failure_to_connect() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    for load in [closed(2), open(Some(200.0))] {
        let driven = drive(
            &stage(&url, load, StageEnd::Requests(4)),
            &Control::default(),
        )
        .unwrap();
        assert_eq!(driven.records.len(), 4);
        for record in &driven.records {
            assert_eq!(failure_of(record), Some(FailureKind::Connect));
        }
    }
}

#[test]
fn what_was_measured_before_a_stop_is_kept_and_the_counts_add_up() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    for load in [closed(2), open(Some(50.0))] {
        let stage = stage(&server.url, load, StageEnd::Requests(100_000));
        let control = Control::default();
        let driven = std::thread::scope(|scope| {
            let stopper = scope.spawn(|| {
                while control.requests_done() < 4 {
                    std::thread::yield_now();
                }
                control.cancel();
            });
            let driven = drive(&stage, &control).unwrap();
            stopper.join().unwrap();
            driven
        });
        assert_eq!(driven.cut, Some(Cut::Cancelled));
        assert_eq!(driven.intended, 100_000);
        assert_eq!(driven.dropped + driven.records.len() as u64, 100_000);
        assert!(
            driven
                .records
                .iter()
                .filter(|record| record.succeeded())
                .count()
                >= 4
        );
        for record in driven.records.iter().filter(|record| !record.succeeded()) {
            assert_eq!(failure_of(record), Some(FailureKind::Cancelled));
        }
    }
}

#[test]
fn a_stage_that_takes_too_long_is_cut() {
    let server = simulate::start(&simulated(Fault::Stall), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(1), StageEnd::Requests(10));
    stage.deadline = Some(200 * MILLISECOND);
    let driven = drive(&stage, &Control::default()).unwrap();
    assert_eq!(driven.cut, Some(Cut::Deadline));
    assert_eq!((driven.intended, driven.dropped), (10, 9));
}

#[test]
fn texts_are_kept_for_the_tokenizer_where_asked() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let mut stage = stage(&server.url, closed(2), StageEnd::Requests(6));
    stage.keep_text = true;
    let driven = drive(&stage, &Control::default()).unwrap();
    let mut seen = Vec::new();
    for texts in driven.texts {
        texts
            .for_each(|index, text| seen.push((index, text.is_empty())))
            .unwrap();
    }
    seen.sort_unstable();
    assert_eq!(seen, (0..6).map(|index| (index, false)).collect::<Vec<_>>());
}

const ANSWER: &str = "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

/// A server that gives a fixed answer, counts its connections, and closes each after so many
/// requests.
fn counting_server(requests_per_connection: usize) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let connections = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            count.fetch_add(1, Ordering::SeqCst);
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut stream = stream?;
                for _ in 0..requests_per_connection {
                    let mut request = Vec::new();
                    let mut buffer = [0; 4096];
                    // The bodies here end with the first brace that closes.
                    while !request.ends_with(b"}") {
                        match stream.read(&mut buffer)? {
                            0 => return Ok(()),
                            read => request.extend_from_slice(&buffer[..read]),
                        }
                    }
                    let head = format!(
                        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                        ANSWER.len()
                    );
                    // Cut within the head and within a frame.
                    for part in [&head[..9], &head[9..], &ANSWER[..20], &ANSWER[20..]] {
                        stream.write_all(part.as_bytes())?;
                        stream.flush()?;
                    }
                }
                Ok(())
            });
        }
    });
    (url, connections)
}

#[test]
fn a_worker_keeps_its_connection() {
    let (url, connections) = counting_server(1000);
    let driven = drive(
        &stage(&url, closed(3), StageEnd::Requests(60)),
        &Control::default(),
    )
    .unwrap();
    assert!(driven.records.iter().all(Record::succeeded));
    assert_eq!(connections.load(Ordering::SeqCst), 3);
}

#[test]
fn a_server_that_closes_between_requests_gets_new_connections() {
    let (url, connections) = counting_server(1);
    // Slow enough for the closing to be seen before the next request.
    let driven = drive(
        &stage(&url, open(Some(50.0)), StageEnd::Requests(10)),
        &Control::default(),
    )
    .unwrap();
    assert!(
        driven.records.iter().all(Record::succeeded),
        "{:?}",
        driven.records
    );
    assert!(connections.load(Ordering::SeqCst) >= 10);
}

#[test]
fn a_load_that_says_too_little_is_refused() {
    let url = "http://127.0.0.1:9";
    for load in [closed(0), Load::default()] {
        let refused = drive(
            &stage(url, load, StageEnd::Requests(1)),
            &Control::default(),
        );
        assert!(matches!(refused, Err(DriveError::Load(_))));
    }
    let endless = drive(
        &stage(url, open(None), StageEnd::Seconds(1.0)),
        &Control::default(),
    );
    assert!(matches!(endless, Err(DriveError::Load(_))));
    let mut empty = stage(url, closed(1), StageEnd::Requests(1));
    empty.requests = Arc::from([]);
    assert!(matches!(
        drive(&empty, &Control::default()),
        Err(DriveError::NoPrompts)
    ));
}

/// Certificates that a test authority made for this test: `openssl req -x509` and `openssl x509`.
const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/drive/testdata/ca.pem");
const CERTIFICATE: &[u8] = include_bytes!("testdata/server.pem");
const KEY: &[u8] = include_bytes!("testdata/server.key");

/// Passes bytes between TLS connections and a plain server.
fn tls_front(backend: String) -> String {
    use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![CertificateDer::from_pem_slice(CERTIFICATE).unwrap()],
            PrivateKeyDer::from_pem_slice(KEY).unwrap(),
        )
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            tell.send(listener.local_addr().unwrap().port()).unwrap();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (acceptor, backend) = (acceptor.clone(), backend.clone());
                tokio::spawn(async move {
                    let mut client = acceptor.accept(stream).await?;
                    let mut server = tokio::net::TcpStream::connect(backend).await?;
                    tokio::io::copy_bidirectional(&mut client, &mut server).await
                });
            }
        });
    });
    format!("https://localhost:{}", told.recv().unwrap())
}

#[test]
fn tls_is_spoken_to_a_server_of_a_trusted_authority_alone() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let url = tls_front(server.url.trim_start_matches("http://").into());
    for (bundle, failure) in [
        (Some(std::path::Path::new(AUTHORITY)), None),
        (None, Some(FailureKind::Connect)),
    ] {
        let mut stage = stage(&url, closed(3), StageEnd::Requests(9));
        stage.tls = Some(crate::wire::tls::client_config(bundle).unwrap());
        let driven = drive(&stage, &Control::default()).unwrap();
        assert_eq!(driven.records.len(), 9);
        for record in &driven.records {
            assert_eq!(failure_of(record), failure, "{record:?}");
        }
    }
}

#[test]
fn a_long_prompt_goes_out_whole_over_plain_and_tls() {
    let server = simulate::start(&simulated(Fault::None), MODEL).unwrap();
    let tls = tls_front(server.url.trim_start_matches("http://").into());
    for url in [&server.url, &tls] {
        let mut stage = stage(url, closed(2), StageEnd::Requests(4));
        stage.tls = Some(crate::wire::tls::client_config(Some(AUTHORITY.as_ref())).unwrap());
        let head = RequestHead {
            path: "/v1/completions".into(),
            ..RequestHead::default()
        };
        // More than any socket's buffer takes at once.
        let long = Prompt {
            text: "word ".repeat(2_000_000),
            max_tokens: 3,
            ..Prompt::default()
        };
        stage.requests = Arc::from([head.post(&stage.target, &stage.codec.encode(&long))]);
        let driven = drive(&stage, &Control::default()).unwrap();
        assert!(
            driven.records.iter().all(Record::succeeded),
            "{url}: {:?}",
            driven.records
        );
    }
}

/// A server that answers once on each connection, and closes it when the next request comes.
fn closing_server() -> String {
    use std::io::{Read, Write};
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            std::thread::spawn(move || {
                let mut stream = stream.unwrap();
                let mut request = Vec::new();
                let mut buffer = [0; 4096];
                // A spare connection that is closed unused sends nothing.
                while !request.ends_with(b"}") {
                    match stream.read(&mut buffer) {
                        Ok(0) | Err(_) => return,
                        Ok(bytes) => request.extend_from_slice(&buffer[..bytes]),
                    }
                }
                let frames = concat!(
                    "data: {\"choices\":[{\"index\":0,\"text\":\"a\",\"finish_reason\":\"stop\"}]}\n\n",
                    "data: [DONE]\n\n"
                );
                let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nKeep-Alive: timeout=5\r\n";
                let answer = format!("{head}Content-Length: {}\r\n\r\n{frames}", frames.len());
                stream.write_all(answer.as_bytes()).unwrap();
                let _ = stream.read(&mut buffer);
            });
        }
    });
    url
}

#[test]
fn a_request_that_meets_the_closing_of_a_used_connection_is_sent_on_a_fresh_one() {
    let url = closing_server();
    let driven = drive(
        &stage(&url, closed(2), StageEnd::Requests(40)),
        &Control::default(),
    )
    .unwrap();
    assert_eq!(driven.records.len(), 40);
    for record in &driven.records {
        assert_eq!(failure_of(record), None, "{record:?}");
        assert!(record.sent.is_some_and(|sent| sent >= record.started));
    }
    assert!(driven.vitals.reconnects > 0, "the closing was never met");
}
