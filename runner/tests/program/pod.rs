//! The program as the pods of a run start it, against a bucket and a simulated engine of the test.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    process::{Child, Command, Output, Stdio},
};

use bakeoff_crds::{
    BenchmarkRun,
    outcome::Outcome,
    plan::{Place, Plan, PlanSettings, resolve},
    profile::ProfileSet,
    report::{Report, VerdictReason},
    run::status::{EnginePhase, TurnStatus, VerdictStatus},
    summary::Termination,
};
use bakeoff_runner::{
    simulate::Running,
    store::{
        Environment, Store,
        manifest::{self, Manifest},
        sha256_hex,
    },
    workload::{self, Sources, frozen},
};

use crate::{
    bucket::{self, Bucket},
    common::{bakeoff, engine},
};

/// Requests of each stage.
pub const REQUESTS: u64 = 6;

/// A run whose prompts are in the bucket.
pub struct Run {
    pub bucket: Bucket,
    pub engine: Running,
    pub folder: tempfile::TempDir,
    pub plan: Plan,
    prompts_sha256: String,
}

impl Run {
    /// A run with stages of these concurrencies, and so many seconds for a write with all its tries.
    pub fn new(concurrency: &str, upload: &str) -> Self {
        Self::of_shards(1, concurrency, upload)
    }

    /// The same, by so many runner pods.
    pub fn of_shards(shards: u32, concurrency: &str, upload: &str) -> Self {
        let (bucket, engine) = (Bucket::start(), engine());
        let folder = tempfile::tempdir().unwrap();
        let yaml = format!(
            "apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {{name: kept, namespace: team, uid: abcdef01}}
spec:
  model: {{id: demo/model}}
  engines: [{{name: up, external: {{url: '{}', protocol: OpenAiCompletions}}}}]
  workload:
    prompts: {{inline: [one, two]}}
    limits: {{maxOutputTokens: 2}}
    sampling: {{ignoreEos: true}}
    warmup: {{requests: 0}}
    sweep: {{concurrency: [{concurrency}]}}
    requestsPerStage: {REQUESTS}
  runner: {{parallelism: {shards}, calibration: Never}}
  policy: {{timeouts: {{upload: {upload}}}}}
  output: {{uri: 's3://{}/runs', endpoint: '{}', region: test}}
",
            engine.url,
            bucket::NAME,
            bucket.url
        );
        std::fs::write(folder.path().join("run.yaml"), &yaml).unwrap();
        let run: BenchmarkRun = serde_saphyr::from_str(&yaml).unwrap();
        let settings = PlanSettings {
            runner_image: "unused".into(),
            place: Place::Local,
        };
        let plan = resolve(&run, &ProfileSet::builtin(), &settings).unwrap();
        let prompts_sha256 = store_prompts(&plan, &bucket);
        let outcome = Outcome {
            start_time: "2026-03-01T12:00:00Z".into(),
            turns: vec![TurnStatus {
                engine: "up".into(),
                round: 1,
                phase: EnginePhase::Succeeded,
                ..TurnStatus::default()
            }],
            ..Outcome::default()
        };
        let write = |name: &str, json: Vec<u8>| {
            std::fs::write(folder.path().join(name), json).unwrap();
        };
        write("plan.json", serde_json::to_vec(&plan).unwrap());
        write("outcome.json", serde_json::to_vec(&outcome).unwrap());
        Self {
            bucket,
            engine,
            folder,
            plan,
            prompts_sha256,
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// Words of the runner's pod.
    pub fn load(&self) -> Vec<String> {
        [
            "agent",
            "load",
            "--plan",
            &self.file("plan.json"),
            "--engine",
            "up",
            "--round",
            "1",
            "--url",
            &self.engine.url,
            "--prompts-sha256",
            &self.prompts_sha256,
            "--listen",
            "127.0.0.1:0",
            "--termination-log",
            &self.file("last-words"),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Words of the reporter's pod.
    pub fn report(&self) -> Vec<String> {
        [
            "agent",
            "report",
            "--plan",
            &self.file("plan.json"),
            "--outcome",
            &self.file("outcome.json"),
            "--termination-log",
            &self.file("last-words"),
        ]
        .map(str::to_owned)
        .to_vec()
    }

    /// Starts the program with the bucket's variables.
    pub fn start(&self, words: &[String]) -> Child {
        Command::new(bakeoff())
            .args(words)
            .envs(bucket::environment(&self.bucket.url))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }

    /// The same, to its end.
    pub fn end(&self, words: &[String]) -> Ended {
        Ended::of(self.start(words).wait_with_output().unwrap())
    }

    /// What the last pod said at its end.
    pub fn last_words(&self) -> Termination {
        serde_json::from_slice(&std::fs::read(self.file("last-words")).unwrap()).unwrap()
    }

    /// Path of a file of this test.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Key of a file of the run.
    pub fn key(&self, path: &str) -> String {
        format!("runs/{}/{path}", self.plan.run.folder())
    }

    /// Address under which runs have their folders.
    pub fn target(&self) -> String {
        format!("s3://{}/runs", bucket::NAME)
    }

    /// Address of the run's folder.
    pub fn address(&self) -> String {
        format!(
            "s3://{}/{}",
            bucket::NAME,
            self.key("").trim_end_matches('/')
        )
    }

    /// A file of the run, as it is in the bucket.
    pub fn stored<T: serde::de::DeserializeOwned>(&self, path: &str) -> Option<T> {
        let objects = self.bucket.objects();
        let bytes = objects.get(&self.key(path))?;
        Some(serde_json::from_slice(bytes).unwrap())
    }
}

/// How a process ended, and its log.
pub struct Ended {
    pub code: Option<i32>,
    pub log: String,
}

impl Ended {
    pub fn of(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self {
            code: output.status.code(),
            // As a pod's log has both.
            log: text(output.stderr) + &text(output.stdout),
        }
    }
}

/// Path of a stage's report in the run's folder.
pub fn stage(concurrency: u32, attempt: u32) -> String {
    format!("engines/up/round-1/rep-1/concurrency-{concurrency}/attempt-{attempt}/stage.json")
}

/// Stores a plan's prompts as the preflight does, and gives their hash.
fn store_prompts(plan: &Plan, bucket: &Bucket) -> String {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let variables = bucket::environment(&bucket.url);
        let environment = Environment::from(
            [0, 1, 2, 3].map(|place: usize| (variables[place].0, variables[place].1.as_str())),
        );
        let store = Store::open(&plan.spec.output, &plan.run.folder(), &environment).unwrap();
        let frozen = workload::freeze(plan, &Sources::default()).unwrap();
        frozen::store(&store, &frozen, &Sources::default())
            .await
            .unwrap()
    })
}

/// The run's folder is whole: every object is one that the manifest names and is as it says, and the
/// report has each of these stages once, as `(concurrency, attempt)`, with all of its requests.
pub fn assert_whole(run: &Run, stages: &[(u32, u32)]) {
    let manifest: Manifest = run.stored(manifest::PATH).unwrap();
    let root = run.key("");
    let objects = run.bucket.objects();
    let there: BTreeMap<&str, String> = objects
        .iter()
        .filter_map(|(key, bytes)| Some((key.strip_prefix(&root)?, sha256_hex(bytes))))
        .filter(|(path, _)| *path != manifest::PATH)
        .collect();
    let named: BTreeMap<&str, String> = manifest
        .files
        .iter()
        .map(|file| (file.path.as_str(), file.sha256.clone()))
        .collect();
    assert_eq!(there, named);
    for (path, bytes) in &objects {
        if path.ends_with(".json") {
            let _: serde_json::Value = serde_json::from_slice(bytes).unwrap();
        }
        if path.ends_with(".zst") {
            zstd::decode_all(&bytes[..]).unwrap();
        }
    }
    let report: Report = run.stored("report.json").unwrap();
    let reported: Vec<(u32, u32, u64)> = report.engines[0]
        .stages
        .iter()
        .filter(|stage| stage.verdict.status != VerdictStatus::Invalid)
        .map(|stage| {
            let concurrency = stage.load.concurrency.unwrap();
            (concurrency, stage.attempt, stage.requests.succeeded)
        })
        .collect();
    let expected: Vec<_> = stages
        .iter()
        .map(|&(concurrency, attempt)| (concurrency, attempt, REQUESTS))
        .collect();
    assert_eq!(reported, expected);
    // With each of them is the log of its requests.
    for stage in &report.engines[0].stages {
        let lost = stage.requests.intended == 0;
        let folder = self::stage(stage.load.concurrency.unwrap(), stage.attempt);
        let log = folder.replace("stage.json", "requests.jsonl.zst");
        assert!(lost || objects.contains_key(&run.key(&log)), "{log}");
    }
    // Attempts that were cut are there beside them, and say so.
    for stage in &report.engines[0].stages {
        if stage.verdict.status == VerdictStatus::Invalid {
            let reasons = stage.verdict.reasons.iter();
            let cut = ["RunnerLost", "AttemptCut"];
            let named = |reason: &VerdictReason| cut.contains(&reason.reason.as_str());
            assert!(reasons.clone().any(named), "{:?}", stage.verdict);
        }
    }
    // And the report as a person asks for it.
    let shown = run.end(&["report".to_owned(), run.address()]);
    assert!(matches!(shown.code, Some(0 | 3)), "{}", shown.log);
}
