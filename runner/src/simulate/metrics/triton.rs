//! Triton's names, and those of its TensorRT-LLM backend.

use super::{
    State,
    exposition::{Exposition, Labels},
};

/// Seconds that loading the model is said to have taken.
const LOADING: f64 = 1.5;

/// The server's own.
pub fn render(state: &State, labels: &Labels<'_>, page: &mut Exposition) {
    let succeeded = (state.at_limit + state.stopped) as f64;
    page.counter("nv_inference_request_success", labels, succeeded);
    page.by_label(
        "nv_inference_request_failure",
        "counter",
        labels,
        "reason",
        &[("OTHER", state.failed as f64)],
    );
    page.counter("nv_inference_count", labels, succeeded);
    page.counter("nv_inference_exec_count", labels, succeeded);
    let waiting = state.waiting as f64;
    page.gauge("nv_inference_pending_request_count", labels, waiting);
    page.gauge("nv_model_load_duration_secs", labels, LOADING);
    let micros = |seconds: f64| (seconds * 1e6).round();
    for (name, histogram) in [
        ("nv_inference_request_duration_us", &state.request_latency),
        ("nv_inference_queue_duration_us", &state.queue_time),
        (
            "nv_inference_compute_infer_duration_us",
            &state.inference_time,
        ),
    ] {
        page.counter(name, labels, micros(histogram.sum()));
    }
}

/// The backend's, each a family with one label that tells which.
pub fn render_tensorrt_llm(state: &State, labels: &Labels<'_>, page: &mut Exposition) {
    page.by_label(
        "nv_trt_llm_request_metrics",
        "gauge",
        labels,
        "request_type",
        &[
            ("active", (state.running + state.waiting) as f64),
            ("scheduled", state.running as f64),
            ("waiting", state.waiting as f64),
            ("context", 0.0),
        ],
    );
    page.by_label(
        "nv_trt_llm_kv_cache_block_metrics",
        "gauge",
        labels,
        "kv_cache_block_type",
        &[
            ("fraction", state.cache_usage()),
            ("used", (state.kept_tokens / 64) as f64),
            ("max", (state.cache_tokens / 64) as f64),
            ("tokens_per", 64.0),
        ],
    );
    page.by_label(
        "nv_trt_llm_inflight_batcher_metrics",
        "gauge",
        labels,
        "inflight_batcher_specific_metric",
        &[("generation_requests", state.running as f64)],
    );
    page.by_label(
        "nv_trt_llm_general_metrics",
        "gauge",
        labels,
        "general_type",
        &[("iteration_counter", state.steps as f64)],
    );
}
