//! What can go wrong between the operator and the API server.

use crate::lease::NotLeader;

/// A failed step of a reconcile. It is retried with growing pauses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What was to be read.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Making an object failed: a quota, an admission policy, missing rights.
    #[error("cannot make {what}: {source}")]
    Apply {
        /// Kind and name.
        what: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Deleting an object failed.
    #[error("cannot delete {what}: {source}")]
    Delete {
        /// Kind and name.
        what: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Nothing was written, because another operator may act by now.
    #[error(transparent)]
    NotLeader(NotLeader),
    /// Writing the status failed.
    #[error("cannot write the status: {source}")]
    Status {
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
}

impl From<NotLeader> for Error {
    fn from(error: NotLeader) -> Self {
        Self::NotLeader(error)
    }
}

impl Error {
    /// A failed read.
    pub fn read(what: &'static str) -> impl FnOnce(kube::Error) -> Self {
        move |source| Self::Read {
            what,
            source: Box::new(source),
        }
    }

    /// The kind of error, for a metric's label: one of few.
    pub const fn category(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Apply { .. } => "apply",
            Self::Delete { .. } => "delete",
            Self::Status { .. } => "status",
            Self::NotLeader(_) => "leadership",
        }
    }
}
