//! What a runner tells of itself to a Prometheus, beside what its report has: nothing of it is read
//! while a request is timed but when somebody asks.

use crate::{drive::vitals, measure::Progress};

/// The page, in Prometheus' text format.
pub fn page(progress: &Progress) -> String {
    let now = progress.snapshot();
    let mut page = String::new();
    for (name, kind, help, value) in [
        (
            "bakeoff_runner_requests_total",
            "counter",
            "Requests that have ended, in whatever way.",
            progress.requests_total().to_string(),
        ),
        (
            "bakeoff_runner_stages_done",
            "gauge",
            "Stages that are stored.",
            now.stages_done.to_string(),
        ),
        (
            "bakeoff_runner_stages_planned",
            "gauge",
            "Stages that the round holds.",
            now.stages_planned.to_string(),
        ),
        (
            "bakeoff_runner_cpu_seconds_total",
            "counter",
            "CPU time of the process.",
            vitals::cpu_seconds().to_string(),
        ),
        (
            "bakeoff_runner_peak_memory_bytes",
            "gauge",
            "Greatest resident set of the process so far.",
            vitals::peak_rss_bytes().to_string(),
        ),
    ] {
        page.push_str(&format!(
            "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n"
        ));
    }
    page
}
