use std::sync::LazyLock;

use proptest::prelude::*;

use super::*;
use crate::{
    BenchmarkRun,
    plan::{Place, PlanSettings, resolve, stages::stages},
    profile::ProfileSet,
    report::{
        Goodput, ObjectiveResult, SearchEnd, SearchReport, Throughput, TokenCountSource, Verdict,
        VerdictReason,
    },
    run::{ObjectiveMetric, status::VerdictStatus},
};

/// A plan; its profiles are read once for all tests.
static BASE: LazyLock<Plan> = LazyLock::new(|| {
    let run = "
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: search}
spec:
  model: {id: demo/model}
  engines: [{name: fake, simulated: {protocol: OpenAiChat}}]
  workload: {prompts: {inline: [one]}}
  objectives: [{metric: TimeToFirstToken, percentile: 90, lessThan: 500ms}]
  output: {uri: 'file:///nowhere'}
";
    let run: BenchmarkRun = serde_saphyr::from_str(run).unwrap();
    let settings = PlanSettings {
        runner_image: "unused".into(),
        place: Place::Local,
    };
    resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
});

fn plan(sweep: &str) -> Plan {
    let mut plan = BASE.clone();
    plan.spec.workload.sweep = serde_saphyr::from_str(sweep).unwrap();
    plan.stages = stages(&plan.spec);
    plan.search = PlannedSearch::of(&plan.spec.workload.sweep);
    plan
}

/// A stage as an engine drives it whose time to first token depends on the load alone.
fn driven(stage: &Stage, time_to_first_token: Option<f64>) -> StageReport {
    StageReport {
        name: stage.name.clone(),
        round: 1,
        repetition: 1,
        attempt: 1,
        load: stage.load.clone(),
        goodput: Some(Goodput {
            objectives: vec![ObjectiveResult {
                metric: ObjectiveMetric::TimeToFirstToken,
                percentile: 90.0,
                less_than_seconds: 0.5,
                value_seconds: time_to_first_token,
                met: time_to_first_token.map(|value| value < 0.5),
            }],
            ..Goodput::default()
        }),
        ..StageReport::default()
    }
}

fn load(stage: &Stage) -> f64 {
    stage
        .load
        .rate
        .or(stage.load.concurrency.map(f64::from))
        .unwrap()
}

/// Drives a plan on an engine until the search says that it is over.
fn drive(plan: &Plan, engine: impl Fn(&Stage) -> StageReport) -> Vec<StageReport> {
    let mut stages: Vec<StageReport> = Vec::new();
    while let Some(next) = plan.next_stage(&stages.iter().collect::<Vec<_>>()) {
        stages.push(engine(&next.stage));
        assert!(stages.len() <= plan.stages_at_most() as usize, "{stages:?}");
    }
    stages
}

fn found(plan: &Plan, stages: &[StageReport]) -> SearchReport {
    answer(plan, 1, 1, &stages.iter().collect::<Vec<_>>()).unwrap()
}

/// An engine that meets the objectives up to a load.
fn bears(threshold: f64) -> impl Fn(&Stage) -> StageReport {
    move |stage| {
        driven(
            stage,
            Some(if load(stage) <= threshold { 0.1 } else { 2.0 }),
        )
    }
}

#[test]
fn a_search_brackets_and_then_halves() {
    let plan = plan("{search: {requestRate: {min: 1, max: 64}, precision: 0.1}}");
    let stages = drive(&plan, bears(11.0));
    let names: Vec<_> = stages.iter().map(|stage| stage.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "rate-1",
            "rate-2.144",
            "rate-4.595",
            "rate-9.85",
            "rate-21.11",
            "rate-14.42",
            "rate-11.92",
            "rate-10.83"
        ]
    );
    let answer = found(&plan, &stages);
    assert_eq!(
        (answer.best, answer.first_failing),
        (Some(10.83), Some(11.92))
    );
    assert_eq!((answer.end, answer.stages), (SearchEnd::Found, 8));
    assert_eq!(answer.best_stage.as_deref(), Some("rate-10.83"));
    assert!(
        answer.message.contains("was 2.000 s, not under 0.5 s"),
        "{}",
        answer.message
    );
    assert!(plan.stages_at_most() >= 8 && plan.stages_at_most() <= 10);
}

#[test]
fn a_search_without_an_answer_says_why() {
    let plan = plan("{search: {concurrency: {min: 2, max: 32}}}");
    let all = drive(&plan, bears(1000.0));
    let answer = found(&plan, &all);
    assert_eq!((answer.end, answer.best), (SearchEnd::AtLimit, Some(32.0)));
    assert!(
        answer.message.contains("raise its max"),
        "{}",
        answer.message
    );

    let none = drive(&plan, bears(1.0));
    let answer = found(&plan, &none);
    assert_eq!(
        (answer.end, answer.best, none.len()),
        (SearchEnd::BelowMinimum, None, 1)
    );
    assert_eq!(answer.first_failing, Some(2.0));
    assert!(
        answer.message.contains("lower its min"),
        "{}",
        answer.message
    );

    let unclear = drive(&plan, |stage| {
        driven(stage, (load(stage) < 8.0).then_some(0.1))
    });
    let answer = found(&plan, &unclear);
    assert_eq!((answer.end, answer.best), (SearchEnd::Unclear, Some(4.0)));
    assert!(
        answer.message.contains("too few answers"),
        "{}",
        answer.message
    );

    let cut = found(&plan, &all[..2]);
    assert_eq!((cut.end, cut.best), (SearchEnd::Incomplete, None));
}

#[test]
fn failures_of_the_engine_are_misses_and_those_of_the_client_are_unclear() {
    let plan = plan("{search: {requestRate: {min: 1, max: 64}}}");
    let with = |reason: &str, status| {
        drive(&plan, |stage| StageReport {
            verdict: Verdict::of(vec![VerdictReason {
                reason: reason.into(),
                message: "x".into(),
                status,
            }]),
            ..driven(stage, Some(0.1))
        })
    };
    for (reason, status, end) in [
        (
            "ErrorRateExceeded",
            VerdictStatus::Invalid,
            SearchEnd::BelowMinimum,
        ),
        (
            "NoRequests",
            VerdictStatus::Invalid,
            SearchEnd::BelowMinimum,
        ),
        (
            "ClientThrottled",
            VerdictStatus::Invalid,
            SearchEnd::Unclear,
        ),
        ("ScheduleDelay", VerdictStatus::Suspect, SearchEnd::AtLimit),
    ] {
        assert_eq!(found(&plan, &with(reason, status)).end, end, "{reason}");
    }
}

/// An engine whose throughput grows with the concurrency up to a bound.
fn saturates(bound: f64) -> impl Fn(&Stage) -> StageReport {
    move |stage| StageReport {
        throughput: Throughput {
            output_tokens_per_second: (load(stage) * 10.0).min(bound),
            ..Throughput::default()
        },
        token_count_source: TokenCountSource::Server,
        ..driven(stage, Some(0.1))
    }
}

#[test]
fn a_knee_is_the_last_doubling_that_gains() {
    let plan = plan("{knee: {}}");
    assert_eq!(plan.stages_at_most(), 11);
    // 160 at 16, 170 at 32: 6 % are not enough.
    let stages = drive(&plan, saturates(170.0));
    let answer = found(&plan, &stages);
    assert_eq!(
        (answer.best, answer.first_failing),
        (Some(16.0), Some(32.0))
    );
    assert_eq!((answer.end, answer.stages), (SearchEnd::Found, 6));
    let endless = drive(&plan, saturates(f64::INFINITY));
    let answer = found(&plan, &endless);
    assert_eq!(
        (answer.end, answer.best),
        (SearchEnd::AtLimit, Some(1024.0))
    );
    let dead = found(&plan, &drive(&plan, saturates(0.0)));
    assert_eq!((dead.end, dead.best), (SearchEnd::Unclear, None));
}

#[test]
fn a_round_has_as_many_stages_as_its_searches_took() {
    let mut plan = plan("{knee: {}}");
    plan.spec.workload.repetitions = 2;
    let mut stages = drive(&plan, saturates(170.0));
    assert_eq!(plan.stages_in_round(&[]), 22);
    assert_eq!(plan.stages_in_round(&stages), 6 + 11);
    let again = stages.clone().into_iter();
    stages.extend(again.map(|stage| StageReport {
        repetition: 2,
        ..stage
    }));
    assert_eq!(plan.stages_in_round(&stages), 12);
}

#[test]
fn the_same_load_has_one_number_and_the_prompts_go_on() {
    let plan = plan("{search: {concurrency: {min: 1, max: 64}}}");
    let mut numbers = std::collections::BTreeMap::new();
    for threshold in [3.0, 20.0, 50.0] {
        let mut stages: Vec<StageReport> = Vec::new();
        let mut requests = 0;
        while let Some(next) = plan.next_stage(&stages.iter().collect::<Vec<_>>()) {
            let number = *numbers
                .entry(next.stage.name.clone())
                .or_insert(next.number);
            assert_eq!(number, next.number, "{}", next.stage.name);
            assert_eq!(requests, next.requests_before);
            if let crate::plan::StageEnd::Requests(of_it) = next.stage.end {
                requests += of_it;
            }
            stages.push(bears(threshold)(&next.stage));
        }
    }
}

proptest! {
    #[test]
    fn a_search_finds_the_threshold_of_a_monotone_engine(
        min in 0.01..10.0_f64,
        times in 1.5..2000.0_f64,
        precision in 0.01..1.0_f64,
        place in -0.1..1.1_f64,
        whole: bool,
    ) {
        let (low, high) = if whole { (min.ceil(), (min.ceil() * times).ceil()) } else { (min, min * times) };
        let variable = if whole { "concurrency" } else { "requestRate" };
        let plan = plan(&format!("{{search: {{{variable}: {{min: {low}, max: {high}}}, precision: {precision}}}}}"));
        let threshold = low * (high / low).powf(place);
        let stages = drive(&plan, bears(threshold));
        let answer = found(&plan, &stages);
        match answer.end {
            SearchEnd::Found => {
                let (best, failing) = (answer.best.unwrap(), answer.first_failing.unwrap());
                prop_assert!(best <= threshold && threshold < failing);
                // Rounded to four digits, or to whole numbers.
                prop_assert!(failing <= best * (1.0 + precision) * 1.0011 || (whole && failing <= best * (1.0 + precision) + 2.0), "{best} {failing}");
            }
            SearchEnd::AtLimit => prop_assert!(threshold >= high && answer.best == Some(high)),
            SearchEnd::BelowMinimum => prop_assert!(threshold < low * 1.0006),
            other => prop_assert!(false, "{other:?}"),
        }
    }

    /// After a kill, the stages come back in whatever order the store lists them.
    #[test]
    fn a_search_goes_on_from_its_stored_stages(threshold in 0.5..80.0_f64, kept in 0..20_usize, seed: u64) {
        let plan = plan("{search: {requestRate: {min: 1, max: 64}}}");
        let whole = drive(&plan, bears(threshold));
        let kept = kept.min(whole.len());
        let mut stored: Vec<&StageReport> = whole[..kept].iter().collect();
        stored.sort_by_key(|stage| stage.name.len() as u64 ^ seed.rotate_left(stage.name.as_bytes()[5].into()));
        let next = plan.next_stage(&stored).map(|next| next.stage.name);
        prop_assert_eq!(next.as_ref(), whole.get(kept).map(|stage| &stage.name));
    }

    /// Also where the engine is anything but monotone.
    #[test]
    fn a_search_ends_on_any_engine(answers in proptest::collection::vec(proptest::option::of(any::<bool>()), 64), precision in 0.01..1.0_f64) {
        let plan = plan(&format!("{{search: {{requestRate: {{min: 1, max: 900}}, precision: {precision}}}}}"));
        let stages = drive(&plan, |stage| {
            let place = (load(stage) * 7919.0) as usize % answers.len();
            driven(stage, answers[place].map(|good| if good { 0.1 } else { 2.0 }))
        });
        prop_assert_ne!(found(&plan, &stages).end, SearchEnd::Incomplete);
    }
}
