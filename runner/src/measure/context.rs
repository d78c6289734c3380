//! By what a stage's report is made and judged, as the plan says.

use bakeoff_crds::{
    plan::{Plan, PlannedEngine, Stage},
    run::History,
};

use super::turns;
use crate::{
    calibrate::Calibration,
    prompt::Prompt,
    shard::result::Place,
    stats::{stage::StageContext, verdict::Rules},
};

/// Lengths of the frozen prompts and of the answers that are asked for, by prompt.
#[derive(Clone, Debug, Default)]
pub struct Lengths {
    /// Tokens of the prompts, where the tokenizer knows.
    pub prompts: Vec<Option<u32>>,
    /// Longest answer asked for.
    pub asked: Vec<u32>,
}

/// Lengths of each request's prompts and of its answers, by its first prompt, as the plan sends them.
pub fn lengths(plan: &Plan, prompts: &[Prompt]) -> Lengths {
    let together = plan.spec.workload.prompts_per_request.max(1) as usize;
    Lengths {
        prompts: turns::prompt_tokens(prompts, together),
        asked: turns::asked_tokens(prompts, together),
    }
}

/// By what a stage of this engine is reported.
pub(crate) fn stage_context<'a>(
    plan: &'a Plan,
    engine: &PlannedEngine,
    (stage, place): (&'a Stage, Place),
    lengths: &'a Lengths,
    calibration: Option<Calibration>,
) -> StageContext<'a> {
    let (workload, policy) = (&plan.spec.workload, &plan.spec.policy);
    StageContext {
        name: &stage.name,
        round: place.round,
        repetition: place.repetition,
        attempt: place.attempt,
        restart: place.restart,
        load: &stage.load,
        streaming: workload.streaming && engine.endpoint.can_stream(),
        names: engine
            .models
            .iter()
            .map(|model| model.name.clone())
            .collect(),
        objectives: &plan.spec.objectives,
        max_error_rate: policy.max_error_rate,
        asked_tokens: &lengths.asked,
        forced_length: workload.sampling.ignore_eos,
        greedy: workload.sampling.temperature == 0.0 && same_question(plan, engine),
        prompt_tokens: &lengths.prompts,
        calibration,
        rules: Rules::All,
    }
}

/// Whether a prompt is the same question each time: not where several models are asked, nor where
/// the engine's own answers stand before it.
fn same_question(plan: &Plan, engine: &PlannedEngine) -> bool {
    let conversations = plan.spec.workload.prompts.conversations.as_ref();
    let own_answers = conversations.is_some_and(|it| it.history == History::Answers);
    engine.models.len() < 2 && !own_answers
}
