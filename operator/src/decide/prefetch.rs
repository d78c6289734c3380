//! The model, fetched once into a volume before an engine starts.

use bakeoff_crds::{
    manifests::{model_claim, names, prefetch_job},
    plan::{Plan, PlannedPrefetch},
    run::status::{ModelVolume, RunPhase, condition},
    summary::{Failure, PrefetchSummary, reason},
};

use super::{draft::Draft, turns};
use crate::{child::Child, job::JobState, pod};

/// Whether this step was taken by the fetching of the model.
pub(super) fn decide(draft: &mut Draft<'_>, plan: &Plan) -> bool {
    match &plan.prefetch {
        Some(prefetch) if !draft.is_true(condition::MODEL_PREFETCHED) => {
            step(draft, plan, prefetch);
            true
        }
        _ => false,
    }
}

fn step(draft: &mut Draft<'_>, plan: &Plan, prefetch: &PlannedPrefetch) {
    let left = turns::deadline_left(draft, plan);
    if left.is_zero() {
        let message = "policy.timeouts.total passed before the model was fetched";
        return fail(draft, reason::DEADLINE_EXCEEDED, message);
    }
    draft.wake_in(left);
    let name = names::prefetch(&plan.run);
    let claim = &prefetch.claim_name;
    match draft.job_state(plan, &name) {
        JobState::Absent => {
            let owner = draft.owner();
            // Before the Job, whose pod waits for it. One that is there already stays as it is.
            let made = model_claim(plan, &owner);
            draft.apply.extend(made.map(Child::PersistentVolumeClaim));
            draft
                .apply
                .extend(prefetch_job(plan, &owner).map(Child::Job));
            under_way(draft, "The Job that fetches the model is being made");
        }
        JobState::Deleting => under_way(draft, "Waiting for an earlier prefetch Job to go"),
        JobState::Active => {
            let message = format!(
                "Fetching {} into volume {claim}{}",
                plan.spec.model.id,
                how_far(draft)
            );
            under_way(draft, &message);
        }
        JobState::Stuck(failure) | JobState::Failed(failure, _) => {
            let Failure {
                reason, message, ..
            } = failure;
            fail(draft, &reason, &message);
        }
        JobState::Succeeded(words) => match words.and_then(|words| words.prefetch) {
            Some(content) => {
                let node = draft.observed.pods_of_job(&name).find_map(pod::node);
                let node_name = node.map(str::to_owned);
                passed(draft, claim, node_name, content);
            }
            None => fail(
                draft,
                reason::RUNNER_CRASHED,
                "the model was fetched, but the Job's pod is gone or did not say what it found. Make a new run",
            ),
        },
    }
}

/// Where the Job tells how far it is, in words and in `status.progress`.
fn how_far(draft: &mut Draft<'_>) -> String {
    let progress = draft.observed.progress.as_ref();
    let Some(progress) = progress.filter(|progress| progress.bytes_planned > 0) else {
        return String::new();
    };
    let (done, planned) = (progress.bytes_done as f64, progress.bytes_planned as f64);
    let percent = (done / planned * 100.0).min(100.0).floor();
    draft.status.progress = Some(format!("model {percent} %"));
    format!(": {:.1} of {:.1} GB", done / 1e9, planned / 1e9)
}

fn under_way(draft: &mut Draft<'_>, message: &str) {
    draft.progressing(RunPhase::Prefetching, "Prefetching", message);
}

fn passed(draft: &mut Draft<'_>, claim: &str, node_name: Option<String>, content: PrefetchSummary) {
    let (files, gigabytes) = (content.files, content.bytes as f64 / 1e9);
    let message = match content.fetched_bytes {
        0 => format!("Volume {claim} held all {files} files, {gigabytes:.3} GB"),
        fetched => format!(
            "Volume {claim} holds {files} files, {gigabytes:.3} GB, of which {:.3} GB were fetched in {:.0} s",
            fetched as f64 / 1e9,
            content.seconds
        ),
    };
    draft.status.progress = None;
    draft.status.model_volume = Some(ModelVolume {
        claim_name: claim.to_owned(),
        node_name,
        content,
    });
    draft.condition(condition::MODEL_PREFETCHED, true, "Filled", &message);
    draft.progressing(RunPhase::Running, "Prefetched", "The first engine is next");
}

fn fail(draft: &mut Draft<'_>, reason: &str, message: &str) {
    draft.condition(condition::MODEL_PREFETCHED, false, reason, message);
    draft.fail(reason, message);
}
