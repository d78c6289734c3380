use bakeoff_crds::{
    BenchmarkRun,
    manifests::names,
    plan::{Place, PlanSettings, resolve},
    profile::ProfileSet,
    run::status::{EnginePhase, RoundRestart, TurnStatus, condition},
};
use k8s_openapi::{apimachinery::pkg::apis::meta::v1::Time, jiff::Timestamp};

use super::*;
use crate::{
    observed::{Observed, Progress, StoredPlan},
    status::conditions,
};

fn key(name: &str) -> RunKey {
    ("bench".to_owned(), name.to_owned())
}

fn at(second: i64) -> Option<Time> {
    Some(Time(
        Timestamp::from_second(1_700_000_000 + second).unwrap(),
    ))
}

fn has(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line} in {text}");
    }
}

#[test]
fn metrics_have_stable_names_and_bounded_labels() {
    let metrics = Metrics::default();
    let (took, worked) = (Duration::from_millis(7), Duration::from_millis(2));
    metrics.reconciled(took, worked, Look::None, None);
    metrics.reconciled(took, worked, Look::Full, Some("apply"));
    metrics.requested("list", "pods".to_owned());
    metrics.set_leader(true);
    let runs = [
        (key("a"), RunPhase::Running),
        (key("b"), RunPhase::Running),
        (key("c"), RunPhase::Failed),
    ];
    let text = metrics.render(runs.into_iter()).unwrap();
    has(
        &text,
        &[
            "bakeoff_reconciliations_total 2",
            "bakeoff_reconcile_errors_total{reason=\"apply\"} 1",
            "bakeoff_reconcile_duration_seconds_count 2",
            "bakeoff_reconcile_own_seconds_count{look=\"full\"} 1",
            "bakeoff_reconcile_own_seconds_bucket{le=\"0.0025\",look=\"none\"} 1",
            "bakeoff_api_requests_total{verb=\"list\",resource=\"pods\"} 1",
            "bakeoff_runs{phase=\"Running\"} 2",
            "bakeoff_runs{phase=\"Failed\"} 1",
            "bakeoff_runs{phase=\"Complete\"} 0",
            "bakeoff_leader 1",
        ],
    );
    let later = metrics.render(std::iter::empty()).unwrap();
    has(&later, &["bakeoff_runs{phase=\"Running\"} 0"]);
}

fn turn(engine: &str, phase: EnginePhase, reason: Option<&str>) -> TurnStatus {
    TurnStatus {
        engine: engine.to_owned(),
        round: 1,
        phase,
        reason: reason.map(str::to_owned),
        ..TurnStatus::default()
    }
}

fn ended(kind: &str, reason: &str) -> BenchmarkRunStatus {
    let mut status = BenchmarkRunStatus {
        start_time: at(0),
        completion_time: at(90),
        ..BenchmarkRunStatus::default()
    };
    let now = Timestamp::UNIX_EPOCH;
    conditions::set(&mut status.conditions, kind, true, reason, "", now);
    status
}

#[test]
fn what_ends_is_counted_once_with_how_long_it_took() {
    let metrics = Metrics::default();
    let before = BenchmarkRunStatus {
        turns: vec![
            turn("a", EnginePhase::Freeing, None),
            turn("b", EnginePhase::Measuring, None),
        ],
        ..BenchmarkRunStatus::default()
    };
    let measured = TurnStatus {
        start_time: at(0),
        scheduled_time: at(4),
        image_pulled_time: at(20),
        image_was_present: Some(false),
        container_started_time: at(21),
        ready_time: at(60),
        end_time: at(80),
        ..turn("a", EnginePhase::Succeeded, None)
    };
    let mut after = BenchmarkRunStatus {
        turns: vec![
            measured,
            turn("b", EnginePhase::Failed, Some("EngineCrashed")),
            turn("c", EnginePhase::Skipped, Some("Aborted")),
        ],
        ..ended(condition::COMPLETE, "PartialFailure")
    };
    after.restarts.push(RoundRestart {
        round: 1,
        restart: 1,
        node_name: None,
        reason: "NodeLost".into(),
        message: String::new(),
        time: Time(Timestamp::UNIX_EPOCH),
    });
    metrics.saw(key("a"), &before, &after, Figures::default());
    // Nothing changed since.
    metrics.saw(key("a"), &after, &after, Figures::default());
    let text = metrics.render(std::iter::empty()).unwrap();
    has(
        &text,
        &[
            "bakeoff_runs_ended_total{outcome=\"Complete\",reason=\"PartialFailure\"} 1",
            "bakeoff_run_duration_seconds_sum{outcome=\"Complete\"} 90.0",
            "bakeoff_turns_ended_total{outcome=\"Succeeded\",reason=\"\"} 1",
            "bakeoff_turns_ended_total{outcome=\"Failed\",reason=\"EngineCrashed\"} 1",
            "bakeoff_turns_ended_total{outcome=\"Skipped\",reason=\"Aborted\"} 1",
            "bakeoff_turn_step_duration_seconds_sum{step=\"Scheduling\"} 4.0",
            "bakeoff_turn_step_duration_seconds_sum{step=\"ImagePull\"} 16.0",
            "bakeoff_turn_step_duration_seconds_sum{step=\"Startup\"} 39.0",
            "bakeoff_turn_step_duration_seconds_sum{step=\"Load\"} 20.0",
            "bakeoff_turn_step_duration_seconds_count{step=\"Load\"} 1",
            "bakeoff_rounds_restarted_total{reason=\"NodeLost\"} 1",
        ],
    );
}

#[test]
fn reasons_do_not_grow_without_bound() {
    let metrics = Metrics::default();
    let none = BenchmarkRunStatus::default();
    for number in 0..200 {
        let after = ended(condition::FAILED, &format!("Made{number}Up"));
        metrics.saw(key("a"), &none, &after, Figures::default());
    }
    let after = ended(condition::FAILED, "no word\n");
    metrics.saw(key("a"), &none, &after, Figures::default());
    let text = metrics.render(std::iter::empty()).unwrap();
    let series = text
        .lines()
        .filter(|line| line.starts_with("bakeoff_runs_ended_total"));
    assert_eq!(series.count(), 65, "{text}");
    has(
        &text,
        &[
            "bakeoff_runs_ended_total{outcome=\"Failed\",reason=\"Made63Up\"} 1",
            "bakeoff_runs_ended_total{outcome=\"Failed\",reason=\"Other\"} 137",
        ],
    );
}

fn observed() -> Observed {
    let run = "
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: l4, namespace: bench, uid: 0123456789}
spec:
  model: {id: demo/model}
  engines: [{name: a, profile: vllm}, {name: b, profile: vllm}]
  workload: {prompts: {inline: [one]}, sweep: {concurrency: [1]}}
  policy: {rounds: 2}
  output: {uri: 's3://results'}
";
    let run: BenchmarkRun = serde_saphyr::from_str(run).unwrap();
    let settings = PlanSettings {
        runner_image: "runner".into(),
        place: Place::Cluster,
    };
    Observed {
        plan: StoredPlan::Stored(std::sync::Arc::new(
            resolve(&run, &ProfileSet::builtin(), &settings).unwrap(),
        )),
        progress: Some(Progress {
            stages_done: 1,
            stages_planned: 4,
            ..Progress::default()
        }),
        ..Observed::default()
    }
}

#[test]
fn a_run_under_way_tells_where_it_is_until_it_ends() {
    let observed = observed();
    let StoredPlan::Stored(plan) = &observed.plan else {
        panic!("no plan")
    };
    let place = bakeoff_crds::manifests::turns(plan)[1];
    let mut status = BenchmarkRunStatus {
        start_time: at(0),
        turns: vec![
            turn("a", EnginePhase::Succeeded, None),
            TurnStatus {
                pod_name: Some(names::engine(plan, place)),
                ..turn("b", EnginePhase::Measuring, None)
            },
        ],
        ..BenchmarkRunStatus::default()
    };
    let now = Timestamp::UNIX_EPOCH;
    conditions::set(
        &mut status.conditions,
        condition::PROGRESSING,
        true,
        "Measuring",
        "",
        now,
    );
    let metrics = Metrics::default();
    let figures = Figures::new(&observed, &status);
    metrics.saw(key("l4"), &status, &status, figures);
    let render = |phase| metrics.render([(key("l4"), phase)].into_iter()).unwrap();
    let of = "run_namespace=\"bench\",run=\"l4\"";
    let text = render(RunPhase::Running);
    let pod = names::engine(plan, place);
    let job = names::runner(plan, place);
    for line in [
        format!("bakeoff_run_active{{{of},phase=\"Running\",step=\"Measuring\"}} 1"),
        format!("bakeoff_run_start_time_seconds{{{of}}} 1700000000.0"),
        format!(
            "bakeoff_run_turn{{{of},engine=\"b\",round=\"1\",engine_pod=\"{pod}\",runner_job=\"{job}\"}} 1"
        ),
        format!("bakeoff_run_turns{{{of},state=\"Planned\"}} 4"),
        format!("bakeoff_run_turns{{{of},state=\"Succeeded\"}} 1"),
        format!("bakeoff_run_turns{{{of},state=\"Failed\"}} 0"),
        format!("bakeoff_run_stages{{{of},state=\"Planned\"}} 4"),
        format!("bakeoff_run_stages{{{of},state=\"Done\"}} 1"),
    ] {
        has(&text, &[&line]);
    }
    assert!(!render(RunPhase::Complete).contains("run=\"l4\""));
    // What was known of it is forgotten with it.
    let again = render(RunPhase::Running);
    assert!(again.contains("bakeoff_run_active{"), "{again}");
    assert!(!again.contains("bakeoff_run_turn{"), "{again}");
}

#[test]
fn no_more_runs_are_told_of_than_a_prometheus_bears() {
    let metrics = Metrics::default();
    let runs = (0..1000).map(|number| (key(&format!("run-{number:04}")), RunPhase::Pending));
    let text = metrics.render(runs).unwrap();
    let series = text
        .lines()
        .filter(|line| line.starts_with("bakeoff_run_active{"));
    assert_eq!(series.count(), MOST_RUNS);
    has(&text, &["bakeoff_runs{phase=\"Pending\"} 1000"]);
}
