//! From a run's document to all that is made of it.

use bakeoff_crds::{
    manifests::{
        LoadFacts, MonitoringApi, engine_objects, holder_pod, model_claim, pod_monitoring,
        prefetch_job, preflight_job, reporter_job, runner_job, turns,
    },
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
    validate::document::{Document, read},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde_json::{Value, json};

/// Plans a run as the operator would, or `bakeoff run`.
pub fn plan(document: &Value, place: Place, profiles: &ProfileSet) -> Result<Plan, String> {
    let yaml = serde_json::to_string(document).unwrap();
    let run = match read(&yaml) {
        Ok(Document::BenchmarkRun(run)) => run,
        Ok(Document::EngineProfile(_)) => panic!("not a run"),
        Err(problems) => return Err(format!("{problems:?}")),
    };
    let settings = PlanSettings {
        runner_image: "runner:test".into(),
        place,
    };
    resolve(&run, profiles, &settings).map_err(|problems| problems.to_string())
}

/// What a plan makes of the spec, without the spec itself.
pub fn effects(plan: &Plan) -> Vec<Value> {
    let owner = OwnerReference::default();
    let mut effects = vec![
        json!(plan.engines),
        json!(plan.stages),
        json!(plan.search),
        json!(preflight_job(plan, &owner)),
        json!(model_claim(plan, &owner)),
        json!(prefetch_job(plan, &owner)),
        json!(reporter_job(plan, &owner)),
        json!(holder_pod(plan, &owner, "node")),
    ];
    for turn in turns(plan) {
        if let Some(engine) = engine_objects(plan, &owner, turn, Some("node")) {
            effects.extend([
                json!(engine.files),
                json!(engine.workload),
                json!(engine.service),
            ]);
        }
        effects.push(json!(pod_monitoring(
            plan,
            &owner,
            turn,
            MonitoringApi::GoogleManaged
        )));
        effects.push(json!(runner_job(plan, &owner, turn, &LoadFacts::default())));
    }
    effects
}
