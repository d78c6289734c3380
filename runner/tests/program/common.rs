//! What the tests share: a simulated engine in this process, and `bakeoff bench` against it.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bakeoff_crds::{
    Duration,
    report::{Report, StageReport},
    run::{Fault, Protocol, SimulatedEngine},
};
use bakeoff_runner::simulate::{self, Running};

pub const MODEL: &str = "demo/model";

/// One of these tests at a time: each looks at what the CPU does.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An engine whose frames come every few milliseconds to each stream.
pub fn engine() -> Running {
    let simulated = SimulatedEngine {
        protocol: Protocol::OpenAiCompletions,
        time_to_first_token: Duration::from_millis(5),
        inter_token_latency: Duration::from_millis(5),
        max_batch_size: 256,
        batch_slowdown: 0.0,
        fault: Fault::None,
    };
    simulate::start(&simulated, MODEL).unwrap()
}

/// The program.
pub fn bakeoff() -> &'static str {
    env!("CARGO_BIN_EXE_bakeoff")
}

/// Words of `bakeoff bench` against a server; `more` says how much load.
pub fn bench(url: &str, output: &Path, more: &[&str]) -> Vec<String> {
    [
        "bench",
        "--url",
        url,
        "--protocol",
        "openai-completions",
        "--model",
        MODEL,
        "--ignore-eos",
        "--output",
        output.to_str().unwrap(),
    ]
    .iter()
    .chain(more)
    .map(|word| (*word).to_owned())
    .collect()
}

/// Starts a program, silently.
pub fn start(program: &str, words: &[String]) -> Child {
    Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The one stage of a report.
pub fn stage(report: &Path) -> StageReport {
    let json = std::fs::read(report).unwrap();
    let report: Report = serde_json::from_slice(&json).unwrap();
    report.engines[0].stages[0].clone()
}

/// Whether a stage's verdict has a reason.
pub fn has(stage: &StageReport, reason: &str) -> bool {
    let mut reasons = stage.verdict.reasons.iter();
    reasons.any(|found| found.reason == reason)
}
