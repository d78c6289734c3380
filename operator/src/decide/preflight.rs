//! Everything that can be checked before an accelerator is taken.

use bakeoff_crds::{
    manifests::{names, preflight_job},
    plan::Plan,
    run::status::{RunPhase, condition},
    summary::{Failure, PreflightSummary, reason},
};

use super::{draft::Draft, turns};
use crate::{
    child::Child,
    job::JobState,
    room::{self, Room},
};

/// Reason of [`condition::PREFLIGHT_PASSED`] where no node would take the engines yet.
const NO_NODE_YET: &str = "NoNodeYet";

pub(super) fn decide(draft: &mut Draft<'_>, plan: &Plan) {
    let left = turns::deadline_left(draft, plan);
    if left.is_zero() {
        let message = "policy.timeouts.total passed before the preflight was done";
        return fail(draft, reason::DEADLINE_EXCEEDED, message);
    }
    draft.wake_in(left);
    let room = draft
        .observed
        .room
        .as_ref()
        .and_then(|listed| room::of(plan, listed));
    if let Some(Room::TooSmall(message)) = &room {
        return fail(draft, reason::NODES_TOO_SMALL, message);
    }
    let name = names::preflight(&plan.run);
    match draft.job_state(plan, &name) {
        JobState::Absent => {
            let job = preflight_job(plan, &draft.owner());
            draft.apply.push(Child::Job(job));
            under_way(draft, "The preflight Job is being made");
        }
        JobState::Deleting => under_way(draft, "Waiting for an earlier preflight Job to go"),
        JobState::Active => under_way(
            draft,
            "Checking secrets, bucket, data set and tokenizer, and freezing the prompts",
        ),
        JobState::Stuck(failure) | JobState::Failed(failure, _) => {
            let Failure {
                reason, message, ..
            } = failure;
            fail(draft, &reason, &message);
        }
        JobState::Succeeded(words) => match words.and_then(|words| words.preflight) {
            Some(summary) => passed(draft, plan, &summary, room),
            None => fail(
                draft,
                reason::RUNNER_CRASHED,
                "the preflight ended well, but its pod is gone or did not say what it found. Make a new run",
            ),
        },
    }
}

fn under_way(draft: &mut Draft<'_>, message: &str) {
    draft.progressing(RunPhase::Preflight, "Preflight", message);
}

/// Where no node would take the engines yet, that is told with a reason of its own.
fn passed(draft: &mut Draft<'_>, plan: &Plan, summary: &PreflightSummary, room: Option<Room>) {
    draft.status.prompts_sha256 = Some(summary.prompts_sha256.clone());
    let left_out = match summary.left_out {
        0 => String::new(),
        count => format!(", {count} left out because of their length"),
    };
    let mut message = format!("{} prompts frozen{left_out}", summary.prompts);
    let reason = match room {
        Some(Room::Waits(words)) => {
            let deadline = plan.spec.policy.timeouts.scheduling;
            message.push_str(&format!(
                "; {words}. The first engine waits for the autoscaler, for \
                 policy.timeouts.scheduling ({deadline}) at the most"
            ));
            NO_NODE_YET
        }
        _ => "Passed",
    };
    draft.condition(condition::PREFLIGHT_PASSED, true, reason, &message);
    draft.progressing(RunPhase::Running, reason, "The first engine is next");
}

fn fail(draft: &mut Draft<'_>, reason: &str, message: &str) {
    draft.condition(condition::PREFLIGHT_PASSED, false, reason, message);
    draft.fail(reason, message);
}
