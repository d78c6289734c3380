//! What a process may hold open: as many streams as descriptors allow, a bound that is raised where
//! it may be, and one that is told of where it may not.

use std::{path::Path, sync::Arc, time::Duration};

use bakeoff_crds::{report::StageReport, run::status::VerdictStatus};
use bakeoff_runner::drive::vitals;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Barrier,
};

use crate::common::{MODEL, alone, bakeoff, bench, engine, has, stage, start};

/// Streams of one process.
const STREAMS: u64 = 10_000;

/// An answer of one token.
const ANSWER: &str = "data: {\"choices\":[{\"index\":0,\"text\":\" word\",\"finish_reason\":\"length\"}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":1,\"total_tokens\":2}}\n\ndata: [DONE]\n\n";

/// Answers nobody before everybody has asked.
async fn serve(mut stream: TcpStream, all: Arc<Barrier>) {
    let mut request = Vec::new();
    while !request.ends_with(b"}") {
        match stream.read_buf(&mut request).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    all.wait().await;
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
        ANSWER.len()
    );
    let _ = stream.write_all(format!("{head}{ANSWER}").as_bytes()).await;
}

#[test]
fn ten_thousand_streams_are_open_at_the_same_time() {
    let _alone = alone();
    // This process holds the other ends.
    let limit = vitals::raise_open_files_limit();
    if limit < STREAMS + 200 {
        println!("SKIPPED, ten thousand streams were not opened: {limit} files may be open");
        return;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    runtime.spawn(async move {
        let all = Arc::new(Barrier::new(STREAMS as usize));
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Arc::clone(&all)));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let streams = STREAMS.to_string();
    let load = [
        "--concurrency",
        &streams,
        "--requests",
        &streams,
        "--max-tokens",
        "1",
        "--request-timeout",
        "120s",
        "--no-calibration",
    ];
    let mut child = start(bakeoff(), &bench(&url, &report, &load));
    let status = child.wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    let stage = stage(&report);
    assert_eq!(stage.requests.succeeded, STREAMS, "{:?}", stage.requests);
    assert_eq!(stage.client.descriptors_refused, 0);
    assert!(
        stage.client.open_files_needed >= STREAMS,
        "{:?}",
        stage.client
    );
    // The bound of docs/load-path.md, which an unoptimised client keeps to as well.
    let peak = stage.client.peak_rss_bytes >> 20;
    assert!((1..=400).contains(&peak), "{peak} MiB");
    runtime.shutdown_timeout(Duration::ZERO);
}

/// A hundred connections from a shell that has set bounds.
fn measure(script: &str, url: &str) -> StageReport {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    run_in(script, &bench(url, &report, &LOAD), &report)
}

const LOAD: [&str; 7] = [
    "--concurrency",
    "100",
    "--requests",
    "300",
    "--max-tokens",
    "4",
    "--no-calibration",
];

/// Runs `bakeoff` as the last words of a shell's script.
fn run_in(script: &str, words: &[String], report: &Path) -> StageReport {
    let mut all = vec!["-c".to_owned(), script.to_owned(), "sh".to_owned()];
    all.push(bakeoff().to_owned());
    all.extend_from_slice(words);
    let status = start("sh", &all).wait().unwrap();
    assert!(matches!(status.code(), Some(0 | 3)), "{status}");
    stage(report)
}

#[test]
fn the_bound_on_open_files_is_raised_where_it_may_be() {
    let _alone = alone();
    let engine = engine();
    let stage = measure("ulimit -Sn 64 && exec \"$@\"", &engine.url);
    assert!(stage.client.open_files_limit > 64, "{:?}", stage.client);
    assert_eq!(stage.requests.succeeded, 300, "{:?}", stage.requests);
    assert_eq!(stage.client.descriptors_refused, 0);
    assert!(!has(&stage, "FileDescriptorLimit"), "{:?}", stage.verdict);
}

#[test]
fn a_bound_on_open_files_that_binds_is_told_of() {
    let _alone = alone();
    let engine = engine();
    // Root may raise what it cannot be held to otherwise.
    let script = "ulimit -n 64; if [ \"$(id -u)\" = 0 ]; \
        then exec setpriv --bounding-set -sys_resource --inh-caps -sys_resource \"$@\"; fi; exec \"$@\"";
    let stage = measure(script, &engine.url);
    assert_eq!(stage.client.open_files_limit, 64);
    assert!(stage.client.descriptors_refused > 0, "{:?}", stage.client);
    assert!(has(&stage, "FileDescriptorLimit"), "{:?}", stage.verdict);
    assert_eq!(stage.verdict.status, VerdictStatus::Invalid);
    counts_add_up(&stage);
}

/// A network of its own in which eight connections to one server are all that there can be.
#[test]
fn a_want_of_local_ports_is_told_of() {
    let _alone = alone();
    let inside = "ip link set lo up && echo 50000 50007 > /proc/sys/net/ipv4/ip_local_port_range";
    let possible = std::process::Command::new("unshare")
        .args(["--net", "sh", "-c", inside])
        .output();
    if !possible.is_ok_and(|output| output.status.success()) {
        println!("SKIPPED, local ports were not tested: it takes root, unshare and ip");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    let script = format!(
        "exec unshare --net sh -c '{inside} || exit 9; \
         \"$1\" simulate --protocol openai-completions --model {MODEL} --port 8000 >/dev/null 2>&1 & engine=$!; \
         until grep -q :1F40 /proc/net/tcp; do kill -0 $engine || exit 8; done; \
         \"$@\"; code=$?; kill $engine; exit $code' sh \"$@\""
    );
    let words = bench("http://127.0.0.1:8000", &report, &LOAD);
    let stage = run_in(&script, &words, &report);
    assert!(stage.client.ports_refused > 0, "{:?}", stage.client);
    assert!(has(&stage, "LocalPortLimit"), "{:?}", stage.verdict);
    assert_eq!(stage.verdict.status, VerdictStatus::Invalid);
    counts_add_up(&stage);
}

/// What found no connection failed, and is counted as that.
fn counts_add_up(stage: &StageReport) {
    let requests = &stage.requests;
    assert!(requests.failures["connect"] > 0, "{requests:?}");
    assert_eq!(
        (
            requests.intended,
            requests.succeeded + requests.failed + requests.dropped
        ),
        (300, 300)
    );
}
