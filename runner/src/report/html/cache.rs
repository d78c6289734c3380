//! The prefix cache over a stage, in words.

use bakeoff_crds::{
    report::{CacheReset, StageReport},
    run::CachePolicy,
};

use crate::report::format;

/// What was done to the cache and what it gave; none where nothing is known.
pub fn line(stage: &StageReport) -> Option<String> {
    let cache = stage.cache.as_ref()?;
    let before = match (cache.policy, cache.reset) {
        (CachePolicy::AsIs, _) => "left as it was".to_owned(),
        (_, Some(CacheReset::Emptied)) => "emptied before".to_owned(),
        (_, Some(CacheReset::Failed)) => "not emptied, for the engine refused".to_owned(),
        (CachePolicy::Cold, _) => "not emptied, for the engine has no call for it".to_owned(),
        (CachePolicy::Warm, _) => {
            let requests = cache.filled_by.unwrap_or_default();
            format!("filled before by {} requests", format::count(requests))
        }
    };
    let found = cache.hit_rate.map_or_else(
        || "what it gave is not known".to_owned(),
        |hits| {
            format!(
                "{} of the prompts' tokens were in it",
                format::percent(hits)
            )
        },
    );
    Some(format!("prefix cache {before}; {found}"))
}
