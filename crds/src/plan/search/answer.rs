//! What a search found.

use super::{
    Goal, PlannedSearch, Variable,
    levels::{End, Step},
    outcome,
};
use crate::{
    plan::{Plan, stages::searched},
    report::{SearchEnd, SearchGoal, SearchReport, StageReport},
};

/// The answer of one round and repetition of a search, from its stages; none where the plan searches
/// for nothing or no stage was measured.
pub fn answer(
    plan: &Plan,
    round: u32,
    repetition: u32,
    stages: &[&StageReport],
) -> Option<SearchReport> {
    let search = plan.search.as_ref()?;
    if stages.is_empty() {
        return None;
    }
    let step = search.step(plan, stages);
    let levels = search.levels();
    let level = |place: usize| levels.get(place).copied();
    let (end, best, failing) = match step {
        Step::Drive(_) => (SearchEnd::Incomplete, None, None),
        Step::End(End::Between(best, failing)) => (SearchEnd::Found, Some(best), Some(failing)),
        Step::End(End::AtLimit(best)) => (SearchEnd::AtLimit, Some(best), None),
        Step::End(End::BelowMinimum) => (SearchEnd::BelowMinimum, None, Some(0)),
        Step::End(End::Unclear(unclear, best)) => (SearchEnd::Unclear, best, Some(unclear)),
    };
    let report = |place: Option<usize>| {
        let name = searched(&plan.spec, search, level(place?)?).name;
        let of_it = stages.iter().filter(|stage| stage.name == name);
        of_it.max_by_key(|stage| stage.attempt).copied()
    };
    let best_stage = report(best);
    let goodput = best_stage.and_then(|stage| stage.goodput.as_ref());
    Some(SearchReport {
        round,
        repetition,
        goal: match search.goal {
            Goal::Objectives { .. } => SearchGoal::Objectives,
            Goal::Knee { .. } => SearchGoal::Knee,
        },
        metric: search.variable,
        best: best.and_then(level),
        best_stage: best_stage.map(|stage| stage.name.clone()),
        first_failing: failing
            .and_then(level)
            .filter(|_| end != SearchEnd::Unclear),
        goodput_requests_per_second: goodput.map(|goodput| goodput.requests_per_second),
        stages: stages.len() as u32,
        end,
        message: message(search, end, best_stage, report(failing)),
    })
}

fn message(
    search: &PlannedSearch,
    end: SearchEnd,
    best: Option<&StageReport>,
    failing: Option<&StageReport>,
) -> String {
    let unit = match search.variable {
        Variable::RequestRate => "requests/s",
        Variable::Concurrency => "requests in flight",
    };
    let name =
        |stage: Option<&StageReport>| stage.map(|stage| stage.name.clone()).unwrap_or_default();
    let why = failing.map(outcome::why).unwrap_or_default();
    match (end, search.goal) {
        (SearchEnd::Found, Goal::Objectives { .. }) => {
            format!(
                "the objectives are met at {} and not at {}: {why}",
                name(best),
                name(failing)
            )
        }
        (SearchEnd::Found, Goal::Knee { least_gain }) => format!(
            "from {} to {} the throughput grows by less than {:.0} %",
            name(best),
            name(failing),
            least_gain * 100.0
        ),
        (SearchEnd::AtLimit, Goal::Objectives { .. }) => format!(
            "the objectives are met at the highest load of the search, {} {unit}; raise its max",
            search.max
        ),
        (SearchEnd::AtLimit, Goal::Knee { .. }) => format!(
            "the throughput still grows up to {}; raise the knee's max",
            name(best)
        ),
        (SearchEnd::BelowMinimum, _) => {
            format!(
                "the objectives are not met at the lowest load of the search: {why}; lower its min"
            )
        }
        (SearchEnd::Unclear, _) => {
            format!(
                "the search ended at {}, of which nothing can be said: {why}",
                name(failing)
            )
        }
        (SearchEnd::Incomplete, _) => "the search was cut before it had an answer".into(),
    }
}
