//! Between two looks a run tells how far it is: by its own pod, and in words alone.

use std::sync::{Arc, Mutex};

use axum::{Json, Router, http::StatusCode, routing::get};
use bakeoff_operator::{metrics::Look, reconcile::attend, watched::Watched};
use serde_json::{Value, json};
use tokio::time::{advance, pause, resume};

use super::*;

/// A run under load, its runner, and an operator that does what is due when it is told to.
struct Scene {
    server: Server,
    context: Context,
    /// What the runner says; it says nothing where this is null.
    says: Arc<Mutex<Value>>,
}

impl Scene {
    async fn new() -> Self {
        Self::with_neighbours(false).await
    }

    async fn with_neighbours(neighbours: bool) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let says = Arc::new(Mutex::new(Value::Null));
        let runner = says.clone();
        let route = get(move || async move {
            match runner.lock().unwrap().clone() {
                Value::Null => (StatusCode::SERVICE_UNAVAILABLE, Json(Value::Null)),
                says => (StatusCode::OK, Json(says)),
            }
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = Router::new().route("/progress", route);
        tokio::spawn(async move { axum::serve(listener, app).await });
        let mut world = three();
        world.play_until(|world| {
            let turn = world.status().turns.first();
            turn.is_some_and(|turn| turn.phase == EnginePhase::Measuring)
        });
        holders_run(&mut world);
        world.cluster_acts_on_runner_start();
        let server = Server::new(world);
        server.state().address = Some("127.0.0.1".into());
        let client = server.client();
        let context = Context {
            clock: server.clock(),
            ..context(client, ProgressReader::at_port(port).unwrap(), neighbours)
        };
        let scene = Self {
            server,
            context,
            says,
        };
        scene.say("rate-1", 0);
        // Until nothing is left but to tell.
        for _ in 0..3 {
            scene.attend().await;
        }
        scene.server.asked();
        scene
    }

    fn say(&self, stage: &str, done: u32) {
        *self.says.lock().unwrap() = json!({ "repetition": 1, "stage": stage, "stagesDone": done,
            "stagesPlanned": 3 });
    }

    /// Does what is due for the run as its watch shows it.
    async fn attend(&self) -> Look {
        let watched = self.server.run();
        self.attend_seeing(watched).await
    }

    async fn attend_seeing(&self, run: Value) -> Look {
        let watched: Watched = serde_json::from_value(run).unwrap();
        let (look, result) = attend(&self.context, &watched).await;
        result.unwrap();
        look
    }

    fn progress(&self) -> String {
        let state = self.server.state();
        state.world.status().progress.clone().unwrap()
    }
}

async fn pass(time: Duration) {
    pause();
    advance(time).await;
    resume();
}

#[tokio::test]
async fn a_run_tells_how_far_it_is_without_being_looked_at() {
    let scene = Scene::new().await;
    assert_eq!(scene.progress(), "engine 1/3, stage 1/3");
    scene.say("rate-2", 1);
    assert_eq!(scene.attend().await, Look::None);
    assert_eq!(scene.server.asked(), BTreeMap::new(), "it is not time");
    for (done, stage, asked) in [(2, "rate-4", 1), (2, "rate-4", 0), (1, "rate-2", 1)] {
        scene.say(stage, done);
        pass(SOON).await;
        assert_eq!(scene.attend().await, Look::None);
        let all = scene.server.asked();
        assert_eq!(sum(&all), asked, "{all:?}");
        assert_eq!(
            all.get("patch benchmarkruns/status").copied().unwrap_or(0),
            asked
        );
        assert_eq!(
            scene.progress(),
            format!("engine 1/3, stage {}/3", done + 1)
        );
        // Its own writing is no news.
        assert_eq!(scene.attend().await, Look::None);
        assert_eq!(scene.server.asked(), BTreeMap::new());
    }
}

#[tokio::test]
async fn a_run_whose_runner_answers_asks_for_nothing_while_nothing_changes() {
    let scene = Scene::with_neighbours(true).await;
    let mut looks = Vec::new();
    for second in (10..=1200).step_by(10) {
        pass(SOON).await;
        if scene.attend().await == Look::Full {
            looks.push(second);
            scene.server.asked();
        }
        assert_eq!(scene.server.asked(), BTreeMap::new(), "after {second} s");
    }
    // But for one that a lost event may need.
    assert_eq!(looks, [300, 600, 900, 1200]);
}

#[tokio::test]
async fn nothing_is_done_upon_what_is_kept() {
    let scene = Scene::new().await;
    let written = scene.server.state().world.log.len();
    // The engine is gone, and nothing was heard of it: only the words are written.
    scene.server.change(|world| {
        let engine = pod::name(world.engine()).to_owned();
        world
            .observed
            .pods
            .retain(|found| pod::name(found) != engine);
    });
    scene.say("rate-2", 1);
    pass(SOON).await;
    assert_eq!(scene.attend().await, Look::None);
    let asked = scene.server.asked();
    assert_eq!(
        asked,
        BTreeMap::from([("patch benchmarkruns/status".to_owned(), 1)])
    );
    assert_eq!(scene.server.state().world.log.len(), written);
    // Somebody suspends the run, and nothing is heard of that either: what would be written holds for
    // another version, so everything is read, and done upon that.
    let heard = scene.server.run();
    scene
        .server
        .change(|world| world.edit(|run| run.spec.suspend = true));
    scene.say("rate-4", 2);
    pass(SOON).await;
    assert_eq!(scene.attend_seeing(heard).await, Look::Full);
    let asked = scene.server.asked();
    assert_eq!(asked["get benchmarkruns"], 1);
    assert_eq!(
        asked["patch benchmarkruns/status"], 2,
        "refused, and written: {asked:?}"
    );
    assert_eq!(
        scene.server.state().world.status().phase,
        RunPhase::Suspended
    );
}

#[tokio::test]
async fn a_runner_that_falls_silent_is_looked_at() {
    let scene = Scene::new().await;
    *scene.says.lock().unwrap() = Value::Null;
    pass(SOON).await;
    assert_eq!(scene.attend().await, Look::Full);
    // It may be busy: for its silence it is looked at once.
    let mut looks = 0;
    for _ in 0..6 {
        pass(SOON).await;
        looks += u32::from(scene.attend().await == Look::Full);
    }
    assert!(looks <= 1, "{looks}");
}

#[tokio::test]
async fn who_is_on_the_node_of_an_engine_under_load_is_seen_as_a_stage_begins() {
    let scene = Scene::with_neighbours(true).await;
    scene.server.state().tenants = vec![json!({
        "metadata": { "name": "batch-0", "namespace": "team" },
        "spec": { "containers": [{ "name": "c", "resources": { "requests": { "cpu": "2" } } }] },
    })];
    for _ in 0..12 {
        pass(SOON).await;
        assert_eq!(scene.attend().await, Look::None);
    }
    assert_eq!(scene.server.asked(), BTreeMap::new());
    scene.say("rate-2", 1);
    pass(SOON).await;
    // That is to be written down, and so everything is looked at.
    assert_eq!(scene.attend().await, Look::Full);
    let asked = scene.server.asked();
    assert_eq!(asked["list pods of all"], 1, "{asked:?}");
    let turn = scene.server.state().world.status().turns[0].clone();
    assert_eq!(turn.neighbours.unwrap().names, ["team/batch-0"]);
}
