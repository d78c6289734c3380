//! In what an engine differs from the others of its run, and what of the run it cannot do.

use crate::{
    profile::{EngineProfileSpec, render::Renderer},
    run::{Api, BenchmarkRunSpec, CachePolicy, EngineSpec, Tuning},
};

/// What the report names of this engine where it speaks of fairness.
pub(super) fn deviations(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    profile: &EngineProfileSpec,
) -> Vec<String> {
    let mut deviations = Vec::new();
    if unable_to_force_length(spec, profile) {
        deviations.push(
            "answers end where the model ends them, for they cannot be forced to their full length"
                .into(),
        );
    }
    if let Some(image) = engine
        .image
        .as_ref()
        .filter(|_| profile.container.image.is_some())
    {
        deviations.push(format!("image {image} in place of the profile's"));
    }
    if let Some(protocol) = engine.protocol {
        deviations.push(format!("requests by {protocol:?}, chosen for this engine"));
    }
    if !engine.args.is_empty() {
        deviations.push(format!("further arguments {}", engine.args.join(" ")));
    }
    if !engine.env.is_empty() {
        let names: Vec<_> = engine
            .env
            .iter()
            .map(|variable| variable.name.as_str())
            .collect();
        deviations.push(format!("further environment {}", names.join(", ")));
    }
    if let Some(tuning) = &engine.tuning {
        let own = serde_json::to_string(tuning).unwrap_or_default();
        deviations.push(format!("tuning of its own {own}"));
    }
    if let Some(model) = &engine.model {
        let files = model
            .path
            .as_deref()
            .or(model.id.as_deref())
            .unwrap_or_default();
        deviations.push(format!("other files of the model: {files}"));
    }
    deviations
}

/// What a user is told at once.
pub(super) fn warnings(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    tuning: &Tuning,
    renderer: &Renderer,
    profile: &EngineProfileSpec,
) -> Vec<String> {
    let name = &engine.name;
    // Asked for, and what the engine does anyway.
    let batches =
        tuning.in_flight_batching == Some(true) && profile.capabilities.continuous_batching;
    let mut warnings: Vec<_> = renderer
        .ignored_settings(profile)
        .into_iter()
        .filter(|setting| !(batches && setting == "tuning.inFlightBatching"))
        .map(|setting| {
            format!(
                "{name}: {} has no setting for {setting}",
                profile.display_name
            )
        })
        .collect();
    if unable_to_force_length(spec, profile) {
        warnings.push(format!(
            "{name}: {} cannot force answers to their full length (workload.sampling.ignoreEos), so \
             compare it per token",
            profile.display_name
        ));
    }
    if spec.workload.cache_policy == CachePolicy::Cold
        && profile.cache_reset.is_none()
        && tuning.prefix_caching != Some(false)
    {
        warnings.push(format!(
            "{name}: the prefix cache of {} cannot be emptied between stages (workload.cachePolicy); \
             give workload.prompts.count as many prompts as all stages have requests, or switch \
             tuning.prefixCaching off",
            profile.display_name
        ));
    }
    if spec.workload.sampling.seed.is_some() && !profile.capabilities.seed {
        warnings.push(format!("{name}: {} takes no seed", profile.display_name));
    }
    if spec.workload.api == Api::Auto && !profile.capabilities.streaming && spec.workload.streaming
    {
        warnings.push(format!("{name}: {} does not stream", profile.display_name));
    }
    warnings
}

/// Whether the run asks for answers of full length and the engine cannot give them: then it is
/// compared per token.
fn unable_to_force_length(spec: &BenchmarkRunSpec, profile: &EngineProfileSpec) -> bool {
    spec.workload.sampling.ignore_eos && !profile.capabilities.ignore_eos
}
