//! The formats that come with Bakeoff.

use crate::run::{HttpFormat, Protocol};

/// The format of a protocol that is data. `Http` itself gives the example, which is what its
/// simulator speaks; none where a protocol has code of its own. A protocol by gRPC has that of its
/// twin over HTTP, since the requests of both say the same; its path and framing are gRPC's.
pub fn builtin(protocol: Protocol) -> Option<HttpFormat> {
    // A test reads them all, so none is lost here.
    serde_saphyr::from_str(yaml(protocol)?).ok()
}

fn yaml(protocol: Protocol) -> Option<&'static str> {
    match protocol {
        Protocol::Http => Some(include_str!("../../../protocols/http.yaml")),
        Protocol::TorchServe | Protocol::TorchServeGrpc => {
            Some(include_str!("../../../protocols/torchserve.yaml"))
        }
        Protocol::TransformersInstances => Some(include_str!(
            "../../../protocols/transformers-instances.yaml"
        )),
        Protocol::Sax => Some(include_str!("../../../protocols/sax.yaml")),
        Protocol::JetStream | Protocol::JetStreamGrpc => {
            Some(include_str!("../../../protocols/jetstream.yaml"))
        }
        Protocol::KserveV2 | Protocol::KserveV2Grpc => {
            Some(include_str!("../../../protocols/kserve-v2.yaml"))
        }
        Protocol::OpenAiCompletions
        | Protocol::OpenAiChat
        | Protocol::Tgi
        | Protocol::TritonVllm
        | Protocol::TritonTensorRtLlm
        | Protocol::LlamaCpp
        | Protocol::TritonVllmGrpc
        | Protocol::TritonTensorRtLlmGrpc => None,
    }
}
