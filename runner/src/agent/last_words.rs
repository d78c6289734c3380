//! What a pod of ours says at its end: the termination message, and the exit code.

use std::{path::Path, process::ExitCode};

use anyhow::Context;
use bakeoff_crds::{
    plan::Plan,
    summary::{Failure, Termination, reason},
};

use crate::{cli::exit, measure::fit};

/// Where Kubernetes reads a container's last words.
pub const TERMINATION_LOG: &str = "/dev/termination-log";

/// A failure with a name.
pub fn failure(reason: &str, message: impl ToString) -> Failure {
    Failure {
        reason: reason.to_owned(),
        message: message.to_string(),
    }
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
    serde_json::from_slice(&json).map_err(|error| told(&error))
}

/// Says the last words, and gives the exit code: not 0 where they tell of a failure.
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
    let code = if termination.failure.is_some() {
        exit::FAILED
    } else {
        0
    };
    std::fs::write(path, fit(termination))
        .with_context(|| format!("writing {}", path.display()))?;
    Ok(ExitCode::from(code))
}
