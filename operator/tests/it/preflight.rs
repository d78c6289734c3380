//! What a preflight finds, and what keeps it from finding anything.

use bakeoff_crds::{
    manifests::names,
    run::status::{EnginePhase, RunPhase, condition},
    summary::{Failure, Termination, exit_code},
};
use bakeoff_operator::pod;

use crate::world::{Fault, World, schedule, unschedulable, waiting};

#[test]
fn a_failing_preflight_ends_the_run_before_any_engine() {
    type Break = fn(&mut World, &str);
    let cases: [(&str, Break, &str); 6] = [
        (
            "PersistentVolumeClaimNotFound",
            |world, job| {
                let name = format!("{job}-0-0");
                let message =
                    "0/1 nodes are available: persistentvolumeclaim \"results\" not found.";
                unschedulable(world.pod_mut(&name), message);
                world.pass(30);
            },
            "PersistentVolumeClaim results,",
        ),
        (
            "BucketNotWritable",
            |world, job| {
                let words = Termination {
                    failure: Some(Failure {
                        reason: "BucketNotWritable".into(),
                        message: "403 on s3://results".into(),
                        may_pass: false,
                    }),
                    ..Termination::default()
                };
                world.end_job(job, Err((1, "Error".into(), Some(words))));
            },
            "403 on s3://results",
        ),
        (
            "SecretNotFound",
            |world, job| {
                let name = format!("{job}-0-0");
                waiting(
                    world.pod_mut(&name),
                    "CreateContainerConfigError",
                    "secret \"hf\" not found",
                );
            },
            "secret \"hf\" not found",
        ),
        (
            "ConfigMapNotFound",
            |world, job| {
                let name = format!("{job}-0-0");
                let message = "couldn't find key ca.pem in ConfigMap bench/ca";
                waiting(world.pod_mut(&name), "CreateContainerConfigError", message);
            },
            "ca.pem",
        ),
        (
            "ImagePullFailed",
            |world, job| {
                let name = format!("{job}-0-0");
                waiting(
                    world.pod_mut(&name),
                    "InvalidImageName",
                    "invalid reference format",
                );
            },
            "registry.test/bakeoff:1",
        ),
        (
            "DeadlineExceeded",
            |world, job| world.set_job_condition(job, "Failed", "DeadlineExceeded"),
            "policy.timeouts",
        ),
    ];
    for (reason, break_it, says) in cases {
        let mut world = World::two_by_two();
        world.settle();
        let job = world.preflight();
        break_it(&mut world, &job);
        world.settle();
        assert_eq!(world.reason(condition::FAILED), reason);
        let failed = world.condition(condition::FAILED).unwrap();
        assert!(failed.message.contains(says), "{}", failed.message);
        let preflight = world.condition(condition::PREFLIGHT_PASSED).unwrap();
        assert_eq!(
            (preflight.status.as_str(), preflight.reason.as_str()),
            ("False", reason)
        );
        assert_eq!(world.status().phase, RunPhase::Failed);
        assert!(world.engines().is_empty());
        // A pod that waits for what will never come is not left behind.
        world.reap();
        let job_waits = world
            .observed
            .jobs
            .iter()
            .any(bakeoff_operator::job::is_unfinished);
        assert!(!job_waits, "{reason}");
    }
}

#[test]
fn a_passing_fault_of_the_registry_is_waited_out() {
    let mut world = World::two_by_two();
    world.settle();
    let (name, now) = (format!("{}-0-0", world.preflight()), world.now);
    schedule(world.pod_mut(&name), "cpu-1", now);
    let message = "rpc error: dial tcp 10.1.2.3:443: i/o timeout";
    waiting(world.pod_mut(&name), "ErrImagePull", message);
    world.settle();
    assert_eq!(world.reason(condition::PROGRESSING), "Preflight");
    world.pass(500);
    world.settle();
    assert_eq!(world.reason(condition::PROGRESSING), "Preflight");
    world.pass(100);
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "ImagePullFailed");
}

#[test]
fn only_what_may_pass_is_tried_again() {
    for (fault, tries, phase) in [
        (Fault::RunnerReports, 1, EnginePhase::Failed),
        (Fault::RunnerCrash, 3, EnginePhase::Failed),
        (Fault::RunnerCutOnce, 2, EnginePhase::Succeeded),
        (Fault::RunnerEvictedOften, 6, EnginePhase::Succeeded),
    ] {
        let mut world = World::two_by_two().with_fault("alpha", 1, fault);
        world.play();
        let turn = &world.status().turns[0];
        assert_eq!(turn.phase, phase, "{fault:?}: {turn:?}");
        let runner = names::runner(
            world.plan(),
            bakeoff_crds::manifests::turns(world.plan())[0],
        );
        assert_eq!(world.ended_pods(&runner), tries, "{fault:?}");
    }
}

#[test]
fn a_preflight_that_cannot_succeed_is_tried_once() {
    let mut world = World::two_by_two();
    world.settle();
    world.cluster_acts();
    let job = world.preflight();
    let words = Termination {
        failure: Some(Failure {
            reason: "HashMismatch".into(),
            message: "other bytes".into(),
            may_pass: false,
        }),
        ..Termination::default()
    };
    world.fail_pod(&job, exit_code::FINAL, "Error", Some(words));
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "HashMismatch");
    assert_eq!(world.ended_pods(&job), 1);
}

#[test]
fn a_claim_that_is_missing_or_gets_no_volume_is_named() {
    let waits = |says: &str| {
        let mut world = World::two_by_two();
        world.play_until(|world| !world.engines().is_empty());
        let name = pod::name(world.engine()).to_owned();
        unschedulable(world.pod_mut(&name), says);
        world.settle();
        world
    };
    let reason = |world: &World| world.status().turns[0].reason.clone();

    let mut missing =
        waits("0/1 nodes are available: persistentvolumeclaim \"weights\" not found.");
    assert_eq!(reason(&missing), None, "it may be made in a moment");
    missing.pass(30);
    missing.settle();
    assert_eq!(
        reason(&missing).as_deref(),
        Some("PersistentVolumeClaimNotFound")
    );

    let mut unbound =
        waits("0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims.");
    unbound.pass(60);
    unbound.settle();
    assert_eq!(reason(&unbound), None, "a provisioner takes its time");
    unbound.pass(1800);
    unbound.settle();
    assert_eq!(
        reason(&unbound).as_deref(),
        Some("PersistentVolumeClaimNotBound")
    );
    let message = unbound.status().turns[0].message.clone().unwrap();
    assert!(message.contains("storageClassName"), "{message}");
}
