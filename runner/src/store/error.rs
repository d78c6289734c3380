//! What can go wrong with a store, each message naming place, cause and remedy.

use std::error::Error as _;

use object_store::client::{HttpError, HttpErrorKind};

use super::Store;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The address cannot be used.
    #[error("{uri:?} cannot be used as an address: {problem}")]
    Address {
        /// The address.
        uri: String,
        /// What is wrong with it, and the remedy.
        problem: String,
    },
    /// A key, certificate or endpoint cannot be used.
    #[error("{what} cannot be used: {problem}")]
    Configuration {
        /// Where the setting comes from.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// There is nothing at the address.
    #[error("{uri} does not exist")]
    NotFound {
        /// The address.
        uri: String,
    },
    /// The key already holds other bytes. Nothing is ever overwritten.
    #[error(
        "{uri} already exists with other content (SHA-256 {found} there, {wanted} to be written); \
         nothing is ever overwritten: remove it or use another output.uri"
    )]
    Differs {
        /// The address.
        uri: String,
        /// SHA-256 of what is there.
        found: String,
        /// SHA-256 of what was to be written.
        wanted: String,
    },
    /// The store refused, or could not be reached.
    #[error("{uri} cannot be {action}: {cause}; {remedy}")]
    Refused {
        /// The address.
        uri: String,
        /// `read` or `written`.
        action: &'static str,
        /// What the store or the network said.
        cause: String,
        /// What to do.
        remedy: String,
        /// Whether a later try may go through.
        transient: bool,
    },
    /// The time for a write or a read with all its tries passed.
    #[error("{uri} could not be {action} within {seconds} s: {last}")]
    Deadline {
        /// The address.
        uri: String,
        /// `read` or `written`.
        action: &'static str,
        /// The time, in seconds.
        seconds: u64,
        /// What the last try ended with.
        last: String,
    },
    /// What was written reads back as something else.
    #[error(
        "{uri} reads back differently from what was written; check what lies between Bakeoff and the bucket"
    )]
    Corrupt {
        /// The address.
        uri: String,
    },
}

impl StoreError {
    pub(super) fn read(store: &Store, path: &str, cause: object_store::Error) -> Self {
        Self::refused(store, path, "read", cause)
    }

    pub(super) fn refused(
        store: &Store,
        path: &str,
        action: &'static str,
        cause: object_store::Error,
    ) -> Self {
        let uri = store.uri(path);
        if action == "read" && matches!(cause, object_store::Error::NotFound { .. }) {
            return Self::NotFound { uri };
        }
        // A write finds nothing only where the bucket itself is missing.
        let remedy = match cause {
            object_store::Error::NotFound { .. } => {
                "make the bucket, or correct spec.output.uri".to_owned()
            }
            _ => remedy_of(&cause).map_or_else(|| store.location.remedy(), str::to_owned),
        };
        Self::Refused {
            uri,
            action,
            transient: is_transient(&cause),
            cause: whole_story(&cause),
            remedy,
        }
    }

    /// Whether a later try may go through.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                transient: true,
                ..
            }
        )
    }
}

impl StoreError {
    /// Whether a later process may fare better, although this one has tried for as long as it may:
    /// the store is away, and nothing says that it refuses.
    pub fn may_pass(&self) -> bool {
        self.is_transient() || matches!(self, Self::Deadline { .. })
    }
}

/// Rights, names and settings do not mend themselves; anything else may.
fn is_transient(cause: &object_store::Error) -> bool {
    use object_store::Error;
    !matches!(
        cause,
        Error::NotFound { .. }
            | Error::InvalidPath { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::UnknownConfigurationKey { .. }
    )
}

/// What to do where no right is missing: the server was not reached, or is not trusted.
fn remedy_of(cause: &object_store::Error) -> Option<&'static str> {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(cause);
    let mut unreached = false;
    while let Some(cause) = next {
        if let Some(error) = cause.downcast_ref::<HttpError>() {
            unreached = matches!(
                error.kind(),
                HttpErrorKind::Connect | HttpErrorKind::Timeout
            );
        }
        // The TLS stack's own errors are not for us to name: several libraries wrap them.
        if cause.to_string().contains("peer certificate") {
            return Some(
                "name the authority of its certificate in spec.output.caBundleRef \
                 (BAKEOFF_CA_BUNDLE=FILE outside a cluster)",
            );
        }
        next = cause.source();
    }
    unreached.then_some(
        "check that the server is up and can be reached from here, and spec.output.endpoint \
         (AWS_ENDPOINT_URL or STORAGE_EMULATOR_HOST outside a cluster)",
    )
}

/// An error with its causes, each said once: libraries differ in whether a message holds its cause.
/// Of an S3 or GCS server's XML only code and message are kept; the rest is pages of key material.
fn whole_story(error: &object_store::Error) -> String {
    let mut story = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let text = cause.to_string();
        if !story.contains(&text) {
            story.push_str(": ");
            story.push_str(&text);
        }
        next = cause.source();
    }
    without_xml(&story)
}

fn without_xml(story: &str) -> String {
    let Some((before, xml)) = story
        .split_once("<?xml")
        .or_else(|| story.split_once("<Error>"))
    else {
        return story.to_owned();
    };
    let element = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>"))?;
        Some(rest.split_once(&format!("</{name}>"))?.0.trim())
    };
    let said: Vec<_> = ["Code", "Message"]
        .into_iter()
        .filter_map(element)
        .collect();
    format!("{before}{}", said.join(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn over_http(kind: HttpErrorKind, text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: Box::new(HttpError::new(kind, std::io::Error::other(text.to_owned()))),
        }
    }

    #[test]
    fn the_remedy_fits_the_cause() {
        let table = [
            (
                HttpErrorKind::Connect,
                "invalid peer certificate: UnknownIssuer",
                Some("caBundleRef"),
            ),
            (
                HttpErrorKind::Connect,
                "connection refused",
                Some("server is up"),
            ),
            (
                HttpErrorKind::Timeout,
                "operation timed out",
                Some("server is up"),
            ),
            (HttpErrorKind::Unknown, "403 Forbidden", None),
        ];
        for (kind, text, expected) in table {
            let remedy = remedy_of(&over_http(kind, text));
            assert_eq!(remedy.is_some(), expected.is_some(), "{text}: {remedy:?}");
            if let (Some(remedy), Some(expected)) = (remedy, expected) {
                assert!(remedy.contains(expected), "{text}: {remedy}");
            }
        }
    }

    #[test]
    fn a_servers_xml_is_cut_down_to_what_it_says() {
        let xml = "403 Forbidden: <?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code>\
                   <Message>The signature does not match.</Message><StringToSign>secret</StringToSign></Error>";
        assert_eq!(
            without_xml(xml),
            "403 Forbidden: SignatureDoesNotMatch: The signature does not match."
        );
        assert_eq!(without_xml("plain"), "plain");
    }
}
