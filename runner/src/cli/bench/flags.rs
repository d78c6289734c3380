//! The flags of `bakeoff bench`, and the BenchmarkRun that they stand for.

use std::{path::PathBuf, str::FromStr};

use bakeoff_crds::{
    BenchmarkRun, BenchmarkRunSpec, Duration,
    common::FileSource,
    run::{
        Arrival, Calibration, EngineSpec, ExternalEngine, Limits, ModelSpec, Output, Prompts,
        Protocol, Ramp, Runner, Sampling, StageSpec, Sweep, SyntheticPrompts, TokenLength, Trace,
        TraceFormat, Warmup, Workload,
    },
};
use clap::{ArgGroup, ValueEnum};

use super::{ENGINE, Options, traffic::Traffic};

/// Prompt where none is named.
const DEFAULT_PROMPT: &str = "Write a short story about a baker who measures everything twice.";

/// Arguments of `bakeoff bench`.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("load").required(true).args(["concurrency", "rate", "speed"]),
    group = ArgGroup::new("end").args(["requests", "duration"]),
    group = ArgGroup::new("source").args(["prompt", "prompts", "sharegpt", "input_tokens", "trace"]),
)]
pub struct Arguments {
    /// Root of the server; the protocol adds its path
    #[arg(long)]
    url: String,
    /// Wire protocol
    #[arg(long, value_enum)]
    protocol: ProtocolName,
    /// Name of the model in requests. Given several times: of each of several models or adapters, with
    /// its share of the requests; the first is the model itself
    #[arg(long = "model", value_name = "NAME[=WEIGHT]", required = true)]
    pub(super) models: Vec<String>,
    /// Requests kept in flight: a closed loop
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Requests a second, whatever became of those before: an open loop. `inf` is all at once
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// A rate that grows or falls evenly from --rate to this over --duration
    #[arg(long, value_name = "R", requires = "rate")]
    ramp_to: Option<f64>,
    /// How the requests of a rate are spread over time: poisson, constant, or gamma:K, whose gaps
    /// have shape K (1 is poisson, less comes in bursts, more is steadier)
    #[arg(long, requires = "rate", default_value = "poisson")]
    arrival: ArrivalFlag,
    /// Replays the times of --trace, so many times as fast: 1 is its own speed
    #[arg(long, value_name = "S", requires = "trace")]
    speed: Option<f64>,
    /// Requests to send; of a replay, the most (1000 without it)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests: Option<u32>,
    /// Time in which requests are begun, such as 30s; of a replay, how much of the trace is taken
    #[arg(long, value_name = "TIME")]
    duration: Option<Duration>,
    /// Requests that are sent first and thrown away
    #[arg(long, value_name = "N", default_value_t = 0)]
    warmup: u32,
    /// Prompts in each request, for servers whose OpenAI completions take a list
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    prompts_per_request: u32,
    /// Most tokens of an answer; 128, or with --trace what its lines say
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: Option<u32>,
    /// One prompt for all requests
    #[arg(long, value_name = "TEXT")]
    prompt: Option<String>,
    /// A file with one JSON object a line: {"prompt": "…"} or {"messages": […]}
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// A file in ShareGPT's format
    #[arg(long, value_name = "FILE")]
    sharegpt: Option<PathBuf>,
    /// Made-up prompts of so many tokens (words, without --tokenizer)
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    input_tokens: Option<u32>,
    /// A trace: times, and lengths or prompts, one request a line
    #[arg(long, value_name = "FILE", requires = "trace_format")]
    trace: Option<PathBuf>,
    /// What the trace looks like
    #[arg(long, value_enum, requires = "trace")]
    trace_format: Option<TraceFormatName>,
    /// A beginning of so many tokens that all made-up prompts have in common; or several, each shared
    /// by a part of them
    #[arg(long, value_name = "TOKENS[:GROUPS]", requires = "input_tokens")]
    pub(super) shared_prefix: Option<String>,
    /// A system message that begins every prompt
    #[arg(long, value_name = "TEXT")]
    system: Option<String>,
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
    tokenizer: Option<PathBuf>,
    /// Answers run to their full length
    #[arg(long)]
    ignore_eos: bool,
    /// Sampling temperature; 0 is greedy
    #[arg(long, value_name = "T", default_value_t = 0.0)]
    temperature: f64,
    /// Seed of everything random in the traffic
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Ask for whole answers in place of streams
    #[arg(long)]
    no_stream: bool,
    /// Event loops of the load path, each on a thread of its own
    #[arg(long, value_name = "N", default_value_t = 1)]
    threads: usize,
    /// Processes that act as one client, each with so many threads and its part of the load
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "headers", value_parser = clap::value_parser!(u32).range(1..=256))]
    processes: u32,
    /// Do not measure beforehand what this client adds itself
    #[arg(long)]
    no_calibration: bool,
    /// Longest wait for one answer
    #[arg(long, value_name = "TIME", default_value = "3h")]
    request_timeout: Duration,
    /// A further header field of every request
    #[arg(long = "header", value_name = "NAME:VALUE")]
    headers: Vec<String>,
    /// Name of an environment variable with an API key, sent as a bearer token
    #[arg(long, value_name = "VAR")]
    api_key_env: Option<String>,
    /// Write a report with this one stage
    #[arg(long, value_name = "FILE.json")]
    output: Option<PathBuf>,
    /// Write one JSON line per request; compressed where the name ends in .zst
    #[arg(long, value_name = "FILE")]
    requests_log: Option<PathBuf>,
}

/// Wire protocols, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProtocolName {
    /// OpenAI's /v1/completions
    #[value(name = "openai-completions")]
    OpenAiCompletions,
    /// OpenAI's /v1/chat/completions
    #[value(name = "openai-chat")]
    OpenAiChat,
    /// Text Generation Inference's /generate_stream
    Tgi,
    /// Triton's generate_stream with the vLLM backend's inputs
    #[value(alias = "triton")]
    TritonVllm,
    /// Triton's generate_stream with the TensorRT-LLM (LLM API) backend's inputs
    #[value(name = "triton-tensorrt-llm")]
    TritonTensorRtLlm,
    /// llama.cpp's /completion
    LlamaCpp,
}

impl From<ProtocolName> for Protocol {
    fn from(name: ProtocolName) -> Self {
        match name {
            ProtocolName::OpenAiCompletions => Self::OpenAiCompletions,
            ProtocolName::OpenAiChat => Self::OpenAiChat,
            ProtocolName::Tgi => Self::Tgi,
            ProtocolName::TritonVllm => Self::TritonVllm,
            ProtocolName::TritonTensorRtLlm => Self::TritonTensorRtLlm,
            ProtocolName::LlamaCpp => Self::LlamaCpp,
        }
    }
}

/// Formats of traces, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum TraceFormatName {
    /// CSV with TIMESTAMP, ContextTokens, GeneratedTokens
    Azure,
    /// JSON lines with timestamp in ms, input_length, output_length, hash_ids
    Mooncake,
    /// JSON lines with timestamp in s, prompt or messages or inputTokens, outputTokens
    Jsonl,
}

impl From<TraceFormatName> for TraceFormat {
    fn from(name: TraceFormatName) -> Self {
        match name {
            TraceFormatName::Azure => Self::Azure,
            TraceFormatName::Mooncake => Self::Mooncake,
            TraceFormatName::Jsonl => Self::Jsonl,
        }
    }
}

/// Arrivals, as the command line spells them: `poisson`, `constant`, `gamma:K`.
#[derive(Clone, Copy, Debug, PartialEq)]
struct ArrivalFlag {
    arrival: Arrival,
    burstiness: Option<f64>,
}

impl FromStr for ArrivalFlag {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let plain = |arrival| Self {
            arrival,
            burstiness: None,
        };
        match text.split_once(':') {
            None if text == "poisson" => Ok(plain(Arrival::Poisson)),
            None if text == "constant" => Ok(plain(Arrival::Constant)),
            Some(("gamma", shape)) => match shape.parse() {
                Ok(shape) if (0.01..=1000.0).contains(&shape) => Ok(Self {
                    arrival: Arrival::Gamma,
                    burstiness: Some(shape),
                }),
                _ => Err(format!("shape {shape:?} is not a number from 0.01 to 1000")),
            },
            _ => Err("write poisson, constant, or gamma:K such as gamma:0.5".into()),
        }
    }
}

/// Histories, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum HistoryName {
    /// The data set's own, or made-up ones: every server gets the same bytes
    Recorded,
    /// The server's own; by openai-chat alone
    Answers,
}

impl Arguments {
    /// The run that the flags stand for, and what no run holds.
    pub(super) fn into_run(self) -> Result<(BenchmarkRun, Options), String> {
        let headers = self
            .headers
            .iter()
            .map(|header| {
                let (name, value) = header
                    .split_once(':')
                    .ok_or_else(|| format!("--header {header:?} has no colon; write NAME:VALUE"))?;
                Ok((name.trim().to_owned(), value.trim().to_owned()))
            })
            .collect::<Result<_, String>>()?;
        let api_key = self
            .api_key_env
            .as_deref()
            .map(|name| {
                std::env::var(name)
                    .map_err(|_| format!("--api-key-env {name}: no such environment variable"))
            })
            .transpose()?;
        let sweep = self.sweep()?;
        let traffic = Traffic::read(&self)?;
        let options = Options {
            url: self.url.clone(),
            threads: self.threads.max(1),
            headers,
            api_key,
            output: self.output.clone(),
            requests_log: self.requests_log.clone(),
        };
        let mut run = BenchmarkRun::new("bench", self.spec(sweep, traffic));
        run.metadata.namespace = Some("local".into());
        Ok((run, options))
    }

    fn sweep(&self) -> Result<Sweep, String> {
        if let Some(speed) = self.speed {
            return if (0.001..=1000.0).contains(&speed) {
                Ok(Sweep {
                    replay_speed: vec![speed],
                    ..Sweep::default()
                })
            } else {
                Err(format!(
                    "--speed {speed} is not a number from 0.001 to 1000"
                ))
            };
        }
        if self.requests.is_none() && self.duration.is_none() {
            return Err("say when to end, with --requests or --duration".into());
        }
        let Some(rate) = self.rate else {
            return Ok(Sweep {
                concurrency: self.concurrency.into_iter().collect(),
                ..Sweep::default()
            });
        };
        if rate.is_infinite() && rate > 0.0 {
            if self.requests.is_none() {
                return Err(
                    "--rate inf sends all requests at once; say how many with --requests".into(),
                );
            }
            return Ok(Sweep {
                burst: true,
                ..Sweep::default()
            });
        }
        if !(rate.is_finite() && rate > 0.0) {
            return Err(format!("--rate {rate} is not a number over 0"));
        }
        let ArrivalFlag {
            arrival,
            burstiness,
        } = self.arrival;
        let Some(to_rate) = self.ramp_to else {
            return Ok(Sweep {
                request_rate: vec![rate],
                arrival: Some(arrival),
                burstiness,
                ..Sweep::default()
            });
        };
        if !(to_rate.is_finite() && to_rate >= 0.0) {
            return Err(format!("--ramp-to {to_rate} is not a number of 0 or more"));
        }
        if self.duration.is_none() {
            return Err("--ramp-to needs --duration, over which the rate changes".into());
        }
        let ramp = StageSpec {
            name: "ramp".into(),
            ramp: Some(Ramp {
                from_rate: rate,
                to_rate,
            }),
            duration: self.duration,
            arrival: Some(arrival),
            burstiness,
            ..StageSpec::default()
        };
        Ok(Sweep {
            stages: vec![ramp],
            ..Sweep::default()
        })
    }

    fn spec(self, sweep: Sweep, traffic: Traffic) -> BenchmarkRunSpec {
        let file = |path: PathBuf| FileSource {
            path: Some(path.display().to_string()),
            ..FileSource::default()
        };
        let length = |mean| TokenLength { mean, stddev: 0.0 };
        let default_max_tokens = if self.trace.is_some() {
            10_000_000
        } else {
            128
        };
        let max_tokens = self.max_tokens.unwrap_or(default_max_tokens);
        let is_replay = self.speed.is_some();
        let trace = self
            .trace
            .zip(self.trace_format)
            .map(|(path, format)| Trace {
                format: format.into(),
                file: file(path),
                from: None,
                duration: self.duration.filter(|_| is_replay),
                max_requests: self.requests.filter(|_| is_replay).unwrap_or(1000),
            });
        let mut prompts = Prompts {
            share_gpt: self.sharegpt.map(file),
            jsonl: self.prompts.map(file),
            synthetic: self.input_tokens.map(|tokens| SyntheticPrompts {
                input_tokens: length(tokens),
                output_tokens: length(max_tokens),
                shared_prefix: traffic.shared_prefix,
            }),
            inline: self.prompt.into_iter().collect(),
            trace,
            conversations: traffic.conversations,
            system: self.system,
            count: None,
        };
        let sources = [&prompts.share_gpt, &prompts.jsonl];
        let no_file = sources.iter().all(|file| file.is_none());
        if no_file && prompts.synthetic.is_none() && prompts.inline.is_empty() {
            prompts.inline = vec![DEFAULT_PROMPT.into()];
        }
        BenchmarkRunSpec {
            suspend: false,
            model: ModelSpec {
                id: traffic.model,
                revision: "main".into(),
                token_secret_ref: None,
                dtype: Default::default(),
                quantization: None,
                max_model_len: None,
                chat_template: None,
                tokenizer: self.tokenizer.map(file),
                persistent_volume_claim: None,
                adapters: traffic.adapters,
            },
            tuning: Default::default(),
            hardware: Default::default(),
            engines: vec![EngineSpec {
                name: ENGINE.into(),
                external: Some(ExternalEngine {
                    url: self.url,
                    protocol: self.protocol.into(),
                    model: None,
                    api_key_secret_ref: None,
                    price_per_million_tokens: None,
                }),
                ..EngineSpec::default()
            }],
            workload: Workload {
                prompts,
                limits: Limits {
                    max_input_tokens: 10_000_000,
                    max_output_tokens: max_tokens,
                },
                sampling: Sampling {
                    temperature: self.temperature,
                    ignore_eos: self.ignore_eos,
                    ..Sampling::default()
                },
                api: Default::default(),
                streaming: !self.no_stream,
                prompts_per_request: self.prompts_per_request,
                models: traffic.models,
                request_timeout: self.request_timeout,
                warmup: Warmup {
                    requests: self.warmup,
                },
                sweep,
                requests_per_stage: self.requests.filter(|_| !is_replay),
                stage_duration: self.duration.filter(|_| !is_replay),
                repetitions: 1,
                seed: self.seed,
            },
            runner: Runner {
                calibration: if self.no_calibration {
                    Calibration::Never
                } else {
                    Calibration::Auto
                },
                parallelism: self.processes,
                ..Runner::default()
            },
            metrics: Default::default(),
            output: Output {
                uri: "file:///dev/null".into(),
                endpoint: None,
                region: None,
                ca_bundle_ref: None,
                credentials_secret_ref: None,
                metadata: Default::default(),
                formats: Vec::new(),
            },
            objectives: Vec::new(),
            policy: Default::default(),
            cleanup: Default::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::plan::{Stage, stages::stages};
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    /// The stage that flags stand for.
    fn stage(flags: &str) -> Result<Stage, String> {
        let fixed = [
            "bench",
            "--url",
            "http://h",
            "--protocol",
            "tgi",
            "--model",
            "m",
        ];
        let words = fixed.into_iter().chain(flags.split_whitespace());
        let command = Command::try_parse_from(words).map_err(|error| error.to_string())?;
        let (run, _) = command.arguments.into_run()?;
        let mut planned = stages(&run.spec);
        assert_eq!(planned.len(), 1, "{flags}");
        Ok(planned.remove(0))
    }

    #[test]
    fn flags_of_the_load_make_one_stage() {
        for (flags, expected) in [
            (
                "--concurrency 8 --requests 20",
                "concurrency-8 None None None None Requests(20)",
            ),
            (
                "--rate 4 --duration 30s",
                "rate-4 Some(4.0) None Some(Poisson) None Seconds(30.0)",
            ),
            (
                "--rate 4 --arrival gamma:0.5 --requests 9",
                "rate-4 Some(4.0) None Some(Gamma) Some(0.5) Requests(9)",
            ),
            (
                "--rate 1 --ramp-to 9 --arrival constant --duration 1m",
                "ramp Some(1.0) Some(9.0) Some(Constant) None Seconds(60.0)",
            ),
            (
                "--rate inf --requests 9",
                "burst None None None None Requests(9)",
            ),
        ] {
            let Stage { name, load, end } = stage(flags).unwrap();
            let found = format!(
                "{name} {:?} {:?} {:?} {:?} {end:?}",
                load.rate, load.to_rate, load.arrival, load.burstiness
            );
            assert_eq!(found, expected, "{flags}");
        }
    }

    #[test]
    fn flags_that_contradict_each_other_are_refused() {
        for (flags, word) in [
            ("--concurrency 8", "--requests"),
            (
                "--concurrency 8 --rate 4 --requests 9",
                "cannot be used with",
            ),
            ("--rate 4 --arrival gamma --requests 9", "gamma:0.5"),
            ("--rate 4 --arrival gamma:0 --requests 9", "0.01 to 1000"),
            ("--rate 4 --ramp-to 9 --requests 9", "--duration"),
            ("--rate 4 --ramp-to -1 --duration 9s", "-1"),
            ("--rate inf --duration 9s", "--requests"),
            ("--rate -1 --requests 9", "-1"),
            (
                "--rate 1 --requests 9 --processes 2 --header a:b",
                "cannot be used with",
            ),
            ("--rate 1 --requests 9 --processes 257", "257"),
            ("--speed 2", "--trace"),
            ("--trace t.csv --speed 2", "--trace-format"),
            (
                "--trace t.csv --trace-format azure --speed 0",
                "0.001 to 1000",
            ),
        ] {
            let error = stage(flags).unwrap_err();
            assert!(error.contains(word), "{flags}: {error}");
        }
    }
}
