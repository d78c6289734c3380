//! Several runs side by side, as one report.

use bakeoff_crds::report::{Report, Verdict, VerdictReason};
use bakeoff_crds::run::status::VerdictStatus;

use super::{compare::compare, table::stage_names};

/// What two runs must have in common for their figures to compare.
const COMMON: [(&str, &str); 6] = [
    ("model", "/model/id"),
    ("model revision", "/model/revision"),
    ("accelerator", "/hardware/accelerator"),
    ("node selector", "/hardware/nodeSelector"),
    ("length caps", "/workload/limits"),
    ("sampling", "/workload/sampling"),
];

/// Joins runs: each engine is named `ENGINE@RUN`. What the runs do not have in common makes the
/// verdict Suspect. `None` where there is no run.
pub fn join(reports: &[Report]) -> Option<Report> {
    let (first, others) = reports.split_first()?;
    if others.is_empty() {
        return Some(first.clone());
    }
    let mut joined = first.clone();
    let names = distinct_names(reports);
    joined.run.identity.name = names.join(" and ");
    joined.engines = reports
        .iter()
        .zip(&names)
        .flat_map(|(report, run)| {
            report.engines.iter().cloned().map(move |mut engine| {
                engine.name = format!("{}@{run}", engine.name);
                engine
            })
        })
        .collect();
    let of_runs = reports.iter().zip(&names).flat_map(|(report, run)| {
        report
            .verdict
            .reasons
            .iter()
            .map(move |reason| VerdictReason {
                message: format!("{run}: {}", reason.message),
                ..reason.clone()
            })
    });
    let differences = others
        .iter()
        .zip(names.iter().skip(1))
        .flat_map(|(other, name)| differences(first, other, name));
    joined.verdict = Verdict::of(of_runs.chain(differences).collect());
    let stages = stage_names(&joined);
    joined.comparison = compare(&joined.engines, &stages);
    Some(joined)
}

/// The runs' names, with the beginning of the UID where two are alike.
fn distinct_names(reports: &[Report]) -> Vec<String> {
    let name = |report: &Report| report.run.identity.name.clone();
    reports
        .iter()
        .map(|report| {
            let alike = reports
                .iter()
                .filter(|other| name(other) == name(report))
                .count();
            match alike {
                1 => name(report),
                _ => format!("{}-{}", name(report), report.run.identity.uid8()),
            }
        })
        .collect()
}

fn differences(first: &Report, other: &Report, name: &str) -> Vec<VerdictReason> {
    let mut differ: Vec<&str> = COMMON
        .iter()
        .filter(|(_, pointer)| first.run.spec.pointer(pointer) != other.run.spec.pointer(pointer))
        .map(|(word, _)| *word)
        .collect();
    if first.run.prompts_sha256 != other.run.prompts_sha256 {
        differ.push("prompts");
    }
    if differ.is_empty() {
        return Vec::new();
    }
    vec![VerdictReason {
        reason: "RunsDiffer".into(),
        message: format!("{name} and the first run differ in {}", differ.join(", ")),
        status: VerdictStatus::Suspect,
    }]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn runs_stand_side_by_side() {
        let first = fixture::report();
        let mut second = fixture::report();
        second.run.identity.uid = "ffffffff-0000".into();
        for stage in &mut second.engines[1].stages {
            let steady = stage.steady_state.as_mut().unwrap();
            steady.throughput.output_tokens_per_second *= 2.0;
        }
        let joined = join(&[first.clone(), second.clone()]).unwrap();
        assert_eq!(joined.engines.len(), 6);
        assert_eq!(joined.verdict.status, VerdictStatus::Valid);
        let sentence = &joined.comparison.sentence;
        assert!(
            sentence.starts_with("tgi@mistral-ffffffff has the highest output throughput"),
            "{sentence}"
        );
        second.run.prompts_sha256 = "other".into();
        second.run.spec["model"]["revision"] = "other".into();
        let joined = join(&[first.clone(), second]).unwrap();
        assert_eq!(joined.verdict.reasons[0].reason, "RunsDiffer");
        assert!(
            joined.verdict.reasons[0]
                .message
                .ends_with("differ in model revision, prompts")
        );
        assert_eq!(join(std::slice::from_ref(&first)), Some(first));
        assert_eq!(join(&[]), None);
    }
}
