//! What engines found in their prefix caches.

use bakeoff_crds::{
    plan::Plan,
    report::{CacheReport, CacheReset, EngineReport, FairnessFinding},
    run::CachePolicy,
};

use super::{differs, unknown};
use crate::report::format;

/// One finding for each engine at the most.
pub fn prefix_cache(plan: &Plan, engines: &[&EngineReport]) -> Vec<FairnessFinding> {
    engines
        .iter()
        .filter_map(|engine| finding(plan, engine))
        .collect()
}

fn finding(plan: &Plan, engine: &EngineReport) -> Option<FairnessFinding> {
    let name = Some(engine.name.as_str());
    let stages = || {
        let stages = engine.stages.iter();
        stages.filter_map(|stage| Some((stage.name.as_str(), stage.cache.as_ref()?)))
    };
    let first = |is: fn(&CacheReport) -> bool| stages().find(|(_, cache)| is(cache));
    if let Some((stage, cache)) = first(|cache| cache.reset == Some(CacheReset::Failed)) {
        let cause = cache.failure.as_deref().unwrap_or_default();
        let message = format!("its prefix cache was not emptied before {stage}: {cause}");
        return Some(differs(name, message));
    }
    if let Some((stage, cache)) = first(|cache| cache.contaminated) {
        let message = format!(
            "at {stage} it found {} of the prompts' tokens in its prefix cache, more than the {} that \
             prompts of the stage have in common: what was sent before helped it",
            format::percent(cache.hit_rate.unwrap_or_default()),
            format::percent(cache.explained.unwrap_or_default()),
        );
        return Some(differs(name, message));
    }
    if switched_off(plan, engine) {
        return None;
    }
    let emptied = |cache: &CacheReport| cache.reset != Some(CacheReset::NoCall);
    if plan.spec.workload.cache_policy == CachePolicy::Cold
        && !stages().all(|(_, cache)| emptied(cache))
    {
        let message = "its prefix cache cannot be emptied, as workload.cachePolicy asks";
        return Some(differs(name, message));
    }
    let told = stages().any(|(_, cache)| cache.hit_rate.is_some());
    (!told).then(|| unknown(name, "what it found in a prefix cache is not known"))
}

/// Whether the engine was told to keep no prefixes.
fn switched_off(plan: &Plan, engine: &EngineReport) -> bool {
    let own = plan.spec.engines.iter().find(|it| it.name == engine.name);
    let deployed = own.is_some_and(|own| own.profile.is_some());
    let own = own.and_then(|own| own.tuning.as_ref()?.prefix_caching);
    deployed && own.or(plan.spec.tuning.prefix_caching) == Some(false)
}
