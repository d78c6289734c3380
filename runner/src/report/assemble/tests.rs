use bakeoff_crds::{
    report::{EngineMetric, MetricValue},
    run::{
        StartStep,
        status::{Neighbours, VerdictStatus},
    },
    summary::reason,
};

use super::*;
use crate::report::fixture::{self, facts, invalid, measured, plan, settings, stage, turn};

fn reasons(report: &Report) -> Vec<(&str, VerdictStatus)> {
    let reasons = report.verdict.reasons.iter();
    reasons
        .map(|reason| (reason.reason.as_str(), reason.status))
        .collect()
}

#[test]
fn a_whole_run_is_valid_and_says_what_ran() {
    let mut report = fixture::report();
    assert_eq!(report.verdict, Default::default());
    let names: Vec<_> = report
        .engines
        .iter()
        .map(|engine| engine.name.as_str())
        .collect();
    assert_eq!(names, ["vllm", "tgi", "hosted"]);
    // Enough to see the shape of every part.
    report.run.spec = serde_json::Value::Null;
    report.comparison.best.truncate(4);
    for engine in &mut report.engines {
        engine.stages.truncate(1);
    }
    settings().bind(|| insta::assert_json_snapshot!("report.json", report));
}

#[test]
fn a_volume_of_the_model_is_told_with_what_was_fetched() {
    let mut plan = plan();
    plan.prefetch = Some(Default::default());
    let mut facts = facts();
    let volume = fixture::model_volume(Some("c0ffee"));
    facts.outcome.model_volume = Some(volume.clone());
    let model = &plan.spec.model;
    let resolved = &mut facts.preflight.repositories[0];
    (resolved.id, resolved.revision) = (model.id.clone(), model.revision.clone());
    let report = assemble(&plan, &facts, measured());
    assert_eq!(report.run.model_volume, Some(volume));
    let provenance = &report.engines[0].provenance;
    assert_eq!(provenance.model_revision.as_deref(), Some("c0ffee"));
    assert_eq!(provenance.model_revision_from, Some(RevisionSource::Volume));
    // The hub has another commit by now.
    let moved = |report: &Report| {
        let mut warnings = report.run.warnings.iter();
        warnings.any(|it| it.contains("filled with commit c0ffee"))
    };
    assert!(moved(&report), "{:?}", report.run.warnings);
    facts.preflight.repositories[0].commit = Some("c0ffee".into());
    assert!(!moved(&assemble(&plan, &facts, measured())));
    let html = crate::report::html::page(&report).unwrap();
    for part in [
        "claim weights, read-only: 12 files",
        "7.000 GB fetched in 70 s",
        "fetched before the run",
    ] {
        assert!(html.contains(part), "{part}");
    }
}

#[test]
fn the_report_keeps_to_its_schema() {
    let schema = serde_json::to_value(schemars_of_report()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let mut report = serde_json::to_value(fixture::report()).unwrap();
    let errors: Vec<_> = validator
        .iter_errors(&report)
        .map(|error| error.to_string())
        .collect();
    assert_eq!(errors, [] as [String; 0]);
    report["engines"][0]["stages"][0]["requests"]["intended"] = "many".into();
    assert!(!validator.is_valid(&report));
}

fn schemars_of_report() -> schemars::Schema {
    schemars::schema_for!(Report)
}

#[test]
fn stages_come_in_the_order_of_the_plan() {
    let mut stages = measured();
    stages.reverse();
    assert_eq!(assemble(&plan(), &facts(), stages), fixture::report());
}

#[test]
fn only_the_last_attempt_counts() {
    let mut stages = measured();
    let mut again = stages[0].clone();
    again.stage.attempt = 2;
    let steady = again.stage.steady_state.as_mut().unwrap();
    steady.throughput.output_tokens_per_second = 90.0;
    stages.push(again);
    let report = assemble(&plan(), &facts(), stages);
    let vllm = &report.engines[0];
    assert_eq!(vllm.stages[0].verdict.reasons[0].reason, "AttemptCut");
    assert_eq!(vllm.stages[0].verdict.status, VerdictStatus::Invalid);
    assert_eq!(vllm.stages[1].verdict.status, VerdictStatus::Valid);
    // A cut attempt says nothing against the engine or the run, and takes no part.
    assert_eq!(report.verdict.status, VerdictStatus::Valid);
    assert_eq!(report.comparison.best[0].value, 90.0);
}

#[test]
fn what_only_shows_on_the_whole_makes_the_run_suspect() {
    let mut changed = facts();
    changed.outcome.turns[1].node_name = Some("node-z".into());
    let mut shared = facts();
    shared.outcome.turns[0].runner_node_name = Some("node-a".into());
    let neighbours = |cpu_millis: u64| Neighbours {
        pods: 2,
        cpu_millis,
        accelerators: 0,
        names: vec!["team/batch-0".into(), "team/batch-1".into()],
    };
    let mut crowded = facts();
    crowded.outcome.turns[1].neighbours = Some(neighbours(2500));
    let mut failed = facts();
    failed.outcome.turns[1].phase = EnginePhase::Failed;
    failed.outcome.turns[1].reason = Some(reason::READINESS_TIMEOUT.into());
    failed.outcome.turns[1].message = Some("not ready after 30m".into());
    let without_tgi = || {
        let mut stages = measured();
        stages.retain(|measured| measured.engine != "tgi");
        stages
    };
    let mut longer = measured();
    for measured in longer
        .iter_mut()
        .filter(|measured| measured.engine == "tgi")
    {
        let tokens = measured.stage.output_tokens.as_mut().unwrap();
        tokens.distribution.mean = 150.0;
    }
    for (facts, stages, expected) in [
        (changed, measured(), "NodeChanged"),
        (shared, measured(), "RunnerOnEngineNode"),
        (crowded, measured(), "NodeShared"),
        (failed, without_tgi(), "EngineFailed"),
        (facts(), measured()[1..].to_vec(), "StagesMissing"),
        (facts(), longer, "OutputLengthsDiffer"),
    ] {
        let report = assemble(&plan(), &facts, stages);
        assert_eq!(reasons(&report), [(expected, VerdictStatus::Suspect)]);
    }
}

#[test]
fn a_failed_engine_keeps_its_evidence() {
    let mut facts = facts();
    let mut lost = turn("tgi");
    lost.phase = EnginePhase::Failed;
    lost.reason = Some(reason::ENGINE_OOM_KILLED.into());
    lost.message = Some("killed by the kernel".into());
    lost.exit_code = Some(137);
    facts.outcome.turns[1] = lost;
    let report = assemble(&plan(), &facts, vec![]);
    assert_eq!(report.engines[1].failures[0].exit_code, Some(137));
    assert_eq!(report.engines[1].failures[0].reason, "EngineOOMKilled");
    assert_eq!(report.verdict.status, VerdictStatus::Invalid);
    assert!(reasons(&report).contains(&("NoResult", VerdictStatus::Invalid)));
}

#[test]
fn a_replaced_engine_makes_its_turn_invalid() {
    let mut facts = facts();
    facts.outcome.turns[0].phase = EnginePhase::Failed;
    facts.outcome.turns[0].reason = Some(reason::ENGINE_RESTARTED.into());
    let report = assemble(&plan(), &facts, measured());
    let vllm = &report.engines[0];
    assert!(
        vllm.stages
            .iter()
            .all(|stage| stage.verdict.status == VerdictStatus::Invalid)
    );
    assert!(
        report
            .comparison
            .best
            .iter()
            .all(|best| best.engine != "vllm")
    );
    assert_eq!(report.verdict.status, VerdictStatus::Invalid);
}

#[test]
fn a_stages_verdict_reaches_engine_and_run() {
    let mut stages = measured();
    for place in [1, 2] {
        stages[place].stage.verdict = invalid("ErrorRateExceeded");
    }
    let report = assemble(&plan(), &facts(), stages);
    let message = &report.verdict.reasons[0].message;
    assert_eq!(
        message,
        "vllm, concurrency-8 and 1 more up to concurrency-32: ErrorRateExceeded with figures"
    );
    assert_eq!(report.engines[0].verdict.status, VerdictStatus::Invalid);
    assert_eq!(report.engines[1].verdict.status, VerdictStatus::Valid);
}

#[test]
fn stages_of_strangers_are_left_out() {
    let stranger = Measured {
        engine: "stranger".into(),
        stage: stage(1, 1.0, 1.0),
    };
    let report = assemble(&plan(), &facts(), vec![stranger]);
    assert!(report.engines.iter().all(|engine| engine.stages.is_empty()));
}

#[test]
fn a_search_is_answered_from_its_stages() {
    use bakeoff_crds::{
        plan::{
            PlannedSearch,
            search::{Goal, Variable},
        },
        report::SearchEnd,
    };
    let mut plan = plan();
    plan.search = Some(PlannedSearch {
        variable: Variable::Concurrency,
        goal: Goal::Knee { least_gain: 0.1 },
        min: 1.0,
        max: 2.0,
    });
    let at = |concurrency, tokens_per_second| Measured {
        engine: "vllm".into(),
        stage: fixture::stage(concurrency, tokens_per_second, 0.1),
    };
    // As the bucket lists them.
    let stages = vec![at(2, 104.0), at(1, 100.0)];
    let report = assemble(&plan, &facts(), stages.clone());
    let [answer] = report.engines[0].searches.as_slice() else {
        panic!("{:?}", report.engines[0].searches)
    };
    assert_eq!(
        (answer.best, answer.first_failing, answer.stages),
        (Some(1.0), Some(2.0), 2)
    );
    let names: Vec<_> = report.engines[0]
        .stages
        .iter()
        .map(|stage| &stage.name)
        .collect();
    assert_eq!(names, ["concurrency-1", "concurrency-2"]);
    let missing = |report: &Report| {
        let mut reasons = report.verdict.reasons.iter();
        reasons.any(|reason| reason.reason == "StagesMissing")
    };
    assert!(!missing(&report), "{:?}", report.verdict);
    assert!(
        report
            .comparison
            .sentence
            .starts_with("Throughput hardly grows beyond 1 request in flight with vllm."),
        "{}",
        report.comparison.sentence
    );

    let cut = assemble(&plan, &facts(), vec![at(1, 100.0)]);
    assert_eq!(cut.engines[0].searches[0].end, SearchEnd::Incomplete);
    assert!(missing(&cut), "{:?}", cut.verdict);
}

#[test]
fn what_a_data_set_lost_is_told() {
    let mut facts = facts();
    facts.preflight.left_out = 7;
    let report = assemble(&plan(), &facts, measured());
    assert!(
        report.run.warnings[0].starts_with("7 requests"),
        "{:?}",
        report.run.warnings
    );
}

#[test]
fn neighbours_are_in_the_provenance_also_where_they_do_no_harm() {
    let mut facts = facts();
    let idle = Neighbours {
        pods: 1,
        names: vec!["team/cache-0".into()],
        ..Neighbours::default()
    };
    facts.outcome.turns[0].neighbours = Some(idle.clone());
    let report = assemble(&plan(), &facts, measured());
    assert_eq!(report.verdict.status, VerdictStatus::Valid);
    let found = &report.engines[0].provenance.neighbours;
    assert_eq!((found[0].round, &found[0].neighbours), (1, &idle));
    // Where nobody could look, nothing is said.
    assert!(report.engines[1].provenance.neighbours.is_empty());
}

/// Both engines measured on node-a, where it was lost; then again on node-b.
fn moved() -> (Facts, Vec<Measured>) {
    let mut facts = facts();
    let mut stages = measured();
    for turn in &mut facts.outcome.turns {
        turn.superseded = true;
    }
    facts.outcome.turns[1].phase = EnginePhase::Failed;
    facts.outcome.turns[1].reason = Some(reason::NODE_LOST.into());
    for engine in ["vllm", "tgi"] {
        let mut again = turn(engine);
        again.restart = 1;
        again.node_name = Some("node-b2".into());
        facts.outcome.turns.push(again);
    }
    facts.outcome.restarts.push(RoundRestart {
        round: 1,
        restart: 1,
        node_name: Some("node-a".into()),
        reason: reason::NODE_LOST.into(),
        message: "the node is gone".into(),
        time: serde_json::from_value("2026-03-01T12:10:00Z".into()).unwrap(),
    });
    for mut again in measured() {
        if again.engine == "hosted" {
            continue;
        }
        again.stage.restart = 1;
        again.stage.attempt = 2;
        again.stage.throughput.output_tokens_per_second *= 0.5;
        stages.push(again);
    }
    for measured in &mut stages {
        measured.stage.steady_state = None;
    }
    (facts, stages)
}

#[test]
fn a_round_that_began_anew_is_compared_by_its_last_node_alone() {
    let (facts, stages) = moved();
    let report = assemble(&plan(), &facts, stages);
    assert_eq!(
        report.verdict,
        Default::default(),
        "all on one node at last"
    );
    assert_eq!(report.run.restarts.len(), 1);
    let warning = report.run.warnings.last().unwrap();
    assert!(
        warning.contains("Round 1 began anew") && warning.contains("node-a"),
        "{warning}"
    );
    let vllm = &report.engines[0];
    assert_eq!(vllm.stages.len(), 6, "what was measured before stays");
    for stage in &vllm.stages {
        let reasons = &stage.verdict.reasons;
        let expected: &[&str] = match stage.restart {
            0 => &["RoundRestarted"],
            _ => &[],
        };
        assert!(
            reasons
                .iter()
                .map(|one| one.reason.as_str())
                .eq(expected.iter().copied()),
            "{reasons:?}"
        );
    }
    assert!(vllm.failures.is_empty() && report.engines[1].failures.is_empty());
    assert_eq!(vllm.provenance.nodes, ["node-b2"]);
    // The external engine never ran on the node, and was not measured again.
    assert_eq!(report.engines[2].stages.len(), 3);
    let best = &report.comparison.best[0];
    assert!(best.value < 85.0, "{best:?}");
}

#[test]
fn figures_of_a_lost_node_never_stand_for_an_engine_that_was_not_measured_again() {
    let (mut facts, mut stages) = moved();
    let tgi = facts.outcome.turns.last_mut().unwrap();
    tgi.phase = EnginePhase::Failed;
    tgi.reason = Some(reason::READINESS_TIMEOUT.into());
    stages.retain(|measured| measured.engine != "tgi" || measured.stage.restart == 0);
    let report = assemble(&plan(), &facts, stages);
    let tgi = &report.engines[1];
    assert_eq!(tgi.verdict.reasons[0].reason, "NoResult");
    assert!(
        report
            .comparison
            .best
            .iter()
            .all(|best| best.engine != "tgi")
    );
    assert_eq!(reasons(&report), [("EngineFailed", VerdictStatus::Suspect)]);
}

#[test]
fn accelerators_and_the_loading_of_weights_come_from_the_stages() {
    let mut measured = measured();
    let device = AcceleratorDevice {
        uuid: "GPU-1".into(),
        product: Some("NVIDIA L4".into()),
        driver: None,
    };
    let told = |seconds| EngineMetric {
        direct: Some(MetricValue {
            mean: Some(seconds),
            ..MetricValue::default()
        }),
        ..EngineMetric::default()
    };
    let own = measured.iter_mut().filter(|one| one.engine == "vllm");
    for (one, seconds) in own.zip([0.0, 41.5, 41.5]) {
        one.stage.accelerators = vec![device.clone()];
        let metrics = &mut one.stage.engine_metrics;
        metrics.insert("weightLoading".into(), told(seconds));
    }
    let report = assemble(&plan(), &facts(), measured);
    assert_eq!(report.engines[0].provenance.accelerators, [device]);
    let loading = |engine: usize| report.engines[engine].cold_start[0].weight_loading_seconds;
    assert_eq!((loading(0), loading(1)), (Some(41.5), None));
    assert!(report.engines[1].provenance.accelerators.is_empty());
}

#[test]
fn what_ran_before_an_engine_is_in_its_cold_start() {
    let mut facts = facts();
    facts.outcome.turns[0].steps = vec![StartStep {
        name: "build".into(),
        start_time: fixture::time(40).unwrap(),
        end_time: fixture::time(352).unwrap(),
        message: Some("built engine 0f9e8d7c".into()),
    }];
    let report = assemble(&plan(), &facts, measured());
    let [step] = &report.engines[0].cold_start[0].steps[..] else {
        panic!("{:?}", report.engines[0].cold_start)
    };
    assert_eq!((step.started_seconds, step.seconds), (40.0, 312.0));
    let page = crate::report::html::page(&report).unwrap();
    assert!(page.contains("(built engine 0f9e8d7c)"), "{page}");
    assert!(report.engines[1].cold_start[0].steps.is_empty());
}
