//! Shards behind a slow network.

use axum::Json;

use super::*;
use crate::{
    clock::{MILLISECOND, Nanos},
    shard::message::{Answer, PATH, Question, Reply},
};

/// A slow network before shard 0: its answers come back no earlier than `until` says.
async fn slow_network(leader: &str, until: fn(&Answer) -> Option<Nanos>) -> String {
    let target = format!("{leader}{PATH}");
    crate::store::backend::install_crypto_provider();
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let pass_on = move |Json(question): Json<Question>| {
        let (target, http) = (target.clone(), http.clone());
        async move {
            let reply = http.post(&target).json(&question).send().await.unwrap();
            let reply: Reply = reply.json().await.unwrap();
            while until(&reply.answer).is_some_and(|until| clock::now() < until) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            Json(reply)
        }
    };
    let (listener, url) = listen().await;
    let routes = axum::Router::new().route(PATH, axum::routing::post(pass_on));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_late_shard_and_an_unsure_clock_cost_the_stage_its_valid_and_are_named() {
    let (bench, _server) = Bench::new("sweep: {concurrency: [8]}\n    requestsPerStage: 40");
    let (listener, url) = listen().await;
    let slow_clock = slow_network(&url, |answer| match answer {
        Answer::Clock { returned, .. } => Some(returned + 40 * MILLISECOND),
        _ => None,
    });
    let slow_start = slow_network(&url, |answer| match answer {
        Answer::Start(at) => Some(at + 50 * MILLISECOND),
        _ => None,
    });
    let (slow_clock, slow_start) = (slow_clock.await, slow_start.await);
    let urls = [url, slow_clock, slow_start];
    let followers: Vec<_> = (1..OF)
        .zip(&urls)
        .map(|(index, url)| bench.follow(index, url, Arc::default()))
        .collect();
    let result = bench
        .lead(listener, Duration::from_secs(60), Arc::default())
        .await;
    assert!(result.error.is_none(), "{:?}", result.error);
    for follower in followers {
        follower.await.unwrap().unwrap();
    }
    // Nothing is lost by it, and nothing driven again.
    let [stage] = &result.stages[..] else {
        panic!("{:?}", result.stages);
    };
    assert_eq!((stage.attempt, stage.requests.succeeded), (1, 40));
    assert!(stage.verdict.status >= VerdictStatus::Suspect);
    let told = reasons(stage);
    for (reason, shard) in [
        ("ClockOffset", "shard 2 of 4"),
        ("ShardLate", "shard 3 of 4"),
    ] {
        let messages = told.iter().filter(|(other, _)| *other == reason);
        let named: Vec<_> = messages.filter(|(_, text)| text.contains(shard)).collect();
        assert_eq!(named.len(), 1, "{told:?}");
    }
    assert!(stage.shards[2].clock_offset_bound_seconds >= 0.020);
    assert!(stage.shards[3].late_start_seconds >= 0.050);
}
