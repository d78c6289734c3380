//! What can go wrong between the operator and the API server.

use crate::lease::NotLeader;

/// A failed step of a reconcile. It is retried with growing pauses.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Reading failed.
    #[error("cannot read {what}: {}", words(source))]
    Read {
        /// What was to be read.
        what: &'static str,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Making an object failed: a quota, an admission policy, missing rights.
    #[error("cannot make {what}: {}", words(source))]
    Apply {
        /// Kind and name.
        what: String,
        /// The client's error.
        #[source]
        source: Box<kube::Error>,
    },
    /// Deleting an object failed.
    #[error("cannot delete {what}: {}", words(source))]
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
    #[error("cannot write the status: {}", words(source))]
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

/// What the API server said, without how the client holds it.
fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_servers_own_words_are_told() {
        let status =
            kube::core::Status::failure("pods \"x\" is forbidden: exceeded quota", "Forbidden");
        let error = Error::Apply {
            what: "Pod x".into(),
            source: Box::new(kube::Error::Api(Box::new(status))),
        };
        let told = "cannot make Pod x: pods \"x\" is forbidden: exceeded quota";
        assert_eq!(error.to_string(), told);
    }
}
