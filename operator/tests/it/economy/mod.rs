//! What the operator asks of the API server: how much for a whole run, and nothing where nothing
//! changes. The controller itself runs here, watches and all, against a server in memory.

mod server;
mod words;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bakeoff_crds::{
    manifests::labels,
    plan::{Place, PlanSettings},
    run::status::{EnginePhase, RunPhase},
};
use bakeoff_operator::{
    apply::Writer,
    controller,
    decide::has_ended,
    idle::{LATEST, SOON},
    lease::Leadership,
    observe::{
        Observer,
        nodes::{NodeReader, NodeRights},
    },
    pod,
    progress::ProgressReader,
    reconcile::Context,
};
use futures::StreamExt;
use k8s_openapi::api::core::v1::PodSchedulingGate;
use kube::Client;
use tokio::time::{Instant, sleep};

use crate::world::{TWO_BY_TWO, World, running, schedule};
use server::Server;

/// Three engines, one round.
fn three() -> World {
    let beta = "  - {name: beta, simulated: {protocol: Tgi}}\n";
    let gamma = "  - {name: gamma, simulated: {protocol: OpenAiChat}}\n";
    let yaml = TWO_BY_TWO.replace(beta, &format!("{beta}{gamma}"));
    World::new(&yaml.replace("{rounds: 2}", "{rounds: 1}"))
}

fn context(client: Client, progress: ProgressReader, neighbours: bool) -> Context {
    let rights = NodeRights {
        nodes: true,
        neighbours,
    };
    Context::new(
        Observer::new(
            client.clone(),
            progress,
            NodeReader::new(client.clone(), rights),
        ),
        Writer::new(client, None, Leadership::always()),
        PlanSettings {
            runner_image: "registry.test/bakeoff:1".into(),
            place: Place::Cluster,
        },
    )
}

/// An operator that acts for as long as it is held.
struct Operator(tokio::task::JoinHandle<()>);

impl Operator {
    fn start(server: &Server) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = server.client();
        let context = Context {
            clock: server.clock(),
            ..context(client.clone(), ProgressReader::new().unwrap(), false)
        };
        let never = std::future::pending();
        let acts = controller::run(client, Some("bench"), Arc::new(context), never);
        Self(tokio::spawn(acts.for_each(|()| async {})))
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Has the cluster do its part every second, and each load take `load`, until `until`.
async fn play(server: &Server, load: Duration, until: impl Fn(&World) -> bool) {
    let mut under_load = 0;
    for _ in 0..100_000 {
        sleep(Duration::from_secs(1)).await;
        if until(&server.state().world) {
            return;
        }
        let drives = |world: &World| {
            let mut runners = world.observed.pods_of(labels::COMPONENT_RUNNER);
            runners
                .any(|found| pod::container_started_at(found).is_some() && !pod::has_ended(found))
        };
        if drives(&server.state().world) && under_load < load.as_secs() {
            under_load += 1;
            continue;
        }
        under_load = 0;
        server.change(|world| {
            holders_run(world);
            world.cluster_acts();
        });
    }
    panic!("never came about: {:#?}", server.state().world.run.status);
}

/// The kubelet's part for the pod that holds the node.
fn holders_run(world: &mut World) {
    let now = world.now;
    for found in &mut world.observed.pods {
        let is_holder = pod::label(found, labels::COMPONENT) == Some(labels::COMPONENT_HOLDER);
        if is_holder && pod::container_started_at(found).is_none() {
            schedule(found, "gpu-1", now);
            running(found, now);
        }
    }
}

fn sum(asked: &BTreeMap<String, usize>) -> usize {
    asked.values().sum()
}

fn is_under_load(world: &World) -> bool {
    let status = world.run.status.as_ref();
    let turn = status.and_then(|status| status.turns.first());
    let mut runners = world.observed.pods_of(labels::COMPONENT_RUNNER);
    turn.is_some_and(|turn| turn.phase == EnginePhase::Measuring)
        && runners.any(|found| pod::container_started_at(found).is_some())
}

/// What a run may ask for: a part for all, one for each turn, and looks that are made because nothing was
/// heard for a while: six in the first five minutes of a turn's load, and one every five after, of four
/// requests each.
fn bound(turns: usize, minutes: usize) -> usize {
    60 + turns * (75 + 4 * (6 + minutes / 5))
}

#[tokio::test(start_paused = true)]
async fn a_whole_run_asks_so_much_and_no_more() {
    for minutes in [1, 10, 60] {
        let server = Server::new(three());
        let _operator = Operator::start(&server);
        let load = Duration::from_secs(60 * minutes);
        play(&server, load, |world| {
            world.run.status.as_ref().is_some_and(has_ended)
        })
        .await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(server.state().world.status().phase, RunPhase::Complete);
        let asked = server.asked();
        let bound = bound(3, usize::try_from(minutes).unwrap());
        let total = sum(&asked);
        println!("{minutes} minutes of load, three turns: {total} of {bound}: {asked:?}");
        assert!(total <= bound, "{total} of {bound}: {asked:#?}");
        // The bound means something.
        assert!(total * 4 >= bound * 3, "{total} of {bound}: {asked:#?}");
        assert_eq!(asked["get configmaps"], 2, "before it is made, and once");
        // Long after its end, nothing.
        sleep(Duration::from_secs(24 * 3600)).await;
        assert_eq!(server.asked(), BTreeMap::new());
    }
}

/// A run and its operator, once nothing is heard any more.
async fn quiet(world: World, until: impl Fn(&World) -> bool) -> (Server, Operator) {
    let server = Server::new(world);
    let operator = Operator::start(&server);
    play(&server, Duration::from_secs(100_000), until).await;
    (server, operator)
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_suspended_or_queued_asks_for_nothing() {
    let ten_minutes = Duration::from_secs(600);
    let (server, _operator) = quiet(three(), is_under_load).await;
    server.change(|world| world.edit(|run| run.spec.suspend = true));
    for _ in 0..5 {
        sleep(Duration::from_secs(1)).await;
        server.change(World::cluster_acts);
    }
    sleep(SOON).await;
    assert_eq!(server.state().world.status().phase, RunPhase::Suspended);
    server.asked();
    sleep(ten_minutes).await;
    assert_eq!(server.asked(), BTreeMap::new(), "suspended");
    // Resumed, and its engine is held back by a queue.
    let gates = |world: &mut World| {
        for found in &mut world.observed.pods {
            if pod::label(found, labels::COMPONENT) == Some(labels::COMPONENT_ENGINE) {
                found.spec.as_mut().unwrap().scheduling_gates = Some(vec![PodSchedulingGate {
                    name: "kueue.x-k8s.io/admission".into(),
                }]);
            }
        }
    };
    server.change(|world| world.edit(|run| run.spec.suspend = false));
    sleep(Duration::from_millis(10)).await;
    assert_eq!(server.state().world.engines().len(), 1);
    server.change(gates);
    sleep(SOON).await;
    let status = server.state().world.status().clone();
    let progressing = status
        .conditions
        .iter()
        .find(|it| it.type_ == "Progressing");
    assert_eq!(progressing.unwrap().reason, "Queued");
    server.asked();
    sleep(ten_minutes).await;
    assert_eq!(server.asked(), BTreeMap::new(), "queued");
    // Admitted, it goes on at once.
    server.change(|world| {
        for found in &mut world.observed.pods {
            found.spec.as_mut().unwrap().scheduling_gates = None;
        }
        world.cluster_acts();
    });
    sleep(Duration::from_millis(10)).await;
    let phase = server.state().world.status().turns[0].phase;
    assert_eq!(phase, EnginePhase::Starting);
}

#[tokio::test(start_paused = true)]
async fn a_run_under_load_is_looked_at_ever_more_seldom() {
    let (server, _operator) = quiet(three(), is_under_load).await;
    sleep(Duration::from_millis(10)).await;
    let begun = Instant::now();
    server.asked();
    let mut looks = Vec::new();
    while begun.elapsed() < Duration::from_secs(1300) {
        sleep(Duration::from_secs(1)).await;
        if !server.asked().is_empty() {
            looks.push(begun.elapsed().as_secs());
        }
    }
    let first = looks[0];
    let since: Vec<u64> = looks.iter().map(|at| at - first).collect();
    assert!(first <= SOON.as_secs(), "{first}");
    assert_eq!(since, [0, 20, 60, 140, 300, 600, 900, 1200]);
}

#[tokio::test(start_paused = true)]
async fn events_that_never_come_cost_no_more_than_the_time_that_nothing_had_happened() {
    for quiet_for in [2, 100, 1000, 5000] {
        let (server, _operator) = quiet(three(), is_under_load).await;
        sleep(Duration::from_secs(quiet_for)).await;
        // The runner's pod ends, and its Job with it; nothing tells of either.
        server.state().is_deaf = true;
        server.change(World::cluster_acts);
        server.state().is_deaf = false;
        let begun = Instant::now();
        sleep(Duration::from_secs(1)).await;
        let phase = server.state().world.status().turns[0].phase;
        assert_eq!(phase, EnginePhase::Measuring);
        while server.state().world.status().turns[0].phase == EnginePhase::Measuring {
            sleep(Duration::from_secs(1)).await;
        }
        let late = begun.elapsed();
        let most = Duration::from_secs(quiet_for).clamp(SOON, LATEST) + Duration::from_secs(2);
        println!("{late:?} late after {quiet_for} s");
        assert!(late <= most, "{late:?} after {quiet_for} s");
    }
}

#[tokio::test(start_paused = true)]
async fn an_old_answer_does_no_harm() {
    let mut struck = 0;
    for second in (0..30).step_by(5) {
        let server = Server::new(three());
        let _operator = Operator::start(&server);
        let stale = server.clone();
        tokio::spawn(async move {
            sleep(Duration::from_secs(second)).await;
            stale.state().is_stale = true;
        });
        play(&server, Duration::ZERO, |world| {
            world.run.status.as_ref().is_some_and(has_ended)
        })
        .await;
        let state = server.state();
        struck += u32::from(!state.is_stale);
        assert_eq!(state.world.status().phase, RunPhase::Complete, "{second}");
        let turns = state.world.status().turns.iter();
        let measured = turns.filter(|turn| turn.phase == EnginePhase::Succeeded);
        assert_eq!(measured.count(), 3, "{second}: {:?}", state.world.log);
    }
    assert!(struck > 3, "{struck}");
}
