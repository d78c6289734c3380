//! Whatever goes wrong, in whatever order: [`World::step`] asserts after each decision that engines
//! never overlap, that a run is never both Complete and Failed and that nothing is made twice;
//! [`World::settle`] that a decision taken again on the same cluster changes nothing.

use bakeoff_crds::run::{OnEngineFailure, status::condition};
use bakeoff_operator::{
    decide::{MAX_RESTARTS, has_ended},
    status::conditions,
};
use proptest::prelude::*;

use crate::world::{Fault, OBJECT_AND_POD, TWO_BY_TWO, World, prefetched};

fn any_fault() -> impl Strategy<Value = Option<Fault>> {
    prop_oneof![
        4 => Just(None),
        1 => Just(Some(Fault::ImagePull)),
        1 => Just(Some(Fault::CrashAtStart)),
        1 => Just(Some(Fault::NeverScheduled)),
        1 => Just(Some(Fault::NeverReady)),
        1 => Just(Some(Fault::OomUnderLoad)),
        1 => Just(Some(Fault::RestartUnderLoad)),
        1 => Just(Some(Fault::DeletedUnderLoad)),
        1 => Just(Some(Fault::NodeLostUnderLoad)),
        1 => Just(Some(Fault::NodeLostOnce)),
        1 => Just(Some(Fault::Preempted)),
        1 => Just(Some(Fault::SpotTakenBack)),
        1 => Just(Some(Fault::Evicted)),
        1 => Just(Some(Fault::RunnerEvictedOften)),
        1 => Just(Some(Fault::RunnerCrash)),
    ]
}

/// What happens between two looks of the operator.
#[derive(Clone, Copy, Debug)]
enum Happening {
    ClusterActs,
    OnlyDeletionsEnd,
    TimePasses(i64),
    OperatorIsKilled(usize),
    SuspendIsTurned,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        8 => Just(Happening::ClusterActs),
        1 => Just(Happening::OnlyDeletionsEnd),
        2 => (1_i64..900).prop_map(Happening::TimePasses),
        2 => (0_usize..9).prop_map(Happening::OperatorIsKilled),
        1 => Just(Happening::SuspendIsTurned),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_run_comes_to_one_end_and_holds_nothing(
        faults in prop::collection::vec(any_fault(), 4),
        abort in any::<bool>(),
        fetched in any::<bool>(),
        with_object in any::<bool>(),
        happenings in prop::collection::vec(any_happening(), 0..80),
    ) {
        let yaml = match (fetched, with_object) {
            (true, _) => prefetched("{size: 20Gi}"),
            (false, true) => OBJECT_AND_POD.to_owned(),
            (false, false) => TWO_BY_TWO.to_owned(),
        };
        let mut world = World::new(&yaml);
        if abort {
            world.run.spec.policy.on_engine_failure = OnEngineFailure::Abort;
        }
        let turns = [("alpha", 1), ("beta", 1), ("beta", 2), ("alpha", 2)];
        for ((engine, round), fault) in turns.into_iter().zip(faults) {
            if let Some(fault) = fault {
                world = world.with_fault(engine, round, fault);
            }
        }
        for happening in happenings {
            match happening {
                Happening::ClusterActs => world.cluster_acts(),
                Happening::OnlyDeletionsEnd => world.reap(),
                Happening::TimePasses(seconds) => world.pass(seconds),
                Happening::OperatorIsKilled(survivors) => world.cut_step(survivors),
                Happening::SuspendIsTurned => world.edit(|run| run.spec.suspend = !run.spec.suspend),
            }
            world.settle();
        }
        if world.run.spec.suspend {
            world.edit(|run| run.spec.suspend = false);
        }
        // From here on nothing unforeseen happens, and the run comes to its end.
        for _ in 0..200 {
            world.settle();
            if has_ended(world.status()) {
                break;
            }
            world.cluster_acts();
            world.settle();
            world.pass(300);
        }
        prop_assert!(has_ended(world.status()), "no end: {:#?}", world.status());
        for _ in 0..3 {
            world.reap();
            world.settle();
        }
        prop_assert!(world.engines().is_empty());
        let complete = conditions::is_true(&world.status().conditions, condition::COMPLETE);
        prop_assert_eq!(complete, world.status().report_uri.is_some());
        // A preflight that no node takes in time ends the run before its first turn.
        let status = world.status();
        let turns = status.turns.iter().filter(|turn| !turn.superseded).count();
        for round in [1, 2] {
            let restarts = status.restarts.iter().filter(|restart| restart.round == round);
            prop_assert!(restarts.count() <= MAX_RESTARTS as usize);
        }
        prop_assert!(turns == 4 || (!complete && turns == 0), "{} turns", turns);
    }
}
