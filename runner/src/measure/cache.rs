//! The engine's prefix cache between stages: emptied or filled, as the run says, and what it gave.

use std::{collections::BTreeMap, sync::Arc};

use bakeoff_crds::{
    plan::{Load as StageLoad, Stage, StageEnd},
    report::{CacheReport, CacheReset, EngineMetric, StageReport, Verdict, VerdictReason},
    run::{CachePolicy, status::VerdictStatus},
};

use super::{
    Client, MeasureError, check,
    load::{Load, run},
    stage::Place,
};
use crate::{drive::Script, prompt::Prompt, record::Record};

/// Share of hits beyond what the stage itself explains that is let pass: blocks of a cache and bytes
/// of a text do not end in the same places.
const TOLERANCE: f64 = 0.05;
/// Requests in flight while a cache is filled.
const FILLING: u32 = 8;

/// Does to the cache what the policy asks for. A cache that cannot be emptied is told of, and the
/// stage is driven all the same.
pub(super) async fn prepare(
    client: &Client<'_>,
    load: &Load,
    engine: &check::Engine<'_>,
    place: &Place<'_>,
) -> Result<CacheReport, MeasureError> {
    let policy = client.plan.spec.workload.cache_policy;
    let mut report = CacheReport {
        policy,
        ..CacheReport::default()
    };
    match (policy, &client.engine.cache_reset) {
        (CachePolicy::AsIs, _) => {}
        (CachePolicy::Cold, None) => report.reset = Some(CacheReset::NoCall),
        (CachePolicy::Cold, Some(call)) => match engine.call(call).await {
            Ok(()) => report.reset = Some(CacheReset::Emptied),
            Err(cause) => {
                tracing::warn!(%cause, "the engine's prefix cache was not emptied");
                report.reset = Some(CacheReset::Failed);
                report.failure = Some(cause);
            }
        },
        (CachePolicy::Warm, _) => report.filled_by = Some(fill(client, load, place).await?),
    }
    Ok(report)
}

/// Sends the stage's prompts once, for one token each; gives how many were answered.
async fn fill(client: &Client<'_>, load: &Load, place: &Place<'_>) -> Result<u64, MeasureError> {
    let together = load.writer.codec.prompts_per_request();
    let prompts: Vec<Prompt> = client
        .prompts
        .iter()
        .map(|prompt| Prompt {
            max_tokens: 1,
            ..prompt.clone()
        })
        .collect();
    let requests: Vec<Vec<&Prompt>> = prompts
        .chunks(together)
        .map(|chunk| {
            prompts
                .iter()
                .cycle()
                .skip(chunk.first().map_or(0, |it| it.index as usize))
        })
        .map(|from| from.take(together).collect())
        .collect();
    let all = requests.len() as u64;
    // Arrivals that are conversations do not tell which prompts a stage takes.
    let (first, wanted) = match place.stage.end {
        StageEnd::Requests(wanted) if !load.script.has_conversations() => {
            (place.requests_before % all.max(1), wanted.min(all))
        }
        _ => (0, all),
    };
    let taken = requests
        .iter()
        .cycle()
        .skip(first as usize)
        .take(wanted as usize);
    let names = 0..load.writer.codec.names();
    let written = taken
        .flat_map(|prompts| names.clone().map(move |name| (prompts, name)))
        .map(|(prompts, name)| load.writer.request(prompts, name))
        .collect::<Result<Vec<_>, _>>()?;
    let stage = Stage {
        name: "fill".into(),
        load: StageLoad {
            concurrency: Some(FILLING),
            ..StageLoad::default()
        },
        end: StageEnd::Requests(written.len() as u64),
    };
    let mut input = load.stage(client, &stage);
    input.script = Arc::new(Script::of_requests(written));
    let driven = run(input, &client.progress).await?;
    let answered = driven
        .records
        .iter()
        .filter(|record| Record::succeeded(record));
    Ok(answered.count() as u64)
}

/// Writes into a stage's report what the cache gave, and judges it: by policy Cold nothing of before
/// may be found. Whatever the policy, what was found is told.
pub(crate) fn judge(stage: &mut StageReport, mut cache: CacheReport, prompts: &[Prompt]) {
    cache.hit_rate = hit_rate(&stage.engine_metrics);
    if cache.policy != CachePolicy::Warm
        && let Some(hits) = cache.hit_rate.filter(|hits| *hits > TOLERANCE)
    {
        let explained = explained(prompts, stage.requests.intended);
        cache.contaminated = hits > explained + TOLERANCE;
        cache.explained = Some(explained);
    }
    if let Some(reason) = reason(&cache) {
        let mut reasons = std::mem::take(&mut stage.verdict.reasons);
        reasons.push(reason);
        stage.verdict = Verdict::of(reasons);
    }
    let silent = cache.policy == CachePolicy::AsIs && cache.hit_rate.is_none();
    stage.cache = (!silent).then_some(cache);
}

fn reason(cache: &CacheReport) -> Option<VerdictReason> {
    if cache.policy != CachePolicy::Cold {
        return None;
    }
    let (reason, message) = if cache.reset == Some(CacheReset::Failed) {
        let cause = cache.failure.as_deref().unwrap_or_default();
        (
            "CacheNotEmptied",
            format!("the engine's prefix cache was to be empty and was not emptied: {cause}"),
        )
    } else if cache.contaminated {
        (
            "CacheContaminated",
            format!(
                "the engine found {:.0} % of the prompts' tokens in its prefix cache, which was to be \
                 empty; the stage's own prompts explain {:.0} %. Raise workload.prompts.count, so that no \
                 prompt comes in two stages",
                cache.hit_rate.unwrap_or_default() * 100.0,
                cache.explained.unwrap_or_default() * 100.0
            ),
        )
    } else {
        return None;
    };
    Some(VerdictReason {
        reason: reason.into(),
        message,
        status: VerdictStatus::Suspect,
    })
}

/// By the runner's own scrape, else by Prometheus'.
fn hit_rate(metrics: &BTreeMap<String, EngineMetric>) -> Option<f64> {
    let increase = |name: &str| {
        let metric = metrics.get(name)?;
        let direct = metric.direct.as_ref().and_then(|value| value.increase);
        direct.or_else(|| metric.prometheus.as_ref()?.increase)
    };
    let (hits, queries) = (
        increase("prefixCacheHits")?,
        increase("prefixCacheQueries")?,
    );
    (queries > 0.0).then(|| (hits / queries).clamp(0.0, 1.0))
}

/// Share of a stage's prompts that a cache can hold though it was empty before: what of each prompt
/// also begins another one, and prompts that came again.
fn explained(prompts: &[Prompt], requests: u64) -> f64 {
    let mut texts: Vec<&str> = prompts.iter().map(|prompt| prompt.text.as_str()).collect();
    texts.sort_unstable();
    let common = |one: &str, other: &str| {
        let pairs = one.bytes().zip(other.bytes());
        pairs.take_while(|(a, b)| a == b).count()
    };
    // In order, what has most in common with a text stands beside it.
    let mut shared = vec![0; texts.len()];
    for (place, pair) in texts.windows(2).enumerate() {
        if let [one, other] = pair {
            let length = common(one, other);
            for place in [place, place + 1] {
                if let Some(known) = shared.get_mut(place) {
                    *known = length.max(*known);
                }
            }
        }
    }
    let whole: usize = texts.iter().map(|text| text.len()).sum();
    let shared = shared.iter().sum::<usize>() as f64 / whole.max(1) as f64;
    let again = 1.0 - (prompts.len() as f64 / requests.max(1) as f64).min(1.0);
    again + (1.0 - again) * shared
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::report::{MetricValue, Requests};

    use super::*;

    fn prompts(texts: &[&str]) -> Vec<Prompt> {
        let prompt = |text: &&str| Prompt {
            text: (*text).into(),
            ..Prompt::default()
        };
        texts.iter().map(prompt).collect()
    }

    #[test]
    fn what_prompts_have_in_common_explains_hits() {
        for (texts, requests, expected) in [
            (vec!["abcd", "efgh"], 2, 0.0),
            // Half of each is the other's beginning.
            (vec!["abxx", "abyy"], 2, 0.5),
            (vec!["abxx", "cdef", "abyy"], 3, 4.0 / 12.0),
            // Each comes twice.
            (vec!["abcd", "efgh"], 4, 0.5),
            (vec!["abxx", "abyy"], 4, 0.75),
            (vec![], 4, 1.0),
        ] {
            let found = explained(&prompts(&texts), requests);
            assert!((found - expected).abs() < 1e-9, "{texts:?}: {found}");
        }
    }

    #[test]
    fn hits_that_nothing_explains_make_a_cold_stage_doubtful_and_no_other() {
        let metric = |increase: f64| EngineMetric {
            direct: Some(MetricValue {
                increase: Some(increase),
                ..MetricValue::default()
            }),
            ..EngineMetric::default()
        };
        let unlike = prompts(&["one two three", "four five six"]);
        for (policy, reset, hits, contaminated, reason) in [
            (
                CachePolicy::Cold,
                Some(CacheReset::Emptied),
                0.0,
                false,
                None,
            ),
            (
                CachePolicy::Cold,
                Some(CacheReset::Emptied),
                4.0,
                false,
                None,
            ),
            (
                CachePolicy::Cold,
                Some(CacheReset::Emptied),
                40.0,
                true,
                Some("CacheContaminated"),
            ),
            (
                CachePolicy::Cold,
                Some(CacheReset::NoCall),
                40.0,
                true,
                Some("CacheContaminated"),
            ),
            (
                CachePolicy::Cold,
                Some(CacheReset::NoCall),
                0.0,
                false,
                None,
            ),
            (
                CachePolicy::Cold,
                Some(CacheReset::Failed),
                0.0,
                false,
                Some("CacheNotEmptied"),
            ),
            (CachePolicy::AsIs, None, 40.0, true, None),
            (CachePolicy::Warm, None, 40.0, false, None),
        ] {
            let mut stage = StageReport {
                requests: Requests {
                    intended: 2,
                    ..Requests::default()
                },
                engine_metrics: BTreeMap::from([
                    ("prefixCacheHits".into(), metric(hits)),
                    ("prefixCacheQueries".into(), metric(100.0)),
                ]),
                ..StageReport::default()
            };
            let cache = CacheReport {
                policy,
                reset,
                ..CacheReport::default()
            };
            judge(&mut stage, cache, &unlike);
            let found = stage.cache.unwrap();
            assert_eq!(found.hit_rate, Some(hits / 100.0));
            assert_eq!(found.contaminated, contaminated, "{policy:?} {hits}");
            let reasons: Vec<_> = stage
                .verdict
                .reasons
                .iter()
                .map(|it| it.reason.as_str())
                .collect();
            assert_eq!(
                reasons,
                Vec::from_iter(reason),
                "{policy:?} {reset:?} {hits}"
            );
        }
        let mut silent = StageReport::default();
        judge(&mut silent, CacheReport::default(), &unlike);
        assert_eq!(silent.cache, None);
    }
}
