//! kubectl and helm, pointed at the cluster under test.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::command::{output, output_with_input, run};
use crate::settings::Layout;
use crate::wait;

/// Runs kubectl.
#[derive(Debug, Clone)]
pub struct Kubectl {
    bin: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// For this layout's cluster.
    #[must_use]
    pub fn new(layout: &Layout) -> Self {
        Self {
            bin: layout.bin(),
            kubeconfig: layout.kubeconfig(),
        }
    }

    /// Runs kubectl with these arguments.
    pub fn run(&self, args: &[&str]) -> Result<()> {
        run(&mut self.kubectl(args))
    }

    /// Runs kubectl and returns what it wrote.
    pub fn output(&self, args: &[&str]) -> Result<String> {
        output(&mut self.kubectl(args))
    }

    /// Runs kubectl with `input` as its standard input, for `-f -`.
    pub fn with_input(&self, args: &[&str], input: &str) -> Result<String> {
        output_with_input(&mut self.kubectl(args), input)
    }

    /// Runs helm and returns what it wrote.
    pub fn helm(&self, args: &[&str]) -> Result<String> {
        output(
            Command::new(self.program("helm"))
                .args(args)
                .env("KUBECONFIG", &self.kubeconfig),
        )
    }

    /// Pods are refused in a namespace whose service account is not there yet.
    pub fn wait_for_default_service_account(&self) -> Result<()> {
        wait::until(
            "the default service account exists",
            Duration::from_secs(180),
            || self.run(&["--namespace=default", "get", "serviceaccount", "default"]),
        )
    }

    fn kubectl(&self, args: &[&str]) -> Command {
        let mut command = Command::new(self.program("kubectl"));
        command.args(args).env("KUBECONFIG", &self.kubeconfig);
        command
    }

    /// Ours; on a foreign cluster, the one on the PATH.
    fn program(&self, name: &str) -> PathBuf {
        let ours = self.bin.join(name);
        if ours.exists() { ours } else { name.into() }
    }
}
