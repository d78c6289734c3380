//! Built-in profiles whose requests and answers are data of their own, against the simulated engine that
//! their program is.

use super::requests::first_stage;
use crate::{
    simulate::{self, Engine, SimulatorConfig},
    testing::planned,
};

#[tokio::test]
async fn an_ensemble_of_triton_is_measured_as_the_others_are() {
    for streaming in [true, false] {
        let plan = planned(&format!(
            "
  model: {{id: demo/model}}
  engines: [{{name: engine, profile: triton-tensorrt-llm-engine}}]
  workload: {{prompts: {{inline: [one, two three]}}, limits: {{maxOutputTokens: 6}}, sampling: {{ignoreEos: true}}, streaming: {streaming}, warmup: {{requests: 0}}, sweep: {{concurrency: [2]}}, requestsPerStage: 4}}
  output: {{uri: 'file:///nowhere'}}"
        ));
        let simulated = serde_json::json!({
            "protocol": "Http", "timeToFirstToken": "5ms", "interTokenLatency": "1ms",
        });
        let simulated = serde_json::from_value(simulated).unwrap();
        let server = simulate::start_with(SimulatorConfig {
            engine: Engine::TritonEnsemble,
            ..SimulatorConfig::new(&simulated, "ensemble")
        })
        .unwrap();
        let stage = first_stage(&plan, &server.url, None).await;
        assert_eq!(stage.requests.succeeded, 4, "{stage:?}");
        // The length is forced, and a response is a token.
        let truth = server.log.records();
        assert!(truth.iter().all(|record| record.output_tokens == 6));
        assert_eq!(stage.client.chunks, if streaming { 24 } else { 4 });
        assert_eq!(stage.time_to_first_token.is_some(), streaming);
    }
}
