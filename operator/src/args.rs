//! What can be set from outside.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

/// The Bakeoff controller: brings each BenchmarkRun of a cluster to its end.
///
/// Runs as one replica (Deployment strategy Recreate).
#[derive(Clone, Debug, Parser)]
#[command(version)]
pub struct Args {
    /// Image of preflight, runner, reporter and simulated engines. A run may name another.
    #[arg(long, env = "BAKEOFF_RUNNER_IMAGE", value_name = "IMAGE")]
    pub runner_image: String,
    /// Address of /livez, /readyz and /metrics.
    #[arg(
        long,
        env = "BAKEOFF_LISTEN",
        default_value = "0.0.0.0:8080",
        value_name = "ADDRESS"
    )]
    pub listen: SocketAddr,
    /// Namespaces to watch, separated by commas. Left out or empty: all.
    #[arg(
        long = "namespace",
        visible_alias = "namespaces",
        env = "WATCH_NAMESPACE",
        value_delimiter = ',',
        value_name = "NAMESPACE"
    )]
    pub namespaces: Vec<String>,
    /// Form of log lines. RUST_LOG sets the level.
    #[arg(
        long,
        env = "BAKEOFF_LOG_FORMAT",
        default_value = "json",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// Name of this operator's pod, for events.
    #[arg(long, env = "POD_NAME", hide = true)]
    pub pod_name: Option<String>,
}

/// Form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl Args {
    /// The scopes to watch: each namespace, or `None` for all.
    pub fn scopes(&self) -> Vec<Option<String>> {
        let mut scopes: Vec<Option<String>> = self
            .namespaces
            .iter()
            .map(|namespace| namespace.trim())
            .filter(|namespace| !namespace.is_empty())
            .map(|namespace| Some(namespace.to_owned()))
            .collect();
        scopes.sort();
        scopes.dedup();
        if scopes.is_empty() {
            scopes.push(None);
        }
        scopes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_namespace_means_all() {
        for (given, scopes) in [
            (vec![], vec![None]),
            (vec!["--namespace", ""], vec![None]),
            (
                vec!["--namespace", "b,a", "--namespace", "a"],
                vec![Some("a".to_owned()), Some("b".to_owned())],
            ),
        ] {
            let line = ["operator", "--runner-image", "i"]
                .into_iter()
                .chain(given.clone());
            let args = Args::try_parse_from(line).unwrap();
            assert_eq!(args.scopes(), scopes, "{given:?}");
        }
    }
}
