//! What is said of `model.builds` before anything is built.

use super::{EngineSource, PlannedEngine};
use crate::run::BenchmarkRunSpec;

/// Builds that nobody keeps, and a claim in which nobody builds.
pub(super) fn warnings(spec: &BenchmarkRunSpec, engines: &[PlannedEngine]) -> Vec<String> {
    let builds = |engine: &&PlannedEngine| match &engine.source {
        EngineSource::Deployed(deployment) => deployment.build_path.is_some(),
        EngineSource::External(_) | EngineSource::Simulated(_) => false,
    };
    let building = engines.iter().filter(builds);
    if spec.model.builds.is_none() {
        return building
            .map(|engine| {
                format!(
                    "{}: what {} builds is kept nowhere, so each start builds anew; name a claim in model.builds.claimName",
                    engine.name, engine.display_name
                )
            })
            .collect();
    }
    match building.count() {
        0 => vec!["model.builds keeps nothing: no engine of the run builds anything".into()],
        _ => Vec::new(),
    }
}
