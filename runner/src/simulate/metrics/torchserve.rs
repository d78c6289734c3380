//! TorchServe's names with `metrics_mode=prometheus`.

use super::{
    State,
    exposition::{Exposition, Labels},
};

pub fn render(state: &State, page: &mut Exposition) {
    let succeeded = (state.at_limit + state.stopped) as f64;
    let host: &Labels<'_> = &[("Level", "Host"), ("Hostname", "simulated")];
    page.counter("Requests2XX", host, succeeded);
    page.counter("Requests4XX", host, 0.0);
    page.counter("Requests5XX", host, state.failed as f64);
    let model: &Labels<'_> = &[
        ("model_name", "model"),
        ("model_version", "1.0"),
        ("hostname", "simulated"),
    ];
    page.counter("ts_inference_requests_total", model, succeeded);
    let micros = |seconds: f64| (seconds * 1e6).round();
    for (name, histogram) in [
        ("ts_inference_latency_microseconds", &state.inference_time),
        ("ts_queue_latency_microseconds", &state.queue_time),
    ] {
        page.counter(name, model, micros(histogram.sum()));
    }
}
