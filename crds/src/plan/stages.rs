//! The stages of a sweep.

use super::{Load, LoadMode, Stage, StageEnd};
use crate::run::Workload;

/// Concurrencies of a sweep that names neither concurrencies nor rates.
pub const DEFAULT_CONCURRENCY: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Fewest requests of a stage that does not say how many.
const LEAST_REQUESTS: u64 = 100;

/// The stages of one repetition, in the order of the sweep, a burst last.
pub fn stages(workload: &Workload) -> Vec<Stage> {
    let sweep = &workload.sweep;
    let closed: &[u32] = match (sweep.concurrency.as_slice(), sweep.request_rate.is_empty()) {
        ([], true) if !sweep.burst => &DEFAULT_CONCURRENCY,
        (given, _) => given,
    };
    let closed = closed.iter().map(|&concurrency| Stage {
        name: format!("concurrency-{concurrency}"),
        load: Load {
            concurrency: Some(concurrency),
            ..Load::default()
        },
        end: end(workload, 4 * u64::from(concurrency)),
    });
    let open = sweep.request_rate.iter().map(|&rate| Stage {
        name: format!("rate-{rate}"),
        load: Load {
            mode: LoadMode::Open,
            rate: Some(rate),
            arrival: Some(sweep.arrival.unwrap_or_default()),
            concurrency: None,
        },
        // A minute of arrivals.
        end: end(workload, (rate * 60.0).ceil() as u64),
    });
    let burst = sweep.burst.then(|| Stage {
        name: "burst".into(),
        load: Load {
            mode: LoadMode::Open,
            ..Load::default()
        },
        end: StageEnd::Requests(
            workload
                .requests_per_stage
                .map_or(LEAST_REQUESTS, u64::from),
        ),
    });
    closed.chain(open).chain(burst).collect()
}

fn end(workload: &Workload, requests: u64) -> StageEnd {
    match (workload.requests_per_stage, workload.stage_duration) {
        (Some(requests), _) => StageEnd::Requests(u64::from(requests)),
        (None, Some(duration)) => StageEnd::Seconds(duration.as_secs_f64()),
        (None, None) => StageEnd::Requests(requests.max(LEAST_REQUESTS)),
    }
}
