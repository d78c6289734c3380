//! Which engine is best at what, and whether the difference says anything.

mod answers;
mod difference;
mod lengths;
mod sentence;

use bakeoff_crds::report::{Basis, Best, Comparison, Difference, EngineReport, NoSteadyReason};

pub use difference::difference;
pub use sentence::confidence;

use super::{
    measure::{Better, MEASURES, Measure, Unit},
    search,
    spread::{Sample, Spread, basis, counts, samples},
};

/// One engine's value, in a ranking.
#[derive(Clone, Debug)]
struct Entry<'a> {
    engine: &'a str,
    stage: &'a str,
    basis: Basis,
    samples: Vec<Sample>,
    spread: Spread,
}

/// Compares the engines at each stage, in the order of `stages`, and in one sentence.
pub fn compare(engines: &[EngineReport], stages: &[String]) -> Comparison {
    let mut best = Vec::new();
    for measure in &MEASURES {
        for stage in stages {
            if measure.is_per_request() && lengths::cut_short(engines, stage).is_some() {
                continue;
            }
            let mut entries = at_stage(engines, stage, measure);
            rank(&mut entries, measure);
            best.extend(best_of(&entries, measure));
        }
    }
    best.extend(search::best(engines));
    let (agreement, quality) = (answers::agreement(engines), answers::quality(engines));
    let mut notes = saturated(engines, stages);
    notes.extend(lengths::note(engines, stages));
    notes.extend(answers::notes(engines, &agreement, &quality));
    let sentences = search::sentence(engines).into_iter();
    Comparison {
        sentence: sentences
            .chain([sentence::sentence(engines, stages)])
            .chain(sentence::cost(engines, stages))
            .collect::<Vec<_>>()
            .join(" "),
        best,
        notes,
        agreement,
        quality,
    }
}

fn at_stage<'a>(engines: &'a [EngineReport], stage: &'a str, measure: &Measure) -> Vec<Entry<'a>> {
    let basis = basis(engines, stage, measure);
    engines
        .iter()
        .filter(|engine| !is_spoilt_by_saturation(measure) || !is_saturated(engine, stage))
        .filter_map(|engine| {
            let samples = samples(engine, stage, measure, basis);
            Some(Entry {
                engine: &engine.name,
                stage,
                basis,
                spread: Spread::of(&samples)?,
                samples,
            })
        })
        .collect()
}

/// Latencies are: of a saturated engine they tell how long the stage was. Throughput and cost are not.
fn is_spoilt_by_saturation(measure: &Measure) -> bool {
    measure.unit == Unit::Seconds
}

/// Each engine at the stage at which it does best.
fn at_own_best<'a>(
    engines: &'a [EngineReport],
    stages: &'a [String],
    measure: &Measure,
) -> Vec<Entry<'a>> {
    let mut all: Vec<Entry<'a>> = stages
        .iter()
        .flat_map(|stage| at_stage(engines, stage, measure))
        .collect();
    rank(&mut all, measure);
    engines
        .iter()
        .filter_map(|engine| {
            all.iter()
                .find(|entry| entry.engine == engine.name)
                .cloned()
        })
        .collect()
}

/// The best first; the order in which they came where two are equal.
fn rank(entries: &mut [Entry<'_>], measure: &Measure) {
    entries.sort_by(|a, b| {
        let order = a.spread.mean.total_cmp(&b.spread.mean);
        match measure.better {
            Better::Higher => order.reverse(),
            Better::Lower => order,
        }
    });
}

fn between(first: &Entry<'_>, second: &Entry<'_>, measure: &Measure) -> Option<Difference> {
    difference(&first.samples, &second.samples, measure.better)
}

fn best_of(entries: &[Entry<'_>], measure: &Measure) -> Option<Best> {
    let first = entries.first()?;
    let second = entries.get(1);
    let difference = second.and_then(|second| between(first, second, measure));
    Some(Best {
        measure: measure.name.to_owned(),
        stage: first.stage.to_owned(),
        basis: first.basis,
        engine: first.engine.to_owned(),
        value: first.spread.mean,
        runner_up: second.map(|entry| entry.engine.to_owned()),
        lead: difference
            .filter(|difference| difference.shown)
            .map(|difference| difference.value),
        difference,
    })
}

/// Whether an engine could not keep up in some measurement of a stage: then its latencies tell how
/// long the stage was.
fn is_saturated(engine: &EngineReport, stage: &str) -> bool {
    let stages = engine.stages.iter();
    stages
        .filter(|one| one.name == stage && counts(one))
        .filter_map(|one| one.no_steady_state.as_ref())
        .any(|none| none.reason == NoSteadyReason::Saturated)
}

fn saturated(engines: &[EngineReport], stages: &[String]) -> Vec<String> {
    let note = |stage: &String| {
        let names: Vec<&str> = engines
            .iter()
            .filter(|engine| is_saturated(engine, stage))
            .map(|engine| engine.name.as_str())
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "At {stage} requests came faster than {} could answer them; latencies grew for as \
                 long as the stage lasted, so they take no part in the comparison there.",
                names.join(" and ")
            )
        })
    };
    stages.iter().filter_map(note).collect()
}

#[cfg(test)]
mod tests;
