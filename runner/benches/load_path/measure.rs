//! One run: a client against the server, what it said, and what was true.

use std::{
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::Duration,
};

use anyhow::{Context, bail};
use bakeoff_runner::clock::{self, MILLISECOND, Nanos};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    figures::{distance_to_poisson, mean, median, quantile},
    mock::{Answered, Behaviour, Mock, Truth},
    phase::Phase,
    system::{self, Usage},
    tls,
};

/// Seconds after which a client is given up.
const GIVE_UP: u64 = 120;

/// What a client says of a load, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize)]
pub struct Said {
    pub first_mean: Option<f64>,
    pub first_p99: Option<f64>,
    pub per_token_mean: Option<f64>,
    pub gap_p99: Option<f64>,
    pub delay_p99: Option<f64>,
    /// Requests that failed or were dropped.
    pub refused: Option<u64>,
}

/// Who makes the load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    Bakeoff,
    Limit,
}

/// What runs share.
pub struct Place {
    /// The server's core.
    pub server: usize,
    /// The client's.
    pub client: usize,
    /// Path of the `bakeoff` program.
    pub bakeoff: PathBuf,
    /// A folder for what clients write.
    pub folder: PathBuf,
}

/// Figures of one run, or medians of several. Times in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Figures {
    /// Tokens a second over the middle of the run, by the server's log.
    pub tokens_per_second: Option<f64>,
    /// CPU time of the client for a token, over the same time, in microseconds.
    pub cpu_micros: Option<f64>,
    /// Share of its core that the client used.
    pub busy: Option<f64>,
    /// Said less true.
    pub first_mean_error: Option<f64>,
    pub first_p99_error: Option<f64>,
    /// Said over true, less one.
    pub per_token_error: Option<f64>,
    pub gap_p99_said: Option<f64>,
    pub gap_p99_true: Option<f64>,
    pub delay_p99: Option<f64>,
    /// Distance to a Poisson process, and its 5 % limit.
    pub distance: Option<f64>,
    pub distance_limit: Option<f64>,
    /// Peak memory in MiB.
    pub memory: Option<f64>,
    /// Requests that did not succeed.
    pub refused: Option<f64>,
}

/// Runs a client once.
pub fn run(place: &Place, phase: &Phase, client: Client) -> anyhow::Result<Figures> {
    let tls = match phase.tls {
        true => Some(tls::server_config()?),
        false => None,
    };
    let behaviour = Behaviour {
        first: phase.first,
        gap: phase.gap,
        tokens_per_write: phase.tokens_per_write,
        tls,
    };
    let mock = Mock::start(behaviour, place.server)?;
    let output = place.folder.join("report.json");
    let _ = std::fs::remove_file(&output);
    let mut command = match client {
        Client::Limit => limit(phase, mock.port)?,
        Client::Bakeoff => bakeoff(place, phase, mock.port),
    };
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = system::start_on(place.client, command)?;
    let samples = watch(&mut child)?;
    let finished = child.wait_with_output()?;
    let truth = mock.stop()?;
    // 3 is a verdict of Invalid, which the figures here are to show.
    if !matches!(finished.status.code(), Some(0 | 3)) {
        bail!("{}: the client failed: {}", phase.name, finished.status);
    }
    let said = match client {
        Client::Limit => serde_json::from_slice(&finished.stdout)?,
        Client::Bakeoff => read_report(&std::fs::read(&output)?)?,
    };
    figures(&said, truth, &samples).with_context(|| format!("phase {}", phase.name))
}

fn limit(phase: &Phase, port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    let (rate, seconds) = phase.rate.unwrap_or_default();
    command.args(["limit", &port.to_string()]);
    command.arg(phase.concurrency.unwrap_or(64).to_string());
    command.args([phase.requests.to_string(), phase.tokens.to_string()]);
    command.args([rate.to_string(), seconds.to_string()]);
    Ok(command)
}

fn bakeoff(place: &Place, phase: &Phase, port: u16) -> Command {
    let mut command = Command::new(&place.bakeoff);
    // The certificate is for a name.
    let root = if phase.tls {
        "https://localhost"
    } else {
        "http://127.0.0.1"
    };
    let protocol = if phase.chat { "chat" } else { "completions" };
    command
        .args(["bench", "--model", "mock", "--prompt", "hello"])
        .args(["--url", &format!("{root}:{port}")])
        .args(["--protocol", &format!("openai-{protocol}")])
        .args(["--max-tokens", &phase.tokens.to_string(), "--ignore-eos"])
        .arg("--output")
        .arg(place.folder.join("report.json"))
        .env("BAKEOFF_CA_BUNDLE", tls::AUTHORITY)
        .env("RUST_LOG", "warn");
    match (phase.concurrency, phase.rate) {
        (Some(concurrency), _) => {
            command
                .args(["--concurrency", &concurrency.to_string()])
                .args(["--requests", &phase.requests.to_string()]);
        }
        (None, rate) => {
            let (rate, seconds) = rate.unwrap_or_default();
            command
                .args(["--rate", &rate.to_string(), "--arrival", "poisson"])
                .args(["--duration", &format!("{seconds}s")]);
        }
    }
    if phase.everything {
        command
            .arg("--tokenizer")
            .arg(place.folder.join("tokenizer.json"))
            .arg("--requests-log")
            .arg(place.folder.join("requests.jsonl"));
    }
    command
}

type Samples = Vec<(Nanos, Usage)>;

/// Samples a client until it ends.
fn watch(child: &mut Child) -> anyhow::Result<Samples> {
    let give_up = clock::now() + GIVE_UP * clock::SECOND;
    let mut samples = Vec::new();
    while child.try_wait()?.is_none() {
        if let Some(usage) = system::usage(child.id()) {
            samples.push((clock::now(), usage));
        }
        if clock::now() > give_up {
            child.kill()?;
            bail!("the client was given up after {GIVE_UP} s");
        }
        // How often the client is looked at while it runs.
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(samples)
}

fn read_report(bytes: &[u8]) -> anyhow::Result<Said> {
    let report: Value = serde_json::from_slice(bytes)?;
    let stage = report
        .pointer("/engines/0/stages/0")
        .context("the report holds no stage")?;
    let seconds = |path: &str| stage.pointer(path)?.as_f64().map(|value| value * 1e3);
    let count = |path: &str| stage.pointer(path).and_then(Value::as_u64);
    let failed = count("/requests/failed").zip(count("/requests/dropped"));
    Ok(Said {
        first_mean: seconds("/timeToFirstToken/mean"),
        first_p99: seconds("/timeToFirstToken/p99"),
        per_token_mean: seconds("/timePerOutputToken/mean"),
        gap_p99: seconds("/interChunkLatency/p99"),
        delay_p99: seconds("/scheduleDelay/p99"),
        refused: failed.map(|(failed, dropped)| failed + dropped),
    })
}

fn figures(said: &Said, truth: Truth, samples: &Samples) -> anyhow::Result<Figures> {
    let answers = &truth.answers;
    let begin = answers.iter().map(|answer| answer.arrived).min();
    let end = answers.iter().map(|answer| answer.last).max();
    let (begin, end) = begin.zip(end).context("the server answered nothing")?;
    // The middle of the run: neither the beginning nor the last streams.
    let edge = (end - begin) / 10;
    let (begin, end) = (begin + edge, end - edge);
    let seconds = clock::seconds(end - begin);
    let tokens: f64 = answers
        .iter()
        .map(|answer| tokens_within(answer, begin, end))
        .sum();
    let cpu = cpu_at(samples, end)
        .zip(cpu_at(samples, begin))
        .map(|(end, begin)| end - begin);
    let mut first: Vec<f64> = answers
        .iter()
        .map(|answer| milliseconds(answer.first - answer.arrived))
        .collect();
    let per_token: Vec<f64> = answers
        .iter()
        .filter(|answer| answer.tokens > 1)
        .map(|answer| milliseconds(answer.last - answer.first) / f64::from(answer.tokens - 1))
        .collect();
    let mut arrivals: Vec<f64> = answers
        .iter()
        .map(|answer| milliseconds(answer.arrived))
        .collect();
    let distance = said
        .delay_p99
        .and_then(|_| distance_to_poisson(&mut arrivals));
    let mut gaps: Vec<f64> = truth.gaps.iter().map(|&gap| f64::from(gap) / 1e6).collect();
    let difference = |said: Option<f64>, truth: Option<f64>| Some(said? - truth?);
    let peak = samples.iter().map(|(_, usage)| usage.peak_memory).max();
    Ok(Figures {
        tokens_per_second: Some(tokens / seconds),
        cpu_micros: cpu.map(|cpu| cpu * 1e6 / tokens),
        busy: cpu.map(|cpu| cpu / seconds),
        first_mean_error: difference(said.first_mean, mean(&first)),
        first_p99_error: difference(said.first_p99, quantile(&mut first, 0.99)),
        per_token_error: difference(said.per_token_mean, mean(&per_token))
            .zip(mean(&per_token))
            .map(|(error, truth)| error / truth),
        gap_p99_said: said.gap_p99,
        gap_p99_true: quantile(&mut gaps, 0.99),
        delay_p99: said.delay_p99,
        distance: distance.map(|(distance, _)| distance),
        distance_limit: distance.map(|(_, limit)| limit),
        memory: peak.map(|peak| peak as f64 / f64::from(1 << 20)),
        refused: said
            .refused
            .map(|refused| refused as f64 + truth.cut as f64),
    })
}

fn milliseconds(time: Nanos) -> f64 {
    time as f64 / MILLISECOND as f64
}

/// Tokens of an answer that were written within a time, as if they were evenly spread.
fn tokens_within(answer: &Answered, begin: Nanos, end: Nanos) -> f64 {
    let (first, last) = (answer.first, answer.last.max(answer.first + 1));
    let within = last.min(end).saturating_sub(first.max(begin));
    f64::from(answer.tokens) * within as f64 / (last - first) as f64
}

/// CPU seconds of the client at a time, between the samples around it.
fn cpu_at(samples: &Samples, at: Nanos) -> Option<f64> {
    let after = samples.partition_point(|&(time, _)| time < at);
    let (later, late) = samples.get(after)?;
    let (earlier, early) = samples.get(after.checked_sub(1)?)?;
    let share = (at - earlier) as f64 / (later - earlier).max(1) as f64;
    Some(early.cpu + (late.cpu - early.cpu) * share)
}

/// The median of each figure.
pub fn medians(runs: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> Option<f64>| median(runs.iter().map(figure));
    Figures {
        tokens_per_second: of(|run| run.tokens_per_second),
        cpu_micros: of(|run| run.cpu_micros),
        busy: of(|run| run.busy),
        first_mean_error: of(|run| run.first_mean_error),
        first_p99_error: of(|run| run.first_p99_error),
        per_token_error: of(|run| run.per_token_error),
        gap_p99_said: of(|run| run.gap_p99_said),
        gap_p99_true: of(|run| run.gap_p99_true),
        delay_p99: of(|run| run.delay_p99),
        distance: of(|run| run.distance),
        distance_limit: of(|run| run.distance_limit),
        memory: of(|run| run.memory),
        refused: of(|run| run.refused),
    }
}
