//! The repositories that engines load from: whether they are there, and what their revisions stand
//! for. Asked before an accelerator is taken.

use std::{collections::BTreeSet, time::Duration};

use bakeoff_crds::{
    common::shortened,
    plan::{EngineSource, Plan},
    summary::{Failure, ResolvedRepository, reason},
};
use serde::Deserialize;

use super::sources::{HF_TOKEN, root_of_hub};
use crate::store::{Inputs, fetch::body_of};

/// Longest wait for an answer: a cluster that cannot reach the hub shall not wait for it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Most bytes of an answer: a repository lists its files, some thousands at the most.
const LONGEST_ANSWER: u64 = 16 << 20;
/// Most characters of a commit that are kept: it goes into the pod's last words, which have a bound.
const MOST_OF_COMMIT: usize = 64;

/// What is used of the hub's answer.
#[derive(Deserialize)]
struct Answer {
    sha: Option<String>,
}

/// Asks for each repository that a deployed engine loads. A hub that cannot be reached from here is
/// no failure: engines may have another way to it.
///
/// # Errors
/// Where the hub says that a repository or its revision is not there, or not for this token.
pub async fn resolve(plan: &Plan, inputs: &Inputs) -> Result<Vec<ResolvedRepository>, Failure> {
    let mut resolved = Vec::new();
    for (id, revision) in repositories(plan) {
        let commit = ask(plan, inputs, &id, &revision).await?;
        resolved.push(ResolvedRepository {
            id,
            revision,
            commit,
        });
    }
    Ok(resolved)
}

/// Ids and revisions, each once.
fn repositories(plan: &Plan) -> Vec<(String, String)> {
    let model = &plan.spec.model;
    let engines = plan.engines.iter().zip(&plan.spec.engines);
    let deployed =
        engines.filter(|(planned, _)| matches!(planned.source, EngineSource::Deployed(_)));
    let mut found = BTreeSet::new();
    for (_, engine) in deployed {
        let own = engine.model.clone().unwrap_or_default();
        let from_bucket = model.prefetch.as_ref().is_some_and(|it| it.uri.is_some());
        let from_volume = model.persistent_volume_claim.is_some() || from_bucket;
        let from_volume = own.id.is_none() && from_volume;
        if own.path.is_none() && !from_volume {
            let id = own.id.unwrap_or_else(|| model.id.clone());
            found.insert((id, model.revision.clone()));
        }
        // Adapters may be paths of the container.
        let adapters = model.adapters.iter().filter(|it| !it.id.starts_with('/'));
        found.extend(adapters.map(|adapter| {
            let revision = adapter.revision.clone();
            (
                adapter.id.clone(),
                revision.unwrap_or_else(|| "main".into()),
            )
        }));
    }
    found.into_iter().collect()
}

/// The commit; none where the hub gives no answer that tells.
async fn ask(
    plan: &Plan,
    inputs: &Inputs,
    id: &str,
    revision: &str,
) -> Result<Option<String>, Failure> {
    let hub = root_of_hub(plan, inputs);
    // A branch may have slashes in its name.
    let url = format!(
        "{hub}/api/models/{id}/revision/{}",
        revision.replace('/', "%2F")
    );
    let token = inputs.environment.get(HF_TOKEN);
    let unknown = |cause: String| {
        tracing::warn!(
            url,
            cause,
            "the model's repository cannot be looked at from here; engines may have another way to it"
        );
        Ok(None)
    };
    let asked = async {
        let answer = inputs.get(&url, token).await?;
        let status = answer.status().as_u16();
        let body = body_of(answer, LONGEST_ANSWER).await?;
        Ok::<_, String>((status, body))
    };
    let (status, body) = match tokio::time::timeout(PATIENCE, asked).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(cause)) => return unknown(cause),
        Err(_) => return unknown(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    match status {
        200..=299 => match serde_json::from_slice::<Answer>(&body) {
            Ok(answer) => Ok(answer.sha.map(|sha| shortened(&sha, MOST_OF_COMMIT))),
            Err(error) => unknown(format!("the answer is no description of a model: {error}")),
        },
        status => match refused(hub, id, revision, status, token.is_some()) {
            Some(failure) => Err(failure),
            None => unknown(format!("HTTP {status}")),
        },
    }
}

/// What a status of the hub `root` means that says no.
pub(crate) fn refused(
    root: &str,
    id: &str,
    revision: &str,
    status: u16,
    has_token: bool,
) -> Option<Failure> {
    match status {
        401 | 403 => Some(denied(id, revision, status, has_token)),
        404 => Some(Failure {
            reason: reason::MODEL_NOT_FOUND.into(),
            message: format!(
                "{root} has no repository {id} with a revision {revision} (HTTP 404); correct model.id, \
                 model.revision or the adapter"
            ),
            may_pass: false,
        }),
        _ => None,
    }
}

fn denied(id: &str, revision: &str, status: u16, has_token: bool) -> Failure {
    let remedy = if has_token {
        "accept the model's licence with the account of model.tokenSecretRef, or take a token that may \
         read it"
    } else {
        "it is gated, private or does not exist: set model.tokenSecretRef, or correct model.id"
    };
    Failure {
        reason: reason::MODEL_ACCESS_DENIED.into(),
        message: format!("the hub refuses {id} at {revision} (HTTP {status}); {remedy}"),
        may_pass: false,
    }
}

#[cfg(test)]
mod tests;
