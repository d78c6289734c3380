//! Engines, runners and reporters that fail, each named as such.

use bakeoff_crds::{
    manifests::names,
    run::{
        OnEngineFailure,
        status::{EnginePhase, RunPhase, VerdictStatus, condition},
    },
};
use bakeoff_operator::pod;

use crate::world::{Fault, World, runner_words, schedule, terminated, waiting};

/// Plays, with time passing fast enough for every deadline of a step (30 min).
fn play_with_deadlines(world: &mut World) {
    for _ in 0..40 {
        world.settle();
        if bakeoff_operator::decide::has_ended(world.status()) {
            return;
        }
        world.cluster_acts();
        world.settle();
        world.pass(600);
    }
    panic!("no end: {:#?}", world.status());
}

#[test]
fn a_failing_engine_is_named_and_the_others_are_measured() {
    for (fault, reason, says) in [
        (Fault::ImagePull, "ImagePullFailed", "imagePullSecrets"),
        (
            Fault::MissingSecret,
            "SecretNotFound",
            "key token in Secret bench/hf",
        ),
        (Fault::CrashAtStart, "EngineCrashed", "ValueError: bad flag"),
        (
            Fault::CudaOutOfMemory,
            "CudaOutOfMemory",
            "Tried to allocate 2 GiB",
        ),
        (
            Fault::NeverScheduled,
            "Unschedulable",
            "Insufficient nvidia.com/gpu",
        ),
        (
            Fault::NeverReady,
            "ReadinessTimeout",
            "policy.timeouts.ready",
        ),
        (Fault::OomUnderLoad, "EngineOOMKilled", "hardware.resources"),
        (
            Fault::RestartUnderLoad,
            "EngineRestarted",
            "1 times under load",
        ),
        (Fault::ReplacedUnderLoad, "EngineRestarted", "replaced"),
        (Fault::DeletedUnderLoad, "EngineRestarted", "gone"),
        (Fault::Evicted, "EngineEvicted", "low on resource: memory"),
        (Fault::RunnerCrash, "RunnerOOMKilled", "runner.resources"),
        (
            Fault::RunnerReports,
            "WrongModelServed",
            "it serves other/model",
        ),
    ] {
        let mut world = World::two_by_two().with_fault("alpha", 1, fault);
        play_with_deadlines(&mut world);
        assert_eq!(
            world.reason(condition::COMPLETE),
            "PartialFailure",
            "{fault:?}"
        );
        let status = world.status();
        let turn = &status.turns[0];
        assert_eq!(turn.phase, EnginePhase::Failed, "{fault:?}");
        assert_eq!(
            turn.reason.as_deref(),
            Some(reason),
            "{fault:?}: {:?}",
            turn.message
        );
        let message = turn.message.as_deref().unwrap();
        assert!(message.contains(says), "{fault:?}: {message}");
        assert!(turn.end_time.is_some());
        let others = &status.turns[1..3];
        assert!(
            others
                .iter()
                .all(|turn| turn.phase == EnginePhase::Succeeded)
        );
        let again = &status.turns[3];
        let comes_again = ["ImagePullFailed", "SecretNotFound", "WrongModelServed"];
        if comes_again.contains(&reason) {
            // The second round would only meet it again, at the accelerator's cost.
            assert_eq!(again.phase, EnginePhase::Skipped, "{fault:?}");
            assert_eq!(again.reason.as_deref(), Some("FailedBefore"));
            let message = again.message.as_deref().unwrap();
            assert!(
                message.contains(reason) && message.contains(says),
                "{message}"
            );
            assert_eq!(again.pod_name, None);
        } else {
            assert_eq!(again.phase, EnginePhase::Succeeded, "{fault:?}");
        }
        let engine = &status.engines[0];
        assert_eq!(
            (engine.phase, engine.reason.as_deref()),
            (EnginePhase::Failed, Some(reason))
        );
        let warnings = world.notices.iter().filter(|notice| notice.is_warning);
        let mut warnings: Vec<&str> = warnings.map(|notice| notice.reason.as_str()).collect();
        warnings.retain(|warning| *warning != "FailedBefore");
        assert_eq!(warnings, [reason, "PartialFailure"], "{fault:?}");
    }
}

#[test]
fn abort_leaves_out_the_rest_and_still_reports() {
    let mut world = World::two_by_two().with_fault("alpha", 1, Fault::CrashAtStart);
    world.run.spec.policy.on_engine_failure = OnEngineFailure::Abort;
    world.play();
    let phases: Vec<_> = world.status().turns.iter().map(|turn| turn.phase).collect();
    assert_eq!(
        phases,
        [
            EnginePhase::Failed,
            EnginePhase::Skipped,
            EnginePhase::Skipped,
            EnginePhase::Skipped
        ]
    );
    assert_eq!(world.status().turns[1].reason.as_deref(), Some("Aborted"));
    assert_eq!(
        world.reason(condition::COMPLETE),
        "InvalidResult",
        "nothing was measured"
    );
    assert!(
        world
            .condition(condition::COMPLETE)
            .unwrap()
            .message
            .starts_with("0 of 4")
    );
}

#[test]
fn an_invalid_verdict_is_no_success() {
    let mut world = World::two_by_two();
    world.verdict = VerdictStatus::Invalid;
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "InvalidResult");
    assert_eq!(world.status().verdict, Some(VerdictStatus::Invalid));
}

#[test]
fn exit_code_and_evidence_are_kept_and_masked() {
    let mut world = World::two_by_two();
    world.play_until(|world| !world.engines().is_empty());
    let (name, now) = (pod::name(world.engine()).to_owned(), world.now);
    schedule(world.pod_mut(&name), "gpu-1", now);
    terminated(
        world.pod_mut(&name),
        3,
        "Error",
        "loading\nHF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz refused\ngave up",
        now,
    );
    world.settle();
    let turn = &world.status().turns[0];
    assert_eq!(turn.exit_code, Some(3));
    let message = turn.message.as_deref().unwrap();
    assert!(message.ends_with("gave up"), "{message}");
    assert!(!message.contains("hf_abc"), "{message}");
}

#[test]
fn an_engine_that_ends_after_its_load_does_no_harm() {
    for (verdict, phase) in [
        (VerdictStatus::Valid, EnginePhase::Succeeded),
        (VerdictStatus::Suspect, EnginePhase::Succeeded),
        // Bad figures are explained by the engine's end.
        (VerdictStatus::Invalid, EnginePhase::Failed),
    ] {
        let mut world = World::two_by_two();
        world.play_until(|world| {
            world
                .status()
                .engines
                .first()
                .is_some_and(|engine| engine.phase == EnginePhase::Measuring)
        });
        let runner = names::runner(
            world.plan(),
            bakeoff_crds::manifests::turns(world.plan())[0],
        );
        world.cluster_acts_on_runner_start();
        world.end_job(&runner, Ok(runner_words(verdict)));
        let (name, now) = (pod::name(world.engine()).to_owned(), world.now);
        terminated(world.pod_mut(&name), 1, "Error", "", now);
        world.play_until(|world| world.status().turns[0].end_time.is_some());
        let turn = &world.status().turns[0];
        assert_eq!(turn.phase, phase, "{verdict:?}");
        assert!(turn.summary.is_some(), "counts are kept either way");
    }
}

#[test]
fn a_failing_reporter_fails_the_run_and_keeps_the_turns() {
    let mut world = World::two_by_two();
    world.play_until(|world| world.status().phase == RunPhase::Reporting);
    let job = names::reporter(&world.plan().run);
    world.set_job_condition(&job, "Failed", "DeadlineExceeded");
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "UploadFailed");
    assert!(world.condition(condition::COMPLETE).is_none());
    assert_eq!(world.status().turns.len(), 4);
}

const MULTI_ATTACH: &str =
    "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) other";

#[test]
fn an_engine_whose_volume_cannot_be_mounted_is_named_before_its_deadline() {
    let mut world = World::two_by_two();
    world.play_until(|world| !world.engines().is_empty());
    let (name, now) = (pod::name(world.engine()).to_owned(), world.now);
    schedule(world.pod_mut(&name), "gpu-1", now);
    waiting(world.pod_mut(&name), "ContainerCreating", "");
    let uid = pod::uid(world.engine()).to_owned();
    world.observed.pod_troubles.insert(uid, MULTI_ATTACH.into());
    world.settle();
    world.pass(590);
    world.settle();
    assert_eq!(
        world.status().turns[0].reason,
        None,
        "a third of 30 minutes is not over"
    );
    world.pass(10);
    world.settle();
    let turn = &world.status().turns[0];
    assert_eq!(turn.reason.as_deref(), Some("VolumeNotMounted"));
    assert!(turn.message.as_deref().unwrap().contains(MULTI_ATTACH));
}

#[test]
fn a_job_whose_volume_cannot_be_mounted_ends_the_run() {
    let mut world = World::two_by_two();
    world.settle();
    let (name, now) = (pod::name(&world.observed.pods[0]).to_owned(), world.now);
    schedule(world.pod_mut(&name), "cpu-1", now);
    waiting(world.pod_mut(&name), "ContainerCreating", "");
    let uid = pod::uid(&world.observed.pods[0]).to_owned();
    world.observed.pod_troubles.insert(uid, MULTI_ATTACH.into());
    world.pass(590);
    world.settle();
    assert!(world.condition(condition::FAILED).is_none());
    world.pass(10);
    world.settle();
    assert_eq!(world.reason(condition::FAILED), "VolumeNotMounted");
}
