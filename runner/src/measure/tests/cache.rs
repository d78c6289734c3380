//! The prefix cache between stages, against simulated engines that count theirs.

use bakeoff_crds::{
    profile::ProfileSet,
    report::{CacheReport, CacheReset},
};

use super::*;
use crate::simulate::{Engine, SimulatorConfig};

const PLAN: &str = "
  model: {id: demo/model}
  engines:
    - {name: fake, simulated: {protocol: PROTOCOL, timeToFirstToken: 40ms, interTokenLatency: 1ms}}
  workload:
    prompts: {inline: [ONE, TWO, THREE]}
    limits: {maxOutputTokens: 2}
    warmup: {requests: 0}
    sweep: {stages: [{name: first, concurrency: 1}, {name: second, concurrency: 1}]}
    requestsPerStage: 3
    cachePolicy: POLICY
  metrics: {interval: 10ms}
  runner: {calibration: Never}
  output: {uri: 'file:///nowhere'}
";

/// A plan whose prompts have forty words each, and none in common.
fn plan_with(protocol: &str, policy: &str) -> Plan {
    let words = |letter: char| (0..40).map(move |at| format!("{letter}{at}"));
    let prompt = |letter| words(letter).collect::<Vec<_>>().join(" ");
    let plan = PLAN.replace("PROTOCOL", protocol).replace("POLICY", policy);
    planned(
        &plan
            .replace("ONE", &prompt('a'))
            .replace("TWO", &prompt('b'))
            .replace("THREE", &prompt('c')),
    )
}

/// What was found in the cache, stage by stage, and what the verdict says of it.
async fn caches(plan: &Plan, dev_mode: bool) -> Vec<(CacheReport, Vec<String>)> {
    caches_of(plan, |config| config.dev_mode = dev_mode).await
}

async fn caches_of(
    plan: &Plan,
    set: impl FnOnce(&mut SimulatorConfig),
) -> Vec<(CacheReport, Vec<String>)> {
    let EngineSource::Simulated(simulated) = &plan.engines[0].source else {
        panic!("{:?}", plan.engines[0].source);
    };
    let mut config = SimulatorConfig::new(simulated, &plan.engines[0].endpoint.model);
    set(&mut config);
    let server = simulate::start_with(config).unwrap();
    let result = measure_at(plan, &server.url, &Store::in_memory(), Arc::default()).await;
    assert!(result.error.is_none(), "{:?}", result.error);
    let of_stage = |stage: StageReport| {
        let reasons = stage.verdict.reasons.into_iter().map(|it| it.reason);
        let of_cache = reasons.filter(|reason| reason.starts_with("Cache"));
        (stage.cache.unwrap(), of_cache.collect())
    };
    result.stages.into_iter().map(of_stage).collect()
}

#[tokio::test]
async fn a_cold_cache_gives_nothing() {
    for (cache, reasons) in caches(&plan_with("OpenAiCompletions", "Cold"), true).await {
        assert_eq!(cache.reset, Some(CacheReset::Emptied));
        assert_eq!((cache.hit_rate, cache.contaminated), (Some(0.0), false));
        assert_eq!(reasons, Vec::<String>::new());
    }
}

#[tokio::test]
async fn a_cache_that_was_not_emptied_makes_its_stage_doubtful() {
    let found = caches(&plan_with("OpenAiCompletions", "Cold"), false).await;
    for (cache, reasons) in &found {
        assert_eq!(cache.reset, Some(CacheReset::Failed));
        let cause = cache.failure.as_deref().unwrap();
        assert!(cause.contains("/reset_prefix_cache: HTTP 404"), "{cause}");
        assert_eq!(*reasons, ["CacheNotEmptied"]);
    }
    // Whole blocks of 32 of 40 tokens of every prompt, which the first stage had sent.
    let last = &found.last().unwrap().0;
    assert!((last.hit_rate.unwrap() - 0.8).abs() < 1e-9, "{last:?}");
    assert!(last.contaminated);
}

#[tokio::test]
async fn a_warm_cache_holds_what_the_stage_sends() {
    for (cache, reasons) in caches(&plan_with("OpenAiCompletions", "Warm"), true).await {
        assert_eq!((cache.filled_by, cache.reset), (Some(3), None));
        assert!((cache.hit_rate.unwrap() - 0.8).abs() < 1e-9, "{cache:?}");
        assert_eq!((cache.contaminated, reasons), (false, Vec::new()));
    }
}

#[tokio::test]
async fn a_cache_that_is_left_alone_is_told_of_and_not_judged() {
    let found = caches(&plan_with("OpenAiCompletions", "AsIs"), true).await;
    let (last, reasons) = found.last().unwrap();
    assert_eq!((last.reset, last.filled_by), (None, None));
    assert!(
        last.contaminated && reasons.is_empty(),
        "{last:?} {reasons:?}"
    );
}

/// By the call and the metric names of its built-in profile, and without leave in its environment.
#[tokio::test]
async fn sglangs_cache_is_emptied_by_its_own_call() {
    for (policy, reset, last_rate) in [
        ("Cold", Some(CacheReset::Emptied), 0.0),
        ("AsIs", None, 0.8),
    ] {
        let mut plan = plan_with("OpenAiCompletions", policy);
        let profile = ProfileSet::builtin().get("sglang").unwrap().clone();
        let engine = &mut plan.engines[0];
        engine.cache_reset = profile.cache_reset.filter(|_| policy == "Cold");
        engine.version = profile.version;
        engine.metrics.as_mut().unwrap().series = profile.metrics.unwrap().series;
        let found = caches_of(&plan, |config| {
            config.engine = Engine::SgLang;
            config.dev_mode = false;
        });
        let found = found.await;
        let last = &found.last().unwrap().0;
        assert_eq!(last.reset, reset, "{last:?}");
        assert!(
            (last.hit_rate.unwrap() - last_rate).abs() < 1e-9,
            "{last:?}"
        );
    }
}

#[tokio::test]
async fn an_engine_without_a_call_is_named() {
    let plan = plan_with("LlamaCpp", "Cold");
    assert_eq!(plan.engines[0].cache_reset, None);
    for (cache, reasons) in caches(&plan, true).await {
        assert_eq!(cache.reset, Some(CacheReset::NoCall));
        assert_eq!((cache.hit_rate, reasons), (None, Vec::new()));
    }
}
