//! Rules on `spec.metrics`.

use super::Problem;
use crate::{common::Duration, run::BenchmarkRunSpec};

/// Shortest interval of the runner's own scrape.
const SHORTEST: Duration = Duration::from_millis(100);

pub(super) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let metrics = &spec.metrics;
    if metrics.direct_interval < SHORTEST {
        problems.push(Problem::new(
            "spec.metrics.directInterval",
            format!(
                "{} is under {SHORTEST}, and each scrape takes the engine time; set {SHORTEST} or more",
                metrics.direct_interval
            ),
        ));
    }
    if metrics.interval == Duration::default() {
        problems.push(Problem::new(
            "spec.metrics.interval",
            "0s is no interval; set that at which Prometheus scrapes, such as 1s",
        ));
    }
    for label in metrics.gpu.labels.keys() {
        if !is_label(label) {
            problems.push(Problem::new(
                "spec.metrics.gpu.labels",
                format!("{label:?} is no label of Prometheus; use letters, digits and _, such as Hostname"),
            ));
        }
    }
}

fn is_label(name: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    name.bytes().all(is_word)
        && name
            .bytes()
            .next()
            .is_some_and(|first| !first.is_ascii_digit())
}
