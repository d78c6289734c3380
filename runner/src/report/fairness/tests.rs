use bakeoff_crds::{
    report::{AcceleratorDevice, CacheReport, CacheReset, ProbeAnswer, ProbeQuestion},
    run::CachePolicy,
};

use super::*;
use crate::report::{Facts, assemble, fixture};

/// The fairness of the fixture's run, its facts and report changed.
fn with(change: impl FnOnce(&mut Facts)) -> Fairness {
    let mut facts = fixture::facts();
    change(&mut facts);
    assemble(&fixture::plan(), &facts, fixture::measured()).fairness
}

fn question(facts: &mut Facts, engine: usize) -> &mut ProbeQuestion {
    &mut facts.probes[engine].1.questions[0]
}

fn each_answer(facts: &mut Facts, engine: usize, change: impl Fn(usize, &mut ProbeAnswer)) {
    let answers = question(facts, engine).answers.iter_mut();
    answers
        .enumerate()
        .for_each(|(at, answer)| change(at, answer));
}

fn found(fairness: &Fairness, kind: Kind) -> (FairnessStatus, String) {
    let check = fairness.checks.iter().find(|check| check.check == kind);
    let check = check.unwrap_or_else(|| panic!("{kind:?} is not checked"));
    let findings = check.findings.iter().map(|finding| {
        let engine = finding.engine.as_deref().unwrap_or("all");
        format!("{engine}: {}", finding.message)
    });
    (check.status, findings.collect::<Vec<_>>().join("; "))
}

#[test]
fn engines_that_answer_alike_are_alike() {
    let fairness = with(|_| {});
    for kind in [Kind::InputTokens, Kind::Greedy, Kind::EndToken, Kind::Image] {
        assert_eq!(
            found(&fairness, kind),
            (FairnessStatus::Fair, String::new())
        );
    }
    // The fixture has a paid endpoint, whose hardware is not known.
    let (status, message) = found(&fairness, Kind::Node);
    assert_eq!(status, FairnessStatus::Deviating);
    assert!(message.starts_with("hosted: it ran elsewhere"), "{message}");
    assert_eq!(fairness.status, FairnessStatus::Deviating);
}

#[test]
fn prompts_of_other_lengths_are_named_with_what_they_point_to() {
    // The tokenizer counts 220 tokens, one of them of the beginning.
    for (tokens, why) in [
        (219, "does not add the tokens of the beginning"),
        (221, "adds the tokens of the beginning twice"),
        (240, "chat template or its tokenizer is another"),
    ] {
        let fairness = with(|facts| {
            each_answer(facts, 1, |_, answer| answer.input_tokens = Some(tokens));
        });
        let (status, message) = found(&fairness, Kind::InputTokens);
        assert_eq!(status, FairnessStatus::Deviating);
        assert!(
            message.contains("tgi: it counts") && message.contains(why),
            "{message}"
        );
        let among =
            format!("all: prompt 999 has 220 by vllm, {tokens} by tgi, 220 by hosted tokens");
        assert!(message.contains(&among), "{message}");
    }
    let fairness = with(|facts| {
        for engine in 0..3 {
            question(facts, engine).tokens = None;
        }
    });
    assert_eq!(found(&fairness, Kind::InputTokens).0, FairnessStatus::Fair);
    let fairness = with(|facts| each_answer(facts, 1, |_, answer| answer.input_tokens = None));
    assert_eq!(
        found(&fairness, Kind::InputTokens),
        (
            FairnessStatus::Unproven,
            "tgi: it does not tell the length of a prompt".into()
        )
    );
}

#[test]
fn an_engine_that_stops_early_cannot_be_held_to_a_length() {
    let mut plan = fixture::plan();
    plan.spec.workload.sampling.ignore_eos = true;
    let mut facts = fixture::facts();
    for engine in 0..3 {
        question(&mut facts, engine).forced = true;
    }
    let fairness = assemble(&plan, &facts, fixture::measured()).fairness;
    assert_eq!(found(&fairness, Kind::ForcedLength).0, FairnessStatus::Fair);
    each_answer(&mut facts, 1, |_, answer| answer.output_tokens = Some(9));
    let fairness = assemble(&plan, &facts, fixture::measured()).fairness;
    let (status, message) = found(&fairness, Kind::ForcedLength);
    assert_eq!(status, FairnessStatus::Deviating);
    assert!(
        message.contains("tgi: its answer has 9 tokens where 16"),
        "{message}"
    );
    // Where nothing was forced there is nothing to check.
    assert!(
        with(|_| {})
            .checks
            .iter()
            .all(|check| check.check != Kind::ForcedLength)
    );
}

#[test]
fn two_answers_at_temperature_0_are_two_ways() {
    let fairness = with(|facts| {
        each_answer(facts, 0, |at, answer| {
            answer.digest = Some(format!("{at:016}"));
        });
    });
    let (status, message) = found(&fairness, Kind::Greedy);
    assert_eq!(status, FairnessStatus::Deviating);
    assert!(
        message.contains("vllm: it answers prompt 999 in several ways"),
        "{message}"
    );
}

#[test]
fn the_token_of_the_end_shows_where_the_model_ended_the_same_answer() {
    let ended = |facts: &mut Facts| {
        for engine in 0..3 {
            each_answer(facts, engine, |_, answer| {
                answer.finish = Some("stop".into());
            });
        }
    };
    let fairness = with(ended);
    assert_eq!(found(&fairness, Kind::EndToken).0, FairnessStatus::Fair);
    let fairness = with(|facts| {
        ended(facts);
        each_answer(facts, 1, |_, answer| answer.output_tokens = Some(17));
    });
    let (status, message) = found(&fairness, Kind::EndToken);
    assert_eq!(status, FairnessStatus::Deviating);
    assert!(
        message.contains("16 tokens by vllm and 17 by tgi"),
        "{message}"
    );
}

#[test]
fn an_engine_that_did_not_answer_proves_nothing() {
    let fairness = with(|facts| {
        facts.probes[1].1.questions.clear();
        each_answer(facts, 0, |_, answer| {
            answer.failure = Some("timeout: no answer".into());
        });
    });
    for kind in [Kind::InputTokens, Kind::Greedy] {
        let (status, message) = found(&fairness, kind);
        assert_eq!(status, FairnessStatus::Unproven);
        for engine in ["vllm", "tgi"] {
            assert!(
                message.contains(&format!("{engine}: it gave no whole answer")),
                "{message}"
            );
        }
    }
}

#[test]
fn images_and_nodes_that_changed_are_named() {
    let fairness = with(|facts| {
        let mut again = facts.outcome.turns[0].clone();
        again.round = 2;
        again.image_id = Some("registry.example.com/vllm@sha256:cd".into());
        again.node_name = Some("node-b".into());
        let mut other = facts.outcome.turns[1].clone();
        other.round = 2;
        other.image_id = None;
        facts.outcome.turns.extend([again, other]);
    });
    let (status, message) = found(&fairness, Kind::Image);
    assert_eq!(status, FairnessStatus::Deviating);
    assert!(message.contains("vllm: its image was another"), "{message}");
    let (_, message) = found(&fairness, Kind::Node);
    assert!(
        message.contains("in round 2 vllm on node-b, tgi on node-a"),
        "{message}"
    );
}

#[test]
fn an_engines_own_settings_are_deviations() {
    let mut plan = fixture::plan();
    plan.engines[0].deviations = vec!["further arguments --x".into()];
    plan.engines[2].deviations.clear();
    let fairness = assemble(&plan, &fixture::facts(), fixture::measured()).fairness;
    assert_eq!(
        found(&fairness, Kind::Settings),
        (
            FairnessStatus::Deviating,
            "vllm: further arguments --x".into()
        )
    );
    assert_eq!(
        assemble(&plan, &fixture::facts(), Vec::new())
            .fairness
            .status,
        FairnessStatus::Unproven
    );
}

#[test]
fn prefix_caches_that_helped_are_named() {
    let with_cache = |policy: CachePolicy, cache: Option<CacheReport>| {
        let mut plan = fixture::plan();
        plan.spec.workload.cache_policy = policy;
        let mut measured = fixture::measured();
        for stage in measured.iter_mut().filter(|it| it.engine == "vllm") {
            stage.stage.cache = cache.clone();
        }
        let fairness = assemble(&plan, &fixture::facts(), measured).fairness;
        let (_, message) = found(&fairness, Kind::PrefixCache);
        let of_vllm = message.split("; ").find(|it| it.starts_with("vllm"));
        of_vllm.map(str::to_owned).unwrap_or_default()
    };
    let cache = |hit_rate: Option<f64>| CacheReport {
        policy: CachePolicy::Cold,
        hit_rate,
        ..CacheReport::default()
    };
    for (policy, cache, expected) in [
        (CachePolicy::AsIs, None, "not known"),
        (CachePolicy::AsIs, Some(cache(Some(0.3))), ""),
        (
            CachePolicy::AsIs,
            Some(CacheReport {
                contaminated: true,
                explained: Some(0.1),
                ..cache(Some(0.3))
            }),
            "at concurrency-1 it found 30",
        ),
        (
            CachePolicy::Cold,
            Some(CacheReport {
                reset: Some(CacheReset::NoCall),
                ..cache(Some(0.0))
            }),
            "cannot be emptied",
        ),
        (
            CachePolicy::Cold,
            Some(CacheReport {
                reset: Some(CacheReset::Failed),
                failure: Some("HTTP 404".into()),
                ..cache(None)
            }),
            "was not emptied before concurrency-1: HTTP 404",
        ),
        (
            CachePolicy::Cold,
            Some(CacheReport {
                reset: Some(CacheReset::Emptied),
                ..cache(Some(0.0))
            }),
            "",
        ),
    ] {
        let message = with_cache(policy, cache);
        assert!(message.contains(expected), "{expected:?}: {message}");
        assert_eq!(message.is_empty(), expected.is_empty(), "{message}");
    }
}

#[test]
fn a_model_that_was_fetched_once_is_the_same_for_all() {
    let fetched = |commit: Option<&str>, told: Option<&str>| {
        let mut plan = fixture::plan();
        plan.prefetch = Some(Default::default());
        let mut facts = fixture::facts();
        facts.preflight.repositories.clear();
        facts.probes[1].1.model_revision = told.map(str::to_owned);
        facts.outcome.model_volume = Some(fixture::model_volume(commit));
        assemble(&plan, &facts, fixture::measured()).fairness
    };
    for commit in [Some("c0ffee"), None] {
        assert_eq!(
            found(&fetched(commit, None), Kind::Weights),
            (FairnessStatus::Fair, String::new())
        );
    }
    let (status, message) = found(&fetched(Some("c0ffee"), Some("0ddba11")), Kind::Weights);
    assert_eq!(status, FairnessStatus::Deviating);
    assert!(message.contains("0ddba11"), "{message}");
}

#[test]
fn weights_of_another_commit_are_named() {
    let known = |facts: &mut Facts| {
        let model = fixture::plan().spec.model;
        let resolved = &mut facts.preflight.repositories[0];
        (resolved.id, resolved.revision) = (model.id, model.revision);
    };
    let fairness = with(known);
    assert_eq!(
        found(&fairness, Kind::Weights),
        (FairnessStatus::Fair, String::new())
    );
    let fairness = with(|facts| {
        known(facts);
        facts.probes[1].1.model_revision = Some("0ddba11".into());
    });
    let (status, message) = found(&fairness, Kind::Weights);
    assert_eq!(status, FairnessStatus::Deviating);
    assert!(
        message
            .starts_with("tgi: it serves the weights of commit 0ddba11, and others those of 41b6"),
        "{message}"
    );
    let fairness = with(|facts| facts.preflight.repositories.clear());
    let (status, message) = found(&fairness, Kind::Weights);
    assert_eq!(status, FairnessStatus::Unproven);
    assert!(
        message.contains("vllm: the commit of the weights"),
        "{message}"
    );
}

/// The fairness of the fixture's run whose engines tell these GPUs.
fn with_accelerators(told: &[(&str, &[&str])]) -> Fairness {
    let mut measured = fixture::measured();
    for one in &mut measured {
        let own = told.iter().find(|(engine, _)| *engine == one.engine);
        let uuids = own.map_or(&[][..], |(_, uuids)| uuids);
        one.stage.accelerators = uuids
            .iter()
            .map(|uuid| AcceleratorDevice {
                uuid: (*uuid).to_owned(),
                ..AcceleratorDevice::default()
            })
            .collect();
    }
    assemble(&fixture::plan(), &fixture::facts(), measured).fairness
}

#[test]
fn other_accelerators_than_another_engines_are_named() {
    let same = with_accelerators(&[("vllm", &["GPU-1"]), ("tgi", &["GPU-1"])]);
    let kind = Kind::Accelerators;
    assert_eq!(found(&same, kind), (FairnessStatus::Fair, String::new()));
    let (status, message) = found(
        &with_accelerators(&[("vllm", &["GPU-1"]), ("tgi", &["GPU-2", "GPU-3"])]),
        kind,
    );
    assert_eq!(status, FairnessStatus::Deviating);
    assert_eq!(
        message,
        "all: in round 1 tgi on GPU-2 and GPU-3, vllm on GPU-1"
    );
    // Of one alone there is nothing to compare.
    for told in [&[][..], &[("vllm", &["GPU-1"][..])]] {
        let fairness = with_accelerators(told);
        assert!(fairness.checks.iter().all(|check| check.check != kind));
    }
}

#[test]
fn cautions_of_profiles_are_named_and_make_nothing_unfair() {
    let with = with(|_| {});
    let (status, message) = found(&with, Kind::Cautions);
    assert_eq!(status, FairnessStatus::Fair);
    assert!(
        message.contains("tgi: Answers cannot be forced to their full length"),
        "{message}"
    );
    let mut plan = fixture::plan();
    for engine in &mut plan.engines {
        engine.cautions.clear();
    }
    let without = assemble(&plan, &fixture::facts(), fixture::measured()).fairness;
    assert!(
        without
            .checks
            .iter()
            .all(|check| check.check != Kind::Cautions)
    );
    assert_eq!(without.status, with.status);
}
