//! What is simulated.

use std::{path::PathBuf, time::Duration};

use bakeoff_crds::run::{Fault, Protocol, SimulatedEngine};

/// The engine whose server is played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// vLLM's OpenAI-compatible server.
    Vllm,
    /// Text Generation Inference.
    Tgi,
    /// Triton with the vLLM backend.
    TritonVllm,
    /// Triton with TensorRT-LLM's LLM API backend.
    TritonTensorRtLlm,
    /// Triton with an engine of TensorRT-LLM between models that make text of tokens.
    TritonEnsemble,
    /// llama.cpp's server.
    LlamaCpp,
    /// A wrapper around a model as people write it with FastAPI.
    Wrapper,
    /// TorchServe with a handler that streams text.
    TorchServe,
    /// Hugging Face pipelines behind a handler of instances and predictions.
    TransformersInstances,
    /// SAX's HTTP server.
    Sax,
    /// JetStream's HTTP server.
    JetStream,
    /// Triton with a model whose tensors are texts, by the infer call.
    KserveV2,
    /// SGLang's OpenAI-compatible server.
    SgLang,
    /// TensorRT-LLM's own server, `trtllm-serve`.
    TensorRtLlm,
    /// `transformers serve`.
    Transformers,
    /// FastChat's OpenAI-compatible server with its controller and worker.
    FastChat,
    /// TorchServe with its vLLM handler.
    TorchServeVllm,
    /// Ray Serve LLM, with vLLM inside.
    RayServe,
    /// OpenLLM: a Bento with vLLM inside.
    OpenLlm,
}

impl Engine {
    /// Whether answers, refusals and the list of models are vLLM's, whatever server passes them on.
    pub fn passes_on_vllm(self) -> bool {
        matches!(
            self,
            Self::Vllm | Self::TorchServeVllm | Self::RayServe | Self::OpenLlm
        )
    }

    /// The engine that a protocol is native to.
    pub fn native(protocol: Protocol) -> Self {
        match protocol {
            Protocol::OpenAiCompletions | Protocol::OpenAiChat => Self::Vllm,
            Protocol::Tgi => Self::Tgi,
            Protocol::TritonVllm => Self::TritonVllm,
            Protocol::TritonTensorRtLlm => Self::TritonTensorRtLlm,
            Protocol::LlamaCpp => Self::LlamaCpp,
            Protocol::Http => Self::Wrapper,
            Protocol::TorchServe => Self::TorchServe,
            Protocol::TransformersInstances => Self::TransformersInstances,
            Protocol::Sax => Self::Sax,
            Protocol::JetStream => Self::JetStream,
            Protocol::KserveV2 => Self::KserveV2,
            Protocol::TritonVllmGrpc => Self::TritonVllm,
            Protocol::TritonTensorRtLlmGrpc => Self::TritonTensorRtLlm,
            Protocol::JetStreamGrpc => Self::JetStream,
            Protocol::KserveV2Grpc => Self::KserveV2,
            Protocol::TorchServeGrpc => Self::TorchServe,
        }
    }

    /// Whether adapters are models of their own, by name.
    pub fn serves_adapters(self) -> bool {
        matches!(self, Self::Vllm | Self::SgLang)
    }

    /// Whether a request for another model than the served one is refused.
    pub fn knows_its_model(self) -> bool {
        self.passes_on_vllm() || self == Self::Transformers || self == Self::FastChat
    }

    /// Name of the model in Triton's repository, by which requests ask for it.
    pub fn triton_model(self) -> Option<&'static str> {
        match self {
            Self::TritonVllm => Some("vllm_model"),
            Self::TritonTensorRtLlm => Some("tensorrt_llm"),
            Self::TritonEnsemble => Some("ensemble"),
            _ => None,
        }
    }

    /// Version that the server tells.
    pub fn version(self) -> &'static str {
        match self {
            Self::Vllm => "0.32.0",
            Self::Tgi => "3.3.6",
            Self::TritonVllm | Self::TritonTensorRtLlm | Self::KserveV2 => "2.64.0",
            Self::TritonEnsemble => "2.57.0",
            Self::LlamaCpp => "b1-7e4c0a9",
            Self::TorchServe => "0.12.0",
            Self::Wrapper | Self::TransformersInstances | Self::Sax | Self::JetStream => "1",
            Self::SgLang => "0.5.23",
            Self::TensorRtLlm => "1.2.1",
            Self::Transformers => "5.23.0",
            Self::FastChat => "0.2.36",
            Self::TorchServeVllm => "0.12.0",
            Self::RayServe => "2.60.0",
            Self::OpenLlm => "0.6.30",
        }
    }

    /// Whether answers can be forced to their full length.
    pub fn ignores_eos(self) -> bool {
        matches!(
            self,
            Self::Vllm
                | Self::TritonVllm
                | Self::TritonEnsemble
                | Self::LlamaCpp
                | Self::Wrapper
                | Self::SgLang
                | Self::TensorRtLlm
                | Self::TorchServeVllm
                | Self::RayServe
                | Self::OpenLlm
        )
    }
}

/// A simulated engine.
#[derive(Clone, Debug)]
pub struct SimulatorConfig {
    /// The engine whose server is played.
    pub engine: Engine,
    /// Id of the model that it serves; requests for another one are refused as the engine does.
    pub model: String,
    /// Commit of the model that it tells, where the engine tells one.
    pub revision: Option<String>,
    /// Adapters that it serves beside the model, by their names in requests.
    pub adapters: Vec<String>,
    /// Longest sequence in tokens; requests for more output are refused.
    pub max_model_len: u32,
    /// Time of a prefill.
    pub time_to_first_token: Duration,
    /// Time of a decoding step with one sequence.
    pub inter_token_latency: Duration,
    /// Most sequences in the batch.
    pub max_batch_size: u32,
    /// Share by which each further sequence in the batch makes a step longer.
    pub batch_slowdown: f64,
    /// Most requests in the engine, queue included; further ones get TGI's 429.
    pub max_concurrent_requests: Option<u32>,
    /// Whether `/metrics` is served on the port of the requests.
    pub metrics: bool,
    /// Whether prompts' beginnings are kept, and counted, as vLLM does.
    pub prefix_caching: bool,
    /// Whether the call that empties that cache is served (`VLLM_SERVER_DEV_MODE`).
    pub dev_mode: bool,
    /// What goes wrong.
    pub fault: Fault,
    /// File for the truth log.
    pub log: Option<PathBuf>,
    /// Seed of texts and lengths.
    pub seed: u64,
}

impl SimulatorConfig {
    /// An engine by its settings in a run.
    pub fn new(simulated: &SimulatedEngine, model: &str) -> Self {
        Self {
            engine: Engine::native(simulated.protocol),
            model: model.to_owned(),
            revision: None,
            adapters: Vec::new(),
            max_model_len: 131_072,
            time_to_first_token: simulated.time_to_first_token.get(),
            inter_token_latency: simulated.inter_token_latency.get(),
            max_batch_size: simulated.max_batch_size,
            batch_slowdown: simulated.batch_slowdown,
            max_concurrent_requests: None,
            metrics: true,
            prefix_caching: true,
            dev_mode: true,
            fault: simulated.fault,
            log: None,
            seed: 0,
        }
    }

    /// The id that the server shows: of another model under that fault.
    pub fn shown_model(&self) -> &str {
        if self.fault == Fault::WrongModel {
            "bakeoff/some-other-model"
        } else {
            &self.model
        }
    }
}

/// A fault by its name, such as `cut-stream` or `CutStream`.
///
/// # Errors
/// Where there is none of that name.
pub fn parse_fault(name: &str) -> Result<Fault, String> {
    const FAULTS: [(&str, Fault); 9] = [
        ("none", Fault::None),
        ("refuse", Fault::Refuse),
        ("server-error", Fault::ServerError),
        ("error-event", Fault::ErrorEvent),
        ("cut-stream", Fault::CutStream),
        ("stall", Fault::Stall),
        ("wrong-model", Fault::WrongModel),
        ("slow-start", Fault::SlowStart),
        ("rate-limit", Fault::RateLimit),
    ];
    let bare = |name: &str| name.replace('-', "").to_lowercase();
    FAULTS
        .into_iter()
        .find(|(known, _)| bare(known) == bare(name))
        .map(|(_, fault)| fault)
        .ok_or_else(|| {
            let names = FAULTS.map(|(known, _)| known).join(", ");
            format!("{name:?} is no fault; there are {names}")
        })
}
