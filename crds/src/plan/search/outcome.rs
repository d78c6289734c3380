//! What a stage says to a search.

use super::levels::Outcome;
use crate::{
    report::{ObjectiveResult, StageReport, TokenCountSource},
    run::{BenchmarkRunSpec, status::VerdictStatus},
};

/// Reasons of an Invalid stage that are the engine's doing: the load was too much for it.
const ENGINES_DOING: [&str; 3] = ["ErrorRateExceeded", "NoRequests", "StageDeadlineExceeded"];

/// Whether a stage met every objective, with no more failures than allowed. Nothing can be said where
/// the client's own trouble spoiled the stage, or where too few answers stand behind a percentile.
pub(super) fn of_objectives(stage: &StageReport, spec: &BenchmarkRunSpec) -> Outcome<bool> {
    let results = objectives(stage);
    if overloaded(stage) || results.iter().any(|result| result.met == Some(false)) {
        return Outcome::Known(false);
    }
    let all_known =
        results.len() >= spec.objectives.len() && results.iter().all(|result| result.met.is_some());
    if !all_known || stage.verdict.status == VerdictStatus::Invalid {
        return Outcome::Unclear;
    }
    Outcome::Known(true)
}

/// Output tokens a second where they were counted, else requests a second. A stage that nothing
/// succeeded in has none.
pub(super) fn of_throughput(stage: &StageReport) -> Outcome<f64> {
    if stage.verdict.status == VerdictStatus::Invalid && !overloaded(stage) {
        return Outcome::Unclear;
    }
    Outcome::Known(if stage.token_count_source == TokenCountSource::None {
        stage.throughput.requests_per_second
    } else {
        stage.throughput.output_tokens_per_second
    })
}

/// Why a stage was not good, in words.
pub(super) fn why(stage: &StageReport) -> String {
    let missed = objectives(stage)
        .iter()
        .filter(|result| result.met == Some(false));
    let mut reasons: Vec<String> = missed
        .map(|result| {
            format!(
                "{:?} at percentile {} was {:.3} s, not under {} s",
                result.metric,
                result.percentile,
                result.value_seconds.unwrap_or_default(),
                result.less_than_seconds
            )
        })
        .collect();
    let unknown = objectives(stage)
        .iter()
        .filter(|result| result.met.is_none());
    reasons.extend(unknown.map(|result| {
        format!(
            "too few answers stand behind percentile {} of {:?}; raise requestsPerStage or stageDuration",
            result.percentile, result.metric
        )
    }));
    let invalid = stage.verdict.reasons.iter();
    reasons.extend(
        invalid
            .filter(|reason| reason.status == VerdictStatus::Invalid)
            .map(|reason| format!("{}: {}", reason.reason, reason.message)),
    );
    reasons.join("; ")
}

fn objectives(stage: &StageReport) -> &[ObjectiveResult] {
    stage
        .goodput
        .as_ref()
        .map_or(&[], |goodput| goodput.objectives.as_slice())
}

/// Whether the stage is Invalid by the engine's doing alone.
fn overloaded(stage: &StageReport) -> bool {
    let mut invalid = stage
        .verdict
        .reasons
        .iter()
        .filter(|reason| reason.status == VerdictStatus::Invalid)
        .peekable();
    invalid.peek().is_some()
        && invalid.all(|reason| ENGINES_DOING.contains(&reason.reason.as_str()))
}
