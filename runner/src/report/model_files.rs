//! What was known of the model's files on a node before an engine read them. Pure.

use bakeoff_crds::{
    outcome::Outcome,
    plan::{EngineSource, Plan, PlannedEngine},
    report::ModelFiles,
    run::status::TurnStatus,
};

/// What the run had done with the model's files on the node of this turn before it; none for an
/// engine that does not take them from a volume.
pub fn model_files(
    plan: &Plan,
    engine: &PlannedEngine,
    turn: &TurnStatus,
    outcome: &Outcome,
) -> Option<ModelFiles> {
    let node = turn.node_name.as_ref()?;
    if !reads_volume(plan, engine) {
        return None;
    }
    let begun = &turn.start_time.as_ref()?.0;
    // An engine whose container has started may have read them, whatever became of it.
    let reads = |other: &&TurnStatus| {
        let planned = plan.engines.iter().find(|it| it.name == other.engine);
        other.node_name.as_ref() == Some(node)
            && other.container_started_time.is_some()
            && other.start_time.as_ref().is_some_and(|it| it.0 < *begun)
            && planned.is_some_and(|planned| reads_volume(plan, planned))
    };
    if outcome.turns.iter().any(|other| reads(&other)) {
        return Some(ModelFiles::Warm);
    }
    let volume = outcome.model_volume.as_ref();
    let is_fetched_here = volume.is_some_and(|volume| {
        volume.node_name.as_ref() == Some(node) && volume.content.fetched_bytes > 0
    });
    Some(match is_fetched_here {
        true => ModelFiles::JustFetched,
        false => ModelFiles::Cold,
    })
}

fn reads_volume(plan: &Plan, engine: &PlannedEngine) -> bool {
    let model = &plan.spec.model;
    let has_volume = plan.prefetch.is_some() || model.persistent_volume_claim.is_some();
    let mut specs = plan.spec.engines.iter();
    let own = specs.find(|spec| spec.name == engine.name);
    let own_id = own.and_then(|spec| spec.model.as_ref()?.id.as_ref());
    has_volume && own_id.is_none() && matches!(engine.source, EngineSource::Deployed(_))
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::{run::status::ModelVolume, summary::PrefetchSummary};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::report::fixture;

    const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: cold, namespace: bench, uid: 0f9a1b2c-0000-4000-8000-000000000000}
spec:
  model: MODEL
  engines:
    - {name: vllm, profile: vllm}
    - {name: tgi, profile: tgi}
    - {name: gguf, profile: llama-cpp, model: {id: org/gguf}}
  workload: {prompts: {inline: [hello]}}
  output: {uri: "s3://results/bakeoff"}
"#;

    /// A turn that began in this minute.
    fn turn(engine: &str, node: &str, minute: u32, has_started: bool) -> TurnStatus {
        let at = |second| {
            let time = format!("2026-11-22T08:{minute:02}:{second:02}Z");
            Some(Time(time.parse().unwrap()))
        };
        TurnStatus {
            engine: engine.into(),
            node_name: Some(node.into()),
            start_time: at(0),
            container_started_time: at(5).filter(|_| has_started),
            ..TurnStatus::default()
        }
    }

    fn all(
        model: &str,
        volume: Option<(&str, u64)>,
        turns: Vec<TurnStatus>,
    ) -> Vec<Option<ModelFiles>> {
        let plan = fixture::plan_of(&RUN.replace("MODEL", model));
        let outcome = Outcome {
            model_volume: volume.map(|(node, fetched_bytes)| ModelVolume {
                claim_name: "c".into(),
                node_name: Some(node.into()),
                content: PrefetchSummary {
                    fetched_bytes,
                    ..PrefetchSummary::default()
                },
            }),
            turns,
            ..Outcome::default()
        };
        let of = |turn: &TurnStatus| {
            let mut engines = plan.engines.iter();
            let engine = engines.find(|it| it.name == turn.engine).unwrap();
            model_files(&plan, engine, turn, &outcome)
        };
        outcome.turns.iter().map(of).collect()
    }

    #[test]
    fn only_what_the_run_itself_did_is_said() {
        use ModelFiles::{Cold, JustFetched, Warm};
        let fetched = "{id: org/m, prefetch: {size: 1Gi}}";
        let turns = || {
            vec![
                turn("vllm", "a", 1, true),
                turn("gguf", "a", 2, true),
                turn("tgi", "a", 3, true),
                turn("tgi", "b", 4, false),
                turn("vllm", "b", 5, true),
            ]
        };
        for (volume, first) in [
            (Some(("a", 9)), JustFetched),
            // Filled before, or filled elsewhere.
            (Some(("a", 0)), Cold),
            (Some(("cpu", 9)), Cold),
        ] {
            assert_eq!(
                all(fetched, volume, turns()),
                [Some(first), None, Some(Warm), Some(Cold), Some(Cold)],
                "{volume:?}"
            );
        }
        let claim = "{id: org/m, persistentVolumeClaim: {claimName: c}}";
        assert_eq!(all(claim, None, turns())[0], Some(Cold));
        assert_eq!(all("{id: org/m}", None, turns()), [None; 5]);
    }
}
