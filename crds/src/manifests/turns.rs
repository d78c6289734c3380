//! The order in which engines run.

use crate::plan::{EngineSource, Plan};

/// One engine's turn in one round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Turn {
    /// Round, from 1.
    pub round: u32,
    /// Place of the engine in the plan, from 0.
    pub engine: usize,
    /// How often the round has begun anew, because its node was lost; 0 the first time.
    pub restart: u32,
}

/// All turns in their order, as if no round began anew: each round passes over all engines, every second one backwards, so
/// that what drifts over time (heat, neighbours) does not always meet the same engine.
pub fn turns(plan: &Plan) -> Vec<Turn> {
    (1..=plan.spec.policy.rounds)
        .flat_map(|round| {
            let order: Vec<usize> = if round % 2 == 1 {
                (0..plan.engines.len()).collect()
            } else {
                (0..plan.engines.len()).rev().collect()
            };
            order.into_iter().map(move |engine| Turn {
                round,
                engine,
                restart: 0,
            })
        })
        .collect()
}

/// Accelerator-hours that a run can take at most, by its own deadlines.
pub fn gpu_hours_at_most(plan: &Plan) -> f64 {
    let spec = &plan.spec;
    let timeouts = &spec.policy.timeouts;
    let pause = spec.workload.sweep.pause.unwrap_or_default();
    let stage = timeouts.stage.as_secs_f64() + pause.as_secs_f64();
    let stages = f64::from(plan.stages_at_most()) * f64::from(spec.workload.repetitions);
    let turn = timeouts.ready.as_secs_f64() + stages * stage;
    let deployed = plan
        .engines
        .iter()
        .filter(|engine| matches!(engine.source, EngineSource::Deployed(_)))
        .count() as f64;
    let all = (turn * deployed * f64::from(spec.policy.rounds)).min(timeouts.total.as_secs_f64());
    if deployed == 0.0 {
        0.0
    } else {
        let accelerators =
            f64::from(spec.hardware.accelerator.count) * f64::from(spec.hardware.nodes());
        all * accelerators / 3600.0
    }
}
