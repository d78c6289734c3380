//! JetStream's names, by its source code (`jetstream/core/metrics/prometheus.py`).

use super::{
    State,
    exposition::{Exposition, Labels},
};

pub fn render(state: &State, page: &mut Exposition) {
    let labels: &Labels<'_> = &[("id", "simulated")];
    let waiting = state.waiting as f64;
    page.gauge("jetstream_prefill_backlog_size", labels, waiting);
    let slot: &Labels<'_> = &[("id", "simulated"), ("idx", "0")];
    // A share, whatever its name says.
    page.gauge("jetstream_slots_used_percentage", slot, state.cache_usage());
    let succeeded = (state.at_limit + state.stopped) as f64;
    page.counter("jetstream_request_success_count_total", labels, succeeded);
    for (name, histogram) in [
        ("jetstream_queue_duration", &state.queue_time),
        ("jetstream_time_to_first_token", &state.time_to_first_token),
        ("jetstream_time_per_output_token", &state.time_per_token),
        ("jetstream_time_per_request", &state.request_latency),
        ("jetstream_request_input_length", &state.input_lengths),
        ("jetstream_request_output_length", &state.output_lengths),
    ] {
        page.histogram(name, labels, histogram);
    }
}
