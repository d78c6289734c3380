use std::collections::BTreeMap;

use bakeoff_crds::{
    report::{Distribution, Requests, TokenDistribution, Window},
    run::status::VerdictStatus,
};

use super::*;

const ONE: Circumstances = Circumstances {
    prompts_per_request: 1,
    prometheus_interval: 1.0,
};

/// A stage of ten seconds: 100 answers of ten tokens to prompts of twenty, first tokens after 200 ms.
fn stage() -> StageReport {
    let tokens = |sum| {
        Some(TokenDistribution {
            sum,
            ..TokenDistribution::default()
        })
    };
    StageReport {
        window: Window {
            duration_seconds: 10.0,
            ..Window::default()
        },
        requests: Requests {
            intended: 100,
            sent: 100,
            succeeded: 100,
            ..Requests::default()
        },
        input_tokens: tokens(2000),
        output_tokens: tokens(1000),
        token_count_source: TokenCountSource::Server,
        time_to_first_token: Some(Distribution {
            mean: 0.2,
            ..Distribution::default()
        }),
        ..StageReport::default()
    }
}

fn direct(value: MetricValue) -> EngineMetric {
    EngineMetric {
        direct: Some(value),
        ..EngineMetric::default()
    }
}

fn grown(increase: f64) -> MetricValue {
    MetricValue {
        increase: Some(increase),
        ..MetricValue::default()
    }
}

fn with(metrics: &[(&str, f64)]) -> StageReport {
    let metrics = metrics.iter().map(|&(name, figure)| {
        let value = match name {
            "timeToFirstToken" => MetricValue {
                mean: Some(figure),
                ..MetricValue::default()
            },
            _ => grown(figure),
        };
        (name.to_owned(), direct(value))
    });
    StageReport {
        engine_metrics: metrics.collect::<BTreeMap<_, _>>(),
        ..stage()
    }
}

/// Whether the one check of such a stage passes.
fn passes(mut stage: StageReport, circumstances: Circumstances) -> bool {
    reconcile(&mut stage, circumstances);
    assert_eq!(stage.reconciliation.len(), 1, "{:?}", stage.reconciliation);
    let passed = stage.reconciliation[0].passed;
    let suspect = stage.verdict.status == VerdictStatus::Suspect;
    assert_ne!(passed, suspect, "{:?}", stage.verdict);
    assert_eq!(stage.verdict.reasons.is_empty(), passed);
    passed
}

#[test]
fn counts_agree_within_their_tolerance() {
    for (name, passing, failing) in [
        (
            "requestsSucceeded",
            vec![99.0, 100.0, 101.0],
            vec![98.0, 102.0, 200.0],
        ),
        (
            "generationTokens",
            vec![900.0, 1100.0],
            vec![899.0, 1101.0, 0.0],
        ),
        // Fewer may be the cache's doing.
        (
            "promptTokens",
            vec![0.0, 2000.0, 2200.0],
            vec![2201.0, 4000.0],
        ),
        // 50 ms on the way, or a quarter; five more are the clocks'.
        (
            "timeToFirstToken",
            vec![0.151, 0.2, 0.204],
            vec![0.149, 0.206],
        ),
    ] {
        for figure in passing {
            assert!(passes(with(&[(name, figure)]), ONE), "{name} {figure}");
        }
        for figure in failing {
            assert!(!passes(with(&[(name, figure)]), ONE), "{name} {figure}");
        }
    }
}

#[test]
fn what_was_cached_need_not_be_counted() {
    let checked = |counted| {
        let mut stage = with(&[("promptTokens", counted), ("prefixCacheHits", 500.0)]);
        reconcile(&mut stage, ONE);
        stage.reconciliation[0].passed
    };
    assert!(checked(2000.0));
    assert!(checked(1300.0));
    assert!(!checked(1299.0));
}

#[test]
fn failed_requests_may_have_been_answered() {
    let stage = |figure| {
        let mut stage = with(&[("requestsSucceeded", figure)]);
        stage.requests.sent = 120;
        stage
    };
    assert!(passes(stage(121.0), ONE));
    assert!(!passes(stage(122.0), ONE));
    assert!(!passes(stage(98.0), ONE));
}

#[test]
fn every_prompt_of_a_request_is_counted() {
    let four = Circumstances {
        prompts_per_request: 4,
        ..ONE
    };
    assert!(passes(with(&[("requestsSucceeded", 400.0)]), four));
    assert!(!passes(with(&[("requestsSucceeded", 100.0)]), four));
}

#[test]
fn a_prometheus_is_asked_where_there_is_no_direct_figure() {
    let stage = |figure| {
        let mut stage = stage();
        let metric = EngineMetric {
            prometheus: Some(grown(figure)),
            ..EngineMetric::default()
        };
        stage.engine_metrics = BTreeMap::from([("requestsSucceeded".to_owned(), metric)]);
        stage
    };
    // Two of ten seconds may be missing or drawn out.
    assert!(passes(stage(79.0), ONE));
    assert!(passes(stage(121.0), ONE));
    assert!(!passes(stage(78.0), ONE));
}

#[test]
fn a_disagreement_is_told_with_its_figures_beside_what_was_found_before() {
    let mut stage = with(&[("requestsSucceeded", 200.0), ("timeToFirstToken", 0.01)]);
    stage.verdict = Verdict::of(vec![VerdictReason {
        reason: "ClientLate".into(),
        message: String::new(),
        status: VerdictStatus::Invalid,
    }]);
    reconcile(&mut stage, ONE);
    assert_eq!(stage.verdict.status, VerdictStatus::Invalid);
    let reason = &stage.verdict.reasons[1];
    assert_eq!(reason.reason, "EngineDisagrees");
    assert!(
        reason.message.starts_with(
            "the engine counted 200 answered prompts, the client 100; the engine's mean time to \
             first token is 10.0 ms, the client's 200.0 ms; see whether others"
        ),
        "{}",
        reason.message
    );
}

#[test]
fn nothing_is_checked_where_a_side_has_no_figure() {
    let mut without = stage();
    reconcile(&mut without, ONE);
    assert_eq!(without.reconciliation, []);
    let mut none = with(&[("requestsSucceeded", 0.0), ("generationTokens", 0.0)]);
    none.requests.succeeded = 0;
    reconcile(&mut none, ONE);
    assert_eq!(none.reconciliation, []);
    let mut uncounted = with(&[("generationTokens", 5.0)]);
    uncounted.token_count_source = TokenCountSource::None;
    reconcile(&mut uncounted, ONE);
    assert_eq!(uncounted.reconciliation, []);
}
