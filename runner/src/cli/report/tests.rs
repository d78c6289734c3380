use bakeoff_crds::run::Format;
use clap::Parser;

use super::*;
use crate::{
    export,
    measure::{REQUESTS, attempt_folder},
    report::fixture,
};

fn arguments(runs: &[&str], output: Option<&Path>, formats: &[Other]) -> Arguments {
    Arguments {
        runs: runs.iter().map(|run| (*run).to_owned()).collect(),
        output: output.map(Path::to_owned),
        formats: formats.to_vec(),
        requests_log: None,
        upload: None,
    }
}

fn address(folder: &Path) -> String {
    format!("file://{}", folder.display())
}

/// A whole run in a folder.
async fn stored(folder: &Path, report: Report) -> Store {
    let store = Store::at(&address(folder), &Environment::default()).unwrap();
    write(&store, report).await;
    store
}

async fn write(store: &Store, report: Report) {
    let plan = fixture::plan();
    crate::report::write(store, &plan, report).await.unwrap();
}

fn json(path: &Path) -> serde_json::Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[tokio::test]
async fn renders_a_run_and_two_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let (run, one, both) = (
        folder.path().join("run"),
        folder.path().join("one"),
        folder.path().join("both"),
    );
    stored(&run, fixture::report()).await;
    let file = run.join("report.json");
    let (run, file) = (address(&run), file.to_str().unwrap());
    report(arguments(&[&run], Some(&one), &[])).await.unwrap();
    let names = [
        "report.json",
        "report.html",
        "summary.csv",
        "comparison.svg",
        "comparison.png",
    ];
    assert!(names.iter().all(|name| one.join(name).is_file()));
    // What was written reads as a run does.
    let again = address(&one);
    let (text, _) = report(arguments(&[&again], None, &[])).await.unwrap();
    assert_eq!(text, table::comparison(&fixture::report()));
    let (text, _) = report(arguments(&[&run, file], Some(&both), &[]))
        .await
        .unwrap();
    assert!(text.starts_with("run "), "{text}");
    assert_eq!(
        json(&both.join("report.json"))["engines"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
    assert_eq!(
        json(&both.join("runs.json"))["rows"]
            .as_array()
            .unwrap()
            .len(),
        6
    );
}

#[tokio::test]
async fn runs_that_cannot_be_compared_stand_apart() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second, output) = (
        folder.path().join("first"),
        folder.path().join("second"),
        folder.path().join("output"),
    );
    stored(&first, fixture::report()).await;
    let mut other = fixture::report();
    other.run.identity.name = "other".into();
    other.run.spec["model"]["id"] = "other/model".into();
    stored(&second, other).await;
    let runs = [first, second].map(|folder| address(&folder));
    let runs = [runs[0].as_str(), runs[1].as_str()];
    let (text, _) = report(arguments(&runs, Some(&output), &[])).await.unwrap();
    let why = "mistral and other are not compared: they differ in model \
               (mistralai/Mistral-7B-Instruct-v0.2 and other/model).";
    assert!(text.contains(why), "{text}");
    assert!(
        text.contains("\nGroup 2\n") && !text.contains('@'),
        "{text}"
    );
    let overview = json(&output.join("runs.json"));
    assert_eq!(overview["rows"][3]["group"], 2);
    assert_eq!(
        overview["notComparable"][0]["because"][0]["second"],
        "other/model"
    );
    let page = std::fs::read_to_string(output.join("group-2/report.html")).unwrap();
    assert!(page.contains("mistral and other are not compared"));
}

#[tokio::test]
async fn converts_a_run_from_the_logs_of_its_requests() {
    let folder = tempfile::tempdir().unwrap();
    let (run, output) = (folder.path().join("run"), folder.path().join("output"));
    let store = Store::at(&address(&run), &Environment::default()).unwrap();
    for repetition in [1, 2] {
        let stage = attempt_folder("vllm", 1, repetition, "rate-2", 1);
        let log = export::fixture::packed(&export::fixture::open_lines());
        store
            .put_new(&format!("{stage}/{REQUESTS}"), log)
            .await
            .unwrap();
    }
    write(&store, export::fixture::streamed()).await;
    let run = address(&run);
    let formats = [Other::Vllm, Other::Aiperf];
    let (text, _) = report(arguments(&[&run], Some(&output), &formats))
        .await
        .unwrap();
    assert!(
        text.contains("Left out: engines/vllm/round-1/rep-1/rate-9/attempt-1: its verdict"),
        "{text}"
    );
    let file = "vllm/vllm/round-1/rep-2/rate-2.json";
    assert!(text.contains(file), "{text}");
    assert_eq!(json(&output.join(file))["mean_ttft_ms"], 70.0);
    assert!(
        output
            .join("aiperf/vllm/round-1/rep-1/rate-2/profile_export.jsonl")
            .is_file()
    );
    // Of a report alone nothing can be made.
    let alone = format!("{run}/report.json");
    let error = report(arguments(&[&alone], Some(&output), &formats))
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("name the run's folder"),
        "{error}"
    );
}

/// What `bakeoff bench` leaves: a report of one stage and its log, packed or not.
#[tokio::test]
async fn converts_one_stage_from_its_log() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let one = serde_json::to_vec(&export::fixture::whole()).unwrap();
    std::fs::write(path("report.json"), one).unwrap();
    let packed = export::fixture::packed(&export::fixture::closed_lines());
    std::fs::write(path("log.zst"), &packed).unwrap();
    std::fs::write(path("log.jsonl"), zstd::decode_all(&packed[..]).unwrap()).unwrap();
    let file = path("report.json").display().to_string();
    for log in ["log.zst", "log.jsonl"] {
        let output = path(&format!("of-{log}"));
        let mut arguments = arguments(&[&file], Some(&output), &[Other::Vllm]);
        arguments.requests_log = Some(path(log));
        report(arguments).await.unwrap();
        let file = "vllm/hosted/round-1/rep-1/concurrency-2.json";
        assert_eq!(json(&output.join(file))["mean_e2el_ms"], 500.0);
    }
    let many = serde_json::to_vec(&fixture::report()).unwrap();
    std::fs::write(path("report.json"), many).unwrap();
    let mut arguments = arguments(&[&file], Some(folder.path()), &[Other::Vllm]);
    arguments.requests_log = Some(path("log.zst"));
    let error = report(arguments).await.unwrap_err();
    assert!(
        error.to_string().contains("a report of one stage"),
        "{error}"
    );
}

#[tokio::test]
async fn the_reporter_stores_the_formats_that_the_run_asks_for() {
    let store = Store::in_memory();
    let stage = attempt_folder("vllm", 1, 1, "rate-2", 1);
    let log = export::fixture::packed(&export::fixture::open_lines());
    store
        .put_new(&format!("{stage}/{REQUESTS}"), log)
        .await
        .unwrap();
    let mut plan = fixture::plan();
    plan.spec.output.formats = vec![Format::Requests, Format::Google, Format::LlmD];
    crate::report::write(&store, &plan, export::fixture::streamed())
        .await
        .unwrap();
    let manifest = store.get(manifest::PATH).await.unwrap();
    let manifest = String::from_utf8(manifest.to_vec()).unwrap();
    for path in [
        "exports/google/vllm/round-1/rep-1/rate-2.json",
        "exports/llm-d/vllm/round-1/rep-1/rate-2.yaml",
        "exports/index.json",
    ] {
        assert!(manifest.contains(path), "{manifest}");
    }
    let index = store.get("exports/index.json").await.unwrap();
    let index: serde_json::Value = serde_json::from_slice(&index).unwrap();
    // One stage is Invalid, one has no log; the report is whole all the same.
    assert_eq!(index["leftOut"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn says_what_it_wants_in_place_of_what_is_not_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let put = |name: &str, text: &str| {
        let path = path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    std::fs::create_dir(path("empty")).unwrap();
    put(
        "running/engines/vllm/round-1/rep-1/rate-2/attempt-1/stage.json",
        "{}",
    );
    let whole = serde_json::to_string(&fixture::report()).unwrap();
    put("cut/report.json", &whole);
    stored(&path("changed"), fixture::report()).await;
    put("changed/report.json", "{}");
    stored(&path("lost"), fixture::report()).await;
    std::fs::remove_file(path("lost/report.json")).unwrap();
    put("other/manifest.json", "[]");
    put("half.json", &whole[..100]);
    put(
        "older.json",
        r#"{"schemaVersion": "bakeoff.dev/report/v0", "run": {"bakeoffVersion": "0.0.9"}}"#,
    );
    for (run, words) in [
        ("nowhere", "nowhere does not exist; name a run's folder"),
        ("empty", "name the folder of one run"),
        (
            "running",
            "the run is under way, or was cut before its report",
        ),
        (
            "cut",
            "manifest.json does not exist, so the run is not whole",
        ),
        ("changed", "report.json was changed since the run"),
        ("lost", "although the manifest names it; copy the run again"),
        ("other", "manifest.json is no manifest of a run"),
        ("half.json", "it was cut off or changed, so fetch it again"),
        ("older.json", "use the version that wrote it, bakeoff 0.0.9"),
    ] {
        for run in [path(run).display().to_string(), address(&path(run))] {
            let error = report(arguments(&[&run], None, &[])).await.unwrap_err();
            let error = format!("{error:#}");
            assert!(
                error.contains(words) && error.contains(&run),
                "{run}: {error}"
            );
        }
    }
    assert!(!path("nowhere").exists());
    // As the messages say: the report itself is read as it is.
    let file = path("cut/report.json").display().to_string();
    report(arguments(&[&file], None, &[])).await.unwrap();
}

#[test]
fn formats_go_with_an_output() {
    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }
    let line = [
        "report",
        "run",
        "--format",
        "google,llm-d",
        "--output",
        "there",
    ];
    let parsed = Line::try_parse_from(line).unwrap();
    assert_eq!(parsed.arguments.formats, [Other::Google, Other::LlmD]);
    let error = Line::try_parse_from(&line[..4]).unwrap_err().to_string();
    assert!(error.contains("--output"), "{error}");
    let error = Line::try_parse_from(["report", "run", "--format", "guidellm"]).unwrap_err();
    assert!(error.to_string().contains("inference-perf"), "{error}");
}
