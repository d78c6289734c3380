//! vLLM's names.

use super::{
    State,
    exposition::{Exposition, Labels},
};

/// All that the server shows.
pub fn render(state: &State, labels: &Labels<'_>, page: &mut Exposition) {
    page.gauge("vllm:num_requests_running", labels, state.running as f64);
    page.gauge("vllm:num_requests_waiting", labels, state.waiting as f64);
    page.gauge("vllm:kv_cache_usage_perc", labels, state.cache_usage());
    page.counter(
        "vllm:prefix_cache_queries_total",
        labels,
        state.prefix_queries as f64,
    );
    page.counter(
        "vllm:prefix_cache_hits_total",
        labels,
        state.prefix_hits as f64,
    );
    page.counter("vllm:num_preemptions_total", labels, 0.0);
    page.by_label(
        "vllm:request_success_total",
        "counter",
        labels,
        "finished_reason",
        &[
            ("stop", state.stopped as f64),
            ("length", state.at_limit as f64),
            ("abort", 0.0),
        ],
    );
    page.histogram(
        "vllm:iteration_tokens_total",
        labels,
        &state.iteration_tokens,
    );
    page.histogram("vllm:request_queue_time_seconds", labels, &state.queue_time);
    page.histogram(
        "vllm:request_inference_time_seconds",
        labels,
        &state.inference_time,
    );
    render_histograms(state, labels, page);
}

/// What Triton's vLLM backend passes on.
pub fn render_histograms(state: &State, labels: &Labels<'_>, page: &mut Exposition) {
    page.counter(
        "vllm:prompt_tokens_total",
        labels,
        state.input_tokens as f64,
    );
    page.counter(
        "vllm:generation_tokens_total",
        labels,
        state.output_tokens as f64,
    );
    for (name, histogram) in [
        (
            "vllm:time_to_first_token_seconds",
            &state.time_to_first_token,
        ),
        (
            "vllm:inter_token_latency_seconds",
            &state.inter_token_latency,
        ),
        ("vllm:e2e_request_latency_seconds", &state.request_latency),
        ("vllm:request_prompt_tokens", &state.input_lengths),
        ("vllm:request_generation_tokens", &state.output_lengths),
    ] {
        page.histogram(name, labels, histogram);
    }
}
