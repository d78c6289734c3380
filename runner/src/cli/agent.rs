//! `bakeoff agent`: what the Jobs of a cluster start.

use std::process::ExitCode;

use clap::Subcommand;

use crate::agent::{hold, load, prefetch, preflight, report};

/// Arguments of `bakeoff agent`.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    #[command(subcommand)]
    agent: Agent,
}

#[derive(Debug, Subcommand)]
enum Agent {
    /// Check bucket and inputs, and freeze the prompts
    Preflight(preflight::Arguments),
    /// Fetch the model into the volume that all engines mount
    Prefetch(prefetch::Arguments),
    /// Hold a node until told to end
    Hold,
    /// Load one engine for one round
    Load(load::Arguments),
    /// Write the report of what was measured
    Report(report::Arguments),
}

/// Runs the command.
///
/// # Errors
/// Where not even the last words can be written.
pub fn run(arguments: Arguments) -> anyhow::Result<ExitCode> {
    let runtime = super::runtime()?;
    match arguments.agent {
        Agent::Preflight(arguments) => runtime.block_on(preflight::run(arguments)),
        Agent::Prefetch(arguments) => runtime.block_on(prefetch::run(arguments)),
        Agent::Hold => runtime.block_on(hold::run()),
        Agent::Load(arguments) => runtime.block_on(load::run(arguments)),
        Agent::Report(arguments) => runtime.block_on(report::run(arguments)),
    }
}

#[cfg(test)]
mod tests {
    use bakeoff_crds::manifests::{prefetch_job, preflight_job, reporter_job};
    use clap::Args as _;

    use super::*;
    use crate::report::fixture;

    const RUN: &str = r#"
apiVersion: bakeoff.dev/v1alpha1
kind: BenchmarkRun
metadata: {name: words, namespace: bench, uid: 0f9a1b2c-0000-4000-8000-000000000000}
spec:
  model: {id: org/model, persistentVolumeClaim: {claimName: slow}, prefetch: {size: 1Gi}}
  engines: [{name: vllm, profile: vllm}]
  workload: {prompts: {inline: [hello]}}
  output: {uri: "s3://results/bakeoff"}
"#;

    #[test]
    fn the_words_of_the_jobs_are_understood() {
        let plan = fixture::plan_of(RUN);
        let owner = Default::default();
        let jobs = [
            Some(preflight_job(&plan, &owner)),
            prefetch_job(&plan, &owner),
            Some(reporter_job(&plan, &owner)),
        ];
        for job in jobs.into_iter().flatten() {
            let pod = job.spec.unwrap().template.spec.unwrap();
            let words = pod.containers[0].args.clone().unwrap();
            let command = Arguments::augment_args(clap::Command::new("agent"));
            let understood = command.try_get_matches_from(&words);
            assert!(understood.is_ok(), "{words:?}: {understood:?}");
        }
    }
}
