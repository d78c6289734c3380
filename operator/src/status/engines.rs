//! `status.engines`: each engine over all its turns.

use bakeoff_crds::{
    plan::Plan,
    run::{
        BenchmarkRunStatus,
        status::{EnginePhase, EngineStatus, Headline, TurnStatus},
    },
};

/// Derives `status.engines` from `status.turns`.
pub fn refresh(status: &mut BenchmarkRunStatus, plan: &Plan) {
    let rounds = plan.spec.policy.rounds as usize;
    status.engines = plan
        .engines
        .iter()
        .map(|engine| {
            let own: Vec<&TurnStatus> = status
                .turns
                .iter()
                .filter(|turn| turn.engine == engine.name && !turn.superseded)
                .collect();
            engine_status(&engine.name, &own, rounds)
        })
        .collect();
}

fn engine_status(name: &str, own: &[&TurnStatus], rounds: usize) -> EngineStatus {
    let failed = own
        .iter()
        .find(|turn| turn.phase == EnginePhase::Failed)
        .or_else(|| own.iter().find(|turn| turn.phase == EnginePhase::Skipped));
    EngineStatus {
        name: name.to_owned(),
        phase: phase(own, rounds),
        reason: failed.and_then(|turn| turn.reason.clone()),
        message: failed.and_then(|turn| turn.message.clone()),
        headline: best(own),
    }
}

/// What is under way counts before what is over, a failure before a success.
fn phase(own: &[&TurnStatus], rounds: usize) -> EnginePhase {
    let has = |phase| own.iter().any(|turn| turn.phase == phase);
    let under_way = own
        .iter()
        .map(|turn| turn.phase)
        .find(|phase| !is_over(*phase));
    match under_way {
        Some(phase) => phase,
        None if has(EnginePhase::Failed) => EnginePhase::Failed,
        None if own.len() < rounds => EnginePhase::Pending,
        None if has(EnginePhase::Succeeded) => EnginePhase::Succeeded,
        None => EnginePhase::Skipped,
    }
}

/// Whether a turn in this phase will not change any more.
pub fn is_over(phase: EnginePhase) -> bool {
    match phase {
        EnginePhase::Succeeded | EnginePhase::Failed | EnginePhase::Skipped => true,
        EnginePhase::Pending
        | EnginePhase::Scheduling
        | EnginePhase::Starting
        | EnginePhase::Measuring
        | EnginePhase::Freeing => false,
    }
}

fn best(own: &[&TurnStatus]) -> Option<Headline> {
    own.iter()
        .filter_map(|turn| turn.summary.as_ref()?.headline.clone())
        .max_by(|one, other| {
            one.output_tokens_per_second
                .total_cmp(&other.output_tokens_per_second)
        })
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::summary::Summary;

    use super::*;

    fn turn(phase: EnginePhase, tokens: Option<f64>) -> TurnStatus {
        TurnStatus {
            phase,
            summary: tokens.map(|output_tokens_per_second| Summary {
                headline: Some(Headline {
                    output_tokens_per_second,
                    ..Headline::default()
                }),
                ..Summary::default()
            }),
            ..TurnStatus::default()
        }
    }

    #[test]
    fn an_engine_is_the_sum_of_its_turns() {
        use EnginePhase::{Failed, Measuring, Pending, Skipped, Succeeded};
        for (turns, rounds, expected) in [
            (vec![], 1, Pending),
            (vec![Succeeded], 1, Succeeded),
            (vec![Succeeded], 2, Pending),
            (vec![Succeeded, Measuring], 2, Measuring),
            (vec![Failed, Succeeded], 2, Failed),
            (vec![Failed], 2, Failed),
            (vec![Succeeded, Skipped], 2, Succeeded),
            (vec![Skipped, Skipped], 2, Skipped),
        ] {
            let turns: Vec<TurnStatus> = turns.into_iter().map(|phase| turn(phase, None)).collect();
            let own: Vec<&TurnStatus> = turns.iter().collect();
            assert_eq!(phase(&own, rounds), expected, "{turns:?} of {rounds}");
        }
    }

    #[test]
    fn the_best_stage_of_all_turns_is_the_headline() {
        let turns = [
            turn(EnginePhase::Succeeded, Some(90.0)),
            turn(EnginePhase::Succeeded, Some(120.0)),
            turn(EnginePhase::Failed, None),
        ];
        let own: Vec<&TurnStatus> = turns.iter().collect();
        assert_eq!(best(&own).unwrap().output_tokens_per_second, 120.0);
    }
}
