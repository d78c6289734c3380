//! `status.progress`: one short line for `kubectl get`.

use bakeoff_crds::{manifests::Turn, plan::Plan};

use crate::observed::Progress;

/// Such as `round 1/2, engine 2/3, stage 4/6`, or `stage 4/≤9` of a search. `position` is the turn's place in its round, from 0.
pub fn line(plan: &Plan, turn: Turn, position: usize, runner: Option<&Progress>) -> String {
    let engines = plan.engines.len();
    let rounds = plan.spec.policy.rounds;
    let mut line = String::new();
    if rounds > 1 {
        line = format!("round {}/{rounds}, ", turn.round);
    }
    line.push_str(&format!(
        "engine {}/{engines}",
        position % engines.max(1) + 1
    ));
    if let Some(progress) = runner.filter(|progress| progress.stages_planned > 0) {
        let planned = progress.stages_planned;
        let stage = progress.stages_done.saturating_add(1).min(planned);
        // Of a search, only the most is known.
        let most = if plan.search.is_some() { "≤" } else { "" };
        line.push_str(&format!(", stage {stage}/{most}{planned}"));
    }
    line
}
