//! `bakeoff plan`: every manifest and request that a run would make, and its GPU-hours.

use std::{path::PathBuf, process::ExitCode};

use bakeoff_crds::{
    manifests::{
        LoadFacts, MonitoringApi, engine_objects, gpu_hours_at_most, model_claim,
        outcome_config_map, plan_config_map, pod_monitoring, prefetch_job, preflight_job,
        reporter_job, runner_job, runner_requests, runner_service, turns,
    },
    outcome::Outcome,
    plan::{Place, Plan, PlanSettings, resolve},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use serde::Serialize;

use super::exit;

/// Image that stands in the manifests where the run names none: the operator fills in its own.
const RUNNER_IMAGE: &str = "RUNNER-IMAGE";

/// Arguments of `bakeoff plan`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// File with a BenchmarkRun; `-` is standard input
    file: PathBuf,
    /// Files with an EngineProfile that the cluster has beside the built-in ones
    #[arg(long = "profile", value_name = "FILE")]
    profiles: Vec<PathBuf>,
}

/// Runs the command.
///
/// # Errors
/// Where the plan cannot be shown.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let Arguments { file, profiles } = arguments;
    let read = super::files::benchmark_run(&file)
        .and_then(|run| Ok((run, super::files::profiles(&profiles)?)));
    let (run, profiles) = match read {
        Ok(read) => read,
        Err(error) => return exit::usage(&error),
    };
    let settings = PlanSettings {
        runner_image: RUNNER_IMAGE.into(),
        place: Place::Cluster,
    };
    match resolve(&run, &profiles, &settings) {
        Ok(plan) => {
            super::print(&text(&plan)?);
            Ok(ExitCode::SUCCESS)
        }
        Err(problems) => {
            for problem in problems.0 {
                eprintln!("{}: {problem}", file.display());
            }
            Ok(ExitCode::from(exit::USAGE))
        }
    }
}

/// The plan in words, as comments, and its manifests as YAML documents.
pub(super) fn text(plan: &Plan) -> anyhow::Result<String> {
    let owner = OwnerReference {
        api_version: "bakeoff.dev/v1alpha1".into(),
        kind: "BenchmarkRun".into(),
        name: plan.run.name.clone(),
        uid: plan.run.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    };
    let mut documents = vec![
        yaml(&plan_config_map(plan, &owner))?,
        yaml(&preflight_job(plan, &owner))?,
    ];
    if let Some(claim) = model_claim(plan, &owner) {
        documents.push(yaml(&claim)?);
    }
    if let Some(job) = prefetch_job(plan, &owner) {
        documents.push(yaml(&job)?);
    }
    for turn in turns(plan) {
        if let Some(engine) = engine_objects(plan, &owner, turn, None) {
            if let Some(files) = engine.files {
                documents.push(yaml(&files)?);
            }
            documents.push(yaml(&engine.workload)?);
            documents.push(yaml(&engine.service)?);
        }
        if let Some(monitoring) = pod_monitoring(plan, &owner, turn, MonitoringApi::GoogleManaged) {
            documents.push(yaml(&monitoring)?);
        }
        let facts = LoadFacts {
            prompts_sha256: "SHA-256-OF-THE-FROZEN-PROMPTS",
            ..LoadFacts::default()
        };
        if let Some(service) = runner_service(plan, &owner, turn) {
            documents.push(yaml(&service)?);
        }
        documents.push(yaml(&runner_job(plan, &owner, turn, &facts))?);
    }
    documents.push(yaml(&outcome_config_map(
        plan,
        &owner,
        &Outcome::default(),
    ))?);
    documents.push(yaml(&reporter_job(plan, &owner))?);
    Ok(format!(
        "{}---\n{}",
        overview(plan),
        documents.join("---\n")
    ))
}

fn yaml(object: &impl Serialize) -> anyhow::Result<String> {
    // By way of JSON, so that keys come in one order.
    Ok(serde_saphyr::to_string(&serde_json::to_value(object)?)?)
}

/// What the pods that make the load ask for, each and together.
fn client(plan: &Plan) -> String {
    let requests = runner_requests(plan);
    let amounts = |times: u32| {
        let amounts = requests.iter();
        let amounts =
            amounts.map(|(resource, amount)| format!("{resource} {}", times_of(amount, times)));
        let amounts: Vec<String> = amounts.collect();
        match amounts.is_empty() {
            true => "no resources".to_owned(),
            false => amounts.join(", "),
        }
    };
    match plan.spec.runner.parallelism {
        0 | 1 => format!("load from 1 runner pod: {}", amounts(1)),
        pods => format!(
            "load from {pods} runner pods as one client: each {}; together {}",
            amounts(1),
            amounts(pods)
        ),
    }
}

/// So many times an amount, in the amount's own unit.
fn times_of(amount: &str, times: u32) -> String {
    let digits = amount
        .find(|character: char| !character.is_ascii_digit() && character != '.')
        .unwrap_or(amount.len());
    let (number, unit) = amount.split_at(digits);
    match number.parse::<f64>() {
        // An exponent is no unit.
        Ok(number) if !unit.contains(|character: char| character.is_ascii_digit()) => {
            format!("{}{unit}", number * f64::from(times))
        }
        _ => format!("{times} × {amount}"),
    }
}

fn overview(plan: &Plan) -> String {
    let spec = &plan.spec;
    let mut lines = vec![
        format!("BenchmarkRun {}/{}", plan.run.namespace, plan.run.name),
        format!(
            "{} rounds over {} engines, {} repetitions of {}{} stages each",
            spec.policy.rounds,
            plan.engines.len(),
            spec.workload.repetitions,
            if plan.search.is_some() {
                "at most "
            } else {
                ""
            },
            plan.stages_at_most()
        ),
        format!(
            "at most {:.2} accelerator-hours, by the run's own deadlines",
            gpu_hours_at_most(plan)
        ),
        client(plan),
        format!(
            "results under {}/{}",
            spec.output.uri.trim_end_matches('/'),
            plan.run.folder()
        ),
    ];
    for stage in &plan.stages {
        lines.push(format!("stage {}: until {:?}", stage.name, stage.end));
    }
    if let Some(search) = &plan.search {
        lines.push(format!(
            "further stages up to {:?} {}, each engine's own, by what was measured",
            search.variable, search.max
        ));
    }
    for engine in &plan.engines {
        lines.push(format!(
            "engine {}: POST {} as {:?}, model {:?}",
            engine.name, engine.endpoint.path, engine.endpoint.protocol, engine.endpoint.model
        ));
        lines.extend(
            engine
                .deviations
                .iter()
                .map(|text| format!("  deviates: {text}")),
        );
        lines.extend(
            engine
                .cautions
                .iter()
                .map(|text| format!("  caution: {text}")),
        );
    }
    lines.extend(plan.warnings.iter().map(|text| format!("warning: {text}")));
    lines.iter().map(|line| format!("# {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is said of the runner of a run.
    fn said_of(runner: &str) -> String {
        let run = format!(
            "{{apiVersion: bakeoff.dev/v1alpha1, kind: BenchmarkRun, metadata: {{name: a}}, spec: {{\
             model: {{id: m}}, engines: [{{name: vllm, profile: vllm}}], \
             workload: {{prompts: {{inline: [a]}}}}, output: {{uri: 's3://b'}}, runner: {runner}}}}}"
        );
        let settings = PlanSettings {
            runner_image: RUNNER_IMAGE.into(),
            place: Place::Cluster,
        };
        let run = serde_saphyr::from_str(&run).unwrap();
        let plan = resolve(
            &run,
            &bakeoff_crds::profile::ProfileSet::builtin(),
            &settings,
        )
        .unwrap();
        let overview = overview(&plan);
        let line = overview.lines().find(|line| line.contains("runner pod"));
        line.unwrap().trim_start_matches("# ").to_owned()
    }

    #[test]
    fn what_runner_pods_ask_for_is_added_up() {
        for (runner, expected) in [
            ("{}", "load from 1 runner pod: cpu 2, memory 1Gi"),
            (
                "{parallelism: 4}",
                "load from 4 runner pods as one client: each cpu 2, memory 1Gi; together cpu 8, memory 4Gi",
            ),
            (
                "{parallelism: 2, resources: {requests: {cpu: 500m}, limits: {cpu: 1, memory: 64Mi}}}",
                "load from 2 runner pods as one client: each cpu 500m, memory 64Mi; together cpu 1000m, memory 128Mi",
            ),
        ] {
            assert_eq!(said_of(runner), expected);
        }
    }

    #[test]
    fn amounts_are_multiplied_in_their_own_unit() {
        for (amount, expected) in [
            ("2", "8"),
            ("500m", "2000m"),
            ("1.5Gi", "6Gi"),
            ("1e3", "4 × 1e3"),
            ("", "4 × "),
        ] {
            assert_eq!(times_of(amount, 4), expected, "{amount}");
        }
    }
}
