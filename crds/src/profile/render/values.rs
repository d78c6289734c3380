//! What templates see of a run.

use minijinja::{Value, context};

use crate::{
    plan::prefetch,
    run::{
        Adapter, BenchmarkRunSpec, CachePolicy, Dtype, EngineSpec, KvCacheDtype, ModelSpec,
        SpeculativeDecoding, Tuning,
    },
};

/// Most requests in flight that an engine should take where the load is an open loop, whose number
/// nobody knows beforehand.
const OPEN_LOOP_IN_FLIGHT: u32 = 100_000;

pub(super) fn of(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    tuning: &Tuning,
    port: u16,
) -> Value {
    let model = &spec.model;
    let own = engine.model.clone().unwrap_or_default();
    let claim_path = model.persistent_volume_claim.as_ref().map(|claim| {
        format!("/models/{}", claim.path)
            .trim_end_matches('/')
            .to_owned()
    });
    let claim_path = prefetch::model_path(model).or(claim_path);
    let path = own
        .path
        .or(if own.id.is_some() { None } else { claim_path });
    let id = own.id.unwrap_or_else(|| model.id.clone());
    let in_flight = spec.workload.sweep.concurrency.iter().max().copied();
    context! {
        model => context! {
            id => model.id.clone(),
            source => path.clone().unwrap_or(id),
            path => path,
            revision => model.revision.clone(),
            dtype => dtype(model.dtype),
            quantization => model.quantization.clone(),
            maxModelLen => model.max_model_len,
            chatTemplate => model.chat_template.clone(),
            adapters => model.adapters.iter().map(|adapter| of_adapter(model, adapter)).collect::<Vec<_>>(),
        },
        tuning => context! {
            maxBatchSize => tuning.max_batch_size,
            gpuMemoryUtilization => tuning.gpu_memory_utilization,
            tensorParallelSize => tuning.tensor_parallel_size,
            pipelineParallelSize => tuning.pipeline_parallel_size,
            prefixCaching => tuning.prefix_caching,
            maxBatchedTokens => tuning.max_batched_tokens,
            chunkedPrefill => tuning.chunked_prefill,
            inFlightBatching => tuning.in_flight_batching,
            kvCacheDtype => tuning.kv_cache_dtype.map(|KvCacheDtype::Fp8| "fp8"),
            speculativeDecoding => tuning.speculative_decoding.as_ref().map(speculative),
            maxAdapterRank => tuning.max_adapter_rank,
        },
        hardware => context! {
            acceleratorCount => spec.hardware.accelerator.count,
            nodes => spec.hardware.nodes(),
        },
        workload => context! {
            maxInputTokens => spec.workload.limits.max_input_tokens,
            maxOutputTokens => spec.workload.limits.max_output_tokens,
            cachePolicy => cache_policy(spec.workload.cache_policy),
            maxRequestsInFlight => if spec.workload.sweep.request_rate.is_empty() && !spec.workload.sweep.burst {
                in_flight.unwrap_or(32).max(128)
            } else {
                OPEN_LOOP_IN_FLIGHT
            },
        },
        port => port,
    }
}

fn cache_policy(policy: CachePolicy) -> &'static str {
    match policy {
        CachePolicy::AsIs => "AsIs",
        CachePolicy::Cold => "Cold",
        CachePolicy::Warm => "Warm",
    }
}

fn speculative(settings: &SpeculativeDecoding) -> Value {
    context! {
        method => settings.method.name(),
        draftModel => settings.draft_model.clone(),
        numTokens => settings.num_tokens,
    }
}

fn dtype(dtype: Dtype) -> &'static str {
    match dtype {
        Dtype::Auto => "auto",
        Dtype::Float16 => "float16",
        Dtype::BFloat16 => "bfloat16",
        Dtype::Float32 => "float32",
    }
}

/// What is fetched for the engines is there in one revision.
pub(super) fn of_adapter(model: &ModelSpec, adapter: &Adapter) -> Value {
    let path = prefetch::adapter_path(model, adapter);
    context! {
        name => adapter.name.clone(),
        revision => adapter.revision.clone().filter(|_| path.is_none()),
        id => path.unwrap_or_else(|| adapter.id.clone()),
    }
}
