//! What single programs do with theirs: ports, repositories, neighbours.

use super::*;

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
