//! The built-in profiles' own command lines.

use super::*;

#[test]
fn the_programs_take_what_the_built_in_profiles_give_them() {
    let any = |port: u16| SocketAddr::from(([0, 0, 0, 0], port));
    // Model, batch and length as the program shows them; an engine that is told none has its own.
    for (profile, engine, port, metrics, model, batch, length) in [
        ("vllm", Engine::Vllm, 8000, None, "org/model", 7, 4096),
        (
            "vllm-leader-worker-set",
            Engine::Vllm,
            8000,
            None,
            "org/model",
            7,
            4096,
        ),
        ("tgi", Engine::Tgi, 8080, None, "org/model", 7, 4096),
        (
            "triton-vllm",
            Engine::TritonVllm,
            8000,
            Some(8002),
            "org/model",
            7,
            4096,
        ),
        (
            "triton-tensorrt-llm",
            Engine::TritonTensorRtLlm,
            8000,
            Some(8002),
            "org/model",
            7,
            4096,
        ),
        (
            "llama-cpp",
            Engine::LlamaCpp,
            8080,
            None,
            "org/model",
            7,
            4096,
        ),
        ("sglang", Engine::SgLang, 30000, None, "org/model", 7, 4096),
        (
            "tensorrt-llm",
            Engine::TensorRtLlm,
            8000,
            None,
            "org/model",
            7,
            4096,
        ),
        (
            "torchserve",
            Engine::TorchServeVllm,
            8080,
            Some(8082),
            "org/model",
            7,
            4096,
        ),
        (
            "ray-serve",
            Engine::RayServe,
            8000,
            Some(8080),
            "org/model",
            7,
            4096,
        ),
        (
            "transformers",
            Engine::Transformers,
            8000,
            None,
            "org/model@abc",
            256,
            131_072,
        ),
        (
            "openllm",
            Engine::OpenLlm,
            3000,
            None,
            "org/model",
            256,
            131_072,
        ),
        (
            "triton-model",
            Engine::KserveV2,
            8000,
            Some(8002),
            "model",
            1,
            131_072,
        ),
        (
            "naive-transformers",
            Engine::TransformersInstances,
            8080,
            None,
            "model",
            1,
            131_072,
        ),
        (
            "triton-tensorrt-llm-engine",
            Engine::TritonEnsemble,
            8000,
            Some(8002),
            "ensemble",
            7,
            4096,
        ),
        // The HTTP server knows nothing of the model; the engine's own line has a test below.
        (
            "jetstream",
            Engine::JetStream,
            8000,
            None,
            "default",
            12,
            131_072,
        ),
        (
            "sax",
            Engine::Sax,
            8888,
            None,
            "/sax/test/model",
            32,
            131_072,
        ),
        (
            "fastchat",
            Engine::FastChat,
            8000,
            None,
            "org/model",
            5,
            131_072,
        ),
    ] {
        let launches = launches(profile, &deployment(profile));
        let launch = &launches[0];
        let config = &launch.config;
        assert_eq!(config.engine, engine, "{profile}");
        assert_eq!(config.model, model, "{profile}");
        assert_eq!(config.max_batch_size, batch, "{profile}");
        assert_eq!(config.max_model_len, length, "{profile}");
        assert_eq!(launch.listen, any(port), "{profile}");
        assert_eq!(launch.metrics, metrics.map(any), "{profile}");
        // The run switches it off; these tell of it.
        let tells = matches!(profile, "vllm" | "vllm-leader-worker-set" | "sglang");
        assert_eq!(config.prefix_caching, !tells, "{profile}");
        let profiles = ProfileSet::builtin();
        let metrics = profiles.get(profile).unwrap().metrics.as_ref();
        let path = metrics.map(|metrics| metrics.path.as_str());
        let on_its_port = config.metrics && path == Some("/metrics");
        let elsewhere =
            launches.iter().any(|it| it.metrics.is_some()) || path == Some("/prometheus/metrics");
        assert_eq!(on_its_port || elsewhere, path.is_some(), "{profile}");
    }
}

#[test]
fn the_programs_take_every_tuning_field() {
    for name in ProfileSet::builtin().names() {
        let methods = ProfileSet::builtin()
            .get(name)
            .unwrap()
            .capabilities
            .speculative_methods
            .clone();
        let drafts = methods.iter().map(|method| match method.name() {
            "NGram" => serde_json::json!({"method": "NGram", "numTokens": 5}),
            other => {
                serde_json::json!({"method": other, "draftModel": "org/draft", "numTokens": 5})
            }
        });
        for (on, draft) in drafts
            .chain([serde_json::Value::Null])
            .flat_map(|draft| [(true, draft.clone()), (false, draft)])
        {
            let tuning = serde_json::json!({
                "maxBatchSize": 7, "gpuMemoryUtilization": 0.8, "tensorParallelSize": 1,
                "pipelineParallelSize": 1, "prefixCaching": on, "maxBatchedTokens": 4096, "chunkedPrefill": on,
                "inFlightBatching": on, "kvCacheDtype": "Fp8", "speculativeDecoding": draft,
            });
            launches(name, &deployed(name, serde_json::json!([]), tuning));
        }
    }
}
