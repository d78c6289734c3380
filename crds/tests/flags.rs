//! The command lines of every built-in profile, with every field set, against the flags that the real
//! programs' own parsers know: captured from their wheels by `tests/flags/capture.py`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::PathBuf,
};

use bakeoff_crds::{
    BenchmarkRun,
    plan::{Deployment, EngineSource, Place, PlanSettings, resolve},
    profile::ProfileSet,
};
use serde::Deserialize;
use serde_json::{Value, json};

/// Programs of which no wheel carries the parser.
const WITHOUT_WHEEL: [&str; 10] = [
    "jetstream-http",
    "llama-server",
    "maxengine-server",
    "mpirun",
    "sax-admin-server",
    "sax-http",
    "sax-model-server",
    "text-generation-launcher",
    "tritonserver",
    "trtllm-serve",
];

#[derive(Deserialize)]
struct Captured {
    wheel: String,
    programs: BTreeMap<String, BTreeMap<String, Flag>>,
}

#[derive(Deserialize)]
struct Flag {
    takes: String,
    #[serde(default)]
    choices: Vec<String>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/flags")
}

fn captured() -> BTreeMap<String, (String, BTreeMap<String, Flag>)> {
    let mut programs = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.ends_with(".json") && name != "lines.json" {
            let file: Captured = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            for (program, flags) in file.programs {
                programs.insert(program, (file.wheel.clone(), flags));
            }
        }
    }
    programs
}

fn deployment(profile: &str, model: &Value, tuning: &Value) -> Deployment {
    let run: BenchmarkRun = serde_json::from_value(json!({
        "apiVersion": "bakeoff.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": "run", "namespace": "bench", "uid": "0123456789"},
        "spec": {
            "model": model,
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

/// Every command line that the built-in profiles can make, more or less.
fn lines() -> Vec<Vec<String>> {
    let profiles = ProfileSet::builtin();
    let mut lines = BTreeSet::new();
    for name in profiles.names() {
        let capabilities = &profiles.get(name).unwrap().capabilities;
        let mut speculation = vec![Value::Null];
        for method in &capabilities.speculative_methods {
            speculation.push(match method.name() {
                "NGram" => json!({"method": "NGram", "numTokens": 5}),
                other => json!({"method": other, "draftModel": "org/draft", "numTokens": 5}),
            });
        }
        let least = json!({"id": "org/model"});
        let quantization = match name {
            "transformers" => "bnb-4bit",
            _ => "awq",
        };
        let most = json!({
            "id": "org/model", "revision": "abc", "maxModelLen": 4096, "dtype": "BFloat16",
            "quantization": capabilities.quantization.then_some(quantization),
            "chatTemplate": "{{ messages }}",
            "adapters": match capabilities.adapters && name != "tgi" {
                true => json!([{"name": "a", "id": "org/a"}, {"name": "b", "id": "org/b"}]),
                false => json!([]),
            },
        });
        let on_a_volume = json!({
            "id": "org/model", "persistentVolumeClaim": {"claimName": "c", "path": "m"},
        });
        let mut settings = vec![(least, json!({})), (on_a_volume, json!({}))];
        for speculation in speculation {
            for on in [true, false] {
                let tuning = json!({
                    "maxBatchSize": 7, "gpuMemoryUtilization": 0.8, "tensorParallelSize": 2,
                    "pipelineParallelSize": 2, "prefixCaching": on, "maxBatchedTokens": 4096, "chunkedPrefill": on,
                    "inFlightBatching": on, "kvCacheDtype": "Fp8", "maxAdapterRank": 64,
                    "speculativeDecoding": speculation,
                });
                settings.push((most.clone(), tuning));
            }
        }
        for (model, tuning) in settings {
            let deployment = deployment(name, &model, &tuning);
            let entrypoint: &[&str] = match name {
                "vllm" | "vllm-leader-worker-set" => &["vllm", "serve"],
                "tgi" => &["text-generation-launcher"],
                "llama-cpp" => &["llama-server"],
                "jetstream" => &["jetstream-http"],
                "sax" => &["sax-http"],
                _ => &[],
            };
            let entrypoint = entrypoint.iter().map(|word| (*word).to_owned());
            let own = entrypoint.chain(deployment.command).chain(deployment.args);
            let own: Vec<_> = own.collect();
            // KubeRay writes the command of a RayService's pods; and a program that is a file of the
            // profile is nobody else's.
            let files = deployment.files;
            let of_profile = |line: &[String]| line.get(1).is_some_and(|it| files.contains_key(it));
            if !own.is_empty() && !of_profile(&own) {
                lines.insert(own);
            }
            let of_object = deployment.object.into_iter().flat_map(|object| object.pods);
            let of_object = of_object.filter(|pod| !pod.command.is_empty());
            for further in deployment.containers.into_iter().chain(of_object) {
                // Without a command it is its image's program, which it is named after.
                let command = match further.command.is_empty() {
                    true => vec![further.name],
                    false => further.command,
                };
                let line = [command, further.args].concat();
                if !of_profile(&line) {
                    lines.insert(line);
                }
            }
        }
    }
    lines.into_iter().map(expanded).collect()
}

/// With what the kubelet puts in place of variables that a controller adds.
fn expanded(line: Vec<String>) -> Vec<String> {
    let expand = |word: String| {
        word.replace("$(LWS_WORKER_INDEX)", "0")
            .replace("$(LWS_LEADER_ADDRESS)", "leader.example")
    };
    line.into_iter().map(expand).collect()
}

/// The commands of a line; a shell's script is several.
fn commands(line: &[String]) -> Vec<Vec<String>> {
    match line {
        [shell, flag, script] if shell == "bash" && flag == "-c" => script
            .split("&&")
            .map(|part| {
                let words = part.split_whitespace().map(str::to_owned);
                words.skip_while(|word| word == "exec").collect()
            })
            .collect(),
        _ => vec![line.to_vec()],
    }
}

#[test]
fn the_command_lines_are_those_that_the_real_parsers_read() {
    let path = folder().join("lines.json");
    let now = format!("{}\n", serde_json::to_string_pretty(&lines()).unwrap());
    if std::env::var_os("BAKEOFF_UPDATE").is_some() {
        fs::write(&path, &now).unwrap();
    }
    assert!(
        fs::read_to_string(&path).unwrap_or_default() == now,
        "profiles make other command lines; run BAKEOFF_UPDATE=1 cargo test -p bakeoff-crds --test flags, then tests/flags/capture.py"
    );
}

#[test]
fn every_rendered_flag_is_known_to_the_real_program() {
    let captured = captured();
    let mut seen = BTreeSet::new();
    for line in lines().iter().flat_map(|line| commands(line)) {
        if WITHOUT_WHEEL.contains(&line[0].as_str()) {
            continue;
        }
        let program = captured
            .keys()
            .find(|program| line.join(" ").starts_with(*program))
            .unwrap_or_else(|| panic!("nothing is captured of {line:?}"));
        let (wheel, flags) = &captured[program];
        seen.insert(program.clone());
        let words = &line[program.split(' ').count()..];
        for word in words.iter().filter(|word| word.starts_with('-')) {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (word.as_str(), None),
            };
            let flag = flags
                .get(name)
                .unwrap_or_else(|| panic!("{program} of {wheel} has no flag {name}: {line:?}"));
            match flag.takes.as_str() {
                "nothing" => assert_eq!(value, None, "{program}: {word}"),
                "value" => assert!(value.is_some(), "{program}: {word} needs a value"),
                _ => {}
            }
            if let Some(value) = value.filter(|_| !flag.choices.is_empty()) {
                assert!(
                    flag.choices.iter().any(|choice| choice == value),
                    "{program} of {wheel}: {word} is none of {:?}",
                    flag.choices
                );
            }
        }
    }
    // None of the captures is of a program that no profile starts.
    assert_eq!(seen, captured.keys().cloned().collect());
}
