//! The few words that a runner's pod leaves behind: counts are never dropped, figures may be.

use bakeoff_crds::{
    report::StageReport,
    run::status::{Headline, VerdictStatus},
    summary::{MAX_BYTES, Summary, Termination},
};

/// Most reasons of a verdict that are named.
const MAX_REASONS: usize = 8;

/// Sums the stages of a round up.
pub fn summarize(
    stages: &[StageReport],
    stages_planned: u32,
    engine_version: Option<String>,
) -> Summary {
    let mut summary = Summary {
        stages_done: stages.len() as u32,
        stages_planned,
        engine_version,
        headline: headline(stages),
        ..Summary::default()
    };
    for stage in stages {
        let requests = &stage.requests;
        summary.intended += requests.intended;
        summary.sent += requests.sent;
        summary.succeeded += requests.succeeded;
        summary.failed += requests.failed;
        summary.dropped += requests.dropped;
        summary.verdict = summary.verdict.max(stage.verdict.status);
    }
    // The worst reasons first; each is said once.
    let mut reasons: Vec<_> = stages
        .iter()
        .flat_map(|stage| &stage.verdict.reasons)
        .collect();
    reasons.sort_by_key(|reason| std::cmp::Reverse(reason.status));
    for reason in reasons {
        if !summary.reasons.contains(&reason.reason) && summary.reasons.len() < MAX_REASONS {
            summary.reasons.push(reason.reason.clone());
        }
    }
    summary
}

/// The valid stage with the most output tokens a second; requests a second decide where nobody
/// counted tokens.
fn headline(stages: &[StageReport]) -> Option<Headline> {
    let rank = |stage: &&StageReport| {
        let throughput = &stage.throughput;
        (
            throughput.output_tokens_per_second,
            throughput.requests_per_second,
        )
    };
    let best = stages
        .iter()
        .filter(|stage| stage.verdict.status != VerdictStatus::Invalid)
        .max_by(|a, b| {
            rank(a)
                .0
                .total_cmp(&rank(b).0)
                .then(rank(a).1.total_cmp(&rank(b).1))
        })?;
    Some(Headline {
        stage: best.name.clone(),
        output_tokens_per_second: best.throughput.output_tokens_per_second,
        time_to_first_token_p50: best.time_to_first_token.as_ref().and_then(|ttft| ttft.p50),
        request_latency_p99: best
            .request_latency
            .as_ref()
            .and_then(|latency| latency.p99),
    })
}

/// A termination message within its bound: first the failure's message is cut, then reasons, version
/// and headline go; counts never.
pub fn fit(mut termination: Termination) -> String {
    let json = |termination: &Termination| serde_json::to_string(termination).unwrap_or_default();
    let text = json(&termination);
    if text.len() <= MAX_BYTES {
        return text;
    }
    if let Some(failure) = &mut termination.failure {
        failure.message = cut(&failure.message, MAX_BYTES / 4);
    }
    let text = json(&termination);
    if text.len() <= MAX_BYTES {
        return text;
    }
    if let Some(runner) = &mut termination.runner {
        runner.headline = None;
        runner.engine_version = None;
        runner.reasons.clear();
    }
    if let Some(failure) = &mut termination.failure {
        failure.message = cut(&failure.message, MAX_BYTES / 16);
    }
    json(&termination)
}

fn cut(text: &str, bytes: usize) -> String {
    if text.len() <= bytes {
        return text.to_owned();
    }
    let mut end = bytes;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::{
        report::{Requests, Throughput, Verdict, VerdictReason},
        summary::Failure,
    };

    use super::*;

    fn stage(name: &str, tokens_per_second: f64, status: VerdictStatus) -> StageReport {
        StageReport {
            name: name.into(),
            requests: Requests {
                intended: 10,
                sent: 9,
                succeeded: 7,
                failed: 2,
                dropped: 1,
                ..Requests::default()
            },
            throughput: Throughput {
                output_tokens_per_second: tokens_per_second,
                ..Throughput::default()
            },
            verdict: Verdict::of(if status == VerdictStatus::Valid {
                vec![]
            } else {
                vec![VerdictReason {
                    reason: format!("{status:?}Reason"),
                    message: String::new(),
                    status,
                }]
            }),
            ..StageReport::default()
        }
    }

    #[test]
    fn counts_add_up_and_the_best_valid_stage_leads() {
        let stages = [
            stage("concurrency-1", 10.0, VerdictStatus::Valid),
            stage("concurrency-2", 30.0, VerdictStatus::Suspect),
            stage("concurrency-4", 90.0, VerdictStatus::Invalid),
            stage("concurrency-2", 20.0, VerdictStatus::Suspect),
        ];
        let summary = summarize(&stages, 6, Some("1.0".into()));
        assert_eq!((summary.stages_done, summary.stages_planned), (4, 6));
        assert_eq!(
            (
                summary.intended,
                summary.sent,
                summary.succeeded,
                summary.failed,
                summary.dropped
            ),
            (40, 36, 28, 8, 4)
        );
        assert_eq!(summary.verdict, VerdictStatus::Invalid);
        assert_eq!(summary.reasons, ["InvalidReason", "SuspectReason"]);
        assert_eq!(summary.headline.unwrap().stage, "concurrency-2");
    }

    #[test]
    fn a_termination_message_keeps_its_counts_within_its_bound() {
        let mut runner = summarize(
            &[stage("a", 1.0, VerdictStatus::Valid)],
            1,
            Some("v".repeat(9000)),
        );
        runner.reasons = vec!["r".repeat(500); 20];
        let termination = Termination {
            failure: Some(Failure {
                reason: "UploadFailed".into(),
                message: "größe ".repeat(2000),
                may_pass: true,
            }),
            runner: Some(runner),
            ..Termination::default()
        };
        let text = fit(termination);
        assert!(text.len() <= MAX_BYTES, "{}", text.len());
        let back: Termination = serde_json::from_str(&text).unwrap();
        assert_eq!(back.runner.unwrap().intended, 10);
        assert_eq!(back.failure.unwrap().reason, "UploadFailed");
    }
}
