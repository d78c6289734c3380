//! The names of `trtllm-serve` under `/prometheus/metrics`, by its source code
//! (`tensorrt_llm/metrics/collector.py`).

use super::{
    State,
    exposition::{Exposition, Labels},
};

pub fn render(state: &State, labels: &Labels<'_>, page: &mut Exposition) {
    page.gauge("trtllm_num_requests_running", labels, state.running as f64);
    page.gauge("trtllm_num_requests_waiting", labels, state.waiting as f64);
    page.gauge(
        "trtllm_num_scheduled_requests",
        labels,
        state.running as f64,
    );
    page.gauge("trtllm_kv_cache_utilization", labels, state.cache_usage());
    page.gauge("trtllm_kv_cache_hit_rate", labels, 0.0);
    page.by_label(
        "trtllm_request_success_total",
        "counter",
        labels,
        "finished_reason",
        &[
            ("stop", state.stopped as f64),
            ("length", state.at_limit as f64),
        ],
    );
    let (input, output) = (state.input_tokens as f64, state.output_tokens as f64);
    page.counter("trtllm_prompt_tokens_total", labels, input);
    page.counter("trtllm_generation_tokens_total", labels, output);
    for (name, histogram) in [
        ("trtllm_request_queue_time_seconds", &state.queue_time),
        (
            "trtllm_time_to_first_token_seconds",
            &state.time_to_first_token,
        ),
        (
            "trtllm_time_per_output_token_seconds",
            &state.time_per_token,
        ),
        ("trtllm_e2e_request_latency_seconds", &state.request_latency),
    ] {
        page.histogram(name, labels, histogram);
    }
}
