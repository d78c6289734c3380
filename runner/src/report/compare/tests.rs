use super::*;
use crate::report::fixture::{engine, invalid, stage};
use crate::report::measure::COST;

fn stages() -> Vec<String> {
    ["concurrency-1", "concurrency-8"]
        .map(String::from)
        .to_vec()
}

/// Engines with throughputs and times to first token at concurrency 8.
fn engines(values: &[(&str, &[(f64, f64)])]) -> Vec<EngineReport> {
    values
        .iter()
        .map(|(name, samples)| {
            let samples = samples.iter();
            engine(
                name,
                samples
                    .map(|(tokens, ttft)| stage(8, *tokens, *ttft))
                    .collect(),
            )
        })
        .collect()
}

fn said(values: &[(&str, &[(f64, f64)])]) -> String {
    compare(&engines(values), &stages()).sentence
}

#[test]
fn says_who_is_best_at_what_and_how_sure_that_is() {
    // Steady figures are 5 % over those of the whole stage, 2 % on either side; times to first
    // token 3 %. Within one measurement: ln 1.234 = 0.2103, give or take 0.02 * sqrt 2.
    assert_eq!(
        said(&[("tgi", &[(1000.0, 0.040)]), ("vllm", &[(1234.0, 0.050)])]),
        "vllm has the highest output throughput: 1,296 tokens/s at concurrency-8, 23 % more than \
         tgi (95 % CI 20 to 27 %, within one measurement); tgi has the lowest median time to first \
         token there: 40.0 ms, 20 % less than vllm (95 % CI 17 to 23 %, within one measurement). \
         Throughput is that of the steady state."
    );
}

#[test]
fn rounds_are_paired_and_said_without_a_reserve() {
    let mut engines = engines(&[
        ("a", &[(1120.0, 0.04), (1008.0, 0.04), (1232.0, 0.04)]),
        ("b", &[(1000.0, 0.04), (901.0, 0.04), (1099.0, 0.04)]),
    ]);
    for engine in &mut engines {
        for (round, stage) in (1..).zip(&mut engine.stages) {
            stage.round = round;
        }
    }
    let comparison = compare(&engines, &stages());
    let sentence = &comparison.sentence;
    assert!(
        sentence.starts_with(
            "a has the highest output throughput: 1,176 tokens/s at concurrency-8, 12 % more than b \
             (95 % CI 11.7 to 12.3 %); no difference in median time to first token there is shown \
             between a (40.0 ms) and b (40.0 ms): 0 % (95 % CI 0.0 to 0.0 %)."
        ),
        "{sentence}"
    );
    let best = &comparison.best[0];
    let difference = best.difference.unwrap();
    assert_eq!(
        difference.method,
        Some(bakeoff_crds::report::IntervalMethod::Rounds)
    );
    assert_eq!(
        (best.lead, best.basis),
        (Some(difference.value), Basis::SteadyState)
    );
}

#[test]
fn the_cheapest_is_named_each_at_its_best_load() {
    let mut engines = vec![
        engine("node", vec![stage(1, 100.0, 0.02), stage(8, 1000.0, 0.05)]),
        engine("hosted", vec![stage(1, 200.0, 0.02), stage(8, 900.0, 0.05)]),
        engine("free", vec![stage(8, 1100.0, 0.05)]),
    ];
    let costs = |engine: &mut EngineReport, costs: &[f64]| {
        for (stage, cost) in engine.stages.iter_mut().zip(costs) {
            stage.cost = Some(bakeoff_crds::report::Cost {
                per_million_output_tokens: Some(*cost),
                ..Default::default()
            });
        }
    };
    costs(&mut engines[0], &[2.0, 0.2]);
    let sentence = |engines: &[EngineReport]| compare(engines, &stages()).sentence;
    assert!(
        sentence(&engines)
            .ends_with(" node costs 0.200 per million output tokens at concurrency-8."),
        "{}",
        sentence(&engines)
    );
    costs(&mut engines[1], &[0.25, 0.26]);
    assert!(
        sentence(&engines).ends_with(
            " node is the cheapest: 0.200 per million output tokens at concurrency-8, 20 % less \
             than hosted (0.250 per million output tokens at concurrency-1) (one measurement each; \
             how much it varies is not known)."
        ),
        "{}",
        sentence(&engines)
    );
    let comparison = compare(&engines, &stages());
    let best = |stage: &str| {
        let mut best = comparison.best.iter();
        let best = best.find(|best| best.measure == COST.name && best.stage == stage);
        best.map(|best| best.engine.clone()).unwrap()
    };
    assert_eq!(
        (best("concurrency-1"), best("concurrency-8")),
        ("hosted".into(), "node".into())
    );
}

#[test]
fn says_when_there_is_nothing_to_compare() {
    assert_eq!(
        said(&[("vllm", &[(1000.0, 0.05)])]),
        "vllm reaches 1,050 tokens/s at concurrency-8; its median time to first token there is \
         50.0 ms. There is no other engine to compare it with. Throughput is that of the steady \
         state."
    );
    assert!(
        said(&[("vllm", &[(1000.0, 0.05)]), ("tgi", &[])])
            .contains("No other engine gave a result that can be used, so nothing is compared.")
    );
    assert!(said(&[("vllm", &[])]).starts_with("No engine gave a result"));
}

#[test]
fn claims_no_lead_within_noise() {
    for (ours, theirs, clear) in [
        // Apart, by more than a single measurement's doubt.
        (&[1100.0][..], &[1000.0][..], true),
        // A single measurement each, and close.
        (&[1030.0], &[1000.0], false),
        // Repeated: the intervals decide.
        (&[1030.0, 1028.0], &[1000.0, 1002.0], true),
        (&[1200.0, 990.0], &[1000.0, 1002.0], false),
        (&[1200.0, 1210.0], &[1000.0], true),
    ] {
        let samples = |values: &[f64]| values.iter().map(|v| (*v, 0.05)).collect::<Vec<_>>();
        let engines = engines(&[("a", &samples(ours)), ("b", &samples(theirs))]);
        let comparison = compare(&engines, &stages());
        let best = &comparison.best[0];
        assert_eq!(
            (best.measure.as_str(), best.engine.as_str()),
            ("outputTokensPerSecond", "a")
        );
        assert_eq!(best.lead.is_some(), clear, "{ours:?} {theirs:?}");
        assert_eq!(best.difference.unwrap().shown, clear);
        assert_eq!(best.runner_up.as_deref(), Some("b"));
        let unclear = comparison
            .sentence
            .starts_with("No difference in output throughput is shown between");
        assert_eq!(unclear, !clear, "{}", comparison.sentence);
    }
}

#[test]
fn a_saturated_engines_latencies_take_no_part() {
    let mut engines = engines(&[("a", &[(2000.0, 0.001)]), ("b", &[(1000.0, 0.05)])]);
    let stage = &mut engines[0].stages[0];
    stage.steady_state = None;
    stage.no_steady_state = Some(bakeoff_crds::report::NoSteadyState {
        reason: NoSteadyReason::Saturated,
        message: String::new(),
    });
    let comparison = compare(&engines, &stages());
    let best = |measure: &str| {
        let found = comparison
            .best
            .iter()
            .find(|best| best.measure == measure)
            .unwrap();
        (found.engine.as_str(), found.basis)
    };
    assert_eq!(best("outputTokensPerSecond"), ("a", Basis::WholeStage));
    assert_eq!(best("timeToFirstTokenP50"), ("b", Basis::WholeStage));
    assert_eq!(comparison.notes.len(), 1);
    assert!(comparison.notes[0].starts_with("At concurrency-8 requests came faster than a"));
}

#[test]
fn names_of_intervals_are_names_of_measures() {
    let stage = stage(8, 1000.0, 0.05);
    let steady = stage.steady_state.unwrap();
    for name in stage.intervals.keys().chain(steady.intervals.keys()) {
        assert!(
            MEASURES.iter().any(|measure| measure.name == name),
            "{name}"
        );
    }
}

#[test]
fn invalid_stages_take_no_part() {
    let mut engines = engines(&[("a", &[(9000.0, 0.001)]), ("b", &[(1000.0, 0.05)])]);
    engines[0].stages[0].verdict = invalid("ErrorRateExceeded");
    let comparison = compare(&engines, &stages());
    assert!(comparison.best.iter().all(|best| best.engine == "b"));
    assert!(
        comparison.sentence.starts_with("b reaches"),
        "{}",
        comparison.sentence
    );
}

#[test]
fn falls_back_to_requests_where_tokens_are_unknown() {
    let mut engines = engines(&[("a", &[(2000.0, 0.05)]), ("b", &[(1000.0, 0.05)])]);
    engines[1].stages[0].token_count_source = Default::default();
    let sentence = compare(&engines, &stages()).sentence;
    assert!(
        sentence.starts_with("a has the highest request throughput: "),
        "{sentence}"
    );
}
