//! What requests hold, from the run to the report, against simulated engines.

use bytes::Bytes;

use super::*;
use crate::{
    simulate::{Running, SimulatorConfig},
    workload::Sources,
};

/// The plan of one simulated engine under a workload (YAML in one line).
pub(super) fn plan_of(simulated: &str, model: &str, workload: &str) -> Plan {
    planned(&format!(
        "
  model: {model}
  engines: [{{name: fake, simulated: {simulated}}}]
  workload: {workload}
  output: {{uri: 'file:///nowhere'}}"
    ))
}

pub(super) fn serve(plan: &Plan, adapters: &[&str]) -> Running {
    let EngineSource::Simulated(simulated) = &plan.engines[0].source else {
        panic!("{:?}", plan.engines[0].source);
    };
    let mut config = SimulatorConfig::new(simulated, &plan.engines[0].endpoint.model);
    config.adapters = adapters.iter().map(|name| (*name).to_owned()).collect();
    simulate::start_with(config).unwrap()
}

/// Drives the plan's first stage without asking the engine anything before.
pub(super) async fn first_stage(
    plan: &Plan,
    url: &str,
    dataset: Option<&'static str>,
) -> StageReport {
    let sources = Sources {
        dataset: dataset.map(|text| Bytes::from_static(text.as_bytes())),
        ..Sources::default()
    };
    let prompts = workload::freeze(plan, &sources).unwrap().prompts;
    let client = Client {
        plan,
        engine: &plan.engines[0],
        url,
        prompts: &prompts,
        tokenizer: None,
        api_key: None,
        headers: Vec::new(),
        tls: tls::client_config(None).unwrap(),
        threads: 1,
        progress: Arc::default(),
    };
    measure_stage(&client, &plan.stages[0]).await.unwrap().0
}

/// A workload of eight requests with whole answers.
const WHOLE: &str = "{prompts: {inline: [one, two three]}, limits: {maxOutputTokens: 6}, sampling: {ignoreEos: true}, streaming: false, warmup: {requests: 0}, sweep: {concurrency: [2]}, requestsPerStage: 8}";

/// Calls against another implementation of HTTP/2: the simulator's server is hyper's.
#[tokio::test]
async fn calls_by_grpc_are_measured_as_streams_are() {
    let workload = WHOLE
        .replace("streaming: false, ", "")
        .replace("maxOutputTokens: 6", "maxOutputTokens: 40");
    for (protocol, counts) in [
        ("TritonVllmGrpc", true),
        ("TritonTensorRtLlmGrpc", false),
        ("JetStreamGrpc", true),
        ("TorchServeGrpc", false),
    ] {
        let simulated =
            format!("{{protocol: {protocol}, timeToFirstToken: 5ms, interTokenLatency: 1ms}}");
        let plan = plan_of(&simulated, "{id: demo/model}", &workload);
        let server = serve(&plan, &[]);
        let stage = first_stage(&plan, &server.url, None).await;
        assert_eq!(stage.requests.succeeded, 8, "{protocol}: {stage:?}");
        let truth = server.log.records();
        let sent: u32 = truth.iter().map(|record| record.output_tokens).sum();
        // A frame is a token, whether it tells so or not.
        assert_eq!(stage.client.chunks, u64::from(sent), "{protocol}");
        assert_eq!(stage.inter_token_latency.is_some(), counts, "{protocol}");
        if let Some(output) = stage.output_tokens {
            assert_eq!(output.sum, u64::from(sent), "{protocol}");
        }
        let first = stage.time_to_first_token.unwrap();
        assert!(
            first.min >= 0.005 && first.min < 0.5,
            "{protocol}: {first:?}"
        );
    }
}

/// The model's name is in the message, not in the path.
#[tokio::test]
async fn calls_for_a_model_that_is_not_there_fail_as_the_server_says() {
    for (protocol, kind) in [("KserveV2Grpc", "http4xx"), ("TorchServeGrpc", "http5xx")] {
        let simulated = format!("{{protocol: {protocol}, timeToFirstToken: 1ms}}");
        let mut plan = plan_of(&simulated, "{id: demo/model}", WHOLE);
        let server = serve(&plan, &[]);
        let stage = first_stage(&plan, &server.url, None).await;
        assert_eq!(stage.requests.succeeded, 8, "{protocol}");
        plan.engines[0].endpoint.model = "other".into();
        let stage = first_stage(&plan, &server.url, None).await;
        let failures = stage.requests.failures;
        assert_eq!(failures.get(kind), Some(&8), "{protocol}: {failures:?}");
    }
}

#[tokio::test]
async fn requests_too_many_are_counted_with_the_time_that_the_server_asks_for_and_not_sent_again() {
    let workload = WHOLE.replace("streaming: false, ", "");
    let simulated = "{protocol: OpenAiChat, timeToFirstToken: 1ms, fault: RateLimit}";
    let plan = plan_of(simulated, "{id: demo/model}", &workload);
    let server = serve(&plan, &[]);
    let stage = first_stage(&plan, &server.url, None).await;
    let requests = stage.requests;
    assert_eq!(
        (requests.succeeded, requests.failures["rateLimited"]),
        (4, 4)
    );
    assert_eq!(server.log.records().len(), 8);
    let asked = requests.retry_after.unwrap();
    assert_eq!(
        (asked.count, asked.mean_seconds, asked.max_seconds),
        (4, 7.0, 7.0)
    );
}

#[tokio::test]
async fn several_prompts_go_in_one_request_and_count_together() {
    let workload = "{prompts: {inline: [one, two three, four]}, promptsPerRequest: 2, limits: {maxOutputTokens: 5}, sampling: {ignoreEos: true}, sweep: {concurrency: [2]}, requestsPerStage: 6}";
    let simulated = "{protocol: OpenAiCompletions, timeToFirstToken: 5ms, interTokenLatency: 1ms}";
    let plan = plan_of(simulated, "{id: demo/model}", workload);
    let server = serve(&plan, &[]);
    let result = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
    assert!(result.error.is_none(), "{:?}", result.error);
    let stage = &result.stages[0];
    assert_eq!(stage.requests.succeeded, 6);
    assert_eq!(stage.output_tokens.as_ref().unwrap().sum, 6 * 2 * 5);
    assert!(stage.time_to_first_token.is_some());
    assert_eq!(stage.time_per_output_token, None);
    // "one" and "two three", then "four" and, from the beginning again, "one".
    let lengths: Vec<u32> = server
        .log
        .records()
        .iter()
        .map(|it| it.input_tokens)
        .collect();
    assert!(lengths.contains(&3) && lengths.contains(&2), "{lengths:?}");
}

#[tokio::test]
async fn each_model_gets_its_share_and_its_own_figures() {
    let workload = "{prompts: {inline: [one, two, three]}, limits: {maxOutputTokens: 4}, models: [{name: demo/model, weight: 3}, {name: lora}], warmup: {requests: 0}, sweep: {concurrency: [2]}, requestsPerStage: 16}";
    let model = "{id: demo/model, adapters: [{name: lora, id: org/lora}]}";
    for (protocol, base) in [("OpenAiChat", Some("demo/model")), ("Tgi", None)] {
        let simulated =
            format!("{{protocol: {protocol}, timeToFirstToken: 5ms, interTokenLatency: 1ms}}");
        let plan = plan_of(&simulated, model, workload);
        let server = serve(&plan, &["lora"]);
        let result = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
        assert!(result.error.is_none(), "{:?}", result.error);
        let stage = &result.stages[0];
        let shares: Vec<(&str, u64, u64)> = stage
            .models
            .iter()
            .map(|group| {
                let first = group.time_to_first_token.as_ref().unwrap();
                (group.name.as_str(), group.succeeded, first.count)
            })
            .collect();
        assert_eq!(shares, [("demo/model", 12, 12), ("lora", 4, 4)]);
        let records = server.log.records();
        let asked = |name: Option<&str>| {
            let of_it = records
                .iter()
                .filter(|record| record.model.as_deref() == name);
            of_it.count()
        };
        // One more each: the first tiny answers. The probe asks for the first name alone.
        let expected = (13 + PROBED, 5);
        assert_eq!((asked(base), asked(Some("lora"))), expected, "{protocol}");
    }
}

#[tokio::test]
async fn an_engine_without_the_adapter_is_not_loaded() {
    let workload = "{prompts: {inline: [one]}, models: [{name: lora}], sweep: {concurrency: [1]}, requestsPerStage: 4}";
    let model = "{id: demo/model, adapters: [{name: lora, id: org/lora}]}";
    let plan = plan_of("{protocol: OpenAiChat}", model, workload);
    let server = serve(&plan, &[]);
    let result = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
    let error = result.error.unwrap();
    assert_eq!(error.reason, reason::WRONG_MODEL_SERVED);
    assert!(error.message.contains("asks for lora"), "{error}");
    assert_eq!(server.log.records().len(), 0);
}

/// Two conversations: of three turns and of one.
const CONVERSATIONS: &str = r#"{"messages": [{"role": "user", "content": "one"}, {"role": "assistant", "content": "recorded answer"}, {"role": "user", "content": "two three"}, {"role": "assistant", "content": "more"}, {"role": "user", "content": "four"}], "outputTokens": 5}
{"messages": [{"role": "user", "content": "alone"}], "outputTokens": 5}"#;

fn talk(history: &str) -> String {
    format!(
        "{{prompts: {{jsonl: {{path: x}}, conversations: {{thinkTime: {{mean: 10ms, distribution: Constant}}, history: {history}}}, count: 2}}, api: Chat, sampling: {{ignoreEos: true}}, warmup: {{requests: 0}}, sweep: {{concurrency: [1]}}, requestsPerStage: 2}}"
    )
}

#[tokio::test]
async fn every_turn_carries_the_history() {
    let simulated = "{protocol: OpenAiChat, timeToFirstToken: 5ms, interTokenLatency: 1ms}";
    // The simulator counts a word of up to six letters as one token, and adds four for each message
    // and three for the answer.
    let recorded = [1 + 7, 1 + (1 + 2) + 2 + 15, 1 + 3 + 2 + 1 + 1 + 23];
    let own = [1 + 7, 1 + 5 + 2 + 15, 1 + 5 + 2 + 5 + 1 + 23];
    for (history, expected) in [("Recorded", recorded), ("Answers", own)] {
        let plan = plan_of(simulated, "{id: demo/model}", &talk(history));
        let server = serve(&plan, &[]);
        let stage = first_stage(&plan, &server.url, Some(CONVERSATIONS)).await;
        let requests = &stage.requests;
        assert_eq!((requests.intended, requests.succeeded), (4, 4), "{history}");
        let mut turns: Vec<u32> = server
            .log
            .records()
            .iter()
            .map(|it| it.input_tokens)
            .collect();
        turns.sort_unstable();
        // The conversation of one turn is as long as the first of the other.
        assert_eq!(turns[0], turns[1], "{history}: {turns:?}");
        assert_eq!(turns[1..], expected, "{history}");
        let counts: Vec<(&str, u64)> = stage
            .turns
            .iter()
            .map(|group| (group.name.as_str(), group.succeeded))
            .collect();
        assert_eq!(counts, [("first", 2), ("later", 2)]);
        let later = stage.turns[1].input_tokens.as_ref().unwrap();
        assert_eq!(later.sum, u64::from(expected[1] + expected[2]), "{history}");
    }
}

#[tokio::test]
async fn turns_after_a_failed_one_are_dropped_by_name() {
    let simulated = "{protocol: OpenAiChat, timeToFirstToken: 5ms, fault: CutStream}";
    let plan = plan_of(simulated, "{id: demo/model}", &talk("Recorded"));
    let server = serve(&plan, &[]);
    let stage = first_stage(&plan, &server.url, Some(CONVERSATIONS)).await;
    let requests = &stage.requests;
    assert_eq!(
        (requests.intended, requests.failed, requests.dropped),
        (4, 2, 2)
    );
    assert_eq!(requests.drops.get("conversationEnded"), Some(&2));
}

#[tokio::test]
async fn synthetic_conversations_share_their_prefixes_by_group() {
    let workload = "{prompts: {synthetic: {inputTokens: {mean: 30}, outputTokens: {mean: 4}, sharedPrefix: {tokens: 12, groups: 2}}, conversations: {maxTurns: 3}, system: be brief, count: 4}, sweep: {concurrency: [2]}, requestsPerStage: 4, warmup: {requests: 1}}";
    let simulated = "{protocol: OpenAiChat, timeToFirstToken: 1ms, interTokenLatency: 1ms}";
    let plan = plan_of(simulated, "{id: demo/model}", workload);
    let server = serve(&plan, &[]);
    let result = measure_at(&plan, &server.url, &Store::in_memory(), Arc::default()).await;
    assert!(result.error.is_none(), "{:?}", result.error);
    let stage = &result.stages[0];
    assert_eq!(
        (stage.requests.intended, stage.requests.succeeded),
        (12, 12)
    );
    // One to try, the first turns of two to probe, twice, and of one to warm up.
    assert_eq!(server.log.records().len(), 12 + 1 + PROBED + 1);
}
