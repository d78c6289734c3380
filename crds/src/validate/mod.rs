//! Rules on a run that the schema cannot say. The schema and its CEL rules come first, at the API
//! server and in `bakeoff validate` alike.

pub mod addresses;
mod budget;
pub mod document;
mod loads;
mod metrics;
mod nodes;
mod price;

use std::collections::BTreeSet;

use crate::{
    common::FileSource,
    run::{BenchmarkRunSpec, ObjectiveMetric},
};

/// Where a run runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a cluster, by the operator.
    Cluster,
    /// In one process, by `bakeoff run`.
    Local,
}

/// One thing that is wrong with a run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {message}")]
pub struct Problem {
    /// Path of the field, such as `spec.engines[1].profile`.
    pub field: String,
    /// Value, what is wrong with it, and the remedy.
    pub message: String,
}

impl Problem {
    /// A problem of one field.
    pub fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            message: message.into(),
        }
    }
}

/// Everything that is wrong with a run; never empty.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct Problems(pub Vec<Problem>);

/// Every rule that the spec breaks.
pub fn rules(spec: &BenchmarkRunSpec, place: Place) -> Vec<Problem> {
    let mut problems = Vec::new();
    unique_engines(spec, &mut problems);
    unique_stages(spec, &mut problems);
    places(spec, place, &mut problems);
    lengths(spec, &mut problems);
    several_prompts(spec, &mut problems);
    loads::rules(spec, &mut problems);
    conversations(spec, &mut problems);
    models(spec, &mut problems);
    crate::plan::prefetch::rules(spec, &mut problems);
    metrics::rules(spec, &mut problems);
    nodes::rules(spec, &mut problems);
    price::rules(spec, &mut problems);
    addresses::rules(spec, &mut problems);
    budget::rules(spec, &mut problems);
    problems
}

fn unique_engines(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for (index, engine) in spec.engines.iter().enumerate() {
        if !seen.insert(&engine.name) {
            problems.push(Problem::new(
                format!("spec.engines[{index}].name"),
                format!(
                    "{:?} is there twice; give each engine a name of its own",
                    engine.name
                ),
            ));
        }
    }
}

fn unique_stages(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let mut seen = BTreeSet::new();
    for stage in crate::plan::stages::stages(spec) {
        if !seen.insert(stage.name.clone()) {
            problems.push(Problem::new(
                "spec.workload.sweep",
                format!(
                    "{} is there twice; use repetitions to measure a level again",
                    stage.name
                ),
            ));
        }
    }
}

/// The files that a run reads, each with its field.
fn files(spec: &BenchmarkRunSpec) -> impl Iterator<Item = (String, &FileSource)> {
    let tokenizer = spec.model.tokenizer.as_ref();
    let tokenizer = tokenizer.map(|file| ("spec.model.tokenizer".to_owned(), file));
    let prompts = spec.workload.prompts.file();
    let prompts = prompts.map(|(field, file)| (format!("spec.workload.prompts.{field}"), file));
    tokenizer.into_iter().chain(prompts)
}

fn places(spec: &BenchmarkRunSpec, place: Place, problems: &mut Vec<Problem>) {
    for (field, source) in files(spec) {
        match place {
            Place::Cluster if source.path.is_some() => problems.push(Problem::new(
                format!("{field}.path"),
                "a file of this machine cannot be read in a cluster; use configMapRef or uri",
            )),
            Place::Local if source.config_map_ref.is_some() => problems.push(Problem::new(
                format!("{field}.configMapRef"),
                "there is no ConfigMap without a cluster; use path or uri",
            )),
            _ => {}
        }
    }
    let uri = &spec.output.uri;
    let local = uri.starts_with("file://");
    let claim = uri.starts_with("pvc://");
    if local && place == Place::Cluster {
        problems.push(Problem::new(
            "spec.output.uri",
            format!("{uri:?} is a folder of this machine; in a cluster use gs://, s3:// or pvc://"),
        ));
    }
    if claim && place == Place::Local {
        problems.push(Problem::new(
            "spec.output.uri",
            format!(
                "{uri:?} is a claim of a cluster; here use file://, gs:// or s3://, or --output"
            ),
        ));
    }
}

fn conversations(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let workload = &spec.workload;
    let Some(conversations) = &workload.prompts.conversations else {
        return;
    };
    if !workload.prompts.inline.is_empty() || workload.prompts.trace.is_some() {
        problems.push(Problem::new(
            "spec.workload.prompts.conversations",
            "inline prompts and traces are single questions; remove it, or use shareGpt, jsonl with messages, or synthetic",
        ));
    }
    if workload.prompts_per_request > 1 {
        problems.push(Problem::new(
            "spec.workload.promptsPerRequest",
            format!(
                "{} prompts in a request are no conversation; set it to 1, or remove prompts.conversations",
                workload.prompts_per_request
            ),
        ));
    }
    if let Some(synthetic) = &workload.prompts.synthetic {
        let turns = u64::from(conversations.max_turns);
        let (input, output) = (
            u64::from(synthetic.input_tokens.mean),
            u64::from(synthetic.output_tokens.mean),
        );
        let last = turns * input + turns.saturating_sub(1) * output;
        let most = u64::from(workload.limits.max_input_tokens);
        if last > most {
            problems.push(Problem::new(
                "spec.workload.prompts.conversations.maxTurns",
                format!(
                    "the last of {turns} turns has a prompt of some {last} tokens with what was said before it, over the limit of {most}; lower it, or raise workload.limits.maxInputTokens"
                ),
            ));
        }
    }
}

fn models(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let mut served = BTreeSet::from([spec.model.id.as_str()]);
    for (index, adapter) in spec.model.adapters.iter().enumerate() {
        if !served.insert(&adapter.name) {
            problems.push(Problem::new(
                format!("spec.model.adapters[{index}].name"),
                format!(
                    "{:?} is another adapter's name or model.id; give each a name of its own",
                    adapter.name
                ),
            ));
        }
    }
    let mut seen = BTreeSet::new();
    for (index, share) in spec.workload.models.iter().enumerate() {
        let problem = if !served.contains(share.name.as_str()) {
            let known: Vec<&str> = served.iter().copied().collect();
            format!(
                "{:?} is not served; name model.id or an adapter: {}",
                share.name,
                known.join(", ")
            )
        } else if !seen.insert(&share.name) {
            format!("{:?} is there twice; add up the weights", share.name)
        } else {
            continue;
        };
        let field = format!("spec.workload.models[{index}].name");
        problems.push(Problem::new(field, problem));
    }
}

fn several_prompts(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let by_token = spec
        .objectives
        .iter()
        .position(|objective| objective.metric == ObjectiveMetric::TimePerOutputToken);
    if let Some(index) = by_token.filter(|_| spec.workload.prompts_per_request > 1) {
        problems.push(Problem::new(
            format!("spec.objectives[{index}].metric"),
            "TimePerOutputToken is a figure of one answer, and a request of several prompts has several; use another metric, or set workload.promptsPerRequest to 1",
        ));
    }
}

fn lengths(spec: &BenchmarkRunSpec, problems: &mut Vec<Problem>) {
    let limits = &spec.workload.limits;
    if let Some(most) = spec.model.max_model_len {
        let asked = limits
            .max_input_tokens
            .saturating_add(limits.max_output_tokens);
        if asked > most {
            problems.push(Problem::new(
                "spec.workload.limits",
                format!(
                    "maxInputTokens {} and maxOutputTokens {} together exceed model.maxModelLen {most}; lower them or raise it",
                    limits.max_input_tokens, limits.max_output_tokens
                ),
            ));
        }
    }
    if let Some(synthetic) = &spec.workload.prompts.synthetic {
        for (field, mean, most) in [
            (
                "inputTokens",
                synthetic.input_tokens.mean,
                limits.max_input_tokens,
            ),
            (
                "outputTokens",
                synthetic.output_tokens.mean,
                limits.max_output_tokens,
            ),
        ] {
            if mean > most {
                problems.push(Problem::new(
                    format!("spec.workload.prompts.synthetic.{field}.mean"),
                    format!("{mean} exceeds the limit of {most} tokens; raise workload.limits or lower it"),
                ));
            }
        }
        let mean = synthetic.input_tokens.mean;
        let prefix = synthetic.shared_prefix.as_ref();
        if let Some(prefix) = prefix.filter(|prefix| prefix.tokens >= mean) {
            problems.push(Problem::new(
                "spec.workload.prompts.synthetic.sharedPrefix.tokens",
                format!(
                    "{} leaves nothing of inputTokens.mean {mean}; lower it",
                    prefix.tokens
                ),
            ));
        }
    }
}
