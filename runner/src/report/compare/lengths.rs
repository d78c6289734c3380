//! Engines whose answers cannot be held to a length: their requests are less work.

use bakeoff_crds::report::EngineReport;

use crate::report::spread::counts;

/// Share of answers that may be shorter than asked for before requests no longer compare; the same as
/// where a stage becomes Suspect.
const MOST_SHORT: f64 = 0.01;

/// An engine whose answers at a stage are shorter than they were to be, where another engine's are
/// not; none where answers were free to end, or one engine is alone.
pub fn cut_short<'a>(engines: &'a [EngineReport], stage: &str) -> Option<&'a str> {
    let mut short = None;
    let mut whole = false;
    for engine in engines {
        let stages = engine.stages.iter();
        let mut stages = stages
            .filter(|one| one.name == stage && counts(one))
            .filter_map(|one| one.output_sanity.as_ref())
            .filter_map(|found| Some((found.shorter_than_asked?, found.judged)))
            .peekable();
        if stages.peek().is_none() {
            continue;
        }
        if stages.any(|(shorter, judged)| shorter as f64 > judged as f64 * MOST_SHORT) {
            short = short.or(Some(engine.name.as_str()));
        } else {
            whole = true;
        }
    }
    short.filter(|_| whole)
}

/// That requests do not compare.
pub fn note(engines: &[EngineReport], stages: &[String]) -> Option<String> {
    let engine = stages.iter().find_map(|stage| cut_short(engines, stage))?;
    Some(format!(
        "Answers of {engine} are shorter than asked for, so its requests are less work than those of \
         the others: engines are compared by tokens there, and not by requests."
    ))
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::report::OutputSanity;

    use super::*;
    use crate::report::{compare::compare, fixture};

    fn with_short(vllm: Option<u64>, tgi: Option<u64>) -> (Vec<EngineReport>, Vec<String>) {
        let mut report = fixture::report();
        report.engines.truncate(2);
        for (engine, shorter) in report.engines.iter_mut().zip([vllm, tgi]) {
            for stage in &mut engine.stages {
                stage.output_sanity = Some(OutputSanity {
                    judged: 100,
                    shorter_than_asked: shorter,
                    ..OutputSanity::default()
                });
            }
        }
        let stages = report.engines[0].stages.iter();
        let stages = stages.map(|stage| stage.name.clone()).collect();
        (report.engines, stages)
    }

    #[test]
    fn an_engine_that_cannot_be_held_to_a_length_is_compared_by_tokens() {
        for (vllm, tgi, by_requests) in [
            (Some(0), Some(60), false),
            (Some(0), Some(1), true),
            // All do less work, each as the model has it: nothing is held to a length any more.
            (Some(60), Some(60), true),
            (None, None, true),
        ] {
            let (engines, stages) = with_short(vllm, tgi);
            let found = compare(&engines, &stages);
            let has = |name: &str| found.best.iter().any(|best| best.measure == name);
            for name in ["requestsPerSecond", "requestLatencyP50"] {
                assert_eq!(has(name), by_requests, "{name} {vllm:?} {tgi:?}");
            }
            assert!(has("outputTokensPerSecond") && has("timePerOutputTokenP50"));
            let noted = found
                .notes
                .iter()
                .any(|note| note.contains("Answers of tgi"));
            assert_eq!(noted, !by_requests);
        }
    }
}
