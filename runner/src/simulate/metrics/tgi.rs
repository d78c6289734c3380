//! TGI's names. Counters have no `_total`, and before the first request there is nothing.

use super::{State, exposition::Exposition};

pub fn render(state: &State, page: &mut Exposition) {
    let succeeded = state.at_limit + state.stopped;
    if state.running == 0 && state.waiting == 0 && succeeded + state.failed == 0 {
        return;
    }
    let labels = &[];
    page.gauge("tgi_queue_size", labels, state.waiting as f64);
    page.gauge("tgi_batch_current_size", labels, state.running as f64);
    page.gauge(
        "tgi_batch_current_max_tokens",
        labels,
        state.kept_tokens as f64,
    );
    let total = state.cache_tokens as f64;
    page.gauge("tgi_batch_max_total_tokens", labels, total);
    page.counter(
        "tgi_request_count",
        labels,
        (succeeded + state.failed) as f64,
    );
    page.counter("tgi_request_success", labels, succeeded as f64);
    page.by_label(
        "tgi_request_failure",
        "counter",
        labels,
        "err",
        &[("overloaded", state.failed as f64)],
    );
    for (name, histogram) in [
        ("tgi_request_duration", &state.request_latency),
        ("tgi_request_queue_duration", &state.queue_time),
        ("tgi_request_inference_duration", &state.inference_time),
        (
            "tgi_request_mean_time_per_token_duration",
            &state.time_per_token,
        ),
        ("tgi_request_input_length", &state.input_lengths),
        ("tgi_request_generated_tokens", &state.output_lengths),
    ] {
        page.histogram(name, labels, histogram);
    }
}
