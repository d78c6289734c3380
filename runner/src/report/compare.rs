//! Which engine is best at what, and whether the difference says anything.

use bakeoff_crds::report::{Best, Comparison, EngineReport};

use super::{
    format,
    measure::{
        Better, FIRST_TOKEN, LATENCY, MEASURES, Measure, OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT,
        Spread, spread,
    },
};

/// Least lead that single measurements can show: engines differ by a few per cent from one run to
/// the next, and without repetitions nothing tells by how many.
const LEAST_SINGLE_LEAD: f64 = 0.05;

/// One engine's value, in a ranking.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    engine: &'a str,
    stage: &'a str,
    spread: Spread,
}

/// Compares the engines at each stage, in the order of `stages`, and in one sentence.
pub fn compare(engines: &[EngineReport], stages: &[String]) -> Comparison {
    let mut best = Vec::new();
    for measure in &MEASURES {
        for stage in stages {
            let mut entries = at_stage(engines, stage, measure);
            rank(&mut entries, measure);
            best.extend(best_of(&entries, measure));
        }
    }
    Comparison {
        sentence: sentence(engines, stages),
        best,
    }
}

fn at_stage<'a>(engines: &'a [EngineReport], stage: &'a str, measure: &Measure) -> Vec<Entry<'a>> {
    engines
        .iter()
        .filter_map(|engine| {
            Some(Entry {
                engine: &engine.name,
                stage,
                spread: spread(engine, stage, measure)?,
            })
        })
        .collect()
}

/// Each engine at the stage at which it does best.
fn at_own_best<'a>(
    engines: &'a [EngineReport],
    stages: &'a [String],
    measure: &Measure,
) -> Vec<Entry<'a>> {
    engines
        .iter()
        .filter_map(|engine| {
            let mut entries: Vec<_> = stages
                .iter()
                .filter_map(|stage| {
                    Some(Entry {
                        engine: &engine.name,
                        stage,
                        spread: spread(engine, stage, measure)?,
                    })
                })
                .collect();
            rank(&mut entries, measure);
            entries.first().copied()
        })
        .collect()
}

/// The best first; the order of the spec where two are equal.
fn rank(entries: &mut [Entry<'_>], measure: &Measure) {
    entries.sort_by(|a, b| {
        let order = a.spread.mean.total_cmp(&b.spread.mean);
        match measure.better {
            Better::Higher => order.reverse(),
            Better::Lower => order,
        }
    });
}

fn best_of(entries: &[Entry<'_>], measure: &Measure) -> Option<Best> {
    let first = entries.first()?;
    let second = entries.get(1);
    Some(Best {
        measure: measure.name.to_owned(),
        stage: first.stage.to_owned(),
        engine: first.engine.to_owned(),
        value: first.spread.mean,
        runner_up: second.map(|entry| entry.engine.to_owned()),
        lead: second.and_then(|second| lead(first.spread, second.spread, measure.better)),
    })
}

/// The lead of the best over the second best; none where it is within noise: the ranges over rounds
/// and repetitions overlap, or, where one has a single measurement, the lead is small.
fn lead(first: Spread, second: Spread, better: Better) -> Option<f64> {
    let (apart, lead) = match better {
        Better::Higher => (
            first.min > second.max,
            (first.mean - second.mean) / second.mean,
        ),
        Better::Lower => (
            first.max < second.min,
            (second.mean - first.mean) / second.mean,
        ),
    };
    let single = first.samples < 2 || second.samples < 2;
    let clear = apart && (!single || lead >= LEAST_SINGLE_LEAD);
    (clear && lead.is_finite()).then_some(lead)
}

fn sentence(engines: &[EngineReport], stages: &[String]) -> String {
    let tokens = at_own_best(engines, stages, &OUTPUT_THROUGHPUT);
    let requests = at_own_best(engines, stages, &REQUEST_THROUGHPUT);
    // Token figures serve only where every engine that was measured has them.
    let (measure, mut peaks) = if tokens.len() == requests.len() {
        (&OUTPUT_THROUGHPUT, tokens)
    } else {
        (&REQUEST_THROUGHPUT, requests)
    };
    rank(&mut peaks, measure);
    let Some(peak) = peaks.first().copied() else {
        return "No engine gave a result that can be used; the reasons are below.".into();
    };
    let throughput = match peaks.get(1) {
        None => format!(
            "{} reaches {} at {}",
            peak.engine,
            measure.unit.show(peak.spread.mean),
            peak.stage
        ),
        Some(second) => throughput_clause(peak, *second, measure),
    };
    let latencies = [&FIRST_TOKEN, &LATENCY];
    let latency = latencies.into_iter().find_map(|measure| {
        let mut entries = at_stage(engines, peak.stage, measure);
        rank(&mut entries, measure);
        latency_clause(&entries, peak, measure)
    });
    let mut sentence = std::iter::once(throughput)
        .chain(latency)
        .collect::<Vec<_>>()
        .join("; ");
    match peaks.len() {
        1 if engines.len() == 1 => {
            sentence.push_str(". There is no other engine to compare it with.");
        }
        1 => sentence
            .push_str(". No other engine gave a result that can be used, so nothing is compared."),
        _ => sentence.push('.'),
    }
    sentence
}

fn throughput_clause(first: Entry<'_>, second: Entry<'_>, measure: &Measure) -> String {
    let value = |entry: Entry<'_>| measure.unit.show(entry.spread.mean);
    match lead(first.spread, second.spread, measure.better) {
        Some(lead) => format!(
            "{} has the highest {}: {} at {}, {} more than {}{}",
            first.engine,
            measure.title,
            value(first),
            first.stage,
            format::percent(lead),
            second.engine,
            if first.stage == second.stage {
                String::new()
            } else {
                format!(" at {}", second.stage)
            },
        ),
        None => format!(
            "There is no clear difference in {} between {} ({} at {}) and {} ({} at {})",
            measure.title,
            first.engine,
            value(first),
            first.stage,
            second.engine,
            value(second),
            second.stage,
        ),
    }
}

fn latency_clause(entries: &[Entry<'_>], peak: Entry<'_>, measure: &Measure) -> Option<String> {
    let first = entries.first()?;
    let value = measure.unit.show(first.spread.mean);
    let who = if first.engine == peak.engine {
        "it also".to_owned()
    } else {
        first.engine.to_owned()
    };
    let Some(second) = entries.get(1) else {
        return (first.engine == peak.engine)
            .then(|| format!("its {} there is {value}", measure.title));
    };
    Some(match lead(first.spread, second.spread, measure.better) {
        Some(lead) => format!(
            "{who} has the lowest {} there: {value}, {} less than {}",
            measure.title,
            format::percent(lead),
            second.engine,
        ),
        None => format!(
            "in {} there, there is no clear difference between {} ({value}) and {} ({})",
            measure.title,
            first.engine,
            second.engine,
            measure.unit.show(second.spread.mean),
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture::{engine, invalid, stage};

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
    fn says_who_is_best_at_what() {
        assert_eq!(
            said(&[("tgi", &[(1000.0, 0.040)]), ("vllm", &[(1234.0, 0.050)])]),
            "vllm has the highest output throughput: 1,234 tokens/s at concurrency-8, 23 % more than \
             tgi; tgi has the lowest median time to first token there: 40.0 ms, 20 % less than vllm."
        );
    }

    #[test]
    fn says_when_there_is_nothing_to_compare() {
        assert_eq!(
            said(&[("vllm", &[(1000.0, 0.05)])]),
            "vllm reaches 1,000 tokens/s at concurrency-8; its median time to first token there is \
             50.0 ms. There is no other engine to compare it with."
        );
        assert!(
            said(&[("vllm", &[(1000.0, 0.05)]), ("tgi", &[])]).ends_with(
                "No other engine gave a result that can be used, so nothing is compared."
            )
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
            // Repeated: the ranges decide.
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
            assert_eq!(best.runner_up.as_deref(), Some("b"));
            let unclear = comparison
                .sentence
                .starts_with("There is no clear difference in output throughput");
            assert_eq!(unclear, !clear, "{}", comparison.sentence);
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
}
