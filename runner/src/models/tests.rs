use std::path::PathBuf;

use bakeoff_crds::summary::reason;

use super::{
    stand_in::{Fault, Hub, HubFile, Seen},
    *,
};
use crate::{
    report::fixture,
    store::{Environment, sha256_hex},
};

const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: fetched, namespace: bench, uid: 0f9a1b2c-0000-4000-8000-000000000000}
spec:
  model: {id: org/model, revision: v1, prefetch: {size: 1Gi}, adapters: [{name: sql, id: org/lora}]}
  engines: [{name: vllm, profile: vllm}]
  workload: {prompts: {inline: [hello]}}
  output: {uri: "s3://results/bakeoff"}
"#;

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn model() -> Vec<(&'static str, HubFile)> {
    vec![
        ("config.json", HubFile::small("{}")),
        ("model.safetensors", HubFile::large(300_000)),
        ("pytorch_model.bin", HubFile::large(400_000)),
        ("sub/a file.txt", HubFile::small("words")),
    ]
}

fn lora() -> Vec<(&'static str, HubFile)> {
    vec![("adapter_model.safetensors", HubFile::large(5_000))]
}

async fn hub_of(files: &[(&str, HubFile)]) -> Hub {
    Hub::start()
        .await
        .repository("org/model", COMMIT, files)
        .repository("org/lora", "beef", &lora())
}

/// A volume, and what is done with it.
struct Case {
    volume: tempfile::TempDir,
    plan: Plan,
    token: Option<&'static str>,
    progress: Progress,
}

impl Case {
    fn new(hub: &Hub) -> Self {
        Self::of(RUN, hub)
    }

    fn of(run: &str, hub: &Hub) -> Self {
        let mut plan = fixture::plan_of(run);
        plan.spec.model.hub = Some(hub.url.clone());
        Self {
            volume: tempfile::tempdir().unwrap(),
            plan,
            token: None,
            progress: Progress::default(),
        }
    }

    fn inputs(&self) -> Inputs {
        Inputs {
            base: "/".into(),
            output: self.plan.spec.output.clone(),
            environment: match self.token {
                Some(token) => Environment::from([("HF_TOKEN", token)]),
                None => Environment::default(),
            },
        }
    }

    async fn fill(&self) -> Result<PrefetchSummary, Failure> {
        self.fill_from(None).await
    }

    async fn fill_from(&self, from: Option<&Path>) -> Result<PrefetchSummary, Failure> {
        let into = self.volume.path();
        fill(&self.plan, &self.inputs(), into, from, &self.progress).await
    }

    /// The model's folder.
    fn folder(&self) -> PathBuf {
        let planned = self.plan.prefetch.as_ref().unwrap();
        self.volume.path().join(&planned.repositories[0].folder)
    }

    fn file(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.folder().join(path)).unwrap()
    }

    /// Names in the volume that are no folder of a repository.
    fn left_over(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.volume.path()).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name.ends_with(".partial"))
            .collect()
    }
}

fn of_file<'a>(seen: &'a [Seen], file: &str) -> Vec<&'a Seen> {
    seen.iter().filter(|it| it.path.ends_with(file)).collect()
}

#[tokio::test]
async fn a_model_and_its_adapters_are_fetched_once() {
    let hub = hub_of(&model()).await.gated("secret");
    let mut case = Case::new(&hub);
    case.token = Some("secret");
    let filled = case.fill().await.unwrap();
    assert_eq!(filled.commit.as_deref(), Some(COMMIT));
    // The copy in another format is left out.
    assert_eq!((filled.files, filled.bytes), (4, 305_007));
    assert_eq!(filled.fetched_bytes, filled.bytes);
    assert_eq!(case.file("sub/a file.txt"), b"words");
    assert_eq!(
        case.file("model.safetensors"),
        HubFile::large(300_000).bytes
    );
    assert!(!case.folder().join("pytorch_model.bin").exists());
    assert_eq!(case.left_over(), [""; 0]);
    let lora = &case.plan.prefetch.as_ref().unwrap().repositories[1].folder;
    let lora = case.volume.path().join(lora);
    assert!(lora.join("adapter_model.safetensors").exists());
    let seen = hub.seen();
    assert!(
        seen.iter()
            .all(|it| it.token.as_deref() == Some("Bearer secret"))
    );
    let listed = format!("/org/model/resolve/{COMMIT}/config.json");
    assert!(seen.iter().any(|it| it.path == listed), "{seen:?}");

    // Whoever comes next finds it, and asks for nothing.
    let again = case.fill().await.unwrap();
    assert_eq!(hub.seen(), []);
    assert_eq!((again.fetched_bytes, again.bytes), (0, filled.bytes));
    assert_eq!(again.content_sha256, filled.content_sha256);
    assert_eq!(again.commit, filled.commit);
}

#[tokio::test]
async fn a_volume_that_is_filled_is_not_changed_by_a_branch_that_moved() {
    let hub = hub_of(&model()).await;
    let case = Case::new(&hub);
    let filled = case.fill().await.unwrap();
    let hub = hub.repository("org/model", "fedcba9876543210", &lora());
    let again = case.fill().await.unwrap();
    assert_eq!(again.commit, filled.commit);
    assert_eq!(again.content_sha256, filled.content_sha256);
    drop(hub);
}

#[tokio::test]
async fn what_is_cut_goes_on_where_it_ended() {
    let cuts = [Fault::Cut(100_000), Fault::Status(503), Fault::Cut(50_000)];
    let mut files = model();
    files[1].1 = HubFile::large(300_000).with(&cuts);
    let hub = hub_of(&files).await;
    let case = Case::new(&hub);
    let filled = case.fill().await.unwrap();
    assert_eq!(
        case.file("model.safetensors"),
        HubFile::large(300_000).bytes
    );
    let seen = hub.seen();
    let ranges: Vec<_> = of_file(&seen, "/model.safetensors")
        .iter()
        .map(|it| it.range.clone().unwrap_or_default())
        .collect();
    // What of a cut part arrives is up to the network.
    assert_eq!(ranges.len(), 4, "{ranges:?}");
    assert_eq!(ranges[0], "");
    assert!(ranges[1..].iter().all(|range| range.starts_with("bytes=")));
    assert_eq!(filled.fetched_bytes, filled.bytes, "no byte came twice");
    let progress = case.progress.snapshot();
    assert_eq!(
        (progress.bytes_done, progress.bytes_planned),
        (filled.bytes, filled.bytes)
    );
}

#[tokio::test]
async fn a_source_without_ranges_begins_again() {
    let mut files = model();
    files[1].1 = HubFile::large(300_000).with(&[Fault::Cut(100_000), Fault::Whole]);
    let hub = hub_of(&files).await;
    let case = Case::new(&hub);
    let filled = case.fill().await.unwrap();
    assert_eq!(
        case.file("model.safetensors"),
        HubFile::large(300_000).bytes
    );
    assert!(filled.fetched_bytes > filled.bytes);
    // What was thrown away does not count as done.
    let progress = case.progress.snapshot();
    assert_eq!(
        (progress.bytes_done, progress.bytes_planned),
        (filled.bytes, filled.bytes)
    );
}

#[tokio::test]
async fn a_further_try_of_the_job_keeps_what_the_last_one_brought() {
    let mut files = model();
    let faults = [Fault::Cut(100_000), Fault::Status(403)];
    files[1].1 = HubFile::large(300_000).with(&faults);
    let hub = hub_of(&files).await;
    let case = Case::new(&hub);
    // What ends the process midway.
    let failed = case.fill().await.unwrap_err();
    assert_eq!(failed.reason, reason::MODEL_ACCESS_DENIED);
    assert!(!case.folder().exists());
    assert_eq!(case.left_over().len(), 1);
    hub.seen();
    let filled = case.fill().await.unwrap();
    assert_eq!(
        case.file("model.safetensors"),
        HubFile::large(300_000).bytes
    );
    assert!(filled.fetched_bytes < filled.bytes, "{filled:?}");
    let seen = hub.seen();
    let asked = of_file(&seen, "/model.safetensors");
    assert!(asked[0].range.is_some(), "{asked:?}");
    assert_eq!(case.left_over(), [""; 0]);
}

#[tokio::test]
async fn other_bytes_than_the_hub_tells_are_fetched_anew_and_then_refused() {
    let mut files = model();
    files[1].1 = HubFile::large(300_000).with(&[Fault::Garbled]);
    let hub = hub_of(&files).await;
    let case = Case::new(&hub);
    case.fill().await.unwrap();
    assert_eq!(
        case.file("model.safetensors"),
        HubFile::large(300_000).bytes
    );

    files[1].1 = HubFile::large(300_000).with(&[Fault::Garbled, Fault::Garbled]);
    let hub = hub_of(&files).await;
    let case = Case::new(&hub);
    let failed = case.fill().await.unwrap_err();
    assert_eq!(failed.reason, reason::HASH_MISMATCH);
    assert!(!failed.may_pass);
    let expected = sha256_hex(&HubFile::large(300_000).bytes);
    assert!(failed.message.contains(&expected), "{}", failed.message);
    assert!(!case.folder().exists(), "nothing of it is given to engines");
}

#[tokio::test]
async fn a_file_of_another_length_than_the_hub_tells_is_not_asked_for_without_an_end() {
    for told in [9, 11] {
        let mut file = HubFile::small("ten bytes.");
        file.told_size = Some(told);
        let hub = hub_of(&[("config.json", file)]).await;
        let failed = Case::new(&hub).fill().await.unwrap_err();
        assert_eq!(failed.reason, reason::HASH_MISMATCH, "{told}");
        let says = format!("has 10 bytes, and its source says {told}");
        assert!(failed.message.contains(&says), "{}", failed.message);
        assert!(of_file(&hub.seen(), "/config.json").len() <= 3);
    }
}

#[tokio::test]
async fn each_refusal_has_its_reason() {
    let hub = hub_of(&model()).await.gated("secret");
    for (token, says) in [
        (None, "set model.tokenSecretRef"),
        (Some("other"), "accept the model's licence"),
    ] {
        let mut case = Case::new(&hub);
        case.token = token;
        let failed = case.fill().await.unwrap_err();
        assert_eq!(failed.reason, reason::MODEL_ACCESS_DENIED);
        assert!(failed.message.contains(says), "{}", failed.message);
        assert!(!failed.may_pass && !failed.message.contains("other"));
    }
    let hub = Hub::start().await;
    let failed = Case::new(&hub).fill().await.unwrap_err();
    assert_eq!(failed.reason, reason::MODEL_NOT_FOUND);
    let hub = hub_of(&[("model.safetensors", HubFile::large(1))]).await;
    let run = RUN.replace("size: 1Gi", "size: 1Gi, files: ['*.gguf']");
    let failed = Case::of(&run, &hub).fill().await.unwrap_err();
    assert_eq!(failed.reason, reason::MODEL_NOT_FOUND);
    assert!(failed.message.contains("files"), "{}", failed.message);
}

#[tokio::test]
async fn a_hub_that_stays_away_may_come_back() {
    let mut files = model();
    files[1].1 = HubFile::large(10).with(&vec![Fault::Status(503); 100]);
    let hub = hub_of(&files).await;
    let failed = Case::new(&hub).fill().await.unwrap_err();
    assert_eq!(failed.reason, reason::MODEL_UNAVAILABLE);
    assert!(failed.may_pass);
    assert!(failed.message.contains("HTTP 503"), "{}", failed.message);
}

#[tokio::test]
async fn a_volume_without_room_is_told_before_anything_is_fetched() {
    let mut files = model();
    files[1].1.told_size = Some(1 << 60);
    let hub = hub_of(&files).await;
    let failed = Case::new(&hub).fill().await.unwrap_err();
    assert_eq!(failed.reason, reason::VOLUME_FULL);
    assert!(failed.message.contains("model.prefetch.size"));
    assert!(of_file(&hub.seen(), "config.json").is_empty());
}

#[tokio::test]
async fn the_token_stays_with_the_hub() {
    let other = Hub::start().await.repository("cdn/x", "1", &lora());
    let to = format!("{}/cdn/x/resolve/1/adapter_model.safetensors", other.url);
    let file = HubFile::large(5_000).with(&[Fault::Moved(to)]);
    let hub = hub_of(&[("model.safetensors", file)]).await.gated("secret");
    let mut case = Case::new(&hub);
    case.token = Some("secret");
    case.fill().await.unwrap();
    let seen = other.seen();
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].token, None);
}

#[tokio::test]
async fn files_outside_the_folder_are_refused() {
    for path in ["../escape", "/etc/passwd", "a//b", "a/../../b"] {
        let hub = hub_of(&[(path, HubFile::small("x"))]).await;
        let case = Case::new(&hub);
        let failed = case.fill().await.unwrap_err();
        assert_eq!(failed.reason, reason::MODEL_UNAVAILABLE, "{path}");
        assert!(failed.message.contains(path), "{}", failed.message);
    }
}

#[tokio::test]
async fn two_jobs_fetch_one_model_once() {
    let hub = hub_of(&model()).await;
    let case = Case::new(&hub);
    let (one, other) = tokio::join!(case.fill(), case.fill());
    let (one, other) = (one.unwrap(), other.unwrap());
    assert_eq!(one.fetched_bytes + other.fetched_bytes, one.bytes);
    assert_eq!(of_file(&hub.seen(), "/model.safetensors").len(), 1);
}

#[tokio::test]
async fn a_folder_that_somebody_changed_is_not_given_to_engines() {
    let hub = hub_of(&model()).await;
    for (file, bytes) in [("model.safetensors", "short"), (".bakeoff.json", "{")] {
        let case = Case::new(&hub);
        case.fill().await.unwrap();
        std::fs::write(case.folder().join(file), bytes).unwrap();
        let failed = case.fill().await.unwrap_err();
        assert_eq!(failed.reason, reason::HASH_MISMATCH);
        assert!(failed.message.contains(file), "{}", failed.message);
    }
}

#[tokio::test]
async fn a_model_is_copied_from_a_folder_whole() {
    let hub = hub_of(&model()).await;
    let source = tempfile::tempdir().unwrap();
    std::fs::create_dir(source.path().join("sub")).unwrap();
    std::fs::write(source.path().join("pytorch_model.bin"), "weights").unwrap();
    std::fs::write(source.path().join("sub/model.safetensors"), "more").unwrap();
    // As where an earlier run fetched it.
    std::fs::write(source.path().join(".bakeoff.json"), "{}").unwrap();
    let case = Case::new(&hub);
    // An earlier try was ended when it had all of a file but its name.
    let folder = case.folder();
    let name = folder.file_name().unwrap().to_str().unwrap();
    let staging = case.volume.path().join(format!(".{name}-0.partial"));
    std::fs::create_dir(&staging).unwrap();
    std::fs::write(staging.join("pytorch_model.bin.bakeoff-partial"), "weights").unwrap();
    let from = Some(source.path());
    let filled = case.fill_from(from).await.unwrap();
    assert_eq!(filled.commit, None);
    assert_eq!((filled.files, filled.bytes), (3, 7 + 4 + 5_000));
    assert_eq!(filled.fetched_bytes, 4 + 5_000);
    assert_eq!(case.file("pytorch_model.bin"), b"weights");
    assert_eq!(case.file("sub/model.safetensors"), b"more");
    // Adapters come from the hub all the same.
    assert!(hub.seen().iter().all(|it| it.path.contains("org/lora")));
    let nowhere = source.path().join("nowhere");
    let case = Case::new(&hub);
    let failed = case.fill_from(Some(&nowhere)).await.unwrap_err();
    assert_eq!(failed.reason, reason::MODEL_NOT_FOUND);
}

#[test]
fn a_full_disk_and_a_missing_right_are_told_apart() {
    use std::io::Write as _;
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full");
    let error = full.unwrap().write_all(b"x").unwrap_err();
    let failed = volume::not_written(Path::new("x"), &error);
    assert_eq!(failed.reason, reason::VOLUME_FULL);
    let error = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    let failed = volume::not_written(Path::new("x"), &error);
    assert_eq!(failed.reason, reason::VOLUME_NOT_WRITABLE);
    assert!(failed.message.contains("65532"));
}
