//! The comparison in one sentence, for people.

use bakeoff_crds::report::{Basis, Difference, EngineReport, IntervalMethod};

use super::{Entry, at_own_best, at_stage, between, rank};
use crate::report::{
    format,
    measure::{COST, FIRST_TOKEN, LATENCY, Measure, OUTPUT_THROUGHPUT, REQUEST_THROUGHPUT},
};

/// Says who reaches the highest throughput, and who is quickest at that load.
pub fn sentence(engines: &[EngineReport], stages: &[String]) -> String {
    let tokens = at_own_best(engines, stages, &OUTPUT_THROUGHPUT);
    let requests = at_own_best(engines, stages, &REQUEST_THROUGHPUT);
    // Token figures serve only where every engine that was measured has them.
    let (measure, mut peaks) = if tokens.len() == requests.len() {
        (&OUTPUT_THROUGHPUT, tokens)
    } else {
        (&REQUEST_THROUGHPUT, requests)
    };
    rank(&mut peaks, measure);
    let Some(peak) = peaks.first() else {
        return "No engine gave a result that can be used; the reasons are below.".into();
    };
    let throughput = match peaks.get(1) {
        None => format!(
            "{} reaches {} at {}",
            peak.engine,
            measure.unit.show(peak.spread.mean),
            peak.stage
        ),
        Some(second) => throughput_clause(peak, second, measure),
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
    sentence.push_str(match peak.basis {
        Basis::SteadyState => " Throughput is that of the steady state.",
        Basis::WholeStage => "",
    });
    sentence
}

/// Says whose tokens are the cheapest, each engine at the load at which its own are; nothing where no
/// price is known.
pub fn cost(engines: &[EngineReport], stages: &[String]) -> Option<String> {
    let mut entries = at_own_best(engines, stages, &COST);
    rank(&mut entries, &COST);
    let (first, second) = (entries.first()?, entries.get(1));
    let value = |entry: &Entry<'_>| {
        let cost = COST.unit.show(entry.spread.mean);
        format!("{cost} at {}", entry.stage)
    };
    let Some(second) = second else {
        return Some(format!("{} costs {}.", first.engine, value(first)));
    };
    Some(match between(first, second, &COST) {
        Some(difference) if difference.shown => format!(
            "{} is the cheapest: {}, {} less than {} ({}){}.",
            first.engine,
            value(first),
            format::percent(difference.value),
            second.engine,
            value(second),
            sureness(difference),
        ),
        difference => format!(
            "No difference in cost is shown between {} ({}) and {} ({}){}.",
            first.engine,
            value(first),
            second.engine,
            value(second),
            difference.map(unshown).unwrap_or_default(),
        ),
    })
}

fn throughput_clause(first: &Entry<'_>, second: &Entry<'_>, measure: &Measure) -> String {
    let value = |entry: &Entry<'_>| measure.unit.show(entry.spread.mean);
    match between(first, second, measure) {
        Some(difference) if difference.shown => format!(
            "{} has the highest {}: {} at {}, {} more than {}{}{}",
            first.engine,
            measure.title,
            value(first),
            first.stage,
            format::percent(difference.value),
            second.engine,
            if first.stage == second.stage {
                String::new()
            } else {
                format!(" at {}", second.stage)
            },
            sureness(difference),
        ),
        difference => format!(
            "No difference in {} is shown between {} ({} at {}) and {} ({} at {}){}",
            measure.title,
            first.engine,
            value(first),
            first.stage,
            second.engine,
            value(second),
            second.stage,
            difference.map(unshown).unwrap_or_default(),
        ),
    }
}

fn latency_clause(entries: &[Entry<'_>], peak: &Entry<'_>, measure: &Measure) -> Option<String> {
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
    Some(match between(first, second, measure) {
        Some(difference) if difference.shown => format!(
            "{who} has the lowest {} there: {value}, {} less than {}{}",
            measure.title,
            format::percent(difference.value),
            second.engine,
            sureness(difference),
        ),
        difference => format!(
            "no difference in {} there is shown between {} ({value}) and {} ({}){}",
            measure.title,
            first.engine,
            second.engine,
            measure.unit.show(second.spread.mean),
            difference.map(unshown).unwrap_or_default(),
        ),
    })
}

/// `95 % CI 9 to 15 %`, and what is not in it.
pub fn confidence(difference: Difference) -> Option<String> {
    let (low, high) = (difference.low?, difference.high?);
    // A narrow interval needs one digit more to be one.
    let decimals = usize::from(high - low < 0.05);
    let percent = |share: f64| format!("{:.decimals$}", share * 100.0);
    let within = match difference.method? {
        IntervalMethod::Rounds => "",
        IntervalMethod::Repetitions => ", within one start of each",
        _ => ", within one measurement",
    };
    let (low, high) = (percent(low), percent(high));
    Some(format!("95 % CI {low} to {high} %{within}"))
}

fn sureness(difference: Difference) -> String {
    match confidence(difference) {
        Some(confidence) => format!(" ({confidence})"),
        None => " (one measurement each; how much it varies is not known)".into(),
    }
}

fn unshown(difference: Difference) -> String {
    let seen = format::percent(difference.value);
    match confidence(difference) {
        Some(confidence) => format!(": {seen} ({confidence})"),
        None => format!(": {seen}, from one measurement each"),
    }
}
