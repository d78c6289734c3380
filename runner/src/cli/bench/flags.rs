//! The flags of `bakeoff bench`.

use std::path::PathBuf;

use bakeoff_crds::Duration;
use clap::ArgGroup;

use super::words::{ArrivalFlag, HistoryName, ProtocolName, TraceFormatName};

/// Arguments of `bakeoff bench`.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("load").required(true).args(["concurrency", "rate", "speed"]),
    group = ArgGroup::new("end").args(["requests", "duration"]).multiple(true),
    group = ArgGroup::new("source").args(["prompt", "prompts", "sharegpt", "input_tokens", "trace"]),
)]
pub struct Arguments {
    /// Root of the server; the protocol adds its path
    #[arg(long)]
    pub(super) url: String,
    /// Wire protocol
    #[arg(long, value_enum)]
    pub(super) protocol: ProtocolName,
    /// With --protocol http: a YAML file of the request's template and of where answers hold what, as in
    /// a run's `external.http`
    #[arg(long, value_name = "FILE", required_if_eq("protocol", "http"))]
    pub(super) http_request: Option<PathBuf>,
    /// Name of the model in requests. Given several times: of each of several models or adapters, with
    /// its share of the requests; the first is the model itself
    #[arg(long = "model", value_name = "NAME[=WEIGHT]", required = true)]
    pub(super) models: Vec<String>,
    /// Requests kept in flight: a closed loop
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) concurrency: Option<u32>,
    /// Requests a second, whatever became of those before: an open loop. `inf` is all at once
    #[arg(long, value_name = "R")]
    pub(super) rate: Option<f64>,
    /// A rate that grows or falls evenly from --rate to this over --duration
    #[arg(long, value_name = "R", requires = "rate")]
    pub(super) ramp_to: Option<f64>,
    /// How the requests of a rate are spread over time: poisson, constant, or gamma:K, whose gaps
    /// have shape K (1 is poisson, less comes in bursts, more is steadier)
    #[arg(long, requires = "rate", default_value = "poisson")]
    pub(super) arrival: ArrivalFlag,
    /// Replays the times of --trace, so many times as fast: 1 is its own speed
    #[arg(long, value_name = "S", requires = "trace")]
    pub(super) speed: Option<f64>,
    /// Requests to send; of a replay, the most (1000 without it)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) requests: Option<u32>,
    /// Time in which requests are begun, such as 30s; of a replay, how much of the trace is taken
    #[arg(long, value_name = "TIME")]
    pub(super) duration: Option<Duration>,
    /// Requests that are sent first and thrown away
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) warmup: u32,
    /// Prompts in each request, for servers whose OpenAI completions take a list
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(super) prompts_per_request: u32,
    /// Most tokens of an answer; 128, or with --trace what its lines say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) max_tokens: Option<u32>,
    /// One prompt for all requests
    #[arg(long, value_name = "TEXT")]
    pub(super) prompt: Option<String>,
    /// A file with one JSON object a line: {"prompt": "…"} or {"messages": […]}
    #[arg(long, value_name = "FILE")]
    pub(super) prompts: Option<PathBuf>,
    /// A file in ShareGPT's format
    #[arg(long, value_name = "FILE")]
    pub(super) sharegpt: Option<PathBuf>,
    /// Made-up prompts of so many tokens (words, without --tokenizer)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) input_tokens: Option<u32>,
    /// A trace: times, and lengths or prompts, one request a line
    #[arg(long, value_name = "FILE", requires = "trace_format")]
    pub(super) trace: Option<PathBuf>,
    /// What the trace looks like
    #[arg(long, value_enum, requires = "trace")]
    pub(super) trace_format: Option<TraceFormatName>,
    /// A beginning of so many tokens that all made-up prompts have in common; or several, each shared
    /// by a part of them
    #[arg(long, value_name = "TOKENS[:GROUPS]", requires = "input_tokens")]
    pub(super) shared_prefix: Option<String>,
    /// A system message that begins every prompt
    #[arg(long, value_name = "TEXT")]
    pub(super) system: Option<String>,
    /// Whole conversations of at most so many turns, each with what was said before it; --concurrency,
    /// --rate and --requests then count conversations
    #[arg(long, value_name = "N", alias = "conversations", conflicts_with = "prompt", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(super) max_turns: Option<u32>,
    /// Mean time between an answer and the next turn; exponential, or constant:TIME
    #[arg(long, value_name = "TIME", requires = "max_turns")]
    pub(super) think_time: Option<String>,
    /// Which answers a turn has before it
    #[arg(long, value_enum, requires = "max_turns", default_value = "recorded")]
    pub(super) history: HistoryName,
    /// The model's tokenizer.json: exact lengths, and a check of the engine's token counts
    #[arg(long, value_name = "FILE")]
    pub(super) tokenizer: Option<PathBuf>,
    /// Answers run to their full length
    #[arg(long)]
    pub(super) ignore_eos: bool,
    /// Sampling temperature; 0 is greedy
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    pub(super) temperature: f64,
    /// Seed of everything random in the traffic
    #[arg(long, value_name = "S", default_value_t = 0)]
    pub(super) seed: u64,
    /// Ask for whole answers in place of streams
    #[arg(long)]
    pub(super) no_stream: bool,
    /// Event loops of the load path, each on a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(super) threads: usize,
    /// Processes that act as one client, each with so many threads and its part of the load
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "headers", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub(super) processes: u32,
    /// Do not measure beforehand what this client adds itself
    #[arg(long)]
    pub(super) no_calibration: bool,
    /// Longest wait for one answer
    #[arg(long, value_name = "TIME", default_value = "3h")]
    pub(super) request_timeout: Duration,
    /// A further header field of every request
    #[arg(long = "header", value_name = "NAME:VALUE")]
    pub(super) headers: Vec<String>,
    /// Name of an environment variable with an API key, sent as a bearer token
    #[arg(long, value_name = "VAR")]
    pub(super) api_key_env: Option<String>,
    /// Write a report with this one stage
    #[arg(long, value_name = "FILE.json")]
    pub(super) output: Option<PathBuf>,
    /// Write one JSON line per request; compressed where the name ends in .zst
    #[arg(long, value_name = "FILE")]
    pub(super) requests_log: Option<PathBuf>,
}
