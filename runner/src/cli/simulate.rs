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

const AFTER_HELP: &str = "\
A simulated engine writes the exact frames of a real server at made-up speed. One request alone gets
its first token after --time-to-first-token and each further one --inter-token-latency after the one
before; requests beyond --max-batch-size wait their turn. Its metrics are at /metrics under the
engine's own names, and GET /bakeoff/log tells, as one JSON object a line, what was truly sent and
when.

Example: bakeoff simulate --protocol openai-chat --model example/model --port 8000";

/// Arguments of `bakeoff simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = AFTER_HELP)]
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
    /// An adapter that it serves beside the model, by its name in requests
    #[arg(long = "adapter", value_name = "NAME")]
    adapters: Vec<String>,
    /// Time of the prefill of one prompt on an idle engine; 50ms where it is left out
    #[arg(long, value_name = "DURATION")]
    time_to_first_token: Option<Duration>,
    /// Time of one decoding step for one sequence; 10ms where it is left out
    #[arg(long, value_name = "DURATION")]
    inter_token_latency: Option<Duration>,
    /// Most sequences in the batch; 64 where it is left out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_batch_size: Option<u32>,
    /// Share by which each further sequence in the batch makes a step longer; 0.01 where it is left
    /// out
    #[arg(long, value_name = "SHARE")]
    batch_slowdown: Option<f64>,
    /// What goes wrong: none, refuse, server-error, error-event, cut-stream, stall, wrong-model,
    /// slow-start or rate-limit
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
            Self(Protocol::Http),
            Self(Protocol::TorchServe),
            Self(Protocol::TransformersInstances),
            Self(Protocol::Sax),
            Self(Protocol::JetStream),
            Self(Protocol::KserveV2),
            Self(Protocol::TritonVllmGrpc),
            Self(Protocol::TritonTensorRtLlmGrpc),
            Self(Protocol::JetStreamGrpc),
            Self(Protocol::KserveV2Grpc),
            Self(Protocol::TorchServeGrpc),
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
            Protocol::Http => ("http", "A wrapper as people write it with FastAPI"),
            Protocol::TorchServe => ("torchserve", "TorchServe with a handler that streams text"),
            Protocol::TransformersInstances => (
                "transformers-instances",
                "Hugging Face pipelines behind a handler",
            ),
            Protocol::Sax => ("sax", "SAX's HTTP server"),
            Protocol::JetStream => ("jetstream", "JetStream's HTTP server"),
            Protocol::KserveV2 => ("kserve-v2", "Triton with a model of texts for tensors"),
            Protocol::TritonVllmGrpc => (
                "triton-vllm-grpc",
                "As triton-vllm: both speak HTTP and gRPC",
            ),
            Protocol::TritonTensorRtLlmGrpc => (
                "triton-tensorrt-llm-grpc",
                "As triton-tensorrt-llm: both speak HTTP and gRPC",
            ),
            Protocol::JetStreamGrpc => ("jetstream-grpc", "As jetstream: both speak HTTP and gRPC"),
            Protocol::KserveV2Grpc => ("kserve-v2-grpc", "As kserve-v2: both speak HTTP and gRPC"),
            Protocol::TorchServeGrpc => {
                ("torchserve-grpc", "As torchserve: both speak HTTP and gRPC")
            }
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
        grpc: None,
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
        adapters: arguments.adapters,
        log: arguments.log,
        seed: arguments.seed,
        ..SimulatorConfig::new(&engine, &arguments.model)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::simulate::Engine;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn read(words: &[&str]) -> anyhow::Result<SimulatorConfig> {
        let line = Line::try_parse_from([&["simulate"], words].concat())?;
        config(line.arguments)
    }

    #[test]
    fn settings_of_a_run_are_taken_as_they_stand_in_its_manifest() {
        let json = r#"{"protocol":"Tgi","timeToFirstToken":"100ms","interTokenLatency":"20ms","maxBatchSize":8,"batchSlowdown":0.05,"fault":"CutStream"}"#;
        let config = read(&["--settings", json, "--model", "m"]).unwrap();
        assert_eq!(config.engine, Engine::Tgi);
        assert_eq!(config.time_to_first_token.as_millis(), 100);
        assert_eq!(config.inter_token_latency.as_millis(), 20);
        assert_eq!((config.max_batch_size, config.batch_slowdown), (8, 0.05));
        assert_eq!(
            (config.model.as_str(), config.fault),
            ("m", Fault::CutStream)
        );
    }

    #[test]
    fn flags_go_before_settings() {
        let settings = r#"{"protocol":"Tgi","maxBatchSize":8}"#;
        let config = read(&[
            "--settings",
            settings,
            "--protocol",
            "llama-cpp",
            "--max-batch-size",
            "3",
            "--time-to-first-token",
            "7ms",
            "--inter-token-latency",
            "2ms",
            "--batch-slowdown",
            "0.5",
            "--fault",
            "stall",
            "--seed",
            "9",
        ])
        .unwrap();
        assert_eq!(config.engine, Engine::LlamaCpp);
        assert_eq!((config.max_batch_size, config.batch_slowdown), (3, 0.5));
        assert_eq!(config.time_to_first_token.as_millis(), 7);
        assert_eq!(config.inter_token_latency.as_millis(), 2);
        assert_eq!((config.fault, config.seed), (Fault::Stall, 9));
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for words in [
            &[][..],
            &["--protocol", "grpc"],
            &["--protocol", "tgi", "--fault", "fire"],
            &["--protocol", "tgi", "--batch-slowdown", "-1"],
            &["--protocol", "tgi", "--max-batch-size", "0"],
            &["--protocol", "tgi", "--time-to-first-token", "soon"],
            &["--settings", "{}"],
            &["--settings", "tgi"],
        ] {
            assert!(read(words).is_err(), "{words:?}");
        }
    }
}
