//! The model, fetched into a volume before an engine starts.

use bakeoff_crds::{
    run::status::{RunPhase, condition},
    summary::{Failure, Termination, exit_code},
};
use bakeoff_operator::{observed::Progress, pod};

use crate::world::{World, prefetch_words, prefetched, schedule, unschedulable, waiting};

const OF_THE_RUN: &str = "{size: 20Gi, storageClassName: fast}";

/// A run whose prefetch Job has just been made.
fn at_prefetch(prefetch: &str) -> World {
    let mut world = World::new(&prefetched(prefetch));
    world.play_until(|world| world.log.iter().any(|line| line.contains("-prefetch-")));
    world
}

fn made(world: &World) -> Vec<&str> {
    let made = world
        .log
        .iter()
        .filter_map(|line| line.strip_prefix("made "));
    made.filter(|line| !line.contains("Monitor")).collect()
}

#[test]
fn the_model_comes_after_the_preflight_and_before_the_first_engine() {
    let mut world = at_prefetch(OF_THE_RUN);
    assert_eq!(world.status().phase, RunPhase::Prefetching);
    let progressing = world.condition(condition::PROGRESSING).unwrap();
    assert_eq!(progressing.reason, "Prefetching");
    assert!(
        progressing
            .message
            .contains("acme/tiny into volume duel-model-0f1e2")
    );
    assert!(world.engines().is_empty());
    // What the Job tells of itself.
    world.observed.progress = Some(Progress {
        bytes_done: 7_400_000_000,
        bytes_planned: 14_000_000_000,
        ..Progress::default()
    });
    world.settle();
    assert_eq!(world.status().progress.as_deref(), Some("model 52 %"));
    let progressing = world.condition(condition::PROGRESSING).unwrap();
    assert!(
        progressing.message.ends_with(": 7.4 of 14.0 GB"),
        "{progressing:?}"
    );
    world.observed.progress = None;
    assert_eq!(
        made(&world),
        [
            "ConfigMap duel-plan-0f1e2",
            "Job duel-preflight-0f1e2",
            "PersistentVolumeClaim duel-model-0f1e2",
            "Job duel-prefetch-0f1e2",
        ]
    );
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(world.reason(condition::MODEL_PREFETCHED), "Filled");
    let filled = world.condition(condition::MODEL_PREFETCHED).unwrap();
    assert_eq!(
        filled.message,
        "Volume duel-model-0f1e2 holds 12 files, 14.000 GB, of which 7.000 GB were fetched in 70 s"
    );
    let told = world
        .notices
        .iter()
        .filter(|it| it.reason == "ModelPrefetched");
    assert_eq!(told.count(), 1);
    let volume = world.status().model_volume.as_ref().unwrap();
    assert_eq!(volume.claim_name, "duel-model-0f1e2");
    assert_eq!(volume.node_name.as_deref(), Some("cpu-1"));
    assert_eq!(volume.content.commit.as_deref(), Some("c0ffee"));
    // Once, for two engines in two rounds.
    let jobs = made(&world)
        .iter()
        .filter(|it| it.contains("-prefetch-"))
        .count();
    assert_eq!((jobs, world.claims.len()), (1, 1));
    assert_eq!(world.status().turns.len(), 4);
}

#[test]
fn a_volume_that_was_filled_before_is_told_to_be() {
    let mut world = at_prefetch(OF_THE_RUN);
    world.cluster_acts();
    let job = world.prefetch();
    world.end_job(&job, Ok(prefetch_words(0)));
    world.settle();
    let filled = world.condition(condition::MODEL_PREFETCHED).unwrap();
    assert_eq!(
        filled.message,
        "Volume duel-model-0f1e2 held all 12 files, 14.000 GB"
    );
}

#[test]
fn a_run_without_it_fetches_nothing() {
    for prefetch in ["null", OF_THE_RUN] {
        // Simulated engines load no model.
        let yaml = match prefetch {
            "null" => prefetched(prefetch),
            _ => crate::world::TWO_BY_TWO.replace(
                "{id: acme/tiny}",
                &format!("{{id: acme/tiny, prefetch: {prefetch}}}"),
            ),
        };
        let mut world = World::new(&yaml);
        world.play();
        assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
        assert!(world.condition(condition::MODEL_PREFETCHED).is_none());
        assert!(world.claims.is_empty());
    }
}

#[test]
fn what_stays_belongs_to_nobody_and_what_goes_to_the_run() {
    let owners = |world: &World| {
        let claim = world.claims.values().next().unwrap();
        let owners = claim.metadata.owner_references.clone().unwrap_or_default();
        owners.len()
    };
    let world = at_prefetch(OF_THE_RUN);
    assert_eq!(owners(&world), 1, "the garbage collector takes it along");
    let world = at_prefetch("{size: 20Gi, retention: Retain}");
    assert_eq!(owners(&world), 0);
    let name = world.claims.keys().next().unwrap().clone();
    assert!(name.starts_with("bakeoff-acme-tiny-"), "{name}");
    let claim = world.claims.values().next().unwrap().clone();
    // The same object for the next run, whoever it is.
    let other = prefetched("{size: 20Gi, retention: Retain}")
        .replace("name: duel", "name: other")
        .replace("0f1e2d3c", "1a2b3c4d");
    let mut next = World::new(&other);
    next.play_until(|world| !world.claims.is_empty());
    assert_eq!(next.claims.remove(&name).as_ref(), Some(&claim));
    // A claim that is there is not made.
    let world = at_prefetch("{claimName: mine}");
    assert!(world.claims.is_empty());
}

#[test]
fn each_failure_ends_the_run_before_an_accelerator_is_taken() {
    type Break = fn(&mut World, &str);
    let cases: [(&str, Break, &str); 5] = [
        (
            "VolumeFull",
            |world, job| {
                let words = Termination {
                    failure: Some(Failure {
                        reason: "VolumeFull".into(),
                        message: "raise model.prefetch.size".into(),
                        may_pass: false,
                    }),
                    ..Termination::default()
                };
                world.fail_pod(job, exit_code::FINAL, "Error", Some(words));
            },
            "raise model.prefetch.size",
        ),
        (
            "PersistentVolumeClaimNotFound",
            |world, job| {
                let name = format!("{job}-0-0");
                let message = "0/1 nodes are available: persistentvolumeclaim \"mine\" not found.";
                unschedulable(world.pod_mut(&name), message);
                world.pass(30);
            },
            "model.prefetch.claimName",
        ),
        (
            "PersistentVolumeClaimNotBound",
            |world, job| {
                let name = format!("{job}-0-0");
                let message = "pod has unbound immediate PersistentVolumeClaims.";
                unschedulable(world.pod_mut(&name), message);
                world.pass(1800);
            },
            "storageClassName",
        ),
        (
            "Unschedulable",
            |world, job| {
                let name = format!("{job}-0-0");
                unschedulable(world.pod_mut(&name), "0/3 nodes are available.");
                world.pass(1800);
            },
            "hardware.nodeSelector",
        ),
        (
            "DeadlineExceeded",
            |world, job| world.set_job_condition(job, "Failed", "DeadlineExceeded"),
            "policy.timeouts",
        ),
    ];
    for (reason, break_it, says) in cases {
        let mut world = at_prefetch(OF_THE_RUN);
        let job = world.prefetch();
        break_it(&mut world, &job);
        world.settle();
        assert_eq!(world.reason(condition::FAILED), reason);
        let failed = world.condition(condition::MODEL_PREFETCHED).unwrap();
        assert_eq!(
            (failed.status.as_str(), failed.reason.as_str()),
            ("False", reason)
        );
        assert!(failed.message.contains(says), "{}", failed.message);
        assert!(world.engines().is_empty());
        world.reap();
        let mut jobs = world.observed.jobs.iter();
        assert!(!jobs.any(bakeoff_operator::job::is_unfinished), "{reason}");
    }
}

#[test]
fn what_may_pass_is_tried_again_by_the_job() {
    let mut world = at_prefetch(OF_THE_RUN);
    let job = world.prefetch();
    for _ in 0..4 {
        let words = Termination {
            failure: Some(Failure {
                reason: "ModelUnavailable".into(),
                message: "HTTP 503".into(),
                may_pass: true,
            }),
            ..Termination::default()
        };
        world.fail_pod(&job, exit_code::MAY_PASS, "Error", Some(words));
        world.settle();
    }
    assert_eq!(world.status().phase, RunPhase::Prefetching);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(world.ended_pods(&job), 5);
}

#[test]
fn a_run_that_was_held_back_meanwhile_fetches_the_rest_into_the_same_volume() {
    let mut world = at_prefetch(OF_THE_RUN);
    world.cluster_acts();
    world.edit(|run| run.spec.suspend = true);
    world.settle();
    world.reap();
    assert!(world.observed.job(&world.prefetch()).is_none());
    assert_eq!(world.status().phase, RunPhase::Suspended);
    world.edit(|run| run.spec.suspend = false);
    world.settle();
    assert_eq!(world.status().phase, RunPhase::Prefetching);
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    assert_eq!(world.claims.len(), 1);
}

#[test]
fn an_operator_killed_at_any_write_fetches_once() {
    for writes in 0..4 {
        let mut world = World::new(&prefetched(OF_THE_RUN));
        world.step();
        while world.status().prompts_sha256.is_none() {
            world.pass(1);
            world.cluster_acts();
            world.step();
        }
        // Killed while it makes claim and Job, and again when the Job is done.
        world.cut_step(writes);
        world.settle();
        let name = format!("{}-0-0", world.prefetch());
        let now = world.now;
        schedule(world.pod_mut(&name), "gpu-1", now);
        let job = world.prefetch();
        world.end_job(&job, Ok(prefetch_words(1)));
        world.cut_step(writes);
        world.settle();
        world.play();
        assert_eq!(world.reason(condition::COMPLETE), "Succeeded", "{writes}");
        assert_eq!(world.claims.len(), 1);
        let pods = made(&world)
            .iter()
            .filter(|it| it.contains("-prefetch-"))
            .count();
        assert_eq!(pods, 1, "{writes}: {:?}", world.log);
    }
}

#[test]
fn the_time_of_the_whole_run_is_over_while_it_fetches() {
    let mut world = at_prefetch(OF_THE_RUN);
    let name = format!("{}-0-0", world.prefetch());
    waiting(world.pod_mut(&name), "ContainerCreating", "");
    assert!(pod::scheduled_at(world.observed.pod(&name).unwrap()).is_none());
    world.pass(24 * 3600);
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "DeadlineExceeded");
    let failed = world.condition(condition::FAILED).unwrap();
    assert!(failed.message.contains("policy.timeouts.total"));
}
