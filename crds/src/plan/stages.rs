//! The stages of a sweep.

use super::{Load, LoadMode, PlannedSearch, Stage, StageEnd, search::Variable};
use crate::run::{Arrival, BenchmarkRunSpec, Objective, StageSpec, Sweep, Workload};

/// Concurrencies of a sweep that names nothing.
pub const DEFAULT_CONCURRENCY: [u32; 6] = [1, 2, 4, 8, 16, 32];

/// Fewest requests of a stage that does not say how many.
const LEAST_REQUESTS: u64 = 100;

/// The stages of one repetition, in the order of the sweep, a burst last. Of a search, the first: the
/// others follow from what was measured.
pub fn stages(spec: &BenchmarkRunSpec) -> Vec<Stage> {
    let workload = &spec.workload;
    let sweep = &workload.sweep;
    if let Some(search) = PlannedSearch::of(sweep) {
        return vec![searched(spec, &search, search.min)];
    }
    if !sweep.stages.is_empty() {
        return sweep
            .stages
            .iter()
            .map(|stage| written_out(workload, stage))
            .collect();
    }
    let own_speed = if workload.prompts.trace.is_some() {
        [1.0].as_slice()
    } else {
        &[]
    };
    let speeds = match sweep.replay_speed.as_slice() {
        [] if names_nothing(sweep) => own_speed,
        given => given,
    };
    if !speeds.is_empty() {
        let loads = speeds.iter().map(|&speed| replay(speed));
        return loads.map(|load| stage(workload, load)).collect();
    }
    let closed: &[u32] = match sweep.concurrency.as_slice() {
        [] if names_nothing(sweep) => &DEFAULT_CONCURRENCY,
        given => given,
    };
    let closed = closed
        .iter()
        .map(|&concurrency| stage(workload, closed_loop(concurrency)));
    let open = sweep
        .request_rate
        .iter()
        .map(|&rate| stage(workload, open_loop(sweep, rate)));
    let burst = sweep.burst.then(|| stage(workload, burst()));
    closed.chain(open).chain(burst).collect()
}

fn names_nothing(sweep: &Sweep) -> bool {
    sweep.concurrency.is_empty() && sweep.request_rate.is_empty() && !sweep.burst
}

/// The stage of a search at one of its levels. One that does not say otherwise has as many requests
/// as the objectives' percentiles need.
pub fn searched(spec: &BenchmarkRunSpec, search: &PlannedSearch, level: f64) -> Stage {
    let workload = &spec.workload;
    let load = match search.variable {
        Variable::RequestRate => open_loop(&workload.sweep, level),
        Variable::Concurrency => closed_loop(level.round() as u32),
    };
    let mut stage = stage(workload, load);
    let says_itself = workload.requests_per_stage.is_some() || workload.stage_duration.is_some();
    if let (StageEnd::Requests(requests), false) = (&mut stage.end, says_itself) {
        *requests = (*requests).max(requests_for_objectives(spec));
    }
    stage
}

/// Requests after which every objective's percentile is known, although some fail and some answers
/// have one token only.
fn requests_for_objectives(spec: &BenchmarkRunSpec) -> u64 {
    let needed = spec.objectives.iter().map(Objective::samples_needed).max();
    let lost = spec.policy.max_error_rate.min(0.5) + 0.05;
    (needed.unwrap_or_default() as f64 / (1.0 - lost)).ceil() as u64
}

/// So many requests in flight.
fn closed_loop(concurrency: u32) -> Load {
    Load {
        concurrency: Some(concurrency),
        ..Load::default()
    }
}

/// A rate, spread over time as the sweep says.
fn open_loop(sweep: &Sweep, rate: f64) -> Load {
    Load {
        mode: LoadMode::Open,
        rate: Some(rate),
        arrival: Some(sweep.arrival.unwrap_or_default()),
        burstiness: sweep.burstiness,
        ..Load::default()
    }
}

/// The arrivals of the trace, so many times as fast.
fn replay(speed: f64) -> Load {
    Load {
        mode: LoadMode::Open,
        replay_speed: Some(speed),
        ..Load::default()
    }
}

/// Everything at once.
fn burst() -> Load {
    Load {
        mode: LoadMode::Open,
        ..Load::default()
    }
}

/// A stage that is named by its load and ends as the workload says.
fn stage(workload: &Workload, load: Load) -> Stage {
    let name = match (load.concurrency, load.rate, load.replay_speed) {
        (Some(concurrency), ..) => format!("concurrency-{concurrency}"),
        (None, Some(rate), _) => format!("rate-{rate}"),
        (None, None, Some(speed)) => format!("replay-{speed}"),
        (None, None, None) => "burst".into(),
    };
    let end = end(workload, &load);
    Stage { name, load, end }
}

/// A stage that a person wrote out.
fn written_out(workload: &Workload, spec: &StageSpec) -> Stage {
    let rates = match (spec.request_rate, spec.ramp) {
        (Some(rate), _) => Some((rate, None)),
        (None, Some(ramp)) => Some((ramp.from_rate, Some(ramp.to_rate))),
        (None, None) => None,
    };
    let load = match (spec.concurrency, rates) {
        (Some(concurrency), _) => closed_loop(concurrency),
        (None, Some((rate, to_rate))) => Load {
            mode: LoadMode::Open,
            rate: Some(rate),
            to_rate,
            arrival: Some(spec.arrival.unwrap_or(Arrival::Poisson)),
            burstiness: spec.burstiness,
            ..Load::default()
        },
        (None, None) => spec.replay_speed.map_or_else(burst, replay),
    };
    let end = match (spec.requests, spec.duration) {
        (Some(requests), _) => StageEnd::Requests(u64::from(requests)),
        (None, Some(duration)) => StageEnd::Seconds(duration.as_secs_f64()),
        (None, None) => end(workload, &load),
    };
    Stage {
        name: spec.name.clone(),
        load,
        end,
    }
}

/// When a stage ends that does not say so itself. A burst goes by requests alone.
fn end(workload: &Workload, load: &Load) -> StageEnd {
    if load.replay_speed.is_some() {
        return StageEnd::Trace;
    }
    let requests = workload.requests_per_stage.map(u64::from);
    match (requests, workload.stage_duration, load) {
        (Some(requests), ..) => StageEnd::Requests(requests),
        (None, Some(duration), load) if !load.is_burst() => {
            StageEnd::Seconds(duration.as_secs_f64())
        }
        _ => StageEnd::Requests(enough(load).max(LEAST_REQUESTS)),
    }
}

/// Four times the concurrency, or a minute of arrivals.
fn enough(load: &Load) -> u64 {
    match (load.concurrency, load.rate) {
        (Some(concurrency), _) => 4 * u64::from(concurrency),
        (None, Some(rate)) => (rate * 60.0).ceil() as u64,
        (None, None) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(workload: &str) -> Vec<Stage> {
        let prompts = "prompts: {inline: [a]}\n";
        let prompts = if workload.contains("prompts") {
            ""
        } else {
            prompts
        };
        let yaml = format!("{prompts}{workload}");
        let workload: Workload = serde_saphyr::from_str(&yaml).unwrap();
        let spec = serde_json::json!({
            "model": {"id": "m"}, "engines": [], "workload": workload, "output": {"uri": "s3://b"},
            "objectives": [
                {"metric": "RequestLatency", "percentile": 50, "lessThan": "1s"},
                {"metric": "TimeToFirstToken", "percentile": 99, "lessThan": "1s"},
            ],
        });
        stages(&serde_json::from_value(spec).unwrap())
    }

    fn in_short(stages: &[Stage]) -> Vec<String> {
        stages
            .iter()
            .map(|stage| format!("{} {:?}", stage.name, stage.end))
            .collect()
    }

    #[test]
    fn a_sweep_names_its_stages_by_their_load() {
        for (workload, expected) in [
            (
                "sweep: {concurrency: [1, 64]}",
                vec![
                    "concurrency-1 Requests(100)",
                    "concurrency-64 Requests(256)",
                ],
            ),
            (
                "sweep: {requestRate: [0.5, 4], burst: true}",
                vec![
                    "rate-0.5 Requests(100)",
                    "rate-4 Requests(240)",
                    "burst Requests(100)",
                ],
            ),
            (
                "sweep: {requestRate: [2], burst: true}\nstageDuration: 30s",
                vec!["rate-2 Seconds(30.0)", "burst Requests(100)"],
            ),
            (
                "sweep: {burst: true}\nrequestsPerStage: 7",
                vec!["burst Requests(7)"],
            ),
        ] {
            assert_eq!(in_short(&planned(workload)), expected, "{workload}");
        }
        assert_eq!(planned("sweep: {}").len(), DEFAULT_CONCURRENCY.len());
    }

    #[test]
    fn a_trace_is_replayed_at_its_own_speed_where_nothing_else_is_named() {
        let trace = "prompts: {trace: {format: Azure, file: {uri: 's3://t'}}}";
        for (sweep, expected) in [
            ("{}", vec!["replay-1 Trace"]),
            (
                "{replaySpeed: [0.5, 2]}",
                vec!["replay-0.5 Trace", "replay-2 Trace"],
            ),
            ("{concurrency: [4]}", vec!["concurrency-4 Requests(9)"]),
            (
                "{stages: [{name: twice, replaySpeed: 2}]}",
                vec!["twice Trace"],
            ),
        ] {
            let workload = format!("{trace}\nrequestsPerStage: 9\nsweep: {sweep}");
            assert_eq!(in_short(&planned(&workload)), expected, "{sweep}");
        }
    }

    #[test]
    fn stages_of_a_search_have_the_requests_that_their_objectives_need() {
        for (workload, expected) in [
            // p99 needs 1000, of which 1 % may fail and 5 % are to spare.
            (
                "sweep: {search: {concurrency: {min: 2, max: 9}}}",
                "concurrency-2 Requests(1064)",
            ),
            (
                "sweep: {search: {requestRate: {min: 100, max: 900}}}",
                "rate-100 Requests(6000)",
            ),
            (
                "sweep: {search: {requestRate: {min: 0.5, max: 9}}}\nstageDuration: 1h",
                "rate-0.5 Seconds(3600.0)",
            ),
        ] {
            assert_eq!(in_short(&planned(workload)), [expected], "{workload}");
        }
    }

    #[test]
    fn stages_written_out_are_as_they_were_written() {
        let stages = planned(
            "requestsPerStage: 50\n\
             sweep:\n  \
               stages:\n  \
               - {name: one, concurrency: 1, requests: 5}\n  \
               - {name: up, ramp: {fromRate: 0, toRate: 8}, duration: 90s, arrival: Constant}\n  \
               - {name: bursty, requestRate: 4, arrival: Gamma, burstiness: 0.25}\n  \
               - {name: all, burst: true}\n",
        );
        assert_eq!(
            in_short(&stages),
            [
                "one Requests(5)",
                "up Seconds(90.0)",
                "bursty Requests(50)",
                "all Requests(50)"
            ]
        );
        let [one, up, bursty, all] = stages.as_slice() else {
            panic!("{stages:?}")
        };
        assert_eq!(one.load, closed_loop(1));
        assert_eq!(
            up.load,
            Load {
                mode: LoadMode::Open,
                rate: Some(0.0),
                to_rate: Some(8.0),
                arrival: Some(Arrival::Constant),
                ..Load::default()
            }
        );
        assert_eq!(
            (bursty.load.arrival, bursty.load.burstiness),
            (Some(Arrival::Gamma), Some(0.25))
        );
        assert!(all.load.is_burst() && !up.load.is_burst() && !one.load.is_burst());
    }
}
