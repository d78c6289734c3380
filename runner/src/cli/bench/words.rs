//! Words that flags of `bakeoff bench` take.

use std::str::FromStr;

use bakeoff_crds::run::{Arrival, Protocol, TraceFormat};
use clap::ValueEnum;

/// Wire protocols, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ProtocolName {
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
    /// Any server that takes a POST; --http-request says how
    Http,
    /// TorchServe's /predictions/MODEL, streaming bare text
    #[value(name = "torchserve")]
    TorchServe,
    /// Hugging Face pipelines behind /predictions/MODEL with instances and predictions
    TransformersInstances,
    /// SAX's /generate
    Sax,
    /// JetStream's /generate over HTTP
    #[value(name = "jetstream")]
    JetStream,
    /// KServe v2's /v2/models/MODEL/infer with texts for tensors
    #[value(name = "kserve-v2")]
    KserveV2,
    /// Triton's ModelStreamInfer by gRPC with the vLLM backend's tensors
    TritonVllmGrpc,
    /// Triton's ModelStreamInfer by gRPC with the TensorRT-LLM (LLM API) backend's tensors
    #[value(name = "triton-tensorrt-llm-grpc")]
    TritonTensorRtLlmGrpc,
    /// JetStream's Decode by gRPC
    #[value(name = "jetstream-grpc")]
    JetStreamGrpc,
    /// KServe v2's ModelInfer by gRPC with texts for tensors
    #[value(name = "kserve-v2-grpc")]
    KserveV2Grpc,
    /// TorchServe's StreamPredictions by gRPC, streaming bare text
    #[value(name = "torchserve-grpc")]
    TorchServeGrpc,
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
            ProtocolName::Http => Self::Http,
            ProtocolName::TorchServe => Self::TorchServe,
            ProtocolName::TransformersInstances => Self::TransformersInstances,
            ProtocolName::Sax => Self::Sax,
            ProtocolName::JetStream => Self::JetStream,
            ProtocolName::KserveV2 => Self::KserveV2,
            ProtocolName::TritonVllmGrpc => Self::TritonVllmGrpc,
            ProtocolName::TritonTensorRtLlmGrpc => Self::TritonTensorRtLlmGrpc,
            ProtocolName::JetStreamGrpc => Self::JetStreamGrpc,
            ProtocolName::KserveV2Grpc => Self::KserveV2Grpc,
            ProtocolName::TorchServeGrpc => Self::TorchServeGrpc,
        }
    }
}

/// Formats of traces, as the command line spells them.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum TraceFormatName {
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
pub(super) struct ArrivalFlag {
    pub(super) arrival: Arrival,
    pub(super) burstiness: Option<f64>,
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
