//! The parity probe against simulated engines.

use bakeoff_crds::report::{FairnessCheckKind, FairnessStatus, Probe};

use super::*;
use crate::report::{Facts, Measured, assemble, collect};

const PLAN: &str = "
  model: {id: demo/model}
  engines:
    - {name: one, simulated: {protocol: PROTOCOL, timeToFirstToken: 2ms, interTokenLatency: 1ms, fault: FAULT}}
  workload:
    prompts: {inline: [one, two three, four five six]}
    limits: {maxOutputTokens: 40}
    sampling: {temperature: 0.7, ignoreEos: true}
    requestTimeout: 200ms
    warmup: {requests: 1}
    sweep: {concurrency: [1]}
    requestsPerStage: 2
  runner: {calibration: Never}
  output: {uri: 'file:///nowhere'}
";

fn plan_with(protocol: &str, fault: &str) -> Plan {
    planned(&PLAN.replace("PROTOCOL", protocol).replace("FAULT", fault))
}

/// What the engine of a plan answers, and the report's word on it.
async fn probed(plan: &Plan) -> (Probe, bakeoff_crds::report::Fairness) {
    let server = start(plan);
    let store = Store::in_memory();
    let result = measure_at(plan, &server.url, &store, Arc::default()).await;
    assert!(result.error.is_none(), "{:?}", result.error);
    let probes = collect::probes(&store, plan).await.unwrap();
    assert_eq!(probes.len(), 1, "{probes:?}");
    let stages = result.stages.into_iter().map(|stage| Measured {
        engine: "one".into(),
        stage,
    });
    let facts = Facts {
        probes: probes.clone(),
        ..Facts::default()
    };
    let report = assemble(plan, &facts, stages.collect());
    assert_eq!(report.engines[0].probes[0], probes[0].1);
    (probes[0].1.clone(), report.fairness)
}

fn status(fairness: &bakeoff_crds::report::Fairness, kind: FairnessCheckKind) -> FairnessStatus {
    let check = fairness.checks.iter().find(|check| check.check == kind);
    check.unwrap().status
}

#[tokio::test]
async fn every_protocol_is_asked_the_same_and_twice() {
    for protocol in [
        "OpenAiCompletions",
        "OpenAiChat",
        "Tgi",
        "TritonVllm",
        "TritonTensorRtLlm",
        "LlamaCpp",
    ] {
        let (probe, fairness) = probed(&plan_with(protocol, "None")).await;
        assert!(probe.first_token_seconds.unwrap() >= 0.002, "{protocol}");
        assert!(probe.first_token_time.is_some());
        // The last two, for they are the last to be measured.
        let prompts: Vec<u64> = probe.questions.iter().map(|it| it.prompt).collect();
        assert_eq!(prompts, [2, 1], "{protocol}");
        for question in &probe.questions {
            assert_eq!((question.asked_tokens, question.answers.len()), (16, 2));
            let [first, second] = question.answers.as_slice() else {
                panic!("{question:?}")
            };
            assert_eq!(first, second, "{protocol}");
            assert!(first.digest.is_some() && first.failure.is_none());
        }
        let forced = match protocol {
            "Tgi" => FairnessStatus::Deviating,
            // It counts nothing, and there is no tokenizer here.
            "TritonTensorRtLlm" => FairnessStatus::Unproven,
            _ => FairnessStatus::Fair,
        };
        let found = status(&fairness, FairnessCheckKind::ForcedLength);
        assert_eq!(found, forced, "{protocol}");
        let greedy = status(&fairness, FairnessCheckKind::Greedy);
        assert_eq!(greedy, FairnessStatus::Fair, "{protocol}");
    }
}

#[tokio::test]
async fn an_engine_whose_first_answer_fails_is_not_asked_more() {
    let plan = plan_with("OpenAiChat", "CutStream");
    let (probe, fairness) = probed(&plan).await;
    assert_eq!(probe.questions, []);
    let greedy = status(&fairness, FairnessCheckKind::Greedy);
    assert_eq!(greedy, FairnessStatus::Unproven);
}

#[tokio::test]
async fn a_runner_that_comes_back_asks_again_and_the_last_answer_counts() {
    let plan = plan_with("OpenAiChat", "None");
    let server = start(&plan);
    let store = Store::in_memory();
    measure_at(&plan, &server.url, &store, Arc::default()).await;
    measure_anew(&plan, &server.url, &store, 1).await;
    let probes = collect::probes(&store, &plan).await.unwrap();
    let restarts: Vec<u32> = probes.iter().map(|(_, probe)| probe.restart).collect();
    assert_eq!(restarts, [0, 1]);
    let facts = Facts {
        probes,
        ..Facts::default()
    };
    let report = assemble(&plan, &facts, Vec::new());
    let kept: Vec<u32> = report.engines[0]
        .probes
        .iter()
        .map(|it| it.restart)
        .collect();
    assert_eq!(kept, [1]);
}

#[tokio::test]
async fn an_engine_that_tells_its_commit_is_believed() {
    let plan = plan_with("Tgi", "None");
    let EngineSource::Simulated(simulated) = &plan.engines[0].source else {
        panic!("{:?}", plan.engines[0].source);
    };
    let mut config = simulate::SimulatorConfig::new(simulated, "demo/model");
    config.revision = Some("0ddba11".into());
    let server = simulate::start_with(config).unwrap();
    let store = Store::in_memory();
    measure_at(&plan, &server.url, &store, Arc::default()).await;
    let probes = collect::probes(&store, &plan).await.unwrap();
    assert_eq!(probes[0].1.model_revision.as_deref(), Some("0ddba11"));
    let facts = Facts {
        probes,
        ..Facts::default()
    };
    let report = assemble(&plan, &facts, Vec::new());
    let provenance = &report.engines[0].provenance;
    assert_eq!(provenance.model_revision.as_deref(), Some("0ddba11"));
    let from = bakeoff_crds::report::RevisionSource::Engine;
    assert_eq!(provenance.model_revision_from, Some(from));
}

#[tokio::test]
async fn a_prompt_with_the_token_of_the_beginning_is_asked_where_prompts_go_as_they_are() {
    use crate::workload::tokens::{TokenCounter, tests::words_tokenizer};
    for (protocol, asked) in [
        ("OpenAiCompletions", true),
        ("Tgi", true),
        ("OpenAiChat", false),
    ] {
        let plan = plan_with(protocol, "None");
        let server = start(&plan);
        let store = Store::in_memory();
        let counter = TokenCounter::new(Some(&words_tokenizer())).unwrap();
        measure_counted(&plan, &server.url, &store, counter).await;
        let probes = collect::probes(&store, &plan).await.unwrap();
        let probe = &probes[0].1;
        let begin = probe.begin.as_ref();
        assert_eq!(begin.map(|begin| &*begin.token), asked.then_some("<s>"));
        if let Some(begin) = begin {
            assert!(begin.input_tokens.is_some(), "{protocol}");
        }
        for question in &probe.questions {
            assert_eq!(question.answers.len(), 2, "{protocol}");
            assert_eq!(question.answers[0], question.answers[1], "{protocol}");
        }
    }
}
