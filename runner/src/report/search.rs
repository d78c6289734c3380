//! What a search for a load found, engine against engine.

use bakeoff_crds::{
    plan::search::Variable,
    report::{Best, EngineReport, SearchEnd, SearchGoal, SearchReport},
};

use super::{format, table::Table};

/// What one engine bears, over rounds and repetitions.
struct Entry<'a> {
    engine: &'a str,
    /// Mean over the searches.
    best: f64,
    /// What it bore in each of them.
    least: f64,
    /// The highest of the loads that failed first; none where one search met none that did.
    first_failing: Option<f64>,
    at_limit: bool,
}

impl<'a> Entry<'a> {
    fn of(engine: &'a EngineReport) -> Option<Self> {
        let answers = || {
            let searches = engine.searches.iter();
            searches.filter(|search| matches!(search.end, SearchEnd::Found | SearchEnd::AtLimit))
        };
        let failing: Option<Vec<f64>> = answers().map(|search| search.first_failing).collect();
        let best: Vec<f64> = answers().filter_map(|search| search.best).collect();
        (!best.is_empty()).then(|| Self {
            engine: &engine.name,
            best: best.iter().sum::<f64>() / best.len() as f64,
            least: best.iter().copied().fold(f64::INFINITY, f64::min),
            first_failing: failing.map(|loads| loads.into_iter().fold(0.0, f64::max)),
            at_limit: answers().any(|search| search.end == SearchEnd::AtLimit),
        })
    }

    fn in_words(&self, metric: Variable) -> String {
        let least = if self.at_limit { "at least " } else { "" };
        format!("{least}{}", load(self.best, metric))
    }
}

/// The engines that have an answer, the one that bears most first.
fn ranked(engines: &[EngineReport]) -> Vec<Entry<'_>> {
    let mut entries: Vec<_> = engines.iter().filter_map(Entry::of).collect();
    entries.sort_by(|a, b| b.best.total_cmp(&a.best));
    entries
}

/// By how much the first bears more than the second: only where it bore, in every round, a load at
/// which the second failed.
fn lead(first: &Entry<'_>, second: &Entry<'_>) -> Option<f64> {
    let clear = first.least >= second.first_failing?;
    clear.then_some(first.best / second.best - 1.0)
}

fn kind(engines: &[EngineReport]) -> Option<&SearchReport> {
    engines.iter().find_map(|engine| engine.searches.first())
}

/// A load with its unit.
fn load(value: f64, metric: Variable) -> String {
    match metric {
        Variable::RequestRate => format!("{} requests/s", format::number(value)),
        Variable::Concurrency if value == 1.0 => "1 request in flight".to_owned(),
        Variable::Concurrency => format!("{} requests in flight", format::count(value as u64)),
    }
}

/// The best engine by what it bears within the objectives. A knee is neither good nor bad.
pub fn best(engines: &[EngineReport]) -> Option<Best> {
    let search = kind(engines).filter(|search| search.goal == SearchGoal::Objectives)?;
    let entries = ranked(engines);
    let (first, second) = (entries.first()?, entries.get(1));
    Some(Best {
        measure: match search.metric {
            Variable::RequestRate => "highestRequestRate",
            Variable::Concurrency => "highestConcurrency",
        }
        .to_owned(),
        stage: "search".to_owned(),
        engine: first.engine.to_owned(),
        value: first.best,
        runner_up: second.map(|entry| entry.engine.to_owned()),
        lead: second.and_then(|second| lead(first, second)),
        ..Best::default()
    })
}

/// What the searches found, in one sentence; none where there was no search.
pub fn sentence(engines: &[EngineReport]) -> Option<String> {
    let search = kind(engines)?;
    let (goal, metric) = (search.goal, search.metric);
    let entries = ranked(engines);
    let Some(first) = entries.first() else {
        let all = || engines.iter().flat_map(|engine| &engine.searches);
        return Some(
            if all().all(|search| search.end == SearchEnd::BelowMinimum) {
                "No engine meets the objectives at the lowest load of the search.".into()
            } else {
                "The search gave no answer; what each engine says is below.".into()
            },
        );
    };
    if goal == SearchGoal::Knee {
        let knees: Vec<_> = entries
            .iter()
            .map(|entry| format!("{} with {}", entry.in_words(metric), entry.engine))
            .collect();
        return Some(format!(
            "Throughput hardly grows beyond {}.",
            knees.join(", ")
        ));
    }
    Some(match entries.get(1) {
        None => format!(
            "{} bears {} within the objectives.",
            first.engine,
            first.in_words(metric)
        ),
        Some(second) => match lead(first, second) {
            Some(lead) => format!(
                "{} bears the most within the objectives: {}, {} more than {} ({}).",
                first.engine,
                first.in_words(metric),
                format::percent(lead),
                second.engine,
                second.in_words(metric)
            ),
            None => format!(
                "There is no clear difference between what {} ({}) and {} ({}) bear within the objectives.",
                first.engine,
                first.in_words(metric),
                second.engine,
                second.in_words(metric)
            ),
        },
    })
}

/// One search of one engine, in cells: engine, what was found, what failed first, goodput, stages,
/// and how it ended in words.
pub fn rows(engines: &[EngineReport]) -> Vec<[String; 6]> {
    let several = |of: fn(&SearchReport) -> u32| {
        let mut searches = engines.iter().flat_map(|engine| &engine.searches);
        searches.any(|search| of(search) > 1)
    };
    let (rounds, repetitions) = (several(|one| one.round), several(|one| one.repetition));
    let row = |engine: &EngineReport, search: &SearchReport| {
        let shown = |value: Option<f64>| {
            value.map_or_else(|| "–".to_owned(), |value| load(value, search.metric))
        };
        let mut name = engine.name.clone();
        if rounds {
            name.push_str(&format!(", round {}", search.round));
        }
        if repetitions {
            name.push_str(&format!(", repetition {}", search.repetition));
        }
        let goodput = search.goodput_requests_per_second;
        [
            name,
            shown(search.best),
            shown(search.first_failing),
            goodput.map_or_else(
                || "–".to_owned(),
                |rate| format!("{} /s", format::number(rate)),
            ),
            search.stages.to_string(),
            search.message.clone(),
        ]
    };
    engines
        .iter()
        .flat_map(|engine| {
            engine
                .searches
                .iter()
                .map(move |search| row(engine, search))
        })
        .collect()
}

/// The searches for a terminal; empty where there was none.
pub fn table(engines: &[EngineReport]) -> String {
    let rows = rows(engines);
    if rows.is_empty() {
        return String::new();
    }
    let mut table = Table::new(
        1,
        &["search", "best", "first that fails", "goodput", "stages"],
    );
    let mut notes = String::new();
    for [engine, best, failing, goodput, stages, message] in rows {
        notes.push_str(&super::table::printable(&format!("{engine}: {message}")));
        notes.push('\n');
        table.row(vec![engine, best, failing, goodput, stages]);
    }
    format!("{}{notes}", table.render())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn engine(name: &str, answers: &[(SearchEnd, Option<f64>, Option<f64>)]) -> EngineReport {
        EngineReport {
            name: name.into(),
            searches: (1..)
                .zip(answers)
                .map(|(round, &(end, best, first_failing))| SearchReport {
                    round,
                    repetition: 1,
                    end,
                    best,
                    first_failing,
                    stages: 5,
                    message: "why".into(),
                    ..SearchReport::default()
                })
                .collect(),
            ..EngineReport::default()
        }
    }

    #[test]
    fn a_lead_is_shown_where_the_other_failed_at_what_the_first_bears() {
        use SearchEnd::{AtLimit, BelowMinimum, Found, Unclear};
        let found = |best, failing| (Found, Some(best), Some(failing));
        for (engines, expected) in [
            (
                vec![
                    engine("a", &[found(8.0, 8.4)]),
                    engine("b", &[found(10.0, 10.5)]),
                ],
                "b bears the most within the objectives: 10.0 requests/s, 25 % more than a (8.00 requests/s).",
            ),
            // One round of b failed at what a bears, the other did not.
            (
                vec![
                    engine("a", &[found(8.4, 8.8)]),
                    engine("b", &[found(8.0, 8.4), found(8.4, 8.8)]),
                ],
                "There is no clear difference between what a (8.40 requests/s) and b (8.20 requests/s) bear within the objectives.",
            ),
            (
                vec![
                    engine("a", &[(AtLimit, Some(64.0), None)]),
                    engine("b", &[(AtLimit, Some(64.0), None)]),
                ],
                "There is no clear difference between what a (at least 64.0 requests/s) and b (at least 64.0 requests/s) bear within the objectives.",
            ),
            (
                vec![
                    engine("a", &[found(8.0, 8.4)]),
                    engine("b", &[(BelowMinimum, None, Some(1.0))]),
                ],
                "a bears 8.00 requests/s within the objectives.",
            ),
            (
                vec![engine("a", &[(BelowMinimum, None, Some(1.0))])],
                "No engine meets the objectives at the lowest load of the search.",
            ),
            // What was good before a stage that says nothing is no answer.
            (
                vec![engine("a", &[(Unclear, Some(2.0), None)])],
                "The search gave no answer; what each engine says is below.",
            ),
        ] {
            assert_eq!(sentence(&engines).unwrap(), expected);
        }
        assert_eq!(sentence(&[engine("a", &[])]), None);
    }

    #[test]
    fn the_best_is_a_measure_of_its_own() {
        let found = |best, failing| (SearchEnd::Found, Some(best), Some(failing));
        let engines = [
            engine("a", &[found(8.0, 8.4)]),
            engine("b", &[found(10.0, 10.5)]),
        ];
        let best = best(&engines).unwrap();
        assert_eq!(
            (
                best.measure.as_str(),
                best.engine.as_str(),
                best.runner_up.as_deref(),
                best.lead
            ),
            ("highestRequestRate", "b", Some("a"), Some(0.25))
        );
        let mut knees = engines;
        for engine in &mut knees {
            engine.searches[0].goal = SearchGoal::Knee;
            engine.searches[0].metric = Variable::Concurrency;
        }
        assert_eq!(super::best(&knees), None);
        assert_eq!(
            sentence(&knees).unwrap(),
            "Throughput hardly grows beyond 10 requests in flight with b, 8 requests in flight with a."
        );
    }

    #[test]
    fn a_terminal_shows_every_search() {
        let text = table(&[engine(
            "a",
            &[
                (SearchEnd::Found, Some(8.0), Some(8.4)),
                (SearchEnd::BelowMinimum, None, Some(1.0)),
            ],
        )]);
        for part in [
            "a, round 1",
            "8.00 requests/s",
            "8.40 requests/s",
            "a, round 2: why",
            "–",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert_eq!(table(&[]), "");
    }
}
