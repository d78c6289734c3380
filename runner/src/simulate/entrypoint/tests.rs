//! The built-in profiles' own command lines, and what the programs say of others.

mod adapters;
mod profiles;
mod programs;
mod refusals;

use std::collections::BTreeMap;

use bakeoff_crds::{
    BenchmarkRun,
    plan::{Deployment, EngineSource, Place, PlanSettings, resolve},
    profile::ProfileSet,
};

use super::*;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn plan_with(
    program: Program,
    line: &str,
    environment: &[(&str, &str)],
    files: &[(&str, &str)],
) -> Result<Launch, Misuse> {
    let environment: BTreeMap<&str, &str> = environment.iter().copied().collect();
    let files: BTreeMap<&str, &str> = files.iter().copied().collect();
    let world = World {
        variable: &|name| environment.get(name).map(|value| (*value).to_owned()),
        file: &|path| match path.to_str().and_then(|path| files.get(path)) {
            Some(text) => Ok((*text).to_owned()),
            None => Err(io::Error::from(io::ErrorKind::NotFound)),
        },
    };
    plan(program, &words(line), &world)
}

/// The deployment that a built-in profile gives in a run that sets all that profiles know.
fn deployment(profile: &str) -> Deployment {
    deployment_with(profile, serde_json::json!([]))
}

fn deployment_with(profile: &str, adapters: serde_json::Value) -> Deployment {
    let tuning = serde_json::json!({
        "maxBatchSize": 7, "gpuMemoryUtilization": 0.8, "tensorParallelSize": 1,
        "prefixCaching": false, "maxAdapterRank": 64,
    });
    deployed(profile, adapters, tuning)
}

fn deployed(profile: &str, adapters: serde_json::Value, tuning: serde_json::Value) -> Deployment {
    let run: BenchmarkRun = serde_json::from_value(serde_json::json!({
        "apiVersion": "bakeoff.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": "run", "namespace": "bench", "uid": "0123456789"},
        "spec": {
            "model": {
                "id": "org/model", "revision": "abc", "maxModelLen": 4096, "adapters": adapters,
            },
            "tuning": tuning,
            "engines": [{"name": "engine", "profile": profile, "image": "own:1"}],
            "workload": {"prompts": {"inline": ["Why?"]}},
            "output": {"uri": "gs://bucket/results"},
        },
    }))
    .unwrap();
    let settings = PlanSettings {
        runner_image: "runner".to_owned(),
        place: Place::Cluster,
    };
    let plan = resolve(&run, &ProfileSet::builtin(), &settings).unwrap();
    match plan.engines.into_iter().next().unwrap().source {
        EngineSource::Deployed(deployment) => deployment,
        other => panic!("{other:?}"),
    }
}

/// The first and further words of a deployment's containers: what an image's entrypoint adds to its
/// arguments stands here.
fn command_lines(profile: &str, deployment: &Deployment) -> Vec<Vec<String>> {
    let entrypoint = match profile {
        "vllm" | "vllm-leader-worker-set" => "vllm serve",
        "tgi" => "text-generation-launcher",
        "llama-cpp" => "llama-server",
        "jetstream" => "jetstream-http",
        "sax" => "sax-http",
        _ => "",
    };
    let command = match deployment.command.is_empty() {
        true => words(entrypoint),
        false => deployment.command.clone(),
    };
    let of_object = deployment.object.iter().flat_map(|object| &object.pods);
    // What a controller runs in a pod without a command is its own affair.
    let of_object = of_object.filter(|pod| !pod.command.is_empty());
    let containers = deployment.containers.iter().chain(of_object);
    std::iter::once([&command[..], &deployment.args].concat())
        .filter(|line| !line.is_empty())
        .chain(containers.map(|it| match it.command.is_empty() {
            // Its image's program, which it is named after.
            true => [std::slice::from_ref(&it.name), &it.args].concat(),
            false => [&it.command[..], &it.args].concat(),
        }))
        // As the kubelet does, where a controller adds the variable.
        .map(|line| {
            let expand = |word: String| word.replace("$(LWS_WORKER_INDEX)", "0");
            line.into_iter().map(expand).collect()
        })
        .collect()
}

/// What the build step leaves to the server.
fn of_build_step(path: &str) -> Option<String> {
    let parameter = |key: &str, value: &str| {
        format!("parameters: {{\n key: \"{key}\"\n value: {{ string_value: \"{value}\" }}\n}}\n")
    };
    let text = match path {
        "/root/.cache/repository/ensemble/config.pbtxt" => String::new(),
        "/root/.cache/repository/tensorrt_llm/config.pbtxt" => {
            parameter("gpt_model_type", "V1") + &parameter("gpt_model_path", "/engines/0/engine")
        }
        "/engines/0/engine/config.json" => {
            r#"{"build_config": {"max_batch_size": 7, "max_seq_len": 4096}}"#.to_owned()
        }
        _ => return None,
    };
    Some(text)
}

/// What each container's program makes of its command line.
fn launches(profile: &str, deployment: &Deployment) -> Vec<Launch> {
    command_lines(profile, deployment)
        .iter()
        .map(|line| {
            let (name, arguments) = line.split_first().unwrap();
            let world = World {
                variable: &|name| match name {
                    "BAKEOFF_SIM_MODEL" if profile == "fastchat" => Some("org/model".to_owned()),
                    "BAKEOFF_SIM_MODEL" if profile == "triton-model" => Some("model".to_owned()),
                    _ => deployment.env.get(name).cloned(),
                },
                file: &|path| {
                    // On the volume.
                    if profile == "triton-model" && path.ends_with("model/config.pbtxt") {
                        return Ok(String::new());
                    }
                    let path = path.to_str().unwrap_or_default();
                    if profile == "triton-tensorrt-llm-engine"
                        && let Some(text) = of_build_step(path)
                    {
                        return Ok(text);
                    }
                    let text = deployment.files.get(path);
                    text.cloned().ok_or_else(|| io::ErrorKind::NotFound.into())
                },
            };
            plan(Program::by_name(name).unwrap(), arguments, &world)
                .unwrap_or_else(|misuse| panic!("{profile}: {arguments:?}: {misuse}"))
        })
        .collect()
}
