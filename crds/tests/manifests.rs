//! Golden manifests: what a run puts into a cluster, object by object.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{fs, path::Path};

use bakeoff_crds::{
    manifests::{
        MonitoringApi, engine_objects, holder_pod, outcome_config_map, pod_monitoring,
        preflight_job, reporter_job, runner_job, runner_service, turns,
    },
    outcome::Outcome,
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
    summary::PreflightSummary,
    validate::document::{Document, read},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Serialize;
use serde_json::Value;

fn plan(case: &str, replace: &[(&str, &str)]) -> Plan {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/cases/good/{case}.yaml"));
    let mut yaml = fs::read_to_string(path).unwrap();
    for (from, to) in replace {
        assert!(yaml.contains(from), "{from}");
        yaml = yaml.replace(from, to);
    }
    let Ok(Document::BenchmarkRun(mut run)) = read(&yaml) else {
        panic!("not a run")
    };
    run.metadata.uid = Some("0f9e8d7c-1111-2222-3333-444455556666".into());
    let settings = PlanSettings {
        runner_image: "registry.example.com/bakeoff/runner:test".into(),
        place: Place::Cluster,
    };
    resolve(&run, &ProfileSet::builtin(), &settings).unwrap()
}

fn owner() -> OwnerReference {
    OwnerReference {
        api_version: "bakeoff.dev/v1alpha1".into(),
        kind: "BenchmarkRun".into(),
        name: "the-run".into(),
        uid: "0f9e8d7c-1111-2222-3333-444455556666".into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

fn documents(objects: Vec<Value>) -> String {
    let documents: Vec<_> = objects
        .iter()
        .map(|object| serde_saphyr::to_string(object).unwrap())
        .collect();
    documents.join("---\n")
}

fn value(object: impl Serialize) -> Value {
    serde_json::to_value(object).unwrap()
}

/// Everything of one run but the plan itself, which holds nothing that is not in the spec or here.
fn manifests(plan: &Plan, node: Option<&str>) -> String {
    let owner = owner();
    let mut objects = vec![value(preflight_job(plan, &owner))];
    for turn in turns(plan) {
        if let Some(engine) = engine_objects(plan, &owner, turn, node) {
            objects.extend(engine.files.map(value));
            objects.extend([value(engine.pod), value(engine.service)]);
        }
        let apis = [
            MonitoringApi::GoogleManaged,
            MonitoringApi::PrometheusOperator,
        ];
        objects.extend(
            apis.into_iter()
                .filter_map(|api| pod_monitoring(plan, &owner, turn, api).map(value)),
        );
        let preflight = PreflightSummary {
            prompts_sha256: "abc".into(),
            ..Default::default()
        };
        objects.extend(runner_service(plan, &owner, turn).map(value));
        objects.push(value(runner_job(plan, &owner, turn, &preflight)));
    }
    objects.extend(node.map(|node| value(holder_pod(plan, &owner, node))));
    objects.push(value(outcome_config_map(plan, &owner, &Outcome::default())));
    objects.push(value(reporter_job(plan, &owner)));
    documents(objects)
}

#[test]
fn least_run() {
    insta::assert_snapshot!(manifests(&plan("least", &[]), None));
}

#[test]
fn run_with_everything() {
    insta::assert_snapshot!(manifests(&plan("everything", &[]), Some("node-1")));
}

#[test]
fn several_runner_pods_act_as_one() {
    let mut plan = plan("least", &[]);
    plan.spec.runner.parallelism = 4;
    let turn = turns(&plan)[0];
    let service = runner_service(&plan, &owner(), turn).unwrap();
    let job = runner_job(&plan, &owner(), turn, &PreflightSummary::default());
    // The first pod is found under the name that the others are given.
    let pod = job.spec.as_ref().unwrap().template.spec.as_ref().unwrap();
    assert_eq!(pod.subdomain, service.metadata.name);
    assert_eq!(job.metadata.name, service.metadata.name);
    let selector = service.spec.as_ref().unwrap().selector.as_ref().unwrap();
    let metadata = job.spec.as_ref().unwrap().template.metadata.as_ref();
    let labels = metadata.unwrap().labels.as_ref().unwrap();
    assert!(
        selector
            .iter()
            .all(|(key, value)| labels.get(key) == Some(value))
    );
    insta::assert_snapshot!(documents(vec![value(service), value(job)]));
    plan.spec.runner.parallelism = 1;
    assert_eq!(runner_service(&plan, &owner(), turn), None);
}

#[test]
fn every_built_in_profile() {
    for profile in ["triton-vllm", "triton-tensorrt-llm", "llama-cpp"] {
        let plan = plan("least", &[("profile: tgi", &format!("profile: {profile}"))]);
        let turn = turns(&plan)[1];
        let objects = engine_objects(&plan, &owner(), turn, None).unwrap();
        let all = vec![
            value(objects.files),
            value(objects.pod),
            value(objects.service),
        ];
        insta::assert_snapshot!(profile, documents(all));
    }
}

#[test]
fn an_engine_that_cannot_quantize_says_so() {
    for (profile, says) in [("triton-tensorrt-llm", true), ("triton-vllm", false)] {
        let quantized = "model: {quantization: awq, ";
        let plan = plan(
            "least",
            &[
                ("model: {", quantized),
                ("profile: tgi", &format!("profile: {profile}")),
            ],
        );
        let warns = plan
            .warnings
            .iter()
            .any(|warning| warning.contains("has no setting for model.quantization"));
        assert_eq!(warns, says, "{:?}", plan.warnings);
        let files = engine_objects(&plan, &owner(), turns(&plan)[1], None)
            .unwrap()
            .files;
        assert_ne!(value(files).to_string().contains("quantization"), says);
    }
}

#[test]
fn no_two_names_meet_and_all_fit() {
    let long = "a".repeat(40);
    let mut plan = plan("everything", &[]);
    plan.run.name = long;
    let text = manifests(&plan, Some("node-1"));
    let names: Vec<_> = text
        .split("---\n")
        .map(|document| {
            let kind = document
                .lines()
                .find(|line| line.starts_with("kind:"))
                .unwrap();
            let name = document
                .lines()
                .find(|line| line.starts_with("  name:"))
                .unwrap();
            (kind, name.trim().trim_start_matches("name: "))
        })
        .collect();
    for (index, (kind, name)) in names.iter().enumerate() {
        assert!(name.len() <= 52, "{name}");
        assert!(
            !names[..index].contains(&(kind, name)),
            "{kind} {name} is there twice"
        );
    }
}
