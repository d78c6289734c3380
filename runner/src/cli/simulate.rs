//! `bakeoff simulate`.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use bakeoff_crds::{
    Duration,
    run::{Fault, Protocol, SimulatedEngine},
};
use clap::builder::PossibleValue;

use crate::simulate::{SimulatorConfig, config::parse_fault, entrypoint::Launch};

/// Arguments of `bakeoff simulate`.
///
/// A simulated engine writes the exact frames of a real server at made-up speed. One request alone
/// gets its first token after --time-to-first-token and each further one --inter-token-latency
/// after the one before; requests beyond --max-batch-size wait. GET /bakeoff/log tells, as one JSON
/// object a line, what was truly sent and when.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub struct Arguments {
    /// Wire protocol, and with it the engine: its frames, metrics and other endpoints
    #[arg(long, value_enum, required_unless_present = "settings")]
    protocol: Option<ProtocolName>,
    /// Address to listen on; 127.0.0.1 and --port where it is left out
    #[arg(long, value_name = "ADDRESS:PORT", conflicts_with = "port")]
    listen: Option<SocketAddr>,
    /// Port on the loopback device; 0 takes a free one
    #[arg(long, default_value_t = 8000)]
    port: u16,
    /// Id of the model that it serves; requests for another one are refused where the engine does
    #[arg(long, default_value = "simulated")]
    model: String,
    /// Time of the prefill of one prompt on an idle engine, such as 50ms
    #[arg(long, value_name = "DURATION")]
    time_to_first_token: Option<Duration>,
    /// Time of one decoding step for one sequence, such as 10ms
    #[arg(long, value_name = "DURATION")]
    inter_token_latency: Option<Duration>,
    /// Most sequences in the batch
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_batch_size: Option<u32>,
    /// Share by which each further sequence in the batch makes a step longer, such as 0.02
    #[arg(long, value_name = "SHARE")]
    batch_slowdown: Option<f64>,
    /// What goes wrong: none, refuse, server-error, error-event, cut-stream, stall, wrong-model or
    /// slow-start
    #[arg(long, value_parser = parse_fault)]
    fault: Option<Fault>,
    /// File for the truth log, one JSON object a line
    #[arg(long, value_name = "FILE", env = "BAKEOFF_SIM_LOG")]
    log: Option<PathBuf>,
    /// Seed of texts and lengths
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// All settings as JSON, as in a run's `simulated`; flags go before it
    #[arg(long, value_name = "JSON", hide = true)]
    settings: Option<String>,
}

/// A protocol by its name on the command line.
#[derive(Clone, Copy, Debug)]
struct ProtocolName(Protocol);

impl clap::ValueEnum for ProtocolName {
    fn value_variants<'a>() -> &'a [Self] {
        &[
            Self(Protocol::OpenAiCompletions),
            Self(Protocol::OpenAiChat),
            Self(Protocol::Tgi),
            Self(Protocol::TritonVllm),
            Self(Protocol::TritonTensorRtLlm),
            Self(Protocol::LlamaCpp),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self.0 {
            Protocol::OpenAiCompletions => ("openai-completions", "vLLM (all OpenAI interfaces)"),
            Protocol::OpenAiChat => ("openai-chat", "vLLM (all OpenAI interfaces)"),
            Protocol::Tgi => ("tgi", "Text Generation Inference"),
            Protocol::TritonVllm => ("triton-vllm", "Triton with the vLLM backend"),
            Protocol::TritonTensorRtLlm => {
                ("triton-tensorrt-llm", "Triton with TensorRT-LLM's LLM API")
            }
            Protocol::LlamaCpp => ("llama-cpp", "llama.cpp's server"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

/// Runs the command: serves until the process is told to end.
///
/// # Errors
/// Where the settings are malformed, the address cannot be listened on or the log cannot be written.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let listen = arguments
        .listen
        .unwrap_or_else(|| SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), arguments.port));
    let launch = Launch {
        config: config(arguments)?,
        listen,
        metrics: None,
    };
    launch.run().context("the simulated engine ended")?;
    Ok(ExitCode::SUCCESS)
}

/// The settings, flags before those of `--settings`, and defaults last.
fn config(arguments: Arguments) -> anyhow::Result<SimulatorConfig> {
    let mut settings = match &arguments.settings {
        Some(json) => serde_json::from_str(json).context("--settings is not as in `simulated`")?,
        None => serde_json::Map::new(),
    };
    if let Some(ProtocolName(protocol)) = arguments.protocol {
        settings.insert("protocol".into(), serde_json::to_value(protocol)?);
    }
    let mut engine: SimulatedEngine =
        serde_json::from_value(settings.into()).context("--settings is not as in `simulated`")?;
    if let Some(duration) = arguments.time_to_first_token {
        engine.time_to_first_token = duration;
    }
    if let Some(duration) = arguments.inter_token_latency {
        engine.inter_token_latency = duration;
    }
    if let Some(size) = arguments.max_batch_size {
        engine.max_batch_size = size;
    }
    if let Some(share) = arguments.batch_slowdown {
        anyhow::ensure!(
            (0.0..=10.0).contains(&share),
            "--batch-slowdown {share} is not between 0 and 10"
        );
        engine.batch_slowdown = share;
    }
    if let Some(fault) = arguments.fault {
        engine.fault = fault;
    }
    Ok(SimulatorConfig {
        log: arguments.log,
        seed: arguments.seed,
        ..SimulatorConfig::new(&engine, &arguments.model)
    })
}
