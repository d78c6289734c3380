//! Whether an engine can take the traffic that the run asks for.

use crate::{
    profile::Capabilities,
    run::{BenchmarkRunSpec, Protocol},
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
    None
}

fn takes_lists(protocol: Protocol, capabilities: &Capabilities) -> bool {
    protocol == Protocol::OpenAiCompletions && capabilities.prompt_lists
}
