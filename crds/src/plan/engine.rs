//! From one engine of a run to its part of the plan: deployed by a profile, external or simulated.

mod deployed;
mod differences;
mod external;
mod simulated;

use super::{PlannedEngine, RequestedModel, traffic};
use crate::{
    profile::{EngineProfileSpec, HttpCall, ProfileSet},
    run::{Adapter, BenchmarkRunSpec, CachePolicy, EngineSpec, Protocol},
    validate::{Place, Problem},
};

/// An engine's part of the plan, and what its user is warned of.
type Planned = (PlannedEngine, Vec<String>);

pub(super) fn plan_engine(
    spec: &BenchmarkRunSpec,
    engine: &EngineSpec,
    profiles: &ProfileSet,
    place: Place,
    field: &str,
) -> Result<Planned, Problem> {
    if let Some(external) = &engine.external {
        return external::plan(spec, engine, external, field);
    }
    if let Some(simulated) = &engine.simulated {
        if spec.hardware.nodes() > 1 {
            return Err(one_node(spec, "a simulated engine"));
        }
        return Ok(simulated::plan(spec, engine, simulated));
    }
    let Some(name) = &engine.profile else {
        return Err(Problem::new(
            field,
            "set one of profile, external and simulated",
        ));
    };
    let Some(profile) = profiles.get(name) else {
        let known: Vec<_> = profiles.names().collect();
        return Err(Problem::new(
            format!("{field}.profile"),
            format!(
                "there is no profile {name:?}; known are {}; apply an EngineProfile of that name to add it",
                known.join(", ")
            ),
        ));
    };
    if place == Place::Cluster && engine.image.is_none() && profile.container.image.is_none() {
        return Err(Problem::new(
            format!("{field}.image"),
            format!(
                "nobody publishes an image of profile {name:?}; build one (docs/engines has a Dockerfile for each built-in profile) and name it here"
            ),
        ));
    }
    deployed::plan(spec, engine, name, profile, field)
}

fn one_node(spec: &BenchmarkRunSpec, who: &str) -> Problem {
    Problem::new(
        "spec.hardware.nodes",
        format!(
            "{who} runs on one node, not on {}; set it to 1, take a profile that spans nodes, such as \
             vllm-leader-worker-set, or leave the engine out",
            spec.hardware.nodes()
        ),
    )
}

fn no_stream(engine: &str, protocol: Protocol) -> String {
    format!("{engine}: {protocol:?} does not stream, so it has no time to first token")
}

/// The call that empties the prefix cache, where the run wants it empty.
fn cache_reset(spec: &BenchmarkRunSpec, profile: &EngineProfileSpec) -> Option<HttpCall> {
    let wanted = spec.workload.cache_policy == CachePolicy::Cold;
    profile.cache_reset.clone().filter(|_| wanted)
}

/// What requests ask for where adapters go by their own names.
fn by_name(spec: &BenchmarkRunSpec) -> Vec<RequestedModel> {
    let name = |adapter: &Adapter| Ok::<_, std::convert::Infallible>(adapter.name.clone());
    let Ok(models) = traffic::models(spec, name);
    models
}
