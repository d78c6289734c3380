use bakeoff_crds::report::ShardReport;

use super::*;
use crate::report::fixture::{self, invalid};

/// What a hostile model, engine or user may put into a report.
const HOSTILE: &str =
    "</style></script><script>alert(1)</script><img src=x onerror=alert(1)>\"'{{7*191}}";

/// The page, with the slashes that the template engine escapes too, for easier reading here.
fn page_of(report: &Report) -> String {
    page(report).unwrap().replace("&#x2f;", "/")
}

#[test]
fn the_page_shows_every_part() {
    let report = fixture::report();
    let html = page_of(&report);
    for part in [
        report.comparison.sentence.as_str(),
        "Results by load",
        "concurrency-32",
        "1,900",
        "mistralai/Mistral-7B-Instruct-v0.2 at revision 3ad372f",
        "The same for every engine",
        "--enforce-eager",
        "Continuous batching",
        "Cold start",
        "153 s",
        "41 %, at most 63 %",
        "preemptions (NotExposed)",
        "0.2",
        "platform",
        &report.run.prompts_sha256,
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    // Three pictures, and one mark per engine in the legend.
    assert_eq!(html.matches("role=\"img\"").count(), 3);
}

#[test]
fn runner_pods_that_acted_as_one_are_shown() {
    let mut report = fixture::report();
    assert!(!page_of(&report).contains("acted as one client"));
    let shard = |index, lost| ShardReport {
        index,
        lost,
        requests: bakeoff_crds::report::Requests {
            sent: 1234,
            ..Default::default()
        },
        clock_offset_bound_seconds: 0.00021,
        late_start_seconds: 0.012,
        ..ShardReport::default()
    };
    report.engines[0].stages[0].shards = vec![shard(0, false), shard(1, true)];
    let html = page_of(&report);
    for part in [
        "acted as one client",
        "<td>0</td><td>1,234</td>",
        "210 µs",
        "12 ms",
        "<td>1</td><td colspan=\"8\">lost",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    assert_eq!(html.matches("1,234").count(), 1);
}

#[test]
fn the_answers_of_a_search_are_shown() {
    let mut report = fixture::report();
    assert!(!page_of(&report).contains("What each engine bears"));
    report.engines[0].searches = vec![bakeoff_crds::report::SearchReport {
        round: 1,
        repetition: 1,
        best: Some(10.83),
        first_failing: Some(11.92),
        stages: 8,
        message: format!("too slow {HOSTILE}"),
        ..Default::default()
    }];
    report.run.spec["workload"]["sweep"] = serde_json::json!({
        "search": {"requestRate": {"min": 0.5, "max": 64}}
    });
    let html = page_of(&report);
    for part in [
        "What each engine bears",
        "10.8 requests/s",
        "11.9 requests/s",
        "too slow",
        "the highest of 0.5 to 64 requests/s that meets the objectives",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
    assert!(!html.contains("<script"));
}

#[test]
fn the_conditions_name_stages_and_replays() {
    for (sweep, part) in [
        (
            serde_json::json!({"stages": [{"name": "bursty", "requestRate": 4, "arrival": "Gamma", "burstiness": 0.25, "duration": "5m"}]}),
            "bursty: 4 requests/s, Gamma arrivals of burstiness 0.25 (coefficient of variation 2.00), 5m",
        ),
        (
            serde_json::json!({"stages": [{"name": "up", "ramp": {"fromRate": 0, "toRate": 8}, "duration": "90s"}], "pause": "30s"}),
            "up: 0 to 8 requests/s, Poisson arrivals, 90s, 30s of rest between stages",
        ),
        (
            serde_json::json!({"replaySpeed": [1, 2]}),
            "the trace's arrivals at 1, 2 times its speed",
        ),
        (
            serde_json::json!({"knee": {"concurrency": {"min": 1, "max": 64}}}),
            "doubled from 1 requests in flight to the knee, 64 at most",
        ),
    ] {
        let mut report = fixture::report();
        report.run.spec["workload"]["sweep"] = sweep;
        let html = page_of(&report).replace("&#x27;", "'");
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn the_steady_part_of_each_stage_is_shown_or_why_there_is_none() {
    let html = page_of(&fixture::report());
    // 1,900 tokens a second over the whole stage, 1,995 in the steady part.
    for part in ["in flight at target", "1,995", "1,900"] {
        assert!(html.contains(part), "{part} is missing");
    }
    let html = page_of(&fixture::rates());
    assert!(html.contains("TooShort: 12 requests lie between ramp and tail"));
}

#[test]
fn client_and_engine_are_held_against_each_other() {
    let mut report = fixture::report();
    let check = &mut report.engines[0].stages[0].reconciliation[0];
    (check.client, check.engine, check.passed) = (100.0, 200.0, false);
    let page = page_of(&report);
    assert!(page.contains("DISAGREE: engine 200, client 100"), "{page}");
}

#[test]
fn what_the_answers_are_like_is_shown() {
    let html = page_of(&fixture::report());
    for part in [
        "of 800 answers: 200 cut off at their greatest length, 8 turning in circles",
        "56 of 80 answers are right: 70 % (95 % CI 59 % to 79 %, 80 different prompts)",
        "vllm and tgi gave the same answer 67 % of the times, over 9 prompts.",
        "No difference in quality is shown between vllm and tgi",
    ] {
        assert!(html.contains(part), "{part} is missing");
    }
}

#[test]
fn repeated_measurements_have_whiskers_and_their_intervals_are_told() {
    let mut report = fixture::report();
    // Single measurements have none.
    assert!(!page_of(&report).contains("class=\"range\""));
    let mut again = report.engines[0].stages.clone();
    for stage in &mut again {
        stage.round = 2;
        let steady = stage.steady_state.as_mut().unwrap();
        steady.throughput.output_tokens_per_second *= 1.01;
    }
    report.engines[0].stages.extend(again);
    let html = page_of(&report);
    // One engine at three loads in three panels.
    assert_eq!(html.matches("class=\"range\"").count(), 9);
    // 1,995 and 2,015 tokens a second: 2,005 give or take 12.706 * 9.975.
    assert!(
        html.contains("95 % CI 1,878 to 2,132; 1,995 to 2,015, 2 measurements; whole stage: 1,900")
    );
}

#[test]
fn the_page_asks_for_nothing_and_runs_nothing() {
    let html = page_of(&fixture::report());
    assert!(html.contains("default-src 'none'"));
    for forbidden in [
        "<script",
        "<link",
        "<img",
        "<iframe",
        "@import",
        "url(",
        " on",
        "javascript:",
    ] {
        let found = html
            .find(forbidden)
            .map(|at| &html[at..(at + 60).min(html.len())]);
        // Words may begin with "on"; attributes that run something would be followed by "=".
        let runs = found.filter(|text| {
            forbidden != " on"
                || text
                    .split_whitespace()
                    .next()
                    .is_some_and(|word| word.contains('='))
        });
        assert_eq!(runs, None);
    }
    let addresses: Vec<_> = html
        .match_indices("http")
        .map(|(at, _)| &html[at..at + 26])
        .collect();
    // The name space of SVG, one meta tag and the address of an external engine, as text.
    assert!(
        addresses.iter().all(|address| {
            address.starts_with("http://www.w3.org/2000/svg")
                || address.starts_with("http-equiv")
                || address.starts_with("https://api.example.com")
        }),
        "{addresses:?}"
    );
}

#[test]
fn hostile_words_stay_words() {
    let mut report = fixture::report();
    report.run.identity.name = HOSTILE.into();
    report.run.metadata.insert(HOSTILE.into(), HOSTILE.into());
    report.run.warnings.push(HOSTILE.into());
    report.run.spec["model"]["id"] = HOSTILE.into();
    report.run.spec["tuning"][HOSTILE] = HOSTILE.into();
    report.comparison.sentence = HOSTILE.into();
    report.comparison.notes.push(HOSTILE.into());
    for engine in &mut report.engines {
        engine.name = HOSTILE.into();
        engine.display_name = HOSTILE.into();
        engine.verdict = invalid(HOSTILE);
        engine.deviations.push(HOSTILE.into());
        engine.cautions.push(HOSTILE.into());
        engine.failures.push(bakeoff_crds::report::EngineFailure {
            reason: HOSTILE.into(),
            message: HOSTILE.into(),
            ..Default::default()
        });
        engine.provenance.command_line.push(HOSTILE.into());
        engine.provenance.engine_version = Some(HOSTILE.into());
        for stage in &mut engine.stages {
            stage.name = HOSTILE.into();
            stage.verdict.reasons = invalid(HOSTILE).reasons;
            stage.requests.failures.insert(HOSTILE.into(), 1);
            stage.no_steady_state = Some(bakeoff_crds::report::NoSteadyState {
                reason: bakeoff_crds::report::NoSteadyReason::TooShort,
                message: HOSTILE.into(),
            });
            let metric = stage.engine_metrics.values().next().unwrap().clone();
            stage.engine_metrics.insert(HOSTILE.into(), metric);
        }
    }
    report.verdict = invalid(HOSTILE);
    let html = page_of(&report);
    for forbidden in ["<script", "<img", "</script", "onerror=alert(1)>\"", "1337"] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    assert_eq!(html.matches("</style>").count(), 1);
    assert!(html.contains("&lt;script&gt;"));
}

#[test]
fn hardware_is_told_only_of_runs_that_took_some() {
    let mut report = fixture::report();
    assert!(page_of(&report).contains("1 × nvidia.com/gpu"));
    for engine in &mut report.engines {
        engine.provenance.image = None;
    }
    assert!(!page_of(&report).contains("nvidia.com/gpu"));
}

#[test]
fn a_report_without_results_is_a_page_too() {
    let mut report = fixture::report();
    for engine in &mut report.engines {
        engine.stages.clear();
        engine.cold_start.clear();
    }
    report.run.spec = serde_json::Value::Null;
    let html = page_of(&report);
    assert!(html.contains("nothing was measured"));
    assert!(!html.contains("Cold start"));
}
