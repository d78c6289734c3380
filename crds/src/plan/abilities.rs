//! Settings that an engine must be able to honour: what it cannot do is refused before it costs an
//! accelerator's time.

use crate::{
    profile::Capabilities,
    run::{BenchmarkRunSpec, Tuning},
    validate::Problem,
};

/// What a profile's capabilities forbid of the settings that hold for one engine.
pub(super) fn problem(
    spec: &BenchmarkRunSpec,
    tuning: &Tuning,
    profile: &str,
    capabilities: &Capabilities,
) -> Option<Problem> {
    if let Some(method) = &spec.model.quantization
        && !capabilities.quantization
    {
        return Some(Problem::new(
            "spec.model.quantization",
            format!(
                "profile {profile:?} cannot serve {method:?}; remove it, or leave the engine out"
            ),
        ));
    }
    let wanted = tuning.speculative_decoding.as_ref()?.method;
    let known = &capabilities.speculative_methods;
    if capabilities.speculative_decoding && known.contains(&wanted) {
        return None;
    }
    let known: Vec<_> = known.iter().map(|method| method.name()).collect();
    let offers = if capabilities.speculative_decoding && !known.is_empty() {
        format!("it offers {}", known.join(", "))
    } else {
        "it offers none".to_owned()
    };
    Some(Problem::new(
        "spec.tuning.speculativeDecoding.method",
        format!(
            "profile {profile:?} cannot guess by {}, {offers}; choose what all engines have, remove it, or leave the engine out",
            wanted.name()
        ),
    ))
}
