//! Golden manifests: what a run puts into a cluster, object by object.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{fs, path::Path};

use bakeoff_crds::{
    manifests::{
        LoadFacts, MonitoringApi, engine_objects, engine_objects_on, holder_pod, model_claim,
        outcome_config_map, pod_monitoring, prefetch_job, preflight_job, reporter_job, runner_job,
        runner_service, turns,
    },
    outcome::Outcome,
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
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
    objects.extend(model_claim(plan, &owner).map(value));
    objects.extend(prefetch_job(plan, &owner).map(value));
    for turn in turns(plan) {
        if let Some(engine) = engine_objects(plan, &owner, turn, node) {
            objects.extend(engine.files.map(value));
            objects.extend([value(engine.workload), value(engine.service)]);
        }
        let apis = [
            MonitoringApi::GoogleManaged,
            MonitoringApi::PrometheusOperator,
        ];
        objects.extend(
            apis.into_iter()
                .filter_map(|api| pod_monitoring(plan, &owner, turn, api).map(value)),
        );
        let facts = LoadFacts {
            prompts_sha256: "abc",
            ..LoadFacts::default()
        };
        objects.extend(runner_service(plan, &owner, turn).map(value));
        objects.push(value(runner_job(plan, &owner, turn, &facts)));
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
fn a_model_is_fetched_once_and_mounted_by_all() {
    for case in [
        "prefetched",
        "prefetched-from-a-bucket",
        "prefetched-from-a-claim",
    ] {
        insta::assert_snapshot!(case, manifests(&plan(case, &[]), None));
    }
}

#[test]
fn pods_that_a_controller_names_are_told_to_the_runner() {
    let plan = plan("least", &[]);
    let facts = LoadFacts {
        prompts_sha256: "abc",
        engine_pods: vec!["lws-0", "lws-0-1"],
    };
    let job = runner_job(&plan, &owner(), turns(&plan)[0], &facts);
    let pod = job.spec.unwrap().template.spec.unwrap();
    let args = pod.containers[0].args.clone().unwrap();
    assert_eq!(
        args[args.len() - 4..],
        ["--engine-pod", "lws-0", "--engine-pod", "lws-0-1"]
    );
}

#[test]
fn several_runner_pods_act_as_one() {
    let mut plan = plan("least", &[]);
    plan.spec.runner.parallelism = 4;
    let turn = turns(&plan)[0];
    let service = runner_service(&plan, &owner(), turn).unwrap();
    let job = runner_job(&plan, &owner(), turn, &LoadFacts::default());
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
    for profile in [
        "fastchat",
        "jetstream",
        "llama-cpp",
        "naive-transformers",
        "openllm",
        "ray-serve",
        "ray-service",
        "sax",
        "sglang",
        "tensorrt-llm",
        "torchserve",
        "transformers",
        "triton-model",
        "triton-tensorrt-llm",
        "triton-tensorrt-llm-engine",
        "triton-vllm",
        "vllm-leader-worker-set",
    ] {
        insta::assert_snapshot!(profile, engine(&of_profile(profile, "")));
    }
}

#[test]
fn an_engine_over_several_nodes() {
    let plan = plan("several-nodes", &[]);
    let nodes = ["node-1", "node-2"];
    for (turn, name) in turns(&plan)
        .into_iter()
        .zip(["leader-worker-set", "ray-service"])
    {
        let engine = engine_objects_on(&plan, &owner(), turn, &nodes).unwrap();
        let monitoring = pod_monitoring(&plan, &owner(), turn, MonitoringApi::GoogleManaged);
        // Load and scraping go to the one pod that serves.
        let selector = value(&engine.service)["spec"]["selector"].clone();
        assert_eq!(selector["bakeoff.dev/pod"], "engine");
        assert_eq!(
            value(&monitoring)["spec"]["selector"]["matchLabels"],
            selector
        );
        let objects = vec![
            value(engine.files),
            value(engine.workload),
            value(engine.service),
        ];
        insta::assert_snapshot!(format!("several-nodes-{name}"), documents(objects));
    }
}

/// What is made twice, once as a Pod and once by a controller, differs in nothing that matters to speed.
#[test]
fn a_pod_of_an_object_is_the_pod_that_it_would_be_alone() {
    let of = |profile: &str| {
        let plan = of_profile(profile, "");
        let engine = engine_objects(&plan, &owner(), turns(&plan)[1], None).unwrap();
        value(engine.workload)
    };
    let alone = of("ray-serve")["spec"].clone();
    let of_object = of("ray-service");
    let of_object =
        of_object["spec"]["rayClusterConfig"]["headGroupSpec"]["template"]["spec"].clone();
    for field in [
        "nodeSelector",
        "tolerations",
        "affinity",
        "securityContext",
        "enableServiceLinks",
    ] {
        assert_eq!(alone[field], of_object[field], "{field}");
    }
    for field in ["image", "resources", "securityContext", "env"] {
        assert_eq!(
            alone["containers"][0][field], of_object["containers"][0][field],
            "{field}"
        );
    }
    assert_eq!(of_object["restartPolicy"], Value::Null);
}

/// The second engine of the least run by another profile, with settings of its own.
fn of_profile(profile: &str, settings: &str) -> Plan {
    let published = ProfileSet::builtin()
        .get(profile)
        .unwrap()
        .container
        .image
        .is_some();
    let image = if published {
        ""
    } else {
        ", image: \"registry.example.com/own:1\""
    };
    let replaced = format!("profile: {profile}{image}{settings}");
    plan("least", &[("profile: tgi", &replaced)])
}

fn engine(plan: &Plan) -> String {
    let objects = engine_objects(plan, &owner(), turns(plan)[1], None).unwrap();
    documents(vec![
        value(objects.files),
        value(objects.workload),
        value(objects.service),
    ])
}

#[test]
fn in_flight_batching_on_and_off() {
    for (name, on) in [
        ("in-flight-batching-on", true),
        ("in-flight-batching-off", false),
    ] {
        let plan = of_profile(
            "triton-tensorrt-llm-engine",
            &format!(", tuning: {{inFlightBatching: {on}}}"),
        );
        insta::assert_snapshot!(name, engine(&plan));
    }
}

#[test]
fn an_engine_is_asked_by_the_protocol_that_the_run_chooses() {
    for (profile, protocol, port) in [
        ("jetstream", "JetStreamGrpc", 9000),
        ("triton-vllm", "TritonVllmGrpc", 8001),
        ("triton-tensorrt-llm", "TritonTensorRtLlmGrpc", 8001),
        ("triton-model", "KserveV2Grpc", 8001),
    ] {
        let by_default = of_profile(profile, "");
        assert!(!by_default.engines[1].endpoint.protocol.is_grpc());
        let plan = of_profile(profile, &format!(", protocol: {protocol}"));
        let engine = &plan.engines[1];
        assert_eq!(format!("{:?}", engine.endpoint.protocol), protocol);
        assert_eq!(engine.endpoint.request_port, Some(port));
        let says = format!("requests by {protocol}, chosen for this engine");
        assert!(engine.deviations.contains(&says), "{:?}", engine.deviations);
        // Readiness and metrics stay where they are; the Service leads to both.
        let objects = engine_objects(&plan, &owner(), turns(&plan)[1], None).unwrap();
        let ports = value(objects.service)["spec"]["ports"].clone();
        let ports: Vec<_> = ports
            .as_array()
            .unwrap()
            .iter()
            .map(|it| it["port"].clone())
            .collect();
        assert!(ports.contains(&port.into()), "{ports:?}");
        assert!(ports.contains(&engine.endpoint.port.into()), "{ports:?}");
    }
}

/// All that an engine's `tuning` can say and that its profile takes, in the words of the engine.
#[test]
fn every_tuning_field_on_every_profile() {
    const SPECULATION: [(&str, &str); 3] = [
        ("NGram", "{method: NGram, numTokens: 5}"),
        (
            "DraftModel",
            "{method: DraftModel, draftModel: org/draft, numTokens: 5}",
        ),
        (
            "Eagle3",
            "{method: Eagle3, draftModel: org/eagle, numTokens: 5}",
        ),
    ];
    let mut told = String::new();
    for (profile, spec) in ProfileSet::builtin().names().map(|name| {
        (
            name.to_owned(),
            ProfileSet::builtin().get(name).unwrap().clone(),
        )
    }) {
        let methods = &spec.capabilities.speculative_methods;
        let of_method = |method: &str| methods.iter().any(|it| it.name() == method);
        let mut variants: Vec<_> = SPECULATION
            .iter()
            .filter(|(method, _)| of_method(method))
            .map(|(_, setting)| format!(", speculativeDecoding: {setting}"))
            .collect();
        if variants.is_empty() {
            variants.push(String::new());
        }
        for speculation in variants {
            let plan = of_profile(
                &profile,
                &format!(
                    ", tuning: {{maxBatchSize: 7, gpuMemoryUtilization: 0.8, tensorParallelSize: 2, pipelineParallelSize: 2, prefixCaching: false, maxBatchedTokens: 4096, chunkedPrefill: true, inFlightBatching: true, kvCacheDtype: Fp8{speculation}}}"
                ),
            );
            let bakeoff_crds::plan::EngineSource::Deployed(deployment) = &plan.engines[1].source
            else {
                panic!("{profile} is not deployed")
            };
            told.push_str(&format!("# {profile}{speculation}\n"));
            let warned = plan
                .warnings
                .iter()
                .filter(|it| it.contains("has no setting for"));
            warned.for_each(|warning| told.push_str(&format!("! {warning}\n")));
            let of_object = deployment.object.iter().flat_map(|object| &object.pods);
            let containers = deployment.containers.iter().chain(of_object);
            let containers = containers.map(|it| &it.args);
            let before = deployment.init_containers.iter().map(|it| &it.args);
            for args in std::iter::once(&deployment.args)
                .chain(containers)
                .chain(before)
            {
                args.iter()
                    .for_each(|arg| told.push_str(&format!("{arg}\n")));
            }
            for (name, value) in deployment.init_containers.iter().flat_map(|it| &it.env) {
                told.push_str(&format!("{name}={value}\n"));
            }
            deployment
                .files
                .values()
                .for_each(|file| told.push_str(file));
            if let Some(object) = &deployment.object {
                let manifest = serde_saphyr::to_string(&object.manifest).unwrap();
                told.push_str(&manifest);
            }
            told.push('\n');
        }
    }
    insta::assert_snapshot!(told);
}

#[test]
fn what_an_engine_cannot_do_is_refused_by_its_profile() {
    let refused = |profile: &str, model: &str, tuning: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/good/least.yaml");
        let yaml = fs::read_to_string(path)
            .unwrap()
            .replace("model: {", &format!("model: {{{model}"))
            .replace(
                "profile: tgi",
                &format!("profile: {profile}, image: own, tuning: {tuning}"),
            );
        let Ok(Document::BenchmarkRun(run)) = read(&yaml) else {
            panic!("{:?}", read(&yaml).err())
        };
        let settings = PlanSettings {
            runner_image: "runner".into(),
            place: Place::Cluster,
        };
        resolve(&run, &ProfileSet::builtin(), &settings)
            .err()
            .map_or_else(String::new, |problems| problems.to_string())
    };
    let ngram = "{speculativeDecoding: {method: NGram, numTokens: 3}}";
    let eagle = "{speculativeDecoding: {method: Eagle3, draftModel: org/eagle, numTokens: 3}}";
    assert!(refused("torchserve", "", ngram).contains("cannot guess by NGram, it offers none"));
    assert!(refused("tgi", "", eagle).contains("cannot guess by Eagle3, it offers NGram"));
    assert_eq!(refused("tgi", "", ngram), "");
    assert_eq!(refused("sglang", "", eagle), "");
    assert!(refused("fastchat", "quantization: awq, ", "{}").contains("cannot serve \"awq\""));
}

#[test]
fn the_model_runs_in_the_container_that_says_so() {
    let plan = of_profile("fastchat", ", args: [\"--debug=True\"]");
    let pod = engine_objects(&plan, &owner(), turns(&plan)[1], None)
        .and_then(|engine| engine.workload.pod())
        .unwrap();
    let containers = pod.spec.unwrap().containers;
    let names: Vec<_> = containers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["engine", "controller", "worker"]);
    for container in &containers {
        let runs_the_model = container.name == "worker";
        let resources = container.resources.as_ref();
        let limits = resources.and_then(|it| it.limits.as_ref());
        assert_eq!(
            limits.is_some_and(|limits| limits.contains_key("nvidia.com/gpu")),
            runs_the_model
        );
        // A run's own arguments are for the program that holds the model.
        let has = container
            .args
            .as_ref()
            .unwrap()
            .contains(&"--debug=True".to_owned());
        assert_eq!(has, runs_the_model);
        assert_eq!(container.volume_mounts, containers[0].volume_mounts);
        assert_eq!(container.security_context, containers[0].security_context);
        assert_eq!(
            container.termination_message_policy.as_deref(),
            Some("FallbackToLogsOnError")
        );
    }
}

#[test]
fn a_profile_without_an_image_asks_for_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/good/least.yaml");
    let yaml = fs::read_to_string(path).unwrap();
    let yaml = yaml.replace("profile: tgi", "profile: transformers");
    let Ok(Document::BenchmarkRun(run)) = read(&yaml) else {
        panic!("not a run")
    };
    let planned = |place| {
        let settings = PlanSettings {
            runner_image: "runner".into(),
            place,
        };
        resolve(&run, &ProfileSet::builtin(), &settings)
    };
    let problems = planned(Place::Cluster).unwrap_err().to_string();
    assert!(
        problems.contains("spec.engines[1].image: nobody publishes an image"),
        "{problems}"
    );
    // With --at the server is there already.
    assert!(!format!("{:?}", planned(Place::Local)).contains("image: nobody"));
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

/// Variables of a pod's containers, init containers among them: name, and the Secret's key or the value.
fn variables(pod: &Value) -> Vec<(String, String)> {
    let containers = ["initContainers", "containers"].map(|kind| pod[kind].as_array().cloned());
    let containers = containers.into_iter().flatten().flatten();
    let of_container = |container: Value| container["env"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    containers
        .flat_map(of_container)
        .map(|variable| {
            let key = &variable["valueFrom"]["secretKeyRef"]["key"];
            (
                text(&variable["name"]),
                text(&variable["value"]) + &text(key),
            )
        })
        .collect()
}

#[test]
fn the_token_reaches_what_loads_from_the_hub_under_both_names_and_nothing_else() {
    let model =
        "model: {tokenSecretRef: {name: hf, key: hf_api_token}, hub: \"https://hub.example/\", ";
    let plan = plan("least", &[("model: {", model)]);
    let expected = [
        ("HF_TOKEN", "hf_api_token"),
        ("HUGGING_FACE_HUB_TOKEN", "hf_api_token"),
        ("HF_ENDPOINT", "https://hub.example"),
    ];
    let turns = turns(&plan);
    let preflight = value(preflight_job(&plan, &owner()));
    let mut loads = vec![preflight["spec"]["template"]["spec"].clone()];
    for turn in &turns {
        let engine = engine_objects(&plan, &owner(), *turn, None).unwrap();
        loads.push(value(engine.workload)["spec"].clone());
    }
    assert_eq!(loads.len(), 3);
    for pod in loads {
        let found = variables(&pod);
        for (name, of) in expected {
            assert!(
                found.contains(&(name.into(), of.into())),
                "{name}: {found:?}"
            );
        }
    }
    for job in [
        value(runner_job(&plan, &owner(), turns[0], &LoadFacts::default())),
        value(reporter_job(&plan, &owner())),
    ] {
        let found = variables(&job["spec"]["template"]["spec"]);
        let token = found.iter().find(|(_, of)| of == "hf_api_token");
        assert_eq!(token, None, "it loads nothing from the hub");
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
