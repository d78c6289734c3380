//! What can be set from outside.

use std::net::SocketAddr;

use clap::{Parser, ValueEnum};

use crate::{clock, lease::LeaseName};

/// The Bakeoff controller: brings each BenchmarkRun of a cluster to its end.
///
/// Several may run beside each other where they have a Lease in common: one acts, the others wait.
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
    /// Read nodes, to see when one is lost. `false` asks for no right on them.
    #[arg(
        long,
        env = "BAKEOFF_READ_NODES",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub read_nodes: bool,
    /// List the pods of all namespaces on an engine's node, so that reports say who shared it.
    #[arg(
        long,
        env = "BAKEOFF_LIST_NEIGHBOURS",
        default_value_t = true,
        action = clap::ArgAction::Set,
        value_name = "BOOL"
    )]
    pub list_neighbours: bool,
    /// Form of log lines. RUST_LOG sets the level.
    #[arg(
        long,
        env = "BAKEOFF_LOG_FORMAT",
        default_value = "json",
        value_name = "FORMAT"
    )]
    pub log_format: LogFormat,
    /// Namespace of the Lease by which several operators agree on who acts. Left out: this one acts
    /// at once, and must be alone.
    #[arg(long, env = "BAKEOFF_LEASE_NAMESPACE", value_name = "NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of the Lease; one per installation.
    #[arg(
        long,
        env = "BAKEOFF_LEASE_NAME",
        default_value = "bakeoff-operator",
        value_name = "NAME"
    )]
    pub lease_name: String,
    /// Name of this operator's pod, for events and the Lease.
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
    /// The Lease to contend for, where there is one.
    pub fn lease(&self) -> Option<LeaseName> {
        let namespace = self
            .lease_namespace
            .clone()
            .filter(|name| !name.is_empty())?;
        // A pod's name is its own; outside a cluster, process and moment tell instances apart.
        let identity = self.pod_name.clone().unwrap_or_else(|| {
            format!(
                "operator-{}-{}",
                std::process::id(),
                clock::now().as_second()
            )
        });
        Some(LeaseName {
            namespace,
            name: self.lease_name.clone(),
            identity,
        })
    }

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
