//! The built-in profiles' own command lines, and what the programs say of others.

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

#[test]
fn the_programs_take_what_the_built_in_profiles_give_them() {
    let any = |port: u16| SocketAddr::from(([0, 0, 0, 0], port));
    // Model, batch and length as the program shows them; an engine that is told none has its own.
    for (profile, engine, port, metrics, model, batch, length) in [
        ("vllm", Engine::Vllm, 8000, None, "org/model", 7, 4096),
        (
            "vllm-leader-worker-set",
            Engine::Vllm,
            8000,
            None,
            "org/model",
            7,
            4096,
        ),
        ("tgi", Engine::Tgi, 8080, None, "org/model", 7, 4096),
        (
            "triton-vllm",
            Engine::TritonVllm,
            8000,
            Some(8002),
            "org/model",
            7,
            4096,
        ),
        (
            "triton-tensorrt-llm",
            Engine::TritonTensorRtLlm,
            8000,
            Some(8002),
            "org/model",
            7,
            4096,
        ),
        (
            "llama-cpp",
            Engine::LlamaCpp,
            8080,
            None,
            "org/model",
            7,
            4096,
        ),
        ("sglang", Engine::SgLang, 30000, None, "org/model", 7, 4096),
        (
            "tensorrt-llm",
            Engine::TensorRtLlm,
            8000,
            None,
            "org/model",
            7,
            4096,
        ),
        (
            "torchserve",
            Engine::TorchServeVllm,
            8080,
            Some(8082),
            "org/model",
            7,
            4096,
        ),
        (
            "ray-serve",
            Engine::RayServe,
            8000,
            Some(8080),
            "org/model",
            7,
            4096,
        ),
        (
            "transformers",
            Engine::Transformers,
            8000,
            None,
            "org/model@abc",
            256,
            131_072,
        ),
        (
            "openllm",
            Engine::OpenLlm,
            3000,
            None,
            "org/model",
            256,
            131_072,
        ),
        (
            "triton-model",
            Engine::KserveV2,
            8000,
            Some(8002),
            "model",
            1,
            131_072,
        ),
        (
            "naive-transformers",
            Engine::TransformersInstances,
            8080,
            None,
            "model",
            1,
            131_072,
        ),
        (
            "triton-tensorrt-llm-engine",
            Engine::TritonEnsemble,
            8000,
            Some(8002),
            "ensemble",
            7,
            4096,
        ),
        // The HTTP server knows nothing of the model; the engine's own line has a test below.
        (
            "jetstream",
            Engine::JetStream,
            8000,
            None,
            "default",
            12,
            131_072,
        ),
        (
            "sax",
            Engine::Sax,
            8888,
            None,
            "/sax/test/model",
            32,
            131_072,
        ),
        (
            "fastchat",
            Engine::FastChat,
            8000,
            None,
            "org/model",
            5,
            131_072,
        ),
    ] {
        let launches = launches(profile, &deployment(profile));
        let launch = &launches[0];
        let config = &launch.config;
        assert_eq!(config.engine, engine, "{profile}");
        assert_eq!(config.model, model, "{profile}");
        assert_eq!(config.max_batch_size, batch, "{profile}");
        assert_eq!(config.max_model_len, length, "{profile}");
        assert_eq!(launch.listen, any(port), "{profile}");
        assert_eq!(launch.metrics, metrics.map(any), "{profile}");
        // The run switches it off; these tell of it.
        let tells = matches!(profile, "vllm" | "vllm-leader-worker-set" | "sglang");
        assert_eq!(config.prefix_caching, !tells, "{profile}");
        let profiles = ProfileSet::builtin();
        let metrics = profiles.get(profile).unwrap().metrics.as_ref();
        let path = metrics.map(|metrics| metrics.path.as_str());
        let on_its_port = config.metrics && path == Some("/metrics");
        let elsewhere =
            launches.iter().any(|it| it.metrics.is_some()) || path == Some("/prometheus/metrics");
        assert_eq!(on_its_port || elsewhere, path.is_some(), "{profile}");
    }
}

#[test]
fn the_programs_take_every_tuning_field() {
    for name in ProfileSet::builtin().names() {
        let methods = ProfileSet::builtin()
            .get(name)
            .unwrap()
            .capabilities
            .speculative_methods
            .clone();
        let drafts = methods.iter().map(|method| match method.name() {
            "NGram" => serde_json::json!({"method": "NGram", "numTokens": 5}),
            other => {
                serde_json::json!({"method": other, "draftModel": "org/draft", "numTokens": 5})
            }
        });
        for (on, draft) in drafts
            .chain([serde_json::Value::Null])
            .flat_map(|draft| [(true, draft.clone()), (false, draft)])
        {
            let tuning = serde_json::json!({
                "maxBatchSize": 7, "gpuMemoryUtilization": 0.8, "tensorParallelSize": 1,
                "pipelineParallelSize": 1, "prefixCaching": on, "maxBatchedTokens": 4096, "chunkedPrefill": on,
                "inFlightBatching": on, "kvCacheDtype": "Fp8", "speculativeDecoding": draft,
            });
            launches(name, &deployed(name, serde_json::json!([]), tuning));
        }
    }
}

#[test]
fn saxs_servers_listen_where_its_profile_looks_for_them() {
    let launches = launches("sax", &deployment("sax"));
    let ports: Vec<_> = launches.iter().map(|launch| launch.listen.port()).collect();
    assert_eq!(ports, [8888, 10_000, 10_001, 8889]);
    let unknown = plan_with(
        Program::SaxModelServer,
        "--sax_cell=/sax/test --chips=4",
        &[],
        &[],
    );
    assert!(unknown.unwrap_err().0.contains("chips"));
    assert!(plan_with(Program::SaxModelServer, "--port=10001", &[], &[]).is_err());
    assert!(plan_with(Program::SaxHttp, "--port 1", &[], &[]).is_err());
    assert!(plan_with(Program::SaxAdminServer, "serve", &[], &[]).is_err());
}

#[test]
fn triton_takes_calls_where_its_profiles_send_them() {
    for profile in ["triton-vllm", "triton-tensorrt-llm", "triton-model"] {
        let profiles = ProfileSet::builtin();
        let spoken = &profiles.get(profile).unwrap().protocols;
        let by_grpc = spoken.iter().find(|it| it.protocol.is_grpc()).unwrap();
        let launch = &launches(profile, &deployment(profile))[0];
        assert_eq!(launch.grpc.map(|it| it.port()), by_grpc.port, "{profile}");
    }
}

#[test]
fn of_several_servers_under_mpi_the_first_one_answers() {
    let tuning = serde_json::json!({"tensorParallelSize": 2});
    let profile = "triton-tensorrt-llm-engine";
    let deployment = deployed(profile, serde_json::json!([]), tuning);
    let line = &command_lines(profile, &deployment)[0];
    assert_eq!(line[..4], words("mpirun --allow-run-as-root -n 1"));
    let servers: Vec<_> = line.split(|word| word == ":").collect();
    assert_eq!(servers.len(), 2, "{line:?}");
    assert!(servers[1].contains(&"--load-model=tensorrt_llm".to_owned()));
    let launch = &launches(profile, &deployment)[0];
    assert_eq!(launch.config.engine, Engine::TritonEnsemble);
    assert_eq!(launch.listen.port(), 8000);
}

#[test]
fn an_engine_that_was_not_built_is_not_served() {
    let config = "key: \"gpt_model_type\" string_value: \"TYPE\" key: \"gpt_model_path\" string_value: \"/e\"";
    let of = |kind: &str, engine: &[(&str, &str)]| {
        let config = config.replace("TYPE", kind);
        let mut files = vec![
            ("/m/ensemble/config.pbtxt", ""),
            ("/m/tensorrt_llm/config.pbtxt", config.as_str()),
        ];
        files.extend(engine);
        plan_with(Program::TritonServer, "--model-repository=/m", &[], &files)
    };
    let built = [("/e/config.json", "{}")];
    assert!(of("V1", &built).is_ok());
    assert!(of("V1", &[]).unwrap_err().0.contains("/e/config.json"));
    let unknown = of("static", &built).unwrap_err();
    assert!(unknown.0.contains("Invalid gpt_model_type"), "{unknown}");
}

#[test]
fn fastchats_three_programs_listen_where_they_look_for_each_other() {
    let launches = launches("fastchat", &deployment("fastchat"));
    let ports: Vec<_> = launches.iter().map(|launch| launch.listen.port()).collect();
    assert_eq!(ports, [8000, 21001, 21002]);
    assert_eq!(launches[2].config.model, "org/model");
    assert_eq!(launches[2].config.max_batch_size, 7);
    let alone = plan_with(
        Program::Python,
        "-m fastchat.serve.openai_api_server",
        &[],
        &[],
    );
    assert!(
        alone
            .unwrap_err()
            .0
            .contains("BAKEOFF_SIM_MODEL is not set")
    );
}

#[test]
fn a_model_of_texts_must_be_in_the_repository() {
    let named = [("BAKEOFF_SIM_MODEL", "gpt2")];
    let line = "--model-repository=/m/repository";
    for file in ["config.pbtxt", "1/model.onnx", "1/model.pt"] {
        let path = format!("/m/repository/gpt2/{file}");
        let launch = plan_with(Program::TritonServer, line, &named, &[(&path, "")]).unwrap();
        assert_eq!(launch.config.engine, Engine::KserveV2, "{file}");
    }
    for (environment, path) in [
        (&named[..], "/m/repository/gpt3/config.pbtxt"),
        (&[], "/m/repository/gpt2/config.pbtxt"),
    ] {
        let misuse = plan_with(Program::TritonServer, line, environment, &[(path, "")]);
        assert!(misuse.unwrap_err().0.contains("failed to load all models"));
    }
}

#[test]
fn jetstreams_engine_stands_behind_its_http_server() {
    let launches = launches("jetstream", &deployment("jetstream"));
    let engine = &launches[1];
    assert_eq!(engine.listen.port(), 9000);
    assert_eq!(engine.metrics.map(|it| it.port()), Some(9100));
    assert_eq!(engine.config.max_batch_size, 7);
    assert_eq!(engine.config.max_model_len, 4096);
    for (line, message) in [
        ("max_num_seqs=4", "Key max_num_seqs was passed"),
        ("--prometheus_port 9100", "no setting as KEY=VALUE"),
        ("max_prefill_predict_length=1000", "1000 is not in list"),
        (
            "max_prefill_predict_length=1024 max_target_length=512",
            "Invalid max_target_length 512",
        ),
        ("per_device_batch_size=many", "Couldn't parse value"),
    ] {
        let misuse = plan_with(Program::MaxEngineServer, line, &[], &[]).unwrap_err();
        assert!(misuse.0.contains(message), "{line}: {misuse}");
    }
    assert!(plan_with(Program::JetStreamHttp, "--port 1", &[], &[]).is_err());
}

#[test]
fn flags_that_the_real_program_does_not_know_are_refused_in_its_words() {
    let repository = [("/m/vllm_model/1/model.json", r#"{"model": "m"}"#)];
    for (program, line, message) in [
        (
            Program::Vllm,
            "serve m --max-batch-size=4",
            "unrecognized arguments: --max-batch-size=4",
        ),
        (Program::Vllm, "serve --port 8000", "required: model_tag"),
        (
            Program::Vllm,
            "serve m --port",
            "argument --port: expected one argument",
        ),
        (
            Program::Vllm,
            "serve m --enforce-eager=1",
            "ignored explicit argument '1'",
        ),
        (
            Program::Vllm,
            "serve m --port many",
            "invalid value: 'many'",
        ),
        (
            Program::Vllm,
            "bench",
            "the only command played here is serve",
        ),
        (
            Program::TextGenerationLauncher,
            "--model-id m --max-num-seqs 4",
            "unexpected argument '--max-num-seqs' found",
        ),
        (
            Program::TextGenerationLauncher,
            "--dtype float16 --quantize fp8",
            "only one of '--dtype' and '--quantize'",
        ),
        (
            Program::TritonServer,
            "--http-port=1",
            "--model-repository must be specified",
        ),
        (
            Program::TritonServer,
            "--model-repository=/m --gpus 1",
            "unrecognized option '--gpus'",
        ),
        (
            Program::TritonServer,
            "--model-repository=/empty",
            "failed to load all models",
        ),
        (
            Program::LlamaServer,
            "-m f.gguf --max-num-seqs 4",
            "invalid argument: --max-num-seqs",
        ),
        (Program::LlamaServer, "--metrics", "no model"),
        (
            Program::Python,
            "-m sglang.launch_server --model-path m --max-num-seqs 4",
            "unrecognized arguments: --max-num-seqs",
        ),
        (
            Program::Python,
            "-m sglang.launch_server",
            "required: --model-path",
        ),
        (
            Program::Python,
            "-m fastchat.serve.model_worker --temperature 1",
            "unrecognized arguments: --temperature",
        ),
        (
            Program::Python,
            "-m ts.llm_launcher --model_id m",
            "give --disable_token_auth",
        ),
        (Program::Python, "-m http.server", "No module named"),
        (Program::Python, "app.py --port 1", "can't open file"),
        (
            Program::TrtllmServe,
            "m --max-batch-size 4",
            "No such option: --max-batch-size",
        ),
        (Program::TrtllmServe, "serve --port 1", "Missing argument"),
        (
            Program::Transformers,
            "serve m --max-num-seqs 4",
            "No such option: --max-num-seqs",
        ),
        (
            Program::Transformers,
            "serve m --quantization awq",
            "Must be 'bnb-4bit' or 'bnb-8bit'",
        ),
        (Program::OpenLlm, "serve m --dtype auto", "No such option"),
    ] {
        let misuse = plan_with(program, line, &[], &repository).unwrap_err();
        assert!(misuse.0.contains(message), "{line}: {misuse}");
    }
}

#[test]
fn settings_that_the_engine_does_not_know_are_refused() {
    for (path, text, message) in [
        (
            "/m/vllm_model/1/model.json",
            r#"{"model": "m", "max_batch_size": 4}"#,
            "unexpected keyword argument 'max_batch_size'",
        ),
        (
            "/m/tensorrt_llm/1/model.yaml",
            "model: m\ngpu_memory_utilization: 0.9\ntriton_config: {decoupled: true}",
            "unexpected keyword argument 'gpu_memory_utilization'",
        ),
        (
            "/m/tensorrt_llm/1/model.yaml",
            "model: m\ntriton_config: {decoupled: false}",
            "nothing can stream",
        ),
    ] {
        let line = "--model-repository /m";
        let misuse = plan_with(Program::TritonServer, line, &[], &[(path, text)]).unwrap_err();
        assert!(misuse.0.contains(message), "{text}: {misuse}");
    }
    let line = "m --extra_llm_api_options /f.yaml";
    let misuse = plan_with(
        Program::TrtllmServe,
        line,
        &[],
        &[("/f.yaml", "max_num_seqs: 4")],
    );
    assert!(misuse.unwrap_err().0.contains("max_num_seqs: Extra inputs"));
    let serve = r#"{"applications": [{"import_path": "ray.serve.llm:build_openai_app", "args": {"llm_configs": [
        {"model_loading_config": {"model_id": "m"}, "engine_kwargs": {"max_batch_size": 4}}]}}]}"#;
    let script = ["-c", "ray start --head && exec serve run /f.yaml"].map(str::to_owned);
    let world = World {
        variable: &|_| None,
        file: &|_| Ok(serve.to_owned()),
    };
    let misuse = plan(Program::Shell, &script, &world).unwrap_err();
    assert!(
        misuse
            .0
            .contains("unexpected keyword argument 'max_batch_size'"),
        "{misuse}"
    );
    let script = ["-c", "ray start --fast && exec serve run /f.yaml"].map(str::to_owned);
    assert!(plan(Program::Shell, &script, &world).is_err());
}

#[test]
fn the_environment_sets_what_no_flag_tells() {
    let launch = plan_with(
        Program::Vllm,
        "serve m --served-model-name=shown --max-num-seqs 4 -tp 2 --hf-token",
        &[
            ("BAKEOFF_SIM_TIME_TO_FIRST_TOKEN", "5ms"),
            ("BAKEOFF_SIM_INTER_TOKEN_LATENCY", "1ms"),
            ("BAKEOFF_SIM_BATCH_SLOWDOWN", "0.5"),
            ("BAKEOFF_SIM_MAX_BATCH_SIZE", "2"),
            ("BAKEOFF_SIM_FAULT", "cut-stream"),
            ("BAKEOFF_SIM_LOG", "/tmp/truth.jsonl"),
        ],
        &[],
    )
    .unwrap();
    let config = launch.config;
    assert_eq!(config.model, "shown");
    assert_eq!(config.time_to_first_token, Duration::from_millis(5));
    assert_eq!(config.inter_token_latency, Duration::from_millis(1));
    assert_eq!((config.batch_slowdown, config.max_batch_size), (0.5, 2));
    assert_eq!(config.fault, Fault::CutStream);
    assert_eq!(config.log.unwrap(), Path::new("/tmp/truth.jsonl"));
}

#[test]
fn a_malformed_environment_is_refused_by_name() {
    for (name, value) in [
        ("BAKEOFF_SIM_FAULT", "fire"),
        ("BAKEOFF_SIM_TIME_TO_FIRST_TOKEN", "soon"),
        ("BAKEOFF_SIM_MAX_BATCH_SIZE", "-1"),
    ] {
        let misuse = plan_with(Program::Vllm, "serve m", &[(name, value)], &[]).unwrap_err();
        assert!(misuse.0.contains(name), "{misuse}");
        assert!(misuse.0.contains(value), "{misuse}");
    }
}

#[test]
fn ports_are_the_real_ones() {
    let repository = [("/m/vllm_model/1/model.json", r#"{"model": "m"}"#)];
    let tgi_image = [("PORT", "80")];
    for (program, line, environment, listen, metrics) in [
        (Program::Vllm, "serve m", &[][..], 8000, None),
        (
            Program::TextGenerationLauncher,
            "--model-id m",
            &tgi_image,
            80,
            None,
        ),
        (
            Program::TextGenerationLauncher,
            "--model-id m",
            &[],
            3000,
            None,
        ),
        (
            Program::TextGenerationLauncher,
            "--model-id m -p 81",
            &tgi_image,
            81,
            None,
        ),
        (
            Program::TritonServer,
            "--model-repository=/m",
            &[],
            8000,
            Some(8002),
        ),
        (Program::LlamaServer, "-hf org/model:Q4", &[], 8080, None),
    ] {
        let launch = plan_with(program, line, environment, &repository).unwrap();
        assert_eq!(launch.listen.port(), listen, "{line}");
        assert_eq!(launch.metrics.map(|it| it.port()), metrics, "{line}");
    }
}

#[test]
fn a_program_is_known_by_its_name_with_or_without_a_path() {
    assert_eq!(Program::by_name("/usr/local/bin/vllm"), Some(Program::Vllm));
    assert_eq!(
        Program::by_name("tritonserver"),
        Some(Program::TritonServer)
    );
    assert_eq!(Program::by_name("bakeoff"), None);
    assert_eq!(Program::by_name(""), None);
}

#[test]
fn adapters_reach_the_engines_that_serve_them() {
    let adapters = serde_json::json!([
        {"name": "sql", "id": "org/sql-lora"},
        {"name": "support", "id": "org/support-lora", "revision": "v2"},
    ]);
    for (profile, entrypoint, served) in [
        (
            "sglang",
            "python3 -m sglang.launch_server",
            ["sql", "support"],
        ),
        ("vllm", "vllm serve", ["sql", "support"]),
        (
            "tgi",
            "text-generation-launcher",
            ["org/sql-lora", "org/support-lora"],
        ),
    ] {
        let deployment = deployment_with(profile, adapters.clone());
        let (name, rest) = entrypoint.split_once(' ').unwrap_or((entrypoint, ""));
        let arguments: Vec<String> = words(rest).into_iter().chain(deployment.args).collect();
        let world = World {
            variable: &|_| None,
            file: &|_| Err(io::ErrorKind::NotFound.into()),
        };
        let launch = plan(Program::by_name(name).unwrap(), &arguments, &world)
            .unwrap_or_else(|misuse| panic!("{arguments:?}: {misuse}"));
        assert_eq!(launch.config.adapters, served, "{profile}");
        let has = |word: &str| arguments.iter().any(|argument| argument == word);
        if profile == "vllm" {
            assert!(
                has("--max-loras=2") && has("--max-lora-rank=64"),
                "{arguments:?}"
            );
        } else if profile == "sglang" {
            // The model itself counts as one.
            assert!(has("--max-loras-per-batch=3"), "{arguments:?}");
        } else {
            assert!(
                has("--lora-adapters=org/sql-lora,org/support-lora@v2"),
                "{arguments:?}"
            );
        }
    }
}

#[test]
fn adapters_that_were_fetched_go_by_their_names() {
    let args = |adapter: serde_json::Value| {
        let deployment = deployment_with("tgi", serde_json::json!([adapter]));
        let world = World {
            variable: &|_| None,
            file: &|_| Err(io::ErrorKind::NotFound.into()),
        };
        let launch = plan(Program::TextGenerationLauncher, &deployment.args, &world).unwrap();
        (deployment.args, launch.config.adapters)
    };
    let (args, served) = args(serde_json::json!({"name": "sql", "id": "/adapters/sql"}));
    assert!(
        args.contains(&"--lora-adapters=sql=/adapters/sql".to_owned()),
        "{args:?}"
    );
    assert_eq!(served, ["sql"]);
}

#[test]
fn a_model_that_is_not_where_the_arguments_say_is_missed() {
    let there = |path: &Path| path.starts_with("/models/org/model");
    for (word, missing) in [
        ("/models/org/model", None),
        ("/models/org/other", Some("/models/org/other")),
        ("--model-id=/models/org/other", Some("/models/org/other")),
        ("sql=/adapters/sql", Some("/adapters/sql")),
        ("a=/models/org/model,b=/adapters/b", Some("/adapters/b")),
        ("serve /models/org/other --x", Some("/models/org/other")),
        ("org/model", None),
        ("/models", None),
    ] {
        assert_eq!(missing_files(word, &there), missing, "{word}");
    }
    assert!(has_files(Path::new(env!("CARGO_MANIFEST_DIR"))));
    assert!(!has_files(Path::new("/models/no/such/model")));
    let empty = tempfile::tempdir().unwrap();
    assert!(!has_files(empty.path()));
}

#[test]
fn vllm_takes_adapters_in_both_forms_and_refuses_them_without_leave() {
    let adapters = |line: &str| {
        let launch = plan_with(Program::Vllm, line, &[], &[]);
        launch.map(|launch| launch.config.adapters)
    };
    assert_eq!(
        adapters(
            r#"serve m --enable-lora --lora-modules a=org/a {"name":"b","path":"org/b"} --port 1"#
        ),
        Ok(vec!["a".to_owned(), "b".to_owned()])
    );
    for (line, message) in [
        ("serve m --lora-modules a=org/a", "Use --enable-lora"),
        ("serve m --enable-lora --lora-modules", "expected"),
        (
            "serve m --enable-lora --lora-modules a",
            "Invalid JSON format",
        ),
    ] {
        let Misuse(found) = adapters(line).unwrap_err();
        assert!(found.contains(message), "{line}: {found}");
    }
}

#[test]
fn a_ray_services_application_is_one_that_ray_serve_takes() {
    for on in [true, false] {
        let tuning = serde_json::json!({
            "maxBatchSize": 7, "gpuMemoryUtilization": 0.8, "pipelineParallelSize": 1,
            "prefixCaching": on, "maxBatchedTokens": 4096, "chunkedPrefill": on, "kvCacheDtype": "Fp8",
            "speculativeDecoding": {"method": "NGram", "numTokens": 5},
        });
        let object = deployed("ray-service", serde_json::json!([]), tuning).object;
        let manifest = object.unwrap().manifest;
        let application = manifest["spec"]["serveConfigV2"].as_str().unwrap();
        let world = World {
            variable: &|_| None,
            file: &|_| Ok(application.to_owned()),
        };
        let script = ["-c", "exec serve run /application.yaml"].map(str::to_owned);
        let launch = plan(Program::Shell, &script, &world).unwrap();
        assert_eq!(launch.config.engine, Engine::RayServe);
        assert_eq!(launch.config.max_batch_size, 7);
        assert_eq!(launch.listen.port(), 8000);
    }
}

#[test]
fn a_further_node_of_vllm_serves_nobody() {
    let listen = |line: &str| Ok::<_, Misuse>(plan_with(Program::Vllm, line, &[], &[])?.listen);
    let leader = listen("serve m --nnodes=2 --node-rank=0 --master-addr=a --port 80").unwrap();
    assert_eq!(leader.port(), 80);
    let worker = listen("serve m --nnodes=2 --node-rank=1 --master-addr=a --headless").unwrap();
    assert!(worker.ip().is_loopback() && worker.port() == 0);
    let Misuse(beyond) = listen("serve m --nnodes=2 --node-rank=2").unwrap_err();
    assert!(beyond.contains("node rank 2"), "{beyond}");
}

#[test]
fn the_prefix_cache_is_kept_and_can_be_emptied_where_vllm_is_told_so() {
    let launch = |line: &str, environment: &[(&str, &str)]| {
        let config = plan_with(Program::Vllm, line, environment, &[])
            .unwrap()
            .config;
        (config.prefix_caching, config.dev_mode)
    };
    assert_eq!(launch("serve m", &[]), (true, false));
    let dev_mode = [("VLLM_SERVER_DEV_MODE", "1")];
    let off = launch("serve m --no-enable-prefix-caching", &dev_mode);
    assert_eq!(off, (false, true));
}
