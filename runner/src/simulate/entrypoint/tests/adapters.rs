//! Adapters and fetched models, in each program's own flags.

use super::*;

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
