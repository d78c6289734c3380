//! Jobs of several pods that act as one.

use bakeoff_crds::summary::Summary;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-01-01T00:10:00Z";

/// A pod of an index that has ended with these words.
fn ended(index: u32, phase: &str, terminated: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {
            "name": format!("load-{index}"),
            "creationTimestamp": format!("2026-01-01T00:00:0{index}Z"),
            "labels": {
                "batch.kubernetes.io/job-name": "load",
                "batch.kubernetes.io/job-completion-index": index.to_string(),
            },
        },
        "spec": {"containers": [{"name": "bakeoff"}], "nodeName": "a"},
        "status": {
            "phase": phase,
            "containerStatuses": [{
                "name": "bakeoff", "image": "", "imageID": "", "ready": false, "restartCount": 0,
                "state": {"terminated": terminated},
            }],
        },
    }))
    .unwrap()
}

fn words(termination: &Termination) -> Value {
    json!({"exitCode": 1, "message": serde_json::to_string(termination).unwrap()})
}

fn observed(pods: Vec<Pod>, condition: &str, failed_indexes: Option<&str>) -> Observed {
    let job = serde_json::from_value(json!({
        "metadata": {"name": "load"},
        "status": {
            "conditions": [{"type": condition, "status": "True", "reason": "FailedIndexes"}],
            "failedIndexes": failed_indexes,
        },
    }))
    .unwrap();
    Observed {
        pods,
        jobs: vec![job],
        ..Observed::default()
    }
}

fn state_of(observed: &Observed) -> JobState {
    state(observed, "load", 600, NOW.parse().unwrap())
}

fn summary(intended: u64) -> Termination {
    Termination {
        runner: Some(Summary {
            intended,
            ..Summary::default()
        }),
        ..Termination::default()
    }
}

fn failed(reason: &str) -> Termination {
    Termination {
        failure: Some(Failure {
            reason: reason.into(),
            message: "what happened".into(),
            ..Failure::default()
        }),
        ..summary(7)
    }
}

#[test]
fn the_first_pod_speaks_for_all() {
    let pods = vec![
        ended(0, "Succeeded", words(&summary(40))),
        ended(1, "Succeeded", words(&Termination::default())),
        // Ended with the Job, before it was told that all is over.
        ended(2, "Failed", words(&failed(reason::ABORTED))),
    ];
    let JobState::Succeeded(Some(words)) = state_of(&observed(pods, "Complete", None)) else {
        panic!("not succeeded");
    };
    assert_eq!(words.runner.unwrap().intended, 40);
}

#[test]
fn a_shard_that_failed_is_named_and_the_first_pods_counts_are_kept() {
    let first = || ended(0, "Failed", words(&failed(reason::ABORTED)));
    let killed = json!({"exitCode": 137, "reason": "OOMKilled"});
    for (third, expected) in [
        (ended(2, "Failed", killed), reason::RUNNER_OOM_KILLED),
        (
            ended(2, "Failed", words(&failed(reason::UPLOAD_FAILED))),
            reason::UPLOAD_FAILED,
        ),
    ] {
        let pods = vec![first(), third];
        let JobState::Failed(failure, words) = state_of(&observed(pods, "Failed", Some("2")))
        else {
            panic!("not failed");
        };
        assert_eq!(failure.reason, expected);
        assert!(
            failure.message.starts_with("shard 2: "),
            "{}",
            failure.message
        );
        assert_eq!(words.unwrap().runner.unwrap().intended, 7);
    }
}

#[test]
fn where_the_first_pod_failed_its_own_words_count() {
    let pods = vec![
        ended(0, "Failed", words(&failed(reason::SHARD_LOST))),
        ended(1, "Failed", words(&failed(reason::ABORTED))),
    ];
    for failed_indexes in [None, Some("0,2"), Some("0-3")] {
        let found = state_of(&observed(pods.clone(), "Failed", failed_indexes));
        let JobState::Failed(failure, _) = found else {
            panic!("not failed");
        };
        assert_eq!(failure.reason, reason::SHARD_LOST);
    }
}

/// The bucket is away: a pod could not store what it measured, and the next not even read.
#[test]
fn what_an_earlier_pod_measured_is_kept_where_the_newest_knows_nothing_of_it() {
    let knows_nothing = Termination {
        runner: None,
        ..failed(reason::UPLOAD_FAILED)
    };
    let at = |mut pod: Pod, time: &str| {
        pod.metadata.creation_timestamp = Some(serde_json::from_value(json!(time)).unwrap());
        pod
    };
    let pods = vec![
        at(
            ended(0, "Failed", words(&failed(reason::UPLOAD_FAILED))),
            "2026-03-01T12:00:00Z",
        ),
        at(
            ended(0, "Failed", words(&knows_nothing)),
            "2026-03-01T12:30:00Z",
        ),
    ];
    let found = state_of(&observed(pods, "Failed", None));
    let JobState::Failed(failure, Some(words)) = found else {
        panic!("{found:?}");
    };
    assert_eq!(failure.reason, reason::UPLOAD_FAILED);
    assert_eq!(words.runner.unwrap().intended, 7);
}

#[test]
fn indexes_are_read_as_kubernetes_writes_them() {
    for (text, first) in [
        ("2", Some(2)),
        ("1,3-5,7", Some(1)),
        ("3-5", Some(3)),
        ("", None),
    ] {
        assert_eq!(first_index(text), first, "{text}");
    }
}

/// Last words with something changed, cut or put in: what an image of one's own may say.
fn any_words() -> impl Strategy<Value = String> {
    let whole = serde_json::to_string(&failed(reason::UPLOAD_FAILED)).unwrap();
    let length = whole.len();
    let piece = prop_oneof![
        Just(String::new()),
        Just("{".to_owned()),
        Just("\"".to_owned()),
        Just("null".to_owned()),
        Just("-1".to_owned()),
        Just("1e999".to_owned()),
        Just("18446744073709551616".to_owned()),
        Just("[".repeat(500)),
        "\\PC{0,20}",
    ];
    (0..length, 0..40_usize, piece).prop_map(move |(at, taken, piece)| {
        let end = (at + taken).min(length);
        format!("{}{piece}{}", &whole[..at], &whole[end..])
    })
}

proptest! {
    #[test]
    fn whatever_a_pod_says_at_its_end_its_job_has_a_state(
        texts in prop::collection::vec(any_words(), 3),
        code in any::<i32>(),
        ending in prop_oneof![Just("Failed"), Just("Complete"), Just("Suspended")],
    ) {
        let pods = texts.iter().enumerate().map(|(index, text)| {
            let terminated = json!({"exitCode": code, "message": text});
            ended(index as u32, "Failed", terminated)
        });
        let state = state_of(&observed(pods.collect(), ending, Some("1-2")));
        match state {
            // In words of its own, whatever they are.
            JobState::Failed(..) => {}
            JobState::Succeeded(_) => prop_assert_eq!(ending, "Complete"),
            _ => prop_assert_eq!(ending, "Suspended"),
        }
    }
}
