//! From a run and the profiles to its plan, or to every problem that stands in the way.

use super::{
    EngineSource, Plan, PlannedEngine, RunIdentity, SCHEMA_VERSION, builds,
    engine::plan_engine,
    prefetch::{self, PlannedPrefetch},
    search::PlannedSearch,
    stages::stages,
    traffic,
};
use crate::{
    profile::ProfileSet,
    run::{BenchmarkRun, BenchmarkRunSpec},
    validate::{Place, Problems},
};

/// What planning needs beside the run itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// Image of runner, preflight, reporter and simulated engines.
    pub runner_image: String,
    /// Where the run will run.
    pub place: Place,
}

/// Makes the plan of a run.
///
/// # Errors
/// With every problem that keeps the run from being planned, not just the first.
pub fn resolve(
    run: &BenchmarkRun,
    profiles: &ProfileSet,
    settings: &PlanSettings,
) -> Result<Plan, Problems> {
    let spec = &run.spec;
    let mut problems = crate::validate::rules(spec, settings.place);
    let mut warnings = unused_adapters(spec);
    let mut engines: Vec<PlannedEngine> = Vec::new();
    for (index, engine) in spec.engines.iter().enumerate() {
        let field = format!("spec.engines[{index}]");
        match plan_engine(spec, engine, profiles, settings.place, &field) {
            Ok((planned, notes)) => {
                let protocol = planned.endpoint.protocol;
                problems.extend(traffic::problem(
                    spec,
                    protocol,
                    &planned.capabilities,
                    &described(&planned),
                ));
                engines.push(planned);
                warnings.extend(notes);
            }
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    warnings.extend(shared_claim(spec));
    warnings.extend(prefetch::warnings(spec, &engines));
    warnings.extend(builds::warnings(spec, &engines));
    let run = identity(run);
    Ok(Plan {
        schema_version: SCHEMA_VERSION.into(),
        prefetch: PlannedPrefetch::of(spec, &run, &engines),
        run,
        spec: spec.clone(),
        runner_image: spec
            .runner
            .image
            .clone()
            .unwrap_or_else(|| settings.runner_image.clone()),
        engines,
        stages: stages(spec),
        search: PlannedSearch::of(&spec.workload.sweep),
        warnings,
    })
}

fn unused_adapters(spec: &BenchmarkRunSpec) -> Vec<String> {
    let asked_for = |name: &str| spec.workload.models.iter().any(|share| share.name == name);
    let adapters = spec.model.adapters.iter();
    adapters
        .filter(|adapter| !asked_for(&adapter.name))
        .map(|adapter| {
            format!(
                "adapter {} is loaded and no request asks for it; name it in workload.models",
                adapter.name
            )
        })
        .collect()
}

/// An engine as problems name it.
fn described(engine: &PlannedEngine) -> String {
    match engine.source {
        EngineSource::Deployed(_) => format!("profile {:?}", engine.profile),
        EngineSource::External(_) | EngineSource::Simulated(_) => {
            format!("engine {:?}", engine.name)
        }
    }
}

/// Several pods write to one claim.
fn shared_claim(spec: &BenchmarkRunSpec) -> Option<String> {
    let pods = spec.runner.parallelism;
    (pods > 1 && spec.output.uri.starts_with("pvc://")).then(|| {
        format!(
            "output.uri is a claim that {pods} runner pods mount: it must be ReadWriteMany, or \
             runner.nodeSelector must put them on one node"
        )
    })
}

fn identity(run: &BenchmarkRun) -> RunIdentity {
    let metadata = &run.metadata;
    RunIdentity {
        name: metadata.name.clone().unwrap_or_else(|| "run".into()),
        namespace: metadata.namespace.clone().unwrap_or_else(|| "local".into()),
        uid: metadata.uid.clone().unwrap_or_else(|| "00000000".into()),
    }
}
