//! Whether an engine can take the traffic that the run asks for.

use super::RequestedModel;
use crate::{
    profile::Capabilities,
    run::{Adapter, BenchmarkRunSpec, History, Protocol},
    validate::Problem,
};

/// What the traffic asks of an engine that it cannot do; `engine` names it in messages.
pub fn problem(
    spec: &BenchmarkRunSpec,
    protocol: Protocol,
    capabilities: &Capabilities,
    engine: &str,
) -> Option<Problem> {
    let workload = &spec.workload;
    let prompts = workload.prompts_per_request;
    if prompts > 1 && !takes_lists(protocol, capabilities) {
        return Some(Problem::new(
            "spec.workload.promptsPerRequest",
            format!(
                "{engine} by {protocol:?} takes one prompt a request, not {prompts}; set it to 1, or leave the engine out (engines whose OpenAI completions take a list can, with workload.api Completions)"
            ),
        ));
    }
    let conversations = workload.prompts.conversations.as_ref();
    let by_answers = conversations.is_some_and(|it| it.history == History::Answers);
    if by_answers && protocol != Protocol::OpenAiChat {
        return Some(Problem::new(
            "spec.workload.prompts.conversations.history",
            format!(
                "Answers goes by OpenAI chat alone, and {engine} is asked by {protocol:?}; set workload.api to Chat, or history to Recorded"
            ),
        ));
    }
    if capabilities.adapters {
        return None;
    }
    no_adapters(spec, protocol, engine)
}

/// That the run has adapters, for an engine that serves none.
pub fn no_adapters(spec: &BenchmarkRunSpec, protocol: Protocol, engine: &str) -> Option<Problem> {
    let first = spec.model.adapters.first()?;
    Some(Problem::new(
        "spec.model.adapters",
        format!(
            "{engine} by {protocol:?} serves no adapters, and the run asks for {}; remove adapters, or leave the engine out",
            first.name
        ),
    ))
}

/// What requests ask for: `in_requests` gives an adapter's name in them.
///
/// # Errors
/// As `in_requests`.
pub fn models<E>(
    spec: &BenchmarkRunSpec,
    in_requests: impl Fn(&Adapter) -> Result<String, E>,
) -> Result<Vec<RequestedModel>, E> {
    let shares = spec.workload.models.iter();
    shares
        .map(|share| {
            let mut adapters = spec.model.adapters.iter();
            let adapter = adapters.find(|adapter| adapter.name == share.name);
            Ok(RequestedModel {
                name: share.name.clone(),
                weight: share.weight,
                adapter: adapter.map(&in_requests).transpose()?,
            })
        })
        .collect()
}

fn takes_lists(protocol: Protocol, capabilities: &Capabilities) -> bool {
    protocol == Protocol::OpenAiCompletions && capabilities.prompt_lists
}
