//! Why a round ended early, as a person and the operator read it.

use bakeoff_crds::{
    plan::http::HttpFormatError,
    report::StageReport,
    summary::{Failure, reason},
};

use crate::{drive::DriveError, shard::files::FilesError, store::StoreError};

/// Why a round ended early. What was measured until then is in the store.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct MeasureError {
    /// One word of `bakeoff_crds::summary::reason`.
    pub reason: &'static str,
    /// What happened and what to do.
    pub message: String,
    /// Whether a further try may go through.
    pub may_pass: bool,
    /// A stage that was measured and could not be stored.
    pub(crate) unstored: Option<Box<StageReport>>,
}

impl MeasureError {
    /// An error that would come again.
    pub(crate) fn new(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            may_pass: false,
            unstored: None,
        }
    }

    /// The same, where a further try may go through.
    pub(crate) fn that_may_pass(self) -> Self {
        Self {
            may_pass: true,
            ..self
        }
    }

    /// As a termination message says it.
    pub fn failure(&self) -> Failure {
        Failure {
            reason: self.reason.into(),
            message: self.message.clone(),
            may_pass: self.may_pass,
        }
    }
}

impl From<StoreError> for MeasureError {
    fn from(error: StoreError) -> Self {
        Self {
            may_pass: error.may_pass(),
            ..Self::new(reason::UPLOAD_FAILED, error.to_string())
        }
    }
}

impl From<FilesError> for MeasureError {
    fn from(error: FilesError) -> Self {
        let may_pass = matches!(&error, FilesError::Store(error) if error.may_pass());
        Self {
            may_pass,
            ..Self::new(reason::UPLOAD_FAILED, error.to_string())
        }
    }
}

impl From<HttpFormatError> for MeasureError {
    fn from(error: HttpFormatError) -> Self {
        Self::new(reason::INVALID_SPEC, format!("http.{error}"))
    }
}

impl From<DriveError> for MeasureError {
    fn from(error: DriveError) -> Self {
        let may_pass = match &error {
            DriveError::System(_) | DriveError::Panicked | DriveError::NotBegun => true,
            DriveError::NoPrompts | DriveError::Load(_) | DriveError::TlsName(_) => false,
        };
        Self {
            may_pass,
            ..Self::new(reason::RUNNER_CRASHED, error.to_string())
        }
    }
}

/// That the runner was told to stop.
pub(crate) fn stopped() -> MeasureError {
    MeasureError::new(
        reason::ABORTED,
        "the runner was told to stop; what was measured until then is stored",
    )
    .that_may_pass()
}
