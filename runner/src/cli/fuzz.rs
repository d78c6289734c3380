//! Documents and plans, mutated at random: each is taken, or refused by problems that name a field
//! or a line, and whatever is taken gives a plan that can be read back and shown.

use bakeoff_crds::{
    plan::{Place, Plan, PlanSettings, Problem, resolve},
    profile::ProfileSet,
    validate::document::{Document, read},
};
use serde_json::{Value, json};

use super::{plan::text, validate::problems};
use crate::testing::fuzz;

const SAMPLES: &[&str] = &[
    include_str!("../../../deploy/samples/quickstart.yaml"),
    include_str!("../../../deploy/samples/mistral-7b-l4-gcs.yaml"),
    include_str!("../../../deploy/samples/mistral-7b-l4-s3.yaml"),
    include_str!("../../../deploy/samples/highest-rate.yaml"),
    include_str!("../../../deploy/samples/trace-replay.yaml"),
    include_str!("../../../deploy/samples/external-vs-self-hosted.yaml"),
    include_str!("../../../deploy/samples/adapters-vllm-tgi.yaml"),
    include_str!("../../../deploy/samples/conversations.yaml"),
];
const PROFILES: &[&str] = &[
    include_str!("../../../crds/profiles/vllm.yaml"),
    include_str!("../../../crds/profiles/tgi.yaml"),
    include_str!("../../../crds/profiles/triton-vllm.yaml"),
];

/// Pieces of YAML.
const WORDS: &[&[u8]] = &[
    b"\n", b"\r\n", b"\t", b": ", b"- ", b"  ", b"---\n", b"...\n", b"{", b"}", b"[", b"]", b"'", b"\"", b"#", b"&a ", b"*a", b"<<: *a\n",
    b"!!binary ", b"!!str ", b"!!int ", b"? ", b"| \n", b">-\n", b"%YAML 1.1\n", b"null", b"~", b".nan", b".inf", b"1e999", b"0x1F", b"0o17",
    b"-1", b"99999999999999999999", b"1.0", b"yes", b"\xFF\xFE", b"\xEF\xBB\xBF", b"\x00", b"\xE2\x80\xA8", b"spec: {}\n", b"metadata: {name: x}\n",
    b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[",
    b"{a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: {a: ",
];

fn settings(place: Place) -> PlanSettings {
    PlanSettings {
        runner_image: "runner".into(),
        place,
    }
}

/// A profile as a document of its own.
fn profile(spec: &str) -> Value {
    let spec: Value = serde_saphyr::from_str(spec).unwrap();
    json!({"apiVersion": "bakeoff.dev/v1alpha1", "kind": "EngineProfile", "metadata": {"name": "vllm"}, "spec": spec})
}

fn says_what_to_do(problems: &[Problem]) {
    for problem in problems {
        let told = problem.to_string();
        assert!(
            !problem.field.is_empty() && !problem.message.is_empty(),
            "{told}"
        );
        assert!(told.chars().count() < 3000, "{told}");
    }
}

#[test]
fn documents_are_taken_or_refused() {
    let profiles = ProfileSet::builtin();
    let others: Vec<&[u8]> = SAMPLES.iter().map(|sample| sample.as_bytes()).collect();
    let (mut taken, mut refused) = (0, 0);
    fuzz::cases(150, |random| {
        let mut yaml = random.pick(SAMPLES).as_bytes().to_vec();
        for _ in 0..1 + random.below(4) {
            random.mutate(&mut yaml, &others, WORDS);
        }
        let place = *random.pick(&[Place::Local, Place::Cluster]);
        let problems = problems(&String::from_utf8_lossy(&yaml), &profiles, place);
        says_what_to_do(&problems);
        *if problems.is_empty() {
            &mut taken
        } else {
            &mut refused
        } += 1;
    });
    eprintln!("{taken} taken, {refused} refused");
}

#[test]
fn what_is_taken_gives_a_plan_that_can_be_read_back() {
    let runs: Vec<Value> = SAMPLES
        .iter()
        .map(|yaml| serde_saphyr::from_str(yaml).unwrap())
        .collect();
    let profiles: Vec<Value> = PROFILES.iter().map(|yaml| profile(yaml)).collect();
    let (mut planned, mut refused) = (0, 0);
    fuzz::cases(150, |random| {
        let mut set = ProfileSet::builtin();
        let mut run = random.pick(&runs).clone();
        if random.below(3) == 0 {
            let mut own = random.pick(&profiles).clone();
            random.mutate_json(&mut own["spec"]);
            match read(&serde_json::to_string(&own).unwrap()) {
                Ok(Document::EngineProfile(profile)) => set = set.with("vllm", profile.spec),
                Ok(Document::BenchmarkRun(_)) => unreachable!("it is a profile"),
                Err(problems) => says_what_to_do(&problems),
            }
        } else {
            for _ in 0..1 + random.below(2) {
                random.mutate_json(&mut run);
            }
        }
        let place = *random.pick(&[Place::Local, Place::Cluster]);
        let run = match read(&serde_json::to_string(&run).unwrap()) {
            Ok(Document::BenchmarkRun(run)) => run,
            Ok(Document::EngineProfile(_)) => unreachable!("no text makes a profile of it"),
            Err(problems) => {
                refused += 1;
                return says_what_to_do(&problems);
            }
        };
        match resolve(&run, &set, &settings(place)) {
            Ok(plan) => {
                planned += 1;
                let json = serde_json::to_vec(&plan).unwrap();
                assert_eq!(Plan::read(&json).unwrap(), plan);
                text(&plan).unwrap();
            }
            Err(problems) => {
                refused += 1;
                says_what_to_do(&problems.0);
            }
        }
    });
    eprintln!("{planned} planned, {refused} refused");
    assert!(planned > 0 && refused > 0);
}

#[test]
fn a_stored_plan_is_shown_or_refused() {
    let plans: Vec<Value> = SAMPLES
        .iter()
        .filter_map(|yaml| match read(yaml) {
            Ok(Document::BenchmarkRun(run)) => Some(run),
            _ => None,
        })
        .filter_map(|run| {
            [Place::Local, Place::Cluster]
                .into_iter()
                .find_map(|place| resolve(&run, &ProfileSet::builtin(), &settings(place)).ok())
        })
        .map(|plan| serde_json::to_value(plan).unwrap())
        .collect();
    assert_eq!(plans.len(), SAMPLES.len());
    let (mut shown, mut refused) = (0, 0);
    fuzz::cases(150, |random| {
        let mut plan = random.pick(&plans).clone();
        for _ in 0..1 + random.below(3) {
            random.mutate_json(&mut plan);
        }
        match Plan::read(&serde_json::to_vec(&plan).unwrap()) {
            Ok(plan) => {
                shown += 1;
                text(&plan).unwrap();
            }
            Err(error) => {
                refused += 1;
                let told = error.to_string();
                assert!(
                    told.ends_with("begin a new run") && told.len() < 1500,
                    "{told}"
                );
            }
        }
    });
    eprintln!("{shown} shown, {refused} refused");
    assert!(shown > 0 && refused > 0);
}
