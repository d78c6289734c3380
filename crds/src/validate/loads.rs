//! Rules on loads: whether a search can have an answer, whether a replay has one time per request.

use super::Problem;
use crate::run::{BenchmarkRunSpec, ObjectiveMetric};

pub(super) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    replay(spec, problems);
    search(spec, problems);
}

fn replay(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let workload = &spec.workload;
    let replays = || {
        let stages = crate::plan::stages::stages(spec);
        stages.iter().any(|stage| stage.load.replay_speed.is_some())
    };
    if workload.prompts_per_request > 1 && replays() {
        problems.push(Problem::new(
            "spec.workload.promptsPerRequest",
            format!(
                "{}, but a request of a trace has one prompt; set it to 1, or a sweep that replays nothing",
                workload.prompts_per_request
            ),
        ));
    }
}

fn search(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let workload = &spec.workload;
    if workload.sweep.search.is_none() {
        return;
    }
    for (index, objective) in spec.objectives.iter().enumerate() {
        let field = format!("spec.objectives[{index}]");
        let streamed = objective.metric != ObjectiveMetric::RequestLatency;
        if streamed && !workload.streaming {
            problems.push(Problem::new(
                format!("{field}.metric"),
                format!(
                    "{:?} is not known of answers that do not stream; use RequestLatency or set workload.streaming",
                    objective.metric
                ),
            ));
        }
        let needed = objective.samples_needed();
        if let Some(requests) = workload.requests_per_stage
            && u64::from(requests) < needed
        {
            problems.push(Problem::new(
                "spec.workload.requestsPerStage",
                format!(
                    "{requests} answers are too few for percentile {} of spec.objectives[{index}], which sweep.search \
                     needs at every stage; raise it to {needed} or more, or remove it",
                    objective.percentile
                ),
            ));
        }
    }
}
