//! Memory does not grow with the number of tokens.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bakeoff_runner::clock;

use crate::common::{alone, bakeoff, bench, stage, start};

/// Tokens of an answer, and of a write.
const ANSWER: u64 = 500;
const WRITE: u64 = 20;
const STREAMS: u64 = 10;

/// Runs `tokens` tokens, at a rate where one is given, and gives by how much the program's memory
/// grew after the first third, in bytes.
fn growth(tokens: u64, rate: Option<f64>) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let written = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&written);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let counter = Arc::clone(&counter);
            std::thread::spawn(move || serve(stream.unwrap(), &counter, rate));
        }
    });
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("report.json");
    let requests = (tokens / ANSWER).to_string();
    let streams = STREAMS.to_string();
    let load = [
        "--concurrency",
        &streams,
        "--requests",
        &requests,
        "--max-tokens",
        "500",
    ];
    let mut child = start(bakeoff(), &bench(&url, &output, &load));
    let (mut at_third, mut most) = (None, 0);
    while child.try_wait().unwrap().is_none() {
        if written.load(Ordering::Relaxed) >= tokens / 3
            && let Some(now) = resident(child.id())
        {
            at_third.get_or_insert(now);
            most = most.max(now);
        }
        // How often memory is looked at while the program runs; the end is what is waited for.
        std::thread::sleep(Duration::from_millis(20));
    }
    let stage = stage(&output);
    assert_eq!(stage.output_tokens.unwrap().sum, tokens);
    most - at_third.expect("the stage lasted long enough to be looked at")
}

/// Resident memory of a process in bytes, while it runs.
fn resident(process: u32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Answers every request of a connection alike.
fn serve(mut stream: TcpStream, written: &AtomicU64, rate: Option<f64>) {
    let head =
        b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let token = chunk(
        "data: {\"id\":\"a\",\"object\":\"text_completion\",\"created\":1,\"model\":\"demo/model\",\"choices\":[{\"index\":0,\"text\":\" word\",\"logprobs\":null,\"finish_reason\":null}]}\n\n",
    );
    let tokens = token.repeat(WRITE as usize);
    let end = [
        chunk("data: {\"id\":\"a\",\"object\":\"text_completion\",\"created\":1,\"model\":\"demo/model\",\"choices\":[{\"index\":0,\"text\":\"\",\"logprobs\":null,\"finish_reason\":\"length\"}]}\n\n"),
        chunk("data: {\"id\":\"a\",\"object\":\"text_completion\",\"created\":1,\"model\":\"demo/model\",\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"total_tokens\":505,\"completion_tokens\":500}}\n\n"),
        chunk("data: [DONE]\n\n"),
        "0\r\n\r\n".to_owned(),
    ]
    .concat();
    let began = clock::now();
    let mut mine = 0.0;
    let mut request = Vec::new();
    let mut bytes = [0; 4096];
    loop {
        // One request at a time: it is whole when its JSON is.
        while !request.ends_with(b"}") {
            match stream.read(&mut bytes) {
                Ok(0) | Err(_) => return,
                Ok(read) => request.extend_from_slice(&bytes[..read]),
            }
        }
        request.clear();
        let mut answer = head.to_vec();
        for _ in 0..ANSWER / WRITE {
            answer.extend_from_slice(tokens.as_bytes());
            if stream.write_all(&answer).is_err() {
                return;
            }
            answer.clear();
            written.fetch_add(WRITE, Ordering::Relaxed);
            mine += WRITE as f64;
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(mine * STREAMS as f64 / rate);
                let passed = Duration::from_nanos(clock::now() - began);
                // It is the engine that writes at a rate.
                std::thread::sleep(due.saturating_sub(passed));
            }
        }
        if stream.write_all(end.as_bytes()).is_err() {
            return;
        }
    }
}

#[test]
fn memory_is_flat_over_three_hundred_thousand_tokens() {
    let _alone = alone();
    let growth = growth(300_000, None);
    // Ten bytes a token would be 2 MB.
    assert!(
        growth < 2 << 20,
        "grew by {growth} bytes after the first third"
    );
}

/// ```sh
/// cargo test --release -p bakeoff-runner --test program -- --ignored --nocapture ten_minutes
/// ```
#[test]
#[ignore = "takes ten minutes"]
fn memory_is_flat_over_ten_million_tokens_in_ten_minutes() {
    let growth = growth(10_000_000, Some(17_000.0));
    println!("grew by {growth} bytes after the first third");
    assert!(
        growth < 8 << 20,
        "grew by {growth} bytes after the first third"
    );
}
