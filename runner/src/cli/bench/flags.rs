//! The flags of `bakeoff bench`, and the BenchmarkRun that they stand for.

use std::path::PathBuf;

use bakeoff_crds::{
    BenchmarkRun, BenchmarkRunSpec, Duration,
    common::FileSource,
    run::{
        Arrival, EngineSpec, ExternalEngine, Limits, ModelSpec, Output, Prompts, Protocol,
        Sampling, Sweep, SyntheticPrompts, TokenLength, Warmup, Workload,
    },
};
use clap::{ArgGroup, ValueEnum};

use super::{ENGINE, Options};

/// Prompt where none is named.
const DEFAULT_PROMPT: &str = "Write a short story about a baker who measures everything twice.";

/// Arguments of `bakeoff bench`.
#[derive(Debug, clap::Args)]
#[command(
    group = ArgGroup::new("load").required(true).args(["concurrency", "rate"]),
    group = ArgGroup::new("end").required(true).args(["requests", "duration"]),
    group = ArgGroup::new("source").args(["prompt", "prompts", "sharegpt", "input_tokens"]),
)]
pub struct Arguments {
    /// Root of the server; the protocol adds its path
    #[arg(long)]
    url: String,
    /// Wire protocol
    #[arg(long, value_enum)]
    protocol: ProtocolName,
    /// Name of the model in requests
    #[arg(long)]
    model: String,
    /// Requests kept in flight: a closed loop
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    concurrency: Option<u32>,
    /// Requests a second, whatever became of those before: an open loop. `inf` is all at once
    #[arg(long, value_name = "R")]
    rate: Option<f64>,
    /// How the requests of a rate are spread over time
    #[arg(long, value_enum, requires = "rate", default_value = "poisson")]
    arrival: ArrivalName,
    /// Requests to send
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    requests: Option<u32>,
    /// Time in which requests are begun, such as 30s
    #[arg(long, value_name = "TIME")]
    duration: Option<Duration>,
    /// Requests that are sent first and thrown away
    #[arg(long, value_name = "N", default_value_t = 0)]
    warmup: u32,
    /// Prompts in each request, for servers whose OpenAI completions take a list
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    prompts_per_request: u32,
    /// Most tokens of an answer
    #[arg(long, value_name = "N", default_value_t = 128, value_parser = clap::value_parser!(u32).range(1..))]
    max_tokens: u32,
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

/// Arrivals, as the command line spells them.
#[derive(Clone, Copy, Debug, PartialEq, ValueEnum)]
enum ArrivalName {
    /// Independent arrivals
    Poisson,
    /// Equal gaps
    Constant,
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
        let options = Options {
            url: self.url.clone(),
            threads: self.threads.max(1),
            headers,
            api_key,
            output: self.output.clone(),
            requests_log: self.requests_log.clone(),
        };
        let mut run = BenchmarkRun::new("bench", self.spec(sweep));
        run.metadata.namespace = Some("local".into());
        Ok((run, options))
    }

    fn sweep(&self) -> Result<Sweep, String> {
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
        Ok(Sweep {
            request_rate: vec![rate],
            arrival: Some(match self.arrival {
                ArrivalName::Poisson => Arrival::Poisson,
                ArrivalName::Constant => Arrival::Constant,
            }),
            ..Sweep::default()
        })
    }

    fn spec(self, sweep: Sweep) -> BenchmarkRunSpec {
        let file = |path: PathBuf| FileSource {
            path: Some(path.display().to_string()),
            ..FileSource::default()
        };
        let length = |mean| TokenLength { mean, stddev: 0.0 };
        let max_tokens = self.max_tokens;
        let mut prompts = Prompts {
            share_gpt: self.sharegpt.map(file),
            jsonl: self.prompts.map(file),
            synthetic: self.input_tokens.map(|tokens| SyntheticPrompts {
                input_tokens: length(tokens),
                output_tokens: length(max_tokens),
                shared_prefix_tokens: 0,
            }),
            inline: self.prompt.into_iter().collect(),
            count: None,
        };
        if prompts == Prompts::default() {
            prompts.inline = vec![DEFAULT_PROMPT.into()];
        }
        BenchmarkRunSpec {
            suspend: false,
            model: ModelSpec {
                id: self.model.clone(),
                revision: "main".into(),
                token_secret_ref: None,
                dtype: Default::default(),
                quantization: None,
                max_model_len: None,
                chat_template: None,
                tokenizer: self.tokenizer.map(file),
                persistent_volume_claim: None,
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
                request_timeout: self.request_timeout,
                warmup: Warmup {
                    requests: self.warmup,
                },
                sweep,
                requests_per_stage: self.requests,
                stage_duration: self.duration,
                repetitions: 1,
                seed: self.seed,
            },
            runner: Default::default(),
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
