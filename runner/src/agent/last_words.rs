//! What a pod of ours says at its end: the termination message, and the exit code.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use bakeoff_crds::{
    plan::Plan,
    summary::{Failure, Termination, exit_code, reason},
};

use crate::{
    measure::fit,
    store::{Environment, environment::CA_BUNDLE},
};

/// Where Kubernetes reads a container's last words.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// A failure with a name, which would come again.
pub fn failure(reason: &str, message: impl ToString) -> Failure {
    Failure {
        reason: reason.to_owned(),
        message: message.to_string(),
        may_pass: false,
    }
}

/// Checks that the certificates which the plan names are there. Their volume is optional, so that
/// a missing ConfigMap has a name and keeps no pod waiting without an end.
///
/// # Errors
/// A failure that names the ConfigMap.
pub fn check_ca_bundle(plan: &Plan, environment: &Environment) -> Result<(), Failure> {
    let (Some(bundle), Some(path)) = (&plan.spec.output.ca_bundle_ref, environment.get(CA_BUNDLE))
    else {
        return Ok(());
    };
    if Path::new(path).exists() {
        return Ok(());
    }
    Err(failure(
        reason::CONFIG_MAP_NOT_FOUND,
        format!(
            "ConfigMap {} with key {} (spec.output.caBundleRef) does not exist; make it in the \
             run's namespace, and begin a new run",
            bundle.name, bundle.key
        ),
    ))
}

/// Reads the plan that a pod was given.
///
/// # Errors
/// A failure that names the file.
pub fn read_plan(path: &Path) -> Result<Plan, Failure> {
    let told = |error: &dyn std::fmt::Display| {
        failure(
            reason::INVALID_SPEC,
            format!("the plan {} cannot be read: {error}", path.display()),
        )
    };
    let json = std::fs::read(path).map_err(|error| told(&error))?;
    Plan::read(&json).map_err(|error| told(&error))
}

/// Says the last words, and gives the exit code: not 0 where they tell of a failure, and one by
/// which the Job knows whether to try again.
///
/// # Errors
/// Where the file cannot be written.
pub fn say(result: Result<Termination, Failure>, path: &Path) -> anyhow::Result<ExitCode> {
    let termination = result.unwrap_or_else(|failure| {
        tracing::error!(reason = %failure.reason, message = %failure.message, "failed");
        Termination {
            failure: Some(failure),
            ..Termination::default()
        }
    });
    let code = exit_code_of(&termination);
    std::fs::write(path, fit(termination))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(ExitCode::from(code))
}

fn exit_code_of(termination: &Termination) -> u8 {
    let code = match &termination.failure {
        None => 0,
        Some(failure) if failure.may_pass => exit_code::MAY_PASS,
        Some(_) => exit_code::FINAL,
    };
    u8::try_from(code).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::fixture;

    #[test]
    fn the_exit_code_says_whether_to_try_again() {
        let of = |failure: Option<Failure>| {
            exit_code_of(&Termination {
                failure,
                ..Termination::default()
            })
        };
        assert_eq!(of(None), 0);
        assert_eq!(of(Some(failure(reason::HASH_MISMATCH, "other"))), 4);
        let away = Failure {
            may_pass: true,
            ..failure(reason::UPLOAD_FAILED, "away")
        };
        assert_eq!(of(Some(away)), 75);
    }

    #[test]
    fn missing_certificates_are_named_by_their_config_map() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("ca.pem");
        let environment = Environment::from([(CA_BUNDLE, file.to_str().unwrap())]);
        let mut plan = fixture::plan();
        assert_eq!(check_ca_bundle(&plan, &environment), Ok(()), "none named");
        plan.spec.output.ca_bundle_ref = Some(bakeoff_crds::common::ConfigMapKeyRef {
            name: "authority".into(),
            key: "ca.pem".into(),
        });
        let missing = check_ca_bundle(&plan, &environment).unwrap_err();
        assert_eq!(missing.reason, reason::CONFIG_MAP_NOT_FOUND);
        assert!(
            missing.message.contains("authority with key ca.pem"),
            "{missing:?}"
        );
        std::fs::write(&file, "PEM").unwrap();
        assert_eq!(check_ca_bundle(&plan, &environment), Ok(()));
    }
}
