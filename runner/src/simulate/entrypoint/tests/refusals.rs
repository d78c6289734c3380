//! Flags and environment, and what the programs say of those that they do not know.

use super::*;

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
