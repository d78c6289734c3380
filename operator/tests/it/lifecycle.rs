//! A run that goes well, from its first decision to its report.

use bakeoff_crds::{
    manifests::{MonitoringApi, labels},
    run::status::{EnginePhase, NodeFacts, RunPhase, VerdictStatus, condition},
};
use bakeoff_operator::{observed::ImagePull, pod};

use crate::world::World;

#[test]
fn two_engines_in_two_rounds_come_to_a_report() {
    let mut world = World::two_by_two();
    world.play();

    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    let status = world.status();
    assert_eq!(status.phase, RunPhase::Complete);
    assert_eq!(status.verdict, Some(VerdictStatus::Valid));
    assert_eq!(
        status.report_uri.as_deref(),
        Some("s3://results/here/report.json")
    );
    assert_eq!(status.node_name.as_deref(), Some("gpu-1"));
    assert!(status.completion_time.is_some());
    assert_eq!(status.current_engine, None);

    // The order is turned round in the second round.
    let turns: Vec<(&str, u32)> = status
        .turns
        .iter()
        .map(|turn| (turn.engine.as_str(), turn.round))
        .collect();
    assert_eq!(
        turns,
        [("alpha", 1), ("beta", 1), ("beta", 2), ("alpha", 2)]
    );
    for turn in &status.turns {
        assert_eq!(turn.phase, EnginePhase::Succeeded, "{turn:?}");
        assert_eq!(turn.node_name.as_deref(), Some("gpu-1"));
        assert_eq!(turn.runner_node_name.as_deref(), Some("cpu-1"));
        assert_eq!(
            turn.image_id.as_deref(),
            Some("registry.test/engine@sha256:abc")
        );
        let times = [
            &turn.start_time,
            &turn.scheduled_time,
            &turn.container_started_time,
            &turn.ready_time,
            &turn.end_time,
        ];
        let times: Vec<_> = times.iter().map(|time| time.as_ref().unwrap().0).collect();
        assert!(times.is_sorted(), "{times:?}");
        assert_eq!(turn.summary.as_ref().unwrap().succeeded, 30);
    }
    for engine in &status.engines {
        assert_eq!(engine.phase, EnginePhase::Succeeded);
        assert_eq!(engine.headline.as_ref().unwrap().stage, "concurrency-4");
    }
    // Nothing holds the node.
    assert_eq!(world.engines().len(), 0);
    assert_eq!(world.observed.pods_of(labels::COMPONENT_HOLDER).count(), 0);
}

#[test]
fn what_is_seen_of_images_and_nodes_is_written_down_once() {
    let mut world = World::two_by_two();
    let facts = |driver: &str| NodeFacts {
        name: "gpu-1".into(),
        driver: Some(driver.into()),
        ..NodeFacts::default()
    };
    let starting = |world: &World| {
        let turn = world.status().turns.first();
        turn.is_some_and(|turn| turn.phase == EnginePhase::Starting)
    };
    world.play_until(starting);
    let uid = world.status().turns[0].pod_uid.clone().unwrap();
    let pull = ImagePull {
        at: world.now,
        was_present: true,
    };
    world.observed.pulls.insert(uid, pull);
    let nodes = &mut world.observed.node_facts;
    nodes.insert("gpu-1".into(), facts("580"));
    world.play_until(|world| world.status().turns.len() == 2);
    let nodes = &mut world.observed.node_facts;
    nodes.insert("gpu-1".into(), facts("581"));
    world.play();
    let status = world.status();
    assert_eq!(status.nodes, [facts("580")]);
    let first = &status.turns[0];
    assert_eq!(
        first.image_pulled_time.as_ref().map(|it| it.0),
        Some(pull.at)
    );
    assert_eq!(first.image_was_present, Some(true));
    assert_eq!(status.turns[1].image_was_present, None);
}

#[test]
fn things_happen_in_their_order() {
    let mut world = World::two_by_two();
    world.run.spec.policy.rounds = 1;
    world.play();
    let expected = [
        "made ConfigMap duel-plan-0f1e2",
        "made Job duel-preflight-0f1e2",
        "made Service duel-alpha-r1-0f1e2",
        "made Pod duel-alpha-r1-0f1e2",
        "made Pod duel-holder-0f1e2",
        "made Job duel-load-alpha-r1-0f1e2",
        "deleted Pod duel-alpha-r1-0f1e2",
        "gone duel-alpha-r1-0f1e2",
        "deleted Service duel-alpha-r1-0f1e2",
        "deleted ConfigMap duel-alpha-r1-0f1e2",
        "made Service duel-beta-r1-0f1e2",
        "made Pod duel-beta-r1-0f1e2",
        "made Job duel-load-beta-r1-0f1e2",
        "deleted Pod duel-beta-r1-0f1e2",
        "gone duel-beta-r1-0f1e2",
        "deleted Service duel-beta-r1-0f1e2",
        "deleted ConfigMap duel-beta-r1-0f1e2",
        "made ConfigMap duel-outcome-0f1e2",
        "made Job duel-report-0f1e2",
        "deleted Pod duel-holder-0f1e2",
        "gone duel-holder-0f1e2",
    ];
    assert_eq!(world.log, expected, "{:#?}", world.log);

    let reasons: Vec<&str> = world
        .notices
        .iter()
        .map(|notice| notice.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "Accepted",
            "PreflightPassed",
            "TurnBegan",
            "EngineScheduled",
            "EngineReady",
            "EngineMeasured",
            "TurnBegan",
            "EngineScheduled",
            "EngineReady",
            "EngineMeasured",
            "Succeeded",
        ]
    );
}

#[test]
fn later_engines_are_held_to_the_first_ones_node() {
    let mut world = World::two_by_two();
    world.play_until(|world| {
        world
            .engines()
            .iter()
            .any(|found| pod::name(found).contains("beta"))
    });
    let spec = world.engine().spec.clone().unwrap();
    let required = serde_json::to_string(&spec.affinity).unwrap();
    assert!(required.contains("gpu-1"), "{required}");
    assert_eq!(world.observed.pods_of(labels::COMPONENT_HOLDER).count(), 1);
}

#[test]
fn progress_reads_well_at_each_moment() {
    let mut world = World::two_by_two();
    world.settle();
    assert_eq!(world.status().phase, RunPhase::Preflight);
    assert_eq!(world.reason(condition::PROGRESSING), "Preflight");

    world.play_until(|world| !world.engines().is_empty());
    assert_eq!(world.reason(condition::PROGRESSING), "Scheduling");
    assert_eq!(world.status().phase, RunPhase::Running);
    assert_eq!(world.status().current_engine.as_deref(), Some("alpha"));
    assert_eq!(
        world.status().progress.as_deref(),
        Some("round 1/2, engine 1/2")
    );

    world.play_until(|world| pod::scheduled_at(world.engine()).is_some());
    assert_eq!(world.reason(condition::PROGRESSING), "Starting");
    assert_eq!(world.status().engines[0].phase, EnginePhase::Starting);

    world.play_until(|world| pod::ready_at(world.engine()).is_some());
    assert_eq!(world.reason(condition::PROGRESSING), "Measuring");
    world.set_progress(1, "concurrency-2");
    world.settle();
    assert_eq!(
        world.status().progress.as_deref(),
        Some("round 1/2, engine 1/2, stage 2/3")
    );
    world.set_progress(3, "concurrency-4");
    world.settle();
    assert_eq!(
        world.status().progress.as_deref(),
        Some("round 1/2, engine 1/2, stage 3/3"),
        "the last stage, not one more"
    );
    world.observed.progress = None;

    world.play_until(|world| {
        world
            .status()
            .turns
            .last()
            .is_some_and(|turn| turn.round == 2)
    });
    assert_eq!(world.status().current_engine.as_deref(), Some("beta"));
    assert_eq!(
        world.status().progress.as_deref(),
        Some("round 2/2, engine 1/2")
    );

    world.play_until(|world| world.status().phase == RunPhase::Reporting);
    assert_eq!(world.reason(condition::PROGRESSING), "Reporting");
    assert_eq!(world.status().current_engine, None);
}

#[test]
fn the_operator_can_be_killed_between_any_two_writes() {
    // The number of objects that a cut decision still got to make, at each step.
    for survivors in 0..4 {
        let mut world = World::two_by_two();
        for _ in 0..200 {
            world.cut_step(survivors);
            world.settle();
            if bakeoff_operator::decide::has_ended(world.status()) {
                break;
            }
            world.pass(1);
            world.cluster_acts();
        }
        assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
        assert_eq!(world.status().turns.len(), 4);
    }
}

#[test]
fn an_external_engine_has_no_pod_and_holds_no_node() {
    let mut world = World::two_by_two();
    world.run.spec.policy.rounds = 1;
    world.run.spec.engines[0].simulated = None;
    world.run.spec.engines[0].external =
        serde_json::from_str(r#"{"url": "https://llm.example", "protocol": "OpenAiChat"}"#)
            .unwrap();
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    let made: Vec<&String> = world
        .log
        .iter()
        .filter(|line| line.contains("alpha"))
        .collect();
    assert_eq!(made, ["made Job duel-load-alpha-r1-0f1e2"]);
    assert_eq!(world.status().turns[0].node_name, None);
    // The one engine with a pod is the last: nothing to hold the node for.
    assert!(
        !world.log.iter().any(|line| line.contains("holder")),
        "{:?}",
        world.log
    );
}

#[test]
fn monitoring_is_made_where_the_cluster_has_it() {
    let mut world = World::two_by_two();
    world.run.spec.engines[0].simulated = None;
    world.run.spec.engines[0].profile = Some("vllm".into());
    world.observed.monitoring = vec![MonitoringApi::GoogleManaged];
    world.play();
    let of_alpha = |verb: &str| {
        let line = format!("{verb} PodMonitoring duel-alpha-r1-0f1e2");
        world.log.iter().filter(|found| **found == line).count()
    };
    assert_eq!(
        (of_alpha("made"), of_alpha("deleted")),
        (1, 1),
        "{:#?}",
        world.log
    );
}

#[test]
fn runner_pods_that_act_as_one_find_each_other_and_are_told_of_where_one_is_missing() {
    let mut world = World::two_by_two();
    world.run.spec.policy.rounds = 1;
    world.run.spec.runner.parallelism = 4;
    let job = "made Job duel-load-alpha-r1-0f1e2";
    world.play_until(|world| world.log.iter().any(|line| line == job));
    world.set_progress(1, "concurrency-2");
    world.observed.progress.as_mut().unwrap().shards_missing = vec![1, 2];
    world.step();
    let message = &world.condition(condition::PROGRESSING).unwrap().message;
    assert!(
        message.ends_with("concurrency-2; shards 1, 2 of 4 are missing"),
        "{message}"
    );
    world.play();
    assert_eq!(world.reason(condition::COMPLETE), "Succeeded");
    let at = |line: &str| world.log.iter().position(|other| other == line);
    for engine in ["alpha", "beta"] {
        let name = format!("duel-load-{engine}-r1-0f1e2");
        let made = at(&format!("made Service {name}")).unwrap();
        assert!(made < at(&format!("made Job {name}")).unwrap());
        assert!(made < at(&format!("deleted Service {name}")).unwrap());
    }
}
