//! SGLang's names, by its source code (0.5.23, `observability/metrics_collector.py`).

use super::{
    State,
    exposition::{Exposition, Labels},
};

/// Seconds that loading the weights is said to have taken.
const LOADING: f64 = 1.5;

pub fn render(state: &State, labels: &Labels<'_>, page: &mut Exposition) {
    page.gauge("sglang:num_running_reqs", labels, state.running as f64);
    page.gauge("sglang:num_queue_reqs", labels, state.waiting as f64);
    page.gauge("sglang:token_usage", labels, state.cache_usage());
    page.gauge("sglang:cache_hit_rate", labels, 0.0);
    page.gauge("sglang:engine_load_weights_time", labels, LOADING);
    let (input, output) = (state.input_tokens as f64, state.output_tokens as f64);
    page.counter("sglang:prompt_tokens_total", labels, input);
    page.counter("sglang:generation_tokens_total", labels, output);
    page.by_label(
        "sglang:cached_tokens_total",
        "counter",
        labels,
        "cache_source",
        &[("device", state.prefix_hits as f64)],
    );
    page.counter("sglang:num_retracted_requests_total", labels, 0.0);
    page.by_label(
        "sglang:num_requests_total",
        "counter",
        labels,
        "is_streaming",
        &[("true", (state.at_limit + state.stopped) as f64)],
    );
    for (name, histogram) in [
        ("sglang:queue_time_seconds", &state.queue_time),
        (
            "sglang:time_to_first_token_seconds",
            &state.time_to_first_token,
        ),
        (
            "sglang:inter_token_latency_seconds",
            &state.inter_token_latency,
        ),
        ("sglang:e2e_request_latency_seconds", &state.request_latency),
    ] {
        page.histogram(name, labels, histogram);
    }
}
