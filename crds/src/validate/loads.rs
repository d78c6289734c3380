//! Rules on loads: whether a search can have an answer and one judge, whether a replay has one time
//! per request.

use super::Problem;
use crate::run::{BenchmarkRunSpec, ObjectiveMetric};

pub(super) fn rules(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    replay(spec, problems);
    search(spec, problems);
    one_judge(spec, problems);
}

/// What is driven next follows from what was measured, of which each of several pods sees a part.
fn one_judge(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let sweep = &spec.workload.sweep;
    let parallelism = spec.runner.parallelism;
    if parallelism > 1 && (sweep.search.is_some() || sweep.knee.is_some()) {
        problems.push(Problem::new(
            "spec.runner.parallelism",
            format!(
                "{parallelism}, but a search or a knee is judged by one pod, which must see every answer; set it to 1"
            ),
        ));
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_pods_cannot_judge_a_search() {
        for (sweep, parallelism, refused) in [
            (r#"{"knee": {}}"#, 2, true),
            (
                r#"{"search": {"concurrency": {"min": 1, "max": 4}}}"#,
                2,
                true,
            ),
            (r#"{"knee": {}}"#, 1, false),
            (r#"{"concurrency": [4]}"#, 2, false),
        ] {
            let sweep: serde_json::Value = serde_json::from_str(sweep).unwrap();
            let spec = serde_json::json!({
                "model": {"id": "m"}, "engines": [], "output": {"uri": "s3://b"},
                "workload": {"prompts": {"inline": ["a"]}, "sweep": sweep},
                "runner": {"parallelism": parallelism},
            });
            let mut problems = Vec::new();
            rules(&serde_json::from_value(spec).unwrap(), &mut problems);
            let fields: Vec<_> = problems.iter().map(|problem| &problem.field).collect();
            let expected: &[&str] = if refused {
                &["spec.runner.parallelism"]
            } else {
                &[]
            };
            assert_eq!(fields, expected, "{sweep} {parallelism}");
        }
    }
}
