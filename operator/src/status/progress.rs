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

#[cfg(test)]
mod tests {
    use bakeoff_crds::{
        BenchmarkRun,
        plan::{Place, PlanSettings, resolve},
        profile::ProfileSet,
    };

    use super::*;

    fn plan(sweep: &str) -> Plan {
        let run = format!(
            "
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: progress, namespace: bench}}
spec:
  model: {{id: demo/model}}
  engines: [{{name: a, profile: vllm}}, {{name: b, profile: vllm}}]
  workload: {{prompts: {{inline: [one]}}, sweep: {sweep}}}
  output: {{uri: 's3://results'}}
"
        );
        let run: BenchmarkRun = serde_saphyr::from_str(&run).unwrap();
        let settings = PlanSettings {
            runner_image: "runner".into(),
            place: Place::Cluster,
        };
        resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
    }

    #[test]
    fn of_a_search_the_most_is_told() {
        let runner = Progress {
            stages_done: 3,
            stages_planned: 9,
            ..Progress::default()
        };
        let turn = Turn {
            round: 1,
            engine: 1,
            restart: 0,
        };
        for (sweep, expected) in [
            ("{concurrency: [1, 2]}", "engine 2/2, stage 4/9"),
            ("{knee: {}}", "engine 2/2, stage 4/≤9"),
        ] {
            assert_eq!(line(&plan(sweep), turn, 1, Some(&runner)), expected);
        }
    }
}
