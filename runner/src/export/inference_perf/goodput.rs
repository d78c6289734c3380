//! Requests that met the run's objectives, as inference-perf counts them.

use bakeoff_crds::run::{Objective, ObjectiveMetric};
use serde_json::{Value, json};

use crate::export::{
    Pass, Stage,
    requests::Request,
    sample::{object, per},
};

/// The requests that were answered within every objective, of those that were answered at all: the
/// tool leaves failed ones out of the share.
pub(super) fn goodput(pass: &Pass<'_>, stages: &[&Stage<'_>], seconds: f64) -> Option<Value> {
    let objectives = pass.report.run.spec.pointer("/objectives")?;
    let objectives: Vec<Objective> = serde_json::from_value(objectives.clone()).ok()?;
    let answered: Vec<&Request> = stages.iter().flat_map(|stage| stage.succeeded()).collect();
    if objectives.is_empty() || answered.is_empty() {
        return None;
    }
    let value = |request: &Request, metric: ObjectiveMetric| match metric {
        ObjectiveMetric::TimeToFirstToken => request.time_to_first_token(),
        ObjectiveMetric::TimePerOutputToken => request.time_per_output_token(),
        ObjectiveMetric::RequestLatency => request.latency(),
    };
    let meets = |request: &Request, objective: &Objective| {
        let bound = objective.less_than.as_secs_f64() * 1e9;
        value(request, objective.metric).is_none_or(|value| value < bound)
    };
    let good: Vec<&&Request> = answered
        .iter()
        .filter(|request| objectives.iter().all(|objective| meets(request, objective)))
        .collect();
    let tokens: u64 = good
        .iter()
        .flat_map(|request| [request.input_tokens, request.answer_tokens()])
        .flatten()
        .map(u64::from)
        .sum();
    let share = |count: usize| count as f64 / answered.len() as f64 * 100.0;
    let mut pairs = vec![
        ("goodput_percentage", json!(share(good.len()))),
        ("request_goodput", json!(per(good.len() as f64, seconds))),
        ("token_goodput", json!(per(tokens as f64, seconds))),
        ("good_requests", json!(good.len())),
        ("total_requests", json!(answered.len())),
    ];
    for objective in &objectives {
        let met = answered
            .iter()
            .filter(|request| meets(request, objective))
            .count();
        let key = match objective.metric {
            ObjectiveMetric::TimeToFirstToken => "ttft_attainment_percentage",
            ObjectiveMetric::TimePerOutputToken => "tpot_attainment_percentage",
            ObjectiveMetric::RequestLatency => "request_latency_attainment_percentage",
        };
        pairs.push((key, json!(share(met))));
    }
    Some(object(pairs))
}
