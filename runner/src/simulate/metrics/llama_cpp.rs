//! llama.cpp's names. It has no histograms.

use super::{State, exposition::Exposition};

pub fn render(state: &State, page: &mut Exposition) {
    let labels = &[];
    let ratio = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let (inputs, outputs) = (state.input_tokens as f64, state.output_tokens as f64);
    for (name, value) in [
        ("llamacpp:prompt_tokens_total", inputs),
        ("llamacpp:prompt_seconds_total", state.prefill_seconds),
        ("llamacpp:tokens_predicted_total", outputs),
        (
            "llamacpp:tokens_predicted_seconds_total",
            state.decode_seconds,
        ),
        ("llamacpp:n_decode_total", state.steps as f64),
    ] {
        page.counter(name, labels, value);
    }
    let busy = ratio(state.busy_slots as f64, state.steps as f64);
    for (name, value) in [
        ("llamacpp:n_busy_slots_per_decode", busy),
        (
            "llamacpp:prompt_tokens_seconds",
            ratio(inputs, state.prefill_seconds),
        ),
        (
            "llamacpp:predicted_tokens_seconds",
            ratio(outputs, state.decode_seconds),
        ),
        ("llamacpp:requests_processing", state.running as f64),
        ("llamacpp:requests_deferred", state.waiting as f64),
    ] {
        page.gauge(name, labels, value);
    }
}
