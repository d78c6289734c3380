//! The build step of profile `triton-tensorrt-llm-engine`: its own script, run by `sh`, with stand-ins
//! for the programs that it calls.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use bakeoff_crds::{
    BenchmarkRun,
    plan::{Deployment, EngineSource, Place, PlanSettings, resolve},
    profile::ProfileSet,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Says what it is asked, and writes what the real one would: an image's Python with TensorRT-LLM.
const PYTHON: &str = r#"#!/bin/sh
case $1 in
  -c) echo "$TENSORRT_LLM" ;;
  *)
    case $2 in
      resolve) echo "$COMMIT" ;;
      convert)
        echo "convert $BUILD_COMMIT" >>"$LOG"
        mkdir "$3" "$4" && touch "$3/rank0.safetensors" "$4/tokenizer.json"
        ;;
    esac
    ;;
esac
"#;
const NVIDIA_SMI: &str = "#!/bin/sh\necho \"$GPU\"\necho \"$GPU\"\n";
/// `MEANWHILE` is what happens while the engine is built; with `CUT` the build ends amid its output.
const TRTLLM_BUILD: &str = r#"#!/bin/sh
for word in "$@"; do
  case $word in --output_dir=*) output=${word#*=} ;; esac
done
echo "build $*" >>"$LOG"
mkdir "$output" && echo "$HOST" >"$output/rank0.engine"
test -z "$MEANWHILE" || env MEANWHILE= sh -c "$MEANWHILE"
test -z "$CUT"
"#;

fn deployment(model: &Value, tuning: &Value) -> Deployment {
    let run: BenchmarkRun = serde_json::from_value(json!({
        "apiVersion": "bakeoff.dev/v1alpha1",
        "kind": "BenchmarkRun",
        "metadata": {"name": "run", "namespace": "bench", "uid": "0123456789"},
        "spec": {
            "model": model,
            "tuning": tuning,
            "engines": [{"name": "engine", "profile": "triton-tensorrt-llm-engine"}],
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

/// A node with the image's programs, and a claim that outlives pods.
struct Node {
    folder: TempDir,
    variables: BTreeMap<String, String>,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        };
        program("python3", PYTHON);
        program("nvidia-smi", NVIDIA_SMI);
        program("trtllm-build", TRTLLM_BUILD);
        fs::create_dir(folder.path().join("engines")).unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        let templates = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../runner/tests/fixtures/inflight_batcher_llm");
        let path = std::env::var("PATH").unwrap();
        let variables = [
            ("TENSORRT_LLM", "0.18.2".to_owned()),
            ("GPU", "NVIDIA L4, 8.9".to_owned()),
            ("COMMIT", "41b61a33".to_owned()),
            ("HOST", "engine-a".to_owned()),
            ("CUT", String::new()),
            ("MEANWHILE", String::new()),
            ("LOG", at("log")),
            ("TERMINATION_LOG", at("said")),
            ("BUILD_FOLDER", at("engines")),
            ("REPOSITORY", at("repository")),
            ("REPOSITORY_TEMPLATES", templates.display().to_string()),
            ("PATH", format!("{}:{path}", folder.path().display())),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value));
        Self {
            variables: variables.into(),
            folder,
        }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    fn at(&self, path: &str) -> PathBuf {
        self.folder.path().join(path)
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.at(path)).unwrap_or_default()
    }

    /// Runs the step as the pod would.
    fn start(&self, deployment: &Deployment) -> Output {
        let [step] = &deployment.init_containers[..] else {
            panic!("{deployment:?}")
        };
        let script = self.at("build.sh");
        assert_eq!(step.command, ["sh", "/etc/bakeoff-engine/build.sh"]);
        fs::write(&script, &deployment.files[&step.command[1]]).unwrap();
        Command::new("sh")
            .arg(&script)
            .args(&step.args)
            .env_clear()
            .envs(&step.env)
            .envs(&self.variables)
            .output()
            .unwrap()
    }

    /// The key that the step says, having built it or found it.
    fn says(&self, deployment: &Deployment, how: &str) -> String {
        let output = self.start(deployment);
        assert!(output.status.success(), "{output:?}");
        let said = self.read("said");
        assert!(said.starts_with(&format!("{how} engine ")), "{said}");
        said.split_whitespace().nth(2).unwrap().to_owned()
    }

    fn builds(&self) -> usize {
        let log = self.read("log");
        log.lines()
            .filter(|line| line.starts_with("build "))
            .count()
    }
}

fn of_hub() -> Value {
    json!({"id": "org/model", "maxModelLen": 2048})
}

#[test]
fn the_second_start_finds_what_the_first_has_built() {
    let node = Node::new();
    let deployment = deployment(&of_hub(), &json!({"maxBatchSize": 4}));
    let key = node.says(&deployment, "built");
    let engine = node.read(&format!("engines/{key}/engine/rank0.engine"));
    assert_eq!(engine, "engine-a\n");
    // The commit, not the branch, is what is converted; the checkpoint does not stay.
    assert!(node.read("log").contains("convert 41b61a33\n"));
    assert!(!node.at(&format!("engines/{key}/checkpoint")).exists());
    assert!(node.read("log").contains(
        " --max_batch_size=4 --max_seq_len=2048 --max_input_len=2048 --gemm_plugin=auto"
    ));
    assert_eq!(node.says(&deployment, "found"), key);
    assert_eq!(node.builds(), 1);
    // How it is served makes no other engine of it.
    let otherwise = deployment_of_tuning(json!({
        "maxBatchSize": 4, "inFlightBatching": false, "gpuMemoryUtilization": 0.5,
    }));
    assert_eq!(node.says(&otherwise, "found"), key);
}

fn deployment_of_tuning(tuning: Value) -> Deployment {
    deployment(&of_hub(), &tuning)
}

#[test]
fn all_that_an_engine_depends_on_is_in_its_key() {
    let plain = deployment_of_tuning(json!({}));
    let key = Node::new().says(&plain, "built");
    assert_eq!(Node::new().says(&plain, "built"), key);
    let mut keys = vec![key];
    for (name, value) in [
        ("TENSORRT_LLM", "0.18.1"),
        ("GPU", "NVIDIA L40S, 8.9"),
        ("COMMIT", "0bd3cf2c"),
    ] {
        keys.push(Node::new().with(name, value).says(&plain, "built"));
    }
    for (model, tuning) in [
        (json!({"id": "org/other"}), json!({})),
        (json!({"dtype": "Float16"}), json!({})),
        (json!({"quantization": "int8_wo"}), json!({})),
        (json!({"maxModelLen": 4096}), json!({})),
        (json!({}), json!({"maxBatchSize": 8})),
        (json!({}), json!({"maxBatchedTokens": 4096})),
        (json!({}), json!({"tensorParallelSize": 2})),
    ] {
        let mut whole = of_hub();
        for (name, value) in model.as_object().unwrap() {
            whole[name] = value.clone();
        }
        keys.push(Node::new().says(&deployment(&whole, &tuning), "built"));
    }
    let count = keys.len();
    keys.sort();
    keys.dedup();
    assert_eq!(keys.len(), count, "{keys:?}");
}

#[test]
fn a_build_that_was_cut_counts_for_nothing() {
    let mut node = Node::new().with("CUT", "yes");
    let deployment = deployment_of_tuning(json!({}));
    let output = node.start(&deployment);
    assert!(!output.status.success(), "{output:?}");
    assert!(!node.at("repository").exists());
    node = node.with("CUT", "").with("HOST", "engine-b");
    let key = node.says(&deployment, "built");
    assert_eq!(node.builds(), 2);
    let engine = node.read(&format!("engines/{key}/engine/rank0.engine"));
    assert_eq!(engine, "engine-b\n");
    // One that has the name and not its list was no build of ours.
    fs::remove_file(node.at(&format!("engines/{key}/making"))).unwrap();
    assert_eq!(node.says(&deployment, "built"), key);
    assert_eq!(node.says(&deployment, "found"), key);
}

#[test]
fn of_two_that_build_the_same_the_first_to_end_is_kept() {
    let mut node = Node::new();
    let deployment = deployment_of_tuning(json!({}));
    let step = &deployment.init_containers[0];
    // Another pod goes through all of it while this one builds.
    let meanwhile = format!(
        "HOST=engine-b sh {} {}",
        node.at("build.sh").display(),
        step.args.join(" ")
    );
    node = node.with("MEANWHILE", &meanwhile);
    let key = node.says(&deployment, "built");
    assert_eq!(node.builds(), 2);
    let engine = node.read(&format!("engines/{key}/engine/rank0.engine"));
    assert_eq!(engine, "engine-b\n");
    let left = fs::read_dir(node.at("engines")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, [key.as_str()]);
}

#[test]
fn weights_on_a_volume_are_told_apart_by_their_files() {
    let weights = tempfile::tempdir().unwrap();
    let of_volume = |node: Node| {
        let path = weights.path().display().to_string();
        let volume = json!({"id": "org/model", "persistentVolumeClaim": {"claimName": "c"}});
        node.with("BUILD_MODEL", &path)
            .says(&deployment(&volume, &json!({})), "built")
    };
    fs::write(weights.path().join("model.safetensors"), "one").unwrap();
    let plain = of_volume(Node::new());
    assert_eq!(of_volume(Node::new()), plain);
    fs::write(weights.path().join("model.safetensors"), "one two").unwrap();
    let changed = of_volume(Node::new());
    assert_ne!(changed, plain);
    // With Bakeoff's own list of hashes, times say nothing.
    let list = weights.path().join(".bakeoff.json");
    fs::write(&list, "[1]").unwrap();
    let fetched = of_volume(Node::new());
    fs::write(weights.path().join("model.safetensors"), "one two three").unwrap();
    assert_eq!(of_volume(Node::new()), fetched);
    fs::write(&list, "[2]").unwrap();
    assert_ne!(of_volume(Node::new()), fetched);
}

#[test]
fn tritons_repository_is_filled_in() {
    let node = Node::new();
    let key = node.says(
        &deployment_of_tuning(json!({"maxBatchSize": 16, "gpuMemoryUtilization": 0.8})),
        "built",
    );
    let engine = node.at(&format!("engines/{key}/engine"));
    let config = node.read("repository/tensorrt_llm/config.pbtxt");
    for part in [
        "backend: \"tensorrtllm\"",
        "max_batch_size: 16\n",
        "decoupled: true",
        "string_value: \"inflight_fused_batching\"",
        &format!("string_value: \"{}\"", engine.display()),
        "string_value: \"0.8\"",
        // What is not filled in has its default.
        "string_value: \"${decoding_mode}\"",
    ] {
        assert!(config.contains(part), "{part}: {config}");
    }
    let tokenizer = node.at(&format!("engines/{key}/tokenizer"));
    for model in ["preprocessing", "postprocessing"] {
        let config = node.read(&format!("repository/{model}/config.pbtxt"));
        assert!(config.contains(&format!("\"{}\"", tokenizer.display())));
        assert!(config.contains("count: 8 "), "{config}");
        assert!(node.at(&format!("repository/{model}/1")).is_dir());
    }
    assert!(!node.at("repository/tensorrt_llm_bls").exists());
    let off = deployment_of_tuning(json!({"maxBatchSize": 16, "inFlightBatching": false}));
    node.says(&off, "found");
    let config = node.read("repository/tensorrt_llm/config.pbtxt");
    assert!(config.contains("string_value: \"V1\""), "{config}");
}

#[test]
fn a_template_with_a_field_that_is_not_known_is_named() {
    let templates = tempfile::tempdir().unwrap();
    for model in [
        "ensemble",
        "preprocessing",
        "tensorrt_llm",
        "postprocessing",
    ] {
        fs::create_dir(templates.path().join(model)).unwrap();
        let text = "name: \"m\"\nnew_field: ${new_value}\n";
        fs::write(templates.path().join(model).join("config.pbtxt"), text).unwrap();
    }
    let node = Node::new().with(
        "REPOSITORY_TEMPLATES",
        &templates.path().display().to_string(),
    );
    let output = node.start(&deployment_of_tuning(json!({})));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success());
    assert!(
        said.contains("ensemble/config.pbtxt of this image wants a value that is not known here: new_field: ${new_value}"),
        "{said}"
    );
}
