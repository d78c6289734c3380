//! From a spec to a stored plan, once; from then on the stored plan is the truth.

use bakeoff_crds::{
    manifests::{names, plan_config_map},
    plan::{Plan, PlanSettings, Problems, resolve},
    run::status::{EnginePhase, EngineStatus, RunPhase, condition},
    summary::reason,
};

use super::draft::Draft;
use crate::child::Child;

/// Plans the run and stores the plan, or says what keeps it from being planned.
pub(super) fn decide(draft: &mut Draft<'_>, settings: &PlanSettings) {
    if draft.is_true(condition::ACCEPTED) {
        let name = names::plan(&draft.identity());
        let message = format!(
            "ConfigMap {name} with the run's plan is gone, and a run is never planned anew. Make a new run"
        );
        return draft.fail(reason::CONFIG_MAP_NOT_FOUND, &message);
    }
    if let Some(message) = unreadable_profile(draft) {
        return reject(draft, reason::INVALID_SPEC, &message);
    }
    let profiles = draft.observed.profiles.clone().unwrap_or_default();
    match resolve(draft.run, &profiles, settings) {
        Ok(plan) => {
            let config_map = plan_config_map(&plan, &draft.owner());
            draft.apply.push(Child::ConfigMap(config_map));
            accept(draft, &plan);
        }
        Err(problems) => reject(draft, reason_of(&problems), &problems.to_string()),
    }
}

/// Takes the run up by its plan.
pub(super) fn accept(draft: &mut Draft<'_>, plan: &Plan) {
    draft.status.plan_config_map = Some(names::plan(&plan.run));
    draft.status.engines = plan
        .engines
        .iter()
        .map(|engine| EngineStatus {
            name: engine.name.clone(),
            phase: EnginePhase::Pending,
            ..EngineStatus::default()
        })
        .collect();
    let message = match plan.warnings.as_slice() {
        [] => "The spec holds and its plan is stored".to_owned(),
        warnings => format!("The plan is stored. Note: {}", warnings.join("; ")),
    };
    draft.condition(condition::ACCEPTED, true, "Planned", &message);
    draft.progressing(RunPhase::Pending, "Planned", "The preflight is next");
}

fn reject(draft: &mut Draft<'_>, reason: &str, message: &str) {
    draft.condition(condition::ACCEPTED, false, reason, message);
    draft.fail(reason, message);
}

fn reason_of(problems: &Problems) -> &'static str {
    let about_profiles = problems
        .0
        .iter()
        .all(|problem| problem.field.ends_with("].profile"));
    if about_profiles {
        reason::PROFILE_NOT_FOUND
    } else {
        reason::INVALID_SPEC
    }
}

/// An EngineProfile that the run names and that is malformed must not pass for a missing one, nor
/// for the built-in one of its name.
fn unreadable_profile(draft: &Draft<'_>) -> Option<String> {
    draft.run.spec.engines.iter().find_map(|engine| {
        let name = engine.profile.as_ref()?;
        let (_, error) = draft
            .observed
            .unreadable_profiles
            .iter()
            .find(|(unreadable, _)| unreadable == name)?;
        Some(format!("EngineProfile {name} cannot be read: {error}"))
    })
}
