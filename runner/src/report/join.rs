//! Several runs side by side: those whose figures can be held against each other, as one report.

use bakeoff_crds::report::{Report, Verdict, VerdictReason};
use bakeoff_crds::run::status::VerdictStatus;
use serde::Serialize;

use super::{
    compare::compare,
    contrast::{Contrast, contrasts},
    table::{Table, stage_names},
};

/// Version of [`Overview`].
pub const SCHEMA_VERSION: &str = "bakeoff.dev/runs/v1alpha1";

/// Runs whose figures can be held against each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// Places of the runs, from 0.
    pub runs: Vec<usize>,
    /// All of them as one report; of one run alone, its own.
    pub report: Report,
}

/// Every engine of every run, and which of them are compared.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Overview {
    /// [`SCHEMA_VERSION`].
    pub schema_version: &'static str,
    /// A row per engine and run.
    pub rows: Vec<Row>,
    /// Why runs are in different groups: each later group's first run against each earlier one's.
    pub not_comparable: Vec<Apart>,
}

/// One engine of one run.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// The run.
    pub run: String,
    /// The engine.
    pub engine: String,
    /// Its version as it tells, its image, or where it is.
    pub version: String,
    /// Verdict on its figures.
    pub verdict: VerdictStatus,
    /// Number of its group, from 1: only engines of one group are compared.
    pub group: usize,
}

/// Two runs that cannot be compared.
#[derive(Clone, Debug, Serialize, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Apart {
    /// The one.
    pub first: String,
    /// The other.
    pub second: String,
    /// What keeps them apart.
    pub because: Vec<Contrast>,
}

/// Puts each run into the first group with whose first run it can be compared.
pub fn groups(reports: &[Report]) -> Vec<Group> {
    let names = distinct_names(reports);
    let mut places: Vec<Vec<usize>> = Vec::new();
    for (place, report) in reports.iter().enumerate() {
        let group = places.iter_mut().find(|group| {
            let first = group.first().and_then(|first| reports.get(*first));
            first.is_some_and(|first| apart(first, report).is_empty())
        });
        match group {
            Some(group) => group.push(place),
            None => places.push(vec![place]),
        }
    }
    let notes = overview_of(reports, &names, &places).not_comparable;
    let groups = places.into_iter().filter_map(|runs| {
        let members: Vec<_> = runs
            .iter()
            .filter_map(|place| Some((reports.get(*place)?, names.get(*place)?.as_str())))
            .collect();
        let mut report = join(&members)?;
        let first = members.first().map(|(_, name)| *name);
        let ours = notes.iter().filter(|apart| {
            [&apart.first, &apart.second]
                .iter()
                .any(|name| Some(name.as_str()) == first)
        });
        report.comparison.notes.extend(ours.map(Apart::words));
        Some(Group { runs, report })
    });
    groups.collect()
}

/// What stands before the comparisons of several runs.
pub fn overview(reports: &[Report], groups: &[Group]) -> Overview {
    let places: Vec<Vec<usize>> = groups.iter().map(|group| group.runs.clone()).collect();
    overview_of(reports, &distinct_names(reports), &places)
}

fn overview_of(reports: &[Report], names: &[String], places: &[Vec<usize>]) -> Overview {
    let group_of = |run: usize| places.iter().position(|group| group.contains(&run));
    let mut rows = Vec::new();
    for (place, (report, name)) in reports.iter().zip(names).enumerate() {
        rows.extend(report.engines.iter().map(|engine| {
            let made = &engine.provenance;
            let known = [&made.engine_version, &made.image_id, &made.image, &made.url];
            let version = known.into_iter().flatten().next();
            Row {
                run: name.clone(),
                engine: engine.name.clone(),
                version: version.map_or_else(|| "–".to_owned(), Clone::clone),
                verdict: engine.verdict.status,
                group: group_of(place).unwrap_or_default() + 1,
            }
        }));
    }
    let firsts: Vec<_> = places
        .iter()
        .filter_map(|group| {
            let first = *group.first()?;
            Some((reports.get(first)?, names.get(first)?))
        })
        .collect();
    let pairs = firsts.iter().enumerate().flat_map(|(place, second)| {
        let earlier = firsts.iter().take(place);
        earlier.map(move |first| (first, second))
    });
    let not_comparable = pairs.map(|((first, one), (second, other))| Apart {
        first: (*one).clone(),
        second: (*other).clone(),
        because: apart(first, second),
    });
    Overview {
        schema_version: SCHEMA_VERSION,
        rows,
        not_comparable: not_comparable.collect(),
    }
}

impl Apart {
    fn words(&self) -> String {
        let because: Vec<_> = self.because.iter().map(Contrast::words).collect();
        format!(
            "{} and {} are not compared: they differ in {}.",
            self.first,
            self.second,
            because.join(", ")
        )
    }
}

/// The overview for a terminal.
pub fn table(overview: &Overview) -> String {
    let mut table = Table::new(4, &["run", "engine", "version", "verdict", "compared in"]);
    for row in &overview.rows {
        table.row(vec![
            row.run.clone(),
            row.engine.clone(),
            row.version.clone(),
            format!("{:?}", row.verdict),
            format!("group {}", row.group),
        ]);
    }
    let mut text = table.render();
    for apart in &overview.not_comparable {
        text.push_str(&super::table::printable(&apart.words()));
        text.push('\n');
    }
    text
}

fn apart(first: &Report, second: &Report) -> Vec<Contrast> {
    let found = contrasts(first, second).into_iter();
    found.filter(|contrast| contrast.incomparable).collect()
}

/// Joins runs that can be compared: each engine is named `ENGINE@RUN`. What they do not have in
/// common all the same makes the verdict Suspect. `None` where there is no run.
fn join(runs: &[(&Report, &str)]) -> Option<Report> {
    let ((first, first_name), others) = runs.split_first()?;
    if others.is_empty() {
        return Some((*first).clone());
    }
    let mut joined = (*first).clone();
    let names: Vec<&str> = runs.iter().map(|(_, name)| *name).collect();
    joined.run.identity.name = names.join(" and ");
    let engines = runs.iter().flat_map(|(report, run)| {
        report.engines.iter().cloned().map(move |mut engine| {
            engine.name = format!("{}@{run}", engine.name);
            engine
        })
    });
    joined.engines = engines.collect();
    let of_runs = runs.iter().flat_map(|(report, run)| {
        report
            .verdict
            .reasons
            .iter()
            .map(move |reason| VerdictReason {
                message: format!("{run}: {}", reason.message),
                ..reason.clone()
            })
    });
    let differences = others.iter().filter_map(|(other, name)| {
        let found: Vec<_> = contrasts(first, other)
            .iter()
            .map(Contrast::words)
            .collect();
        (!found.is_empty()).then(|| VerdictReason {
            reason: "RunsDiffer".into(),
            message: format!("{first_name} and {name} differ in {}", found.join(", ")),
            status: VerdictStatus::Suspect,
        })
    });
    joined.verdict = Verdict::of(of_runs.chain(differences).collect());
    let stages = stage_names(&joined);
    joined.comparison = compare(&joined.engines, &stages);
    Some(joined)
}

/// The runs' names, with the beginning of the UID where two are alike, and a number where that is
/// alike too.
fn distinct_names(reports: &[Report]) -> Vec<String> {
    let plain: Vec<String> = reports
        .iter()
        .map(|report| report.run.identity.name.clone())
        .collect();
    let with_uid = reports.iter().zip(&plain).map(|(report, name)| {
        let alike = plain.iter().filter(|other| *other == name).count();
        match alike {
            1 => name.clone(),
            _ => format!("{name}-{}", report.run.identity.uid8()),
        }
    });
    let mut names: Vec<String> = Vec::new();
    for name in with_uid {
        let same = |number: &usize| match number {
            1 => name.clone(),
            number => format!("{name}-{number}"),
        };
        let free = (1..).map(|number| same(&number));
        names.extend(free.into_iter().find(|name| !names.contains(name)));
    }
    names
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::report::fixture::{self, settings};

    fn faster() -> Report {
        let mut second = fixture::report();
        second.run.identity.uid = "ffffffff-0000".into();
        for stage in &mut second.engines[1].stages {
            let steady = stage.steady_state.as_mut().unwrap();
            steady.throughput.output_tokens_per_second *= 2.0;
        }
        second
    }

    #[test]
    fn comparable_runs_stand_side_by_side() {
        let (first, mut second) = (fixture::report(), faster());
        let found = groups(&[first.clone(), second.clone()]);
        assert_eq!(found.len(), 1);
        let joined = &found[0].report;
        assert_eq!((joined.engines.len(), &found[0].runs[..]), (6, &[0, 1][..]));
        assert_eq!(joined.verdict.status, VerdictStatus::Valid);
        let sentence = &joined.comparison.sentence;
        assert!(
            sentence.starts_with("tgi@mistral-ffffffff has the highest output throughput"),
            "{sentence}"
        );
        second.run.spec["workload"]["seed"] = json!(7);
        let joined = &groups(&[first.clone(), second])[0].report;
        assert_eq!(joined.verdict.status, VerdictStatus::Suspect);
        assert_eq!(
            joined.verdict.reasons[0].message,
            "mistral-0f9a1b2c and mistral-ffffffff differ in seed (0 and 7)"
        );
        let twice = [first.clone(), first.clone()];
        assert_eq!(
            distinct_names(&twice),
            ["mistral-0f9a1b2c", "mistral-0f9a1b2c-2"]
        );
        let alone = groups(std::slice::from_ref(&first));
        assert_eq!((alone.len(), &alone[0].report), (1, &first));
        assert_eq!(groups(&[]), []);
    }

    #[test]
    fn runs_of_different_things_are_never_compared() {
        let (first, mut second, mut third) = (fixture::report(), faster(), fixture::report());
        second.run.prompts_sha256 = "other".into();
        second.run.spec["model"]["revision"] = json!("other");
        third.run.identity.name = "third".into();
        let reports = [first, second, third];
        let found = groups(&reports);
        let runs: Vec<_> = found.iter().map(|group| group.runs.clone()).collect();
        assert_eq!(runs, [vec![0, 2], vec![1]]);
        let [one, other] = &found[..] else { panic!() };
        let named = |group: &Group| -> Vec<String> {
            let best = group.report.comparison.best.iter();
            best.map(|best| best.engine.clone()).collect()
        };
        assert!(named(one).iter().all(|engine| !engine.contains("ffffffff")));
        assert!(named(other).iter().all(|engine| !engine.contains('@')));
        for group in [one, other] {
            let notes = &group.report.comparison.notes;
            assert!(
                notes.iter().any(|note| note.starts_with(
                    "mistral-0f9a1b2c and mistral-ffffffff are not compared: they differ in \
                     model revision (3ad372f and other), prompts ("
                )),
                "{notes:?}"
            );
        }
        let overview = overview(&reports, &found);
        settings().bind(|| insta::assert_snapshot!("runs.txt", table(&overview)));
        assert_eq!(overview.not_comparable[0].because.len(), 2);
    }
}
